//! Errors of the router's own services, as the data plane makes them, and their way through tonic.

use crate::error::{Code, Error};
use prost::Message;
use std::time::Duration;
use switchboard_proto::rpc;
use tonic::Status;

/// Longest text of a client that is repeated in an error's facts.
const MAX_FACT_CHARS: usize = 128;

/// The tonic status of an error: code, message, and `google.rpc.ErrorInfo` in its details.
pub(super) fn status(error: Error) -> Status {
    let code = error.code as i32;
    let metadata = error.metadata.into_iter().map(|(key, value)| (key.to_owned(), value));
    let details = rpc::Status::new(code, &error.message, error.reason, metadata, error.retry_after);
    Status::with_details(tonic::Code::from_i32(code), error.message, details.encode_to_vec().into())
}

/// An error of the control plane's own, without facts yet.
pub(super) fn error(code: Code, reason: &'static str, message: String) -> Error {
    Error { code, retry_after: None, ..Error::limit(reason, message) }
}

/// The method is a backend's, and the call named none.
pub(super) fn not_ours(method: &str) -> Error {
    let message = format!("{method} is answered by backends: name one by its ID");
    with(error(Code::Unimplemented, "NOT_OF_THE_ROUTER", message), "method", method)
}

/// A field of the request is wrong.
pub(super) fn invalid(reason: &'static str, field: &'static str, message: String) -> Error {
    with(error(Code::InvalidArgument, reason, format!("{field}: {message}")), "field", field)
}

/// The registry could not be asked for what the call needs.
pub(super) fn registry(what: &str, why: &str) -> Error {
    let message = format!("{what}: the registry cannot be asked: {why}");
    retry(error(Code::Unavailable, "REGISTRY_UNREACHABLE", message))
}

/// Adds a fact; a client's text is shortened.
pub(super) fn with(mut error: Error, key: &'static str, value: &str) -> Error {
    error.metadata.push((key, value.chars().take(MAX_FACT_CHARS).collect()));
    error
}

/// Says that another try in a second may help.
pub(super) fn retry(error: Error) -> Error {
    Error { retry_after: Some(Duration::from_secs(1)), ..error }
}
