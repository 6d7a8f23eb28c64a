//! The parts of `google.rpc` that statuses carry in `grpc-status-details-bin`: [`Status`], [`ErrorInfo`] and
//! [`RetryInfo`], field by field as in google/rpc/status.proto and error_details.proto.

use prost::Message;
use prost_types::Any;
use std::{collections::HashMap, time::Duration};

/// The domain of every `ErrorInfo` that Switchboard makes.
pub const DOMAIN: &str = "switchboard";

const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

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

    /// The first `ErrorInfo` among the details.
    pub fn error_info(&self) -> Option<ErrorInfo> {
        self.detail(ERROR_INFO)
    }

    /// How long the server asks to wait before another try.
    pub fn retry_after(&self) -> Option<Duration> {
        let info: RetryInfo = self.detail(RETRY_INFO)?;
        Duration::try_from(info.retry_delay?).ok()
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
}
