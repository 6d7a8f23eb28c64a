//! One ID that a call keeps from its client to the last log line.

use super::CallInfo;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::http::{HeaderValue, Request, Response};
use tower::Service;

pub(super) const HEADER: &str = "x-request-id";
/// Enough for a UUID with a prefix, and little to carry through every log line.
const MAX_BYTES: usize = 128;

/// Takes the ID from the request, or makes one, and puts it into the answer.
#[derive(Clone)]
pub(super) struct Stamped<S> {
    inner: S,
}

impl<S> Stamped<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S> Service<Request<Body>> for Stamped<S>
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
        let header = stamp(&mut request);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            if let Some(header) = header {
                response.headers_mut().insert(HEADER, header);
            }
            Ok(response)
        })
    }
}

/// Gives a request its [`CallInfo`] and the ID in it, which is returned.
pub(super) fn stamp(request: &mut Request<Body>) -> Option<HeaderValue> {
    let given = request.headers().get(HEADER).and_then(|value| usable(value.as_bytes()));
    let id: Arc<str> = match given {
        Some(id) => id.into(),
        None => new().into(),
    };
    let header = HeaderValue::from_str(&id).ok();
    if given.is_none()
        && let Some(header) = header.clone()
    {
        // Replaces one that cannot be used, too.
        request.headers_mut().insert(HEADER, header);
    }
    request.extensions_mut().insert(CallInfo::new(id));
    header
}

/// The ID that a client sent, if it can be used.
pub(super) fn given(request: &Request<Body>) -> Option<&HeaderValue> {
    request.headers().get(HEADER).filter(|value| usable(value.as_bytes()).is_some())
}

/// What may stand in a log line and in a header as it is.
fn usable(value: &[u8]) -> Option<&str> {
    let fits = (1..=MAX_BYTES).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
    if fits { str::from_utf8(value).ok() } else { None }
}

/// An ID that no other process makes, and this one only once.
fn new() -> String {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{:016x}{:016x}", *PROCESS, NEXT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::{new, usable};

    #[test]
    fn an_id_is_short_and_visible() {
        assert_eq!(usable(b"req-1"), Some("req-1"));
        assert_eq!(usable(&[b'x'; 128]).map(str::len), Some(128));
        for bad in [&b""[..], &[b'x'; 129], b"a b", b"a\nb", "ü".as_bytes(), b"\x7f"] {
            assert_eq!(usable(bad), None, "{bad:?}");
        }
        assert_ne!(new(), new());
        assert!(usable(new().as_bytes()).is_some());
    }
}
