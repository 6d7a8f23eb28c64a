//! The services of a backend behind its stack, for listeners of other protocols in the same process.

use super::refusal::Refusal;
use super::{Shared, auth, authorization, rate_limit, request_id};
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tower::Service;
use tower::util::BoxCloneSyncService;

type Stack = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// The services of a backend as those who call over gRPC meet them: authentication, authorization, limits, access lines and
/// counters in front. Cheap to clone.
///
/// A request should carry the [`ConnectionInfo`](crate::ConnectionInfo) of its connection among its extensions: it has the
/// certificate that the caller showed, and its address.
#[derive(Clone)]
pub struct Services {
    stack: Stack,
    shared: Arc<Shared>,
}

impl Services {
    pub(crate) fn new<S>(stack: S, shared: Arc<Shared>) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        Self { stack: BoxCloneSyncService::new(stack), shared }
    }

    /// Whether callers have to prove who they are.
    pub fn asks_for_credentials(&self) -> bool {
        self.shared.gate.newest().asks
    }

    /// Says whether a call of this path would be let in, without making it. It counts for rate limits as a call does.
    ///
    /// # Errors
    /// The answer that the call would get.
    pub fn admit(&self, mut request: Request<Body>) -> Result<(), Box<Response<Body>>> {
        request_id::stamp(&mut request);
        for judge in [auth::check, authorization::check, rate_limit::check] {
            if let Err(refusal) = judge(&self.shared, &mut request) {
                self.shared.metrics.refused(&refusal, &request);
                return Err(Box::new(Refusal::response(&refusal, &request)));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Services")
    }
}

impl Service<Request<Body>> for Services {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <Stack as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.stack.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.stack.call(request)
    }
}
