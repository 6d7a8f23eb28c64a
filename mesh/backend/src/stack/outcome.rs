//! The end of a call: its access line, its counters, and the place that it took up.

use super::metrics::MethodCounts;
use super::{CallInfo, Metrics, recovery};
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use switchboard_policy::Permit;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderValue, Request, Response, Uri};
use tonic::{Code, Status};
use tower::Service;

/// Follows each call to its end.
#[derive(Clone)]
pub(super) struct Recorded<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S> Recorded<S> {
    pub(super) fn new(inner: S, metrics: Arc<Metrics>) -> Self {
        Self { inner, metrics }
    }
}

impl<S> Service<Request<Body>> for Recorded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Future: Send + 'static>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let mut open = Open {
            metrics: self.metrics.clone(),
            method: self.metrics.method(request.uri().path()),
            uri: request.uri().clone(),
            begun: Instant::now(),
            call: None,
            code: None,
            _permit: None,
        };
        open.method.begun();
        if let Some(call) = request.extensions_mut().get_mut::<CallInfo>() {
            open._permit = call.permit.take();
            open.call = Some(call.clone());
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut open = open;
            // A panic goes on to the recovery, and drops what is open.
            open.code = Some(Code::Internal);
            let response = answer.await?;
            open.code = code_in(response.headers());
            let (parts, body) = response.into_parts();
            let body = if body.is_end_stream() {
                // Only headers, and among them the status.
                drop(open);
                body
            } else {
                Body::new(Followed { body, open: Some(open) })
            };
            Ok(Response::from_parts(parts, body))
        })
    }
}

/// A call that has not ended. It ends when this is dropped.
struct Open {
    metrics: Arc<Metrics>,
    method: Arc<MethodCounts>,
    uri: Uri,
    begun: Instant,
    call: Option<CallInfo>,
    /// `None` until the status is known; what is dropped without one was cancelled.
    code: Option<Code>,
    _permit: Option<Arc<Permit>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        let code = self.code.unwrap_or(Code::Cancelled);
        let took = self.begun.elapsed();
        self.metrics.ended(&self.method, self.uri.path(), code, took);
        let principal = self.call.as_ref().and_then(CallInfo::principal).map(|principal| &*principal.name);
        let request_id = self.call.as_ref().map(CallInfo::request_id);
        let (path, took_us) = (self.uri.path(), u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        // Failures are what is looked for; all calls of a busy backend would drown them.
        match code {
            Code::Ok => tracing::debug!(target: "access", principal, request_id, took_us, "{path} OK"),
            code => tracing::info!(target: "access", principal, request_id, took_us, "{path} {code:?}"),
        }
    }
}

/// The status in headers or trailers.
fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes()))
}

/// A response that is followed to its trailers.
struct Followed {
    body: Body,
    open: Option<Open>,
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        // A stream's handler runs in here.
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut this.body).poll_frame(cx)));
        let frame = match polled {
            Ok(polled) => ready!(polled),
            Err(panic) => {
                this.body = Body::empty();
                let Some(mut open) = this.open.take() else { return Poll::Ready(None) };
                let id = open.call.as_ref().and_then(|call| HeaderValue::from_str(call.request_id()).ok());
                recovery::panicked(&open.metrics, id.as_ref(), &*panic);
                open.code = Some(Code::Internal);
                return Poll::Ready(Some(Ok(Frame::trailers(internal_error()))));
            }
        };
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(trailers), Some(mut open)) =
                    (frame.trailers_ref(), this.open.take_if(|_| frame.is_trailers()))
                {
                    open.code = code_in(trailers).or(Some(Code::Unknown));
                }
            }
            Some(Err(status)) => {
                if let Some(mut open) = this.open.take() {
                    open.code = Some(status.code());
                }
            }
            None => {
                if let Some(mut open) = this.open.take() {
                    open.code = open.code.or(Some(Code::Unknown));
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn internal_error() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert(Status::GRPC_STATUS, HeaderValue::from(Code::Internal as i32));
    trailers.insert(Status::GRPC_MESSAGE, HeaderValue::from_static("internal%20error"));
    trailers
}
