//! The client against a scripted server in this process, one module per behaviour.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod deadlines;
mod errors;
mod helpers;
mod retries;
mod scripted;
mod tls;
mod token;
mod workflows;
