//! What a call that failed says: its code, whose word it is, and the reason.
//!
//! `UNAVAILABLE router/CONNECTION_LOST` was answered by the router, `UNAVAILABLE server` by a backend in its own words,
//! `UNKNOWN client/connection closed before message completed` was said by the client's library, which lost its
//! connection.

use prost::Message;
use std::error::Error;
use switchboard_proto::rpc;
use tonic::{Code, Status};

/// One call's refusal.
pub(crate) struct Refusal {
    /// Code, origin and reason: what refusals are counted by.
    pub(crate) key: String,
    /// The whole text, for a person.
    pub(crate) message: String,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        let code = name(status.code());
        let origin = match status.source() {
            // tonic calls its own timer CANCELLED.
            Some(_) if status.message() == "Timeout expired" => "client/deadline".to_owned(),
            Some(source) => format!("client/{}", root_cause(source)),
            None => match reason(&status) {
                Some(info) if info.domain == rpc::DOMAIN => format!("router/{}", info.reason),
                Some(info) => format!("server/{}", info.reason),
                None => "server".to_owned(),
            },
        };
        Self { key: format!("{code} {origin}"), message: status.message().to_owned() }
    }
}

/// True if the call met the end of its connection before it was sent: GOAWAY came just then.
///
/// Every gRPC library sends such a call on its next connection (gRFC A6, "transparent retries"); tonic leaves that to
/// its user.
pub(crate) fn unsent(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
            return true;
        }
        source = error.source();
    }
    false
}

fn reason(status: &Status) -> Option<rpc::ErrorInfo> {
    rpc::Status::decode(status.details()).ok()?.error_info()
}

fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// The code's name in gRPC's spelling.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
