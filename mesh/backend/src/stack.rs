//! What every call passes before it reaches a service, in this order:
//!
//! | file | step | refusal |
//! |---|---|---|
//! | `recovery` | a panic ends its call, not the process | INTERNAL |
//! | `request_id` | the client's `x-request-id`, or a new one, for logs, handlers and answers | |
//! | `auth` | who calls: the router's word, a certificate, a token | UNAUTHENTICATED |
//! | `authorization` | whether that one may call this | PERMISSION_DENIED |
//! | `rate_limit` | whether it may now | RESOURCE_EXHAUSTED |
//! | `validation` | whether the call is one of gRPC | INVALID_ARGUMENT, UNIMPLEMENTED |
//! | `outcome` | one access line, and the counters of the method, at the call's end | |
//! | `span` | what a handler logs carries request ID and principal | |
//!
//! `check` makes a layer of a function that lets a request pass or refuses it; `callers` remembers who was
//! believed; `gate` holds what files say and follows their changes; `metrics` counts; `services` is all of it for other
//! listeners of the process. Health checks pass without being asked
//! who they are. The decisions are those of `switchboard_policy`, which the router makes too.

mod auth;
mod authorization;
mod call_info;
mod callers;
mod check;
#[cfg(test)]
mod cost;
mod gate;
mod metrics;
mod outcome;
mod rate_limit;
mod recovery;
mod refusal;
mod request_id;
mod services;
mod span;
mod validation;

pub use call_info::CallInfo;
pub(crate) use gate::Gate;
pub use metrics::{Metrics, Stage};
pub(crate) use recovery::log_panics;
pub use services::Services;

use check::Check;
use std::convert::Infallible;
use std::sync::Arc;
use switchboard_transport::Watched;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::service::Routes;
use tower::{Layer, Service, ServiceBuilder};

/// What all layers know.
pub(crate) struct Shared {
    /// The ID by which clients call this backend: `echo-agent`.
    pub(crate) id: String,
    pub(crate) gate: Watched<Gate>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Makes the layer that all services of a backend stand behind.
pub(crate) fn layer(
    shared: Arc<Shared>,
) -> impl Layer<
    Routes,
    Service: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
                 + Clone
                 + Send
                 + Sync
                 + 'static,
> + Clone {
    let (counting, recording) = (shared.metrics.clone(), shared.metrics.clone());
    ServiceBuilder::new()
        .layer_fn(move |inner| recovery::Recovered::new(inner, counting.clone()))
        .layer_fn(request_id::Stamped::new)
        .layer(Check::new(shared.clone(), auth::check))
        .layer(Check::new(shared.clone(), authorization::check))
        .layer(Check::new(shared.clone(), rate_limit::check))
        .layer(Check::new(shared, validation::check))
        .layer_fn(move |inner| outcome::Recorded::new(inner, recording.clone()))
        .layer_fn(span::Traced::new)
        .into_inner()
}

/// Whether a path is a health check's: these are answered to everybody, as the registry has no credentials.
fn is_health(path: &str) -> bool {
    path.starts_with("/grpc.health.v1.Health/")
}
