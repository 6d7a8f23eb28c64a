//! Behaviour of the data plane: real sockets, scripted peers on both sides, one file per behaviour.

mod cancellation;
mod deadlines;
mod early_response;
mod errors;
mod header_target;
mod metadata;
mod request_id;
mod streaming;
mod support;
mod unary;
