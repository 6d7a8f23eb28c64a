//! A backend as others see it: over gRPC and in the registry. One module per behaviour.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod fixture;
mod registration;
mod served;
mod shutdown;
mod start;
