//! A backend as others see it: over gRPC and in the registry. One module per behaviour.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod connect;
mod fixture;
mod healthcheck;
mod limits;
mod panics;
mod pki;
mod policy;
mod registration;
mod request_id;
mod served;
mod shutdown;
mod start;
mod tls;
mod validation;
