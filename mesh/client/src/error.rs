//! What a failed call says: its code, its machine-readable reason and what to do next.
//!
//! Every failure has a gRPC [`Code`], also those that never reached a server, so that a caller has one
//! thing to match on. Decides nothing about retries: that is `retry`.

use std::collections::HashMap;
use std::time::Duration;

use prost::Message;
use switchboard_proto::rpc;
use switchboard_transport::TlsFailure;
use tonic::{Code, Status};

/// Why a call, or the client itself, failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be used: not a URI, not an `http://` one, or an `https://` one without [`crate::Config::tls`].
    #[error("invalid endpoint {endpoint:?}: {problem}")]
    Endpoint {
        /// The address as given.
        endpoint: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A header that cannot be sent: its name or value is not allowed in HTTP/2.
    #[error("invalid header {name:?}")]
    Header {
        /// The header's name as given.
        name: String,
    },
    /// No connection could be made, so nothing was processed.
    #[error("failed to connect to {endpoint}: {cause}")]
    Connect {
        /// The address that was tried.
        endpoint: String,
        /// The innermost cause, for example `Connection refused (os error 111)`.
        cause: String,
        /// What was wrong with TLS, if that was it.
        tls: Option<TlsFailure>,
    },
    /// The files of [`crate::Config::tls`] cannot be used.
    #[error("{}", switchboard_transport::chain(.0))]
    Tls(#[source] switchboard_transport::Error),
    /// A token that cannot be sent. Its text is not repeated.
    #[error("the token {origin} {problem}")]
    Token {
        /// Where it came from.
        origin: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Sending the token would show it to everybody on the way.
    #[error("the token is not sent to {endpoint}: without TLS anybody on the way could read it")]
    TokenInClear {
        /// The address.
        endpoint: String,
    },
    /// A setting contradicts another.
    #[error("{setting} {problem}")]
    Setting {
        /// Variable.
        setting: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The call's deadline passed on this side. The server may or may not have done the work.
    #[error("deadline of {} exceeded", seconds(.after))]
    Deadline {
        /// The deadline that the call had.
        after: Duration,
    },
    /// A server (a backend, or the router) answered with a status other than OK.
    #[error("{}", described(.0))]
    Status(Box<Answer>),
}

/// A status other than OK with its decoded details.
#[derive(Debug)]
pub struct Answer {
    status: Status,
    info: Option<rpc::ErrorInfo>,
    retry_delay: Option<Duration>,
    violations: Vec<rpc::FieldViolation>,
    /// What to do if no server said it: the connection broke, as it does at a port that wants TLS, and also when a server's
    /// refusal of a certificate was overtaken by the end of its connection.
    hung_up: Option<&'static str>,
}

impl Error {
    /// The gRPC code: INVALID_ARGUMENT for what this side refused, UNAVAILABLE without a connection.
    pub fn code(&self) -> Code {
        match self {
            Self::Endpoint { .. }
            | Self::Header { .. }
            | Self::Tls(_)
            | Self::Token { .. }
            | Self::TokenInClear { .. }
            | Self::Setting { .. } => Code::InvalidArgument,
            Self::Connect { .. } => Code::Unavailable,
            Self::Deadline { .. } => Code::DeadlineExceeded,
            Self::Status(answer) => answer.status.code(),
        }
    }

    /// `ErrorInfo.reason`: a constant like `UNKNOWN_ID` that programs may match on.
    pub fn reason(&self) -> Option<&str> {
        self.info().map(|info| info.reason.as_str()).filter(|reason| !reason.is_empty())
    }

    /// `ErrorInfo.domain`: whose reason it is.
    pub fn domain(&self) -> Option<&str> {
        self.info().map(|info| info.domain.as_str()).filter(|domain| !domain.is_empty())
    }

    /// `ErrorInfo.metadata`: the facts behind the reason, for example the nearest known IDs.
    pub fn metadata(&self) -> Option<&HashMap<String, String>> {
        self.info().map(|info| &info.metadata)
    }

    /// The least time to wait before another attempt, if the server gave one (`RetryInfo`).
    pub fn retry_delay(&self) -> Option<Duration> {
        match self {
            Self::Status(answer) => answer.retry_delay,
            _ => None,
        }
    }

    /// `BadRequest.field_violations`: which fields of the request are wrong, and why; empty if the server did not say.
    pub fn violations(&self) -> &[rpc::FieldViolation] {
        match self {
            Self::Status(answer) => &answer.violations,
            _ => &[],
        }
    }

    /// What was wrong with TLS, if a connection failed for that.
    pub fn tls_failure(&self) -> Option<&TlsFailure> {
        match self {
            Self::Connect { tls, .. } => tls.as_ref(),
            _ => None,
        }
    }

    /// The status's message alone, without the code.
    pub fn message(&self) -> String {
        match self {
            Self::Status(answer) => answer.status.message().to_owned(),
            other => other.to_string(),
        }
    }

    /// The status as the server sent it, with its trailers; `None` if no server answered.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Status(answer) => Some(&answer.status),
            _ => None,
        }
    }

    /// One sentence on what to do about it, where that is known.
    ///
    /// A server's own advice (`ErrorInfo.metadata["next_step"]`) comes first.
    pub fn next_step(&self) -> Option<String> {
        if let Some(step) = self.metadata().and_then(|facts| facts.get("next_step")) {
            return Some(step.clone());
        }
        if let Some(nearest) = self.metadata().and_then(|facts| facts.get("nearest"))
            && !nearest.is_empty()
        {
            let names = nearest.replace(',', " or ");
            return Some(format!("call {names}, or list what is registered with `switchboard ls`"));
        }
        if let Some(failure) = self.tls_failure() {
            return Some(mend(failure));
        }
        let step = match (self, self.code()) {
            (Self::TokenInClear { .. }, _) => "call an https:// address, with --ca or SWITCHBOARD_CA",
            (Self::Endpoint { endpoint, .. }, _) if endpoint.trim().starts_with("https://") => {
                "name the authorities of the router's certificate with --ca or SWITCHBOARD_CA"
            }
            (Self::Status(answer), Code::Unknown | Code::Internal | Code::Cancelled)
                if answer.hung_up.is_some() =>
            {
                answer.hung_up.unwrap_or_default()
            }
            (Self::Tls(_) | Self::Token { .. } | Self::Setting { .. }, _) => {
                "mend the file or variable that is named"
            }
            (Self::Endpoint { .. }, _) => "give the address as http://host:port",
            (Self::Header { .. }, _) => "use lowercase letters, digits, '-', '_' and '.' in header names",
            (Self::Connect { .. }, _) => {
                "check the address; if no router is running there, start one with `switchboard dev`"
            }
            (_, Code::DeadlineExceeded) => "allow more time, or ask for less work",
            (_, Code::Unavailable) => match self.retry_delay() {
                Some(delay) => return Some(format!("try again in {}", seconds(&delay))),
                None => "check that the service runs and is healthy, then try again",
            },
            (_, Code::ResourceExhausted) => match self.retry_delay() {
                Some(delay) => return Some(format!("try again in {}", seconds(&delay))),
                None => "send fewer calls at once, or try again later",
            },
            (_, Code::NotFound) if self.reason() == Some("ID_UNKNOWN") => {
                "list what is registered with `switchboard ls`"
            }
            (_, Code::Unauthenticated) => {
                "prove who you are: --token @FILE (or SWITCHBOARD_TOKEN), or a certificate with --cert and --key"
            }
            (_, Code::PermissionDenied) => {
                "use credentials that may make this call; `switchboard auth explain` shows which rule decides"
            }
            _ => return None,
        };
        Some(step.to_owned())
    }

    /// No connection, and why.
    pub(crate) fn connect(
        endpoint: &str,
        error: &(dyn std::error::Error + 'static),
        tls: Option<TlsFailure>,
    ) -> Self {
        let cause = match &tls {
            Some(failure) => failure.to_string(),
            None => root_cause(error),
        };
        Self::Connect { endpoint: endpoint.to_owned(), cause, tls }
    }

    /// Sorts a status of tonic's into what happened: no connection, an expired deadline, or an answer.
    ///
    /// tonic says UNAVAILABLE for a failed connect and CANCELLED for its own timer; the error chain
    /// under the status tells them from a server's words.
    pub(crate) fn from_status(status: Status, endpoint: &str, deadline: Option<Duration>) -> Self {
        let mut source = std::error::Error::source(&status);
        if let Some(error) = source
            && let Some(failure) = TlsFailure::of(error)
        {
            // A server refuses a certificate only after the handshake (TLS 1.3), when the call is on its way already.
            return Self::connect(endpoint, error, Some(failure));
        }
        while let Some(error) = source {
            if error.is::<tonic::ConnectError>() {
                return Self::connect(endpoint, error, None);
            }
            // tonic makes PERMISSION_DENIED of it, as if somebody had judged the call.
            if endpoint.starts_with("http://") && is_told_to_speak_tls(error) {
                return Self::connect(endpoint, error, Some(TlsFailure::TlsOnly));
            }
            if error.is::<tonic::TimeoutExpired>() {
                return Self::Deadline { after: deadline.unwrap_or_default() };
            }
            source = error.source();
        }
        // A tonic server whose timer is first says CANCELLED too, in its own words. The router shortens the
        // timeout on its way, so with such a backend the timer always is first.
        if let (Code::Cancelled, "Timeout expired", Some(after)) = (status.code(), status.message(), deadline)
        {
            return Self::Deadline { after };
        }
        // Details explain an error and must not become one: bytes that are none are no details.
        let details = rpc::Status::decode(status.details()).unwrap_or_default();
        let (info, retry_delay) = (details.error_info(), details.retry_after());
        let violations = details.field_violations();
        let hung_up = std::error::Error::source(&status).map(|_| {
            if endpoint.starts_with("http://") {
                "try again; if this port speaks TLS, use https:// and --ca FILE, or SWITCHBOARD_CA"
            } else {
                "try again; if it stays so, the server refuses our certificate, or wants one: --cert and --key"
            }
        });
        Self::Status(Box::new(Answer { status, info, retry_delay, violations, hung_up }))
    }

    /// True if the call certainly never reached the code that would run it.
    ///
    /// That is a failed connect, a call that met the end of its connection before it was sent (GOAWAY came just
    /// then), or a stream refused by the peer's HTTP/2 layer (RFC 9113, section 8.7), here or, by the router's word,
    /// between the router and the backend.
    pub(crate) fn nothing_processed(&self) -> bool {
        if self.domain() == Some(rpc::DOMAIN)
            && matches!(self.reason(), Some("CONNECT_FAILED" | "STREAM_REFUSED"))
        {
            return true;
        }
        match self {
            Self::Connect { .. } => true,
            Self::Status(answer) => {
                let mut source = std::error::Error::source(&answer.status);
                while let Some(error) = source {
                    if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
                        return true;
                    }
                    if let Some(error) = error.downcast_ref::<h2::Error>() {
                        return error.is_remote() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
                    }
                    source = error.source();
                }
                false
            }
            _ => false,
        }
    }

    /// True if the connection broke under the call, so that nobody knows what became of it.
    pub(crate) fn lost(&self) -> bool {
        matches!(self, Self::Status(answer) if answer.hung_up.is_some())
    }

    fn info(&self) -> Option<&rpc::ErrorInfo> {
        match self {
            Self::Status(answer) => answer.info.as_ref(),
            _ => None,
        }
    }
}

/// What the router says in HTTP/2 to a client that speaks in clear to a port of TLS (RFC 9113, section 7).
fn is_told_to_speak_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let reason = error.downcast_ref::<h2::Error>().and_then(h2::Error::reason);
    reason == Some(h2::Reason::INADEQUATE_SECURITY)
}

/// The innermost error of a chain in words: the part a person can act on.
pub(crate) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// What a person can do about a connection that failed for TLS.
fn mend(failure: &TlsFailure) -> String {
    let step = match failure {
        TlsFailure::UnknownAuthority => {
            "name the authority that signed the server's certificate with --ca or SWITCHBOARD_CA"
        }
        TlsFailure::Expired => "have the server's certificate renewed",
        TlsFailure::NotYetValid => "compare the clocks of both machines",
        TlsFailure::WrongName(names) if names.is_empty() => {
            "have the server's certificate issued for the name that you call"
        }
        TlsFailure::WrongName(names) => {
            return format!(
                "call it by a name of its certificate ({}), or have it issued for the name that you call",
                names.join(", ")
            );
        }
        TlsFailure::NotTls => "call the port as http://, or switch TLS on at the server",
        TlsFailure::TlsOnly => "use https:// and --ca FILE, or SWITCHBOARD_CA",
        TlsFailure::NoHttp2 => "check the address: gRPC needs HTTP/2",
        TlsFailure::CertificateRequired => {
            "show a certificate with --cert and --key, or SWITCHBOARD_CERT and SWITCHBOARD_KEY"
        }
        TlsFailure::CertificateRefused => {
            "show a certificate that has not expired, of an authority that the server trusts"
        }
        TlsFailure::Other(_) => "check certificates and addresses on both sides; `-vv` tells more",
    };
    step.to_owned()
}

/// A status's message, or its code in words where a server sent none.
fn described(answer: &Answer) -> String {
    match answer.status.message() {
        "" => answer.status.code().description().to_owned(),
        message => message.to_owned(),
    }
}

/// "5s", "1.5s", "250ms": no more digits than a person reads.
fn seconds(duration: &Duration) -> String {
    match duration.as_millis() {
        millis if millis < 1000 => format!("{millis}ms"),
        millis if millis % 1000 == 0 => format!("{}s", millis / 1000),
        millis => format!("{}s", (millis as f64 / 100.0).round() / 10.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper_util::rt::{TokioExecutor, TokioIo};

    #[tokio::test]
    async fn a_call_that_meets_the_end_of_its_connection_was_not_processed() {
        let (near, _far) = tokio::io::duplex(1 << 16);
        let (mut send, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(near)).await.unwrap();
        // As the task of a connection ends on GOAWAY, with calls still on their way to it.
        drop(connection);
        let request = http::Request::new(tonic::body::Body::empty());
        let error = send.send_request(request).await.unwrap_err();
        let status = Status::from_error(Box::new(error));
        assert_eq!(status.code(), Code::Cancelled);
        let error = Error::from_status(status, "http://router:1", None);
        assert!(error.nothing_processed(), "{error:?}");
        let other = Error::from_status(Status::cancelled("by its user"), "http://router:1", None);
        assert!(!other.nothing_processed());
    }
}
