//! Whatever a handler logs carries the request's ID and principal.

use super::CallInfo;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tower::Service;
use tracing::instrument::Instrumented;
use tracing::{Instrument, Span, field};

#[derive(Clone)]
pub(super) struct Traced<S> {
    inner: S,
}

impl<S> Traced<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S> Service<Request<Body>> for Traced<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Instrumented<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let span = match CallInfo::of(&request) {
            Some(call) => {
                let span =
                    tracing::info_span!("call", request_id = call.request_id(), principal = field::Empty);
                if let Some(principal) = call.principal() {
                    span.record("principal", &*principal.name);
                }
                span
            }
            None => Span::none(),
        };
        let entered = span.enter();
        let answer = self.inner.call(request);
        drop(entered);
        answer.instrument(span)
    }
}
