//! A layer of a function: it lets a request pass, or answers it.

use super::Shared;
use super::refusal::Refusal;
use futures_util::future::{Either, Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tower::{Layer, Service};

/// Decides on a request, and may change its headers and extensions.
pub(super) type Judge = fn(&Shared, &mut Request<Body>) -> Result<(), Box<Refusal>>;

#[derive(Clone)]
pub(super) struct Check {
    shared: Arc<Shared>,
    judge: Judge,
}

impl Check {
    pub(super) fn new(shared: Arc<Shared>, judge: Judge) -> Self {
        Self { shared, judge }
    }
}

impl<S> Layer<S> for Check {
    type Service = Checked<S>;

    fn layer(&self, inner: S) -> Checked<S> {
        Checked { inner, check: self.clone() }
    }
}

#[derive(Clone)]
pub(super) struct Checked<S> {
    inner: S,
    check: Check,
}

impl<S> Service<Request<Body>> for Checked<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<Ready<Result<Response<Body>, S::Error>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let shared = &self.check.shared;
        match (self.check.judge)(shared, &mut request) {
            Ok(()) => Either::Right(self.inner.call(request)),
            Err(refusal) => {
                shared.metrics.refused(&refusal, &request);
                Either::Left(ready(Ok(refusal.response(&request))))
            }
        }
    }
}
