//! A panic ends its call with INTERNAL. The caller learns no more of it; the log has the rest.

use super::{Metrics, request_id};
use futures_util::FutureExt;
use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderValue, Request, Response};
use tower::Service;
use tracing::error;

/// All that a caller is told.
pub(super) const MESSAGE: &str = "internal error";

#[derive(Clone)]
pub(super) struct Recovered<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S> Recovered<S> {
    pub(super) fn new(inner: S, metrics: Arc<Metrics>) -> Self {
        Self { inner, metrics }
    }
}

impl<S> Service<Request<Body>> for Recovered<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Future: Send + 'static>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let metrics = self.metrics.clone();
        // The router always sends one. What a later layer makes is lost with that layer.
        let id = request_id::given(&request).cloned();
        // What panicked is dropped and never looked at again.
        let answer = catch_unwind(AssertUnwindSafe(|| self.inner.call(request)));
        Box::pin(async move {
            let done = match answer {
                Ok(answer) => AssertUnwindSafe(answer).catch_unwind().await,
                Err(panic) => Err(panic),
            };
            done.unwrap_or_else(|panic| {
                panicked(&metrics, id.as_ref(), &*panic);
                let mut response: Response<Body> = Status::internal(MESSAGE).into_http();
                if let Some(id) = id {
                    response.headers_mut().insert(request_id::HEADER, id);
                }
                Ok(response)
            })
        })
    }
}

/// Counts a panic and says in the log what it said.
pub(super) fn panicked(metrics: &Metrics, request_id: Option<&HeaderValue>, panic: &(dyn Any + Send)) {
    metrics.panicked();
    let said = panic.downcast_ref::<&str>().copied();
    let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let request_id = request_id.and_then(|id| id.to_str().ok());
    error!(request_id, "a call panicked: {}", said.unwrap_or("without words"));
}

/// Has every panic of the process logged with its place and its stack, which are lost by the time it is caught.
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let stack = std::backtrace::Backtrace::force_capture();
        error!(place, "panic; the stack follows\n{stack}");
    }));
}
