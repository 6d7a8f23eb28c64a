//! Behaviour of the data plane: real sockets, scripted peers on both sides, one file per behaviour.

mod back_pressure;
mod balance;
mod broken_clients;
mod cancellation;
mod chaos;
mod deadlines;
mod directory_swap;
mod drain;
mod early_response;
mod errors;
mod header_target;
mod lost_upstream;
mod metadata;
mod metrics;
mod parked;
mod request_id;
mod retry;
mod streaming;
mod support;
mod unary;
mod upstream_sharing;
mod workers;
