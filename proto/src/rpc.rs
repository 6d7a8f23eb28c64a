//! The parts of `google.rpc` that statuses carry in `grpc-status-details-bin`: [`Status`], [`ErrorInfo`],
//! [`RetryInfo`] and [`BadRequest`], field by field as in google/rpc/status.proto and error_details.proto.

use prost::Message;
use prost_types::Any;
use std::{collections::HashMap, time::Duration};

/// The domain of every `ErrorInfo` that Switchboard makes, but for those of the workflow API.
pub const DOMAIN: &str = "switchboard";

/// The domain of every `ErrorInfo` of the workflow API.
pub const WORKFLOW_DOMAIN: &str = "goclaw.v1";

const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// The gRPC status code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// For developers, in English.
    #[prost(string, tag = "2")]
    pub message: String,
    /// Messages that say more.
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// `google.rpc.ErrorInfo`: why, in words for a program.
#[derive(Clone, PartialEq, Message)]
pub struct ErrorInfo {
    /// `UPPER_SNAKE_CASE`, unique within the domain.
    #[prost(string, tag = "1")]
    pub reason: String,
    /// Who defines the reasons.
    #[prost(string, tag = "2")]
    pub domain: String,
    /// Facts of this error.
    #[prost(map = "string, string", tag = "3")]
    pub metadata: HashMap<String, String>,
}

/// `google.rpc.RetryInfo`: when to try again.
#[derive(Clone, PartialEq, Message)]
pub struct RetryInfo {
    /// Wait at least that long.
    #[prost(message, optional, tag = "1")]
    pub retry_delay: Option<prost_types::Duration>,
}

/// `google.rpc.BadRequest`: which fields are wrong.
#[derive(Clone, PartialEq, Message)]
pub struct BadRequest {
    /// Each wrong field.
    #[prost(message, repeated, tag = "1")]
    pub field_violations: Vec<FieldViolation>,
}

/// `google.rpc.BadRequest.FieldViolation`.
#[derive(Clone, PartialEq, Message)]
pub struct FieldViolation {
    /// Path of the field: `tasks[2].dependencies[0]`.
    #[prost(string, tag = "1")]
    pub field: String,
    /// What is wrong with it.
    #[prost(string, tag = "2")]
    pub description: String,
}

impl Status {
    /// Builds a status with an [`ErrorInfo`] of [`DOMAIN`] and, where a retry may help, a [`RetryInfo`].
    pub fn new(
        code: i32,
        message: impl Into<String>,
        reason: impl Into<String>,
        metadata: impl IntoIterator<Item = (String, String)>,
        retry_after: Option<Duration>,
    ) -> Self {
        let info = ErrorInfo {
            reason: reason.into(),
            domain: DOMAIN.to_owned(),
            metadata: metadata.into_iter().collect(),
        };
        let mut details = vec![Any { type_url: ERROR_INFO.to_owned(), value: info.encode_to_vec() }];
        if let Some(delay) = retry_after {
            let info = RetryInfo { retry_delay: prost_types::Duration::try_from(delay).ok() };
            details.push(Any { type_url: RETRY_INFO.to_owned(), value: info.encode_to_vec() });
        }
        Status { code, message: message.into(), details }
    }

    /// The same in another domain than [`DOMAIN`].
    #[must_use]
    pub fn in_domain(mut self, domain: &str) -> Self {
        if let Some(any) = self.details.iter_mut().find(|any| any.type_url == ERROR_INFO)
            && let Ok(info) = ErrorInfo::decode(any.value.as_slice())
        {
            any.value = ErrorInfo { domain: domain.to_owned(), ..info }.encode_to_vec();
        }
        self
    }

    /// The same with a [`BadRequest`] of these violations.
    #[must_use]
    pub fn violating(mut self, field_violations: Vec<FieldViolation>) -> Self {
        let value = BadRequest { field_violations }.encode_to_vec();
        self.details.push(Any { type_url: BAD_REQUEST.to_owned(), value });
        self
    }

    /// The first `ErrorInfo` among the details.
    pub fn error_info(&self) -> Option<ErrorInfo> {
        self.detail(ERROR_INFO)
    }

    /// How long the server asks to wait before another try.
    pub fn retry_after(&self) -> Option<Duration> {
        let info: RetryInfo = self.detail(RETRY_INFO)?;
        Duration::try_from(info.retry_delay?).ok()
    }

    /// Which fields are wrong; empty if the status does not say.
    pub fn field_violations(&self) -> Vec<FieldViolation> {
        self.detail::<BadRequest>(BAD_REQUEST).unwrap_or_default().field_violations
    }

    fn detail<M: Message + Default>(&self, type_url: &str) -> Option<M> {
        let any = self.details.iter().find(|any| any.type_url == type_url)?;
        M::decode(any.value.as_slice()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_survive_the_wire() {
        let status = Status::new(
            5,
            "no agent",
            "UNKNOWN_ID",
            [("id".to_owned(), "x".to_owned())],
            Some(Duration::from_millis(1500)),
        );
        let back = Status::decode(status.encode_to_vec().as_slice()).unwrap();
        let info = back.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("UNKNOWN_ID", DOMAIN));
        assert_eq!(info.metadata["id"], "x");
        assert_eq!(back.retry_after(), Some(Duration::from_millis(1500)));
        assert_eq!(Status::default().error_info(), None);
    }

    #[test]
    fn violations_travel_beside_the_reason() {
        let violation = FieldViolation { field: "name".to_owned(), description: "missing".to_owned() };
        let status = Status::new(3, "no name", "VALIDATION_FAILED", [], None)
            .in_domain(WORKFLOW_DOMAIN)
            .violating(vec![violation.clone()]);
        let info = status.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("VALIDATION_FAILED", WORKFLOW_DOMAIN));
        assert_eq!(status.field_violations(), [violation]);
        assert_eq!(Status::default().field_violations(), []);
    }
}
