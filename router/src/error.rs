//! Every error that the router answers with, and the only place that makes a grpc-status.
//!
//! An [`Error`] says what failed, who is to blame, and what the caller can do about it. It becomes a
//! trailers-only response, or trailers where the response had begun, with `google.rpc.ErrorInfo` in
//! `grpc-status-details-bin`. Codes follow the gRPC specification; reasons are stable words for programs, a closed set
//! in `error/reason.rs`. The errors themselves stand in `error/reasons.rs`.

mod reason;
mod reasons;
mod refusals;

pub use reason::Reason;

use prost::Message;
use std::{fmt::Write, time::Duration};
use switchboard_http2::Headers;
use switchboard_proto::rpc;

/// gRPC status codes that the router itself answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub enum Code {
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Code {
    /// The specification's spelling.
    pub fn name(self) -> &'static str {
        match self {
            Code::Cancelled => "CANCELLED",
            Code::Unknown => "UNKNOWN",
            Code::InvalidArgument => "INVALID_ARGUMENT",
            Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Code::NotFound => "NOT_FOUND",
            Code::PermissionDenied => "PERMISSION_DENIED",
            Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Code::Unimplemented => "UNIMPLEMENTED",
            Code::Internal => "INTERNAL",
            Code::Unavailable => "UNAVAILABLE",
            Code::Unauthenticated => "UNAUTHENTICATED",
        }
    }
}

/// One failed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The status code.
    pub code: Code,
    /// The `reason` of the `ErrorInfo`.
    pub reason: Reason,
    /// What happened and what to do, for a person.
    pub message: String,
    /// Facts, the `metadata` of the `ErrorInfo`.
    pub metadata: Vec<(&'static str, String)>,
    /// When another try may help.
    pub retry_after: Option<Duration>,
    /// Whether it counts against the instance that the call was at.
    pub(crate) blames_instance: bool,
    /// Whether the instance has certainly not processed the call.
    pub(crate) unprocessed: bool,
    /// The HTTP status of the answer, where it is not 200.
    pub(crate) http_status: Option<&'static str>,
}

/// Longest part of a client's own text that is repeated in a message.
const QUOTE_MAX: usize = 80;

impl Error {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Error {
            code: reason.code(),
            reason,
            message: message.into(),
            metadata: Vec::new(),
            retry_after: None,
            blames_instance: false,
            unprocessed: false,
            http_status: None,
        }
    }

    /// Adds a fact.
    pub(crate) fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.metadata.push((key, value.into()));
        self
    }

    /// Adds a fact, unless whoever made the error knew better.
    pub(crate) fn add(&mut self, key: &'static str, value: impl ToString) {
        if !self.metadata.iter().any(|(known, _)| *known == key) {
            self.metadata.push((key, value.to_string()));
        }
    }

    /// It is the instance's fault.
    fn blame_instance(mut self) -> Self {
        self.blames_instance = true;
        self
    }

    /// The instance has not processed the call: another one may have it.
    fn not_processed(mut self) -> Self {
        self.unprocessed = true;
        self
    }

    /// Says when another try may help.
    pub(crate) fn retry_after(mut self, pause: Duration) -> Self {
        self.retry_after = Some(pause);
        self
    }

    /// The fields of a trailers-only response (`started` false) or of trailers.
    pub(crate) fn write(&self, started: bool, request_id: &[u8], out: &mut Headers) {
        out.clear();
        if let Some(status) = self.http_status {
            out.push(b":status", status.as_bytes());
            out.push(b"content-type", b"text/plain; charset=utf-8");
            return;
        }
        if !started {
            out.push(b":status", b"200");
            out.push(b"content-type", b"application/grpc");
        }
        out.push(b"grpc-status", (self.code as i32).to_string().as_bytes());
        out.push(b"grpc-message", percent_encode(&self.message).as_bytes());
        let mut metadata: Vec<(String, String)> =
            self.metadata.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        if let Ok(id) = str::from_utf8(request_id)
            && !id.is_empty()
        {
            metadata.push(("request_id".to_owned(), id.to_owned()));
        }
        let status = rpc::Status::new(
            self.code as i32,
            &self.message,
            self.reason.as_str(),
            metadata,
            self.retry_after,
        );
        out.push(b"grpc-status-details-bin", base64(&status.encode_to_vec()).as_bytes());
        if let Some(pause) = self.retry_after
            && self.code == Code::ResourceExhausted
        {
            out.push(b"grpc-retry-pushback-ms", pause.as_millis().to_string().as_bytes());
            if self.reason.is_of_the_caller() {
                let seconds = pause.as_millis().div_ceil(1_000);
                out.push(b"retry-after", seconds.to_string().as_bytes());
            }
        }
        if self.code == Code::Unauthenticated {
            out.push(b"www-authenticate", b"Bearer");
        }
    }
}

/// The way of the router's own services, which answer through tonic.
impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        let code = error.code as i32;
        let metadata = error.metadata.into_iter().map(|(key, value)| (key.to_owned(), value));
        let details =
            rpc::Status::new(code, &error.message, error.reason.as_str(), metadata, error.retry_after);
        tonic::Status::with_details(
            tonic::Code::from_i32(code),
            error.message,
            details.encode_to_vec().into(),
        )
    }
}

/// Client text made fit for a message: printable ASCII, quoted, of bounded length.
fn quote(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(QUOTE_MAX)];
    let dots = if cut.len() < bytes.len() { "…" } else { "" };
    format!("\"{}{dots}\"", cut.escape_ascii())
}

/// gRPC's percent-encoding of `grpc-message` (PROTOCOL-HTTP2): printable ASCII but '%' stays.
fn percent_encode(message: &str) -> String {
    let mut out = String::with_capacity(message.len() + 8);
    for byte in message.bytes() {
        if (0x20..=0x7e).contains(&byte) && byte != b'%' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Base64 without padding, as gRPC's binary metadata goes over the wire.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len() * 4 / 3 + 3);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0u32, |word, (i, &b)| word | u32::from(b) << (16 - 8 * i));
        for i in 0..=chunk.len() {
            out.push(char::from(ALPHABET[(word >> (18 - 6 * i) & 63) as usize]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailers_only_answer_carries_code_message_and_details() {
        let error = Error::unknown_id("ehco-agent", "agent-ehco", &["echo-agent".to_owned()]);
        let mut headers = Headers::new();
        error.write(false, b"req-1", &mut headers);
        assert_eq!(headers.get(b":status"), Some(&b"200"[..]));
        assert_eq!(headers.get(b"grpc-status"), Some(&b"5"[..]));
        let message = str::from_utf8(headers.get(b"grpc-message").unwrap()).unwrap().to_owned();
        assert!(message.contains("did you mean echo-agent?"), "{message}");
        assert!(headers.get(b"grpc-status-details-bin").is_some());
        error.write(true, b"", &mut headers);
        assert_eq!(headers.get(b":status"), None);
    }

    #[test]
    fn base64_is_unpadded() {
        for (plain, coded) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn client_text_never_reaches_a_header_raw() {
        let error =
            Error::invalid_id(Reason::ID_ILL_FORMED, "agent_id", "a\r\nb\u{7f}é%".as_bytes(), "is bad");
        assert!(percent_encode(&error.message).bytes().all(|b| (0x20..=0x7e).contains(&b)));
        assert_eq!(percent_encode("50% é"), "50%25 %C3%A9");
        assert!(quote(&[b'x'; 500]).len() < 100);
    }
}
