//! The answer to a call that does not reach its service.

use super::{CallInfo, Stage};
use prost::Message;
use std::borrow::Cow;
use std::time::Duration;
use switchboard_proto::rpc;
use tonic::body::Body;
use tonic::codegen::http::{HeaderValue, Request, Response};
use tonic::{Code, Status};

/// Why a stage refuses a call, in words that hold no secret.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(super) stage: Stage,
    pub(super) code: Code,
    /// For programs: `ErrorInfo.reason`.
    pub(super) reason: &'static str,
    pub(super) message: Cow<'static, str>,
    pub(super) retry_after: Option<Duration>,
}

impl Refusal {
    pub(super) fn new(
        stage: Stage,
        code: Code,
        reason: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Box<Self> {
        Box::new(Self { stage, code, reason, message: message.into(), retry_after: None })
    }

    /// The status with `ErrorInfo`, and where a later call may succeed `RetryInfo` and the headers that say the same.
    pub(super) fn response(&self, request: &Request<Body>) -> Response<Body> {
        let id = CallInfo::of(request).map(|call| ("request_id".to_owned(), call.request_id().to_owned()));
        let details = rpc::Status::new(self.code.into(), &*self.message, self.reason, id, self.retry_after);
        let status = Status::with_details(self.code, &*self.message, details.encode_to_vec().into());
        let mut response: Response<Body> = status.into_http();
        if let Some(delay) = self.retry_after {
            let headers = response.headers_mut();
            let seconds = delay.as_millis().div_ceil(1000).max(1);
            let number = |number: u128| HeaderValue::from(u64::try_from(number).unwrap_or(u64::MAX));
            headers.insert("retry-after", number(seconds));
            headers.insert("grpc-retry-pushback-ms", number(delay.as_millis().max(1)));
        }
        response
    }
}
