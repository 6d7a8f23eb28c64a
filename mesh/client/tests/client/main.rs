//! The client against a scripted server in this process, one module per behaviour.

mod deadlines;
mod errors;
mod helpers;
mod retries;
mod scripted;
