//! The crate's one error type. Each message names the registry's address and says what to do; no message holds a token.

use std::path::PathBuf;
use std::time::Duration;

/// Describes why the registry could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting cannot be used.
    #[error("{setting}: {reason}")]
    Config {
        /// The variable or field at fault.
        setting: &'static str,
        /// What is wrong, and what is allowed.
        reason: String,
    },
    /// The file of a token cannot be read.
    #[error("CONSUL_HTTP_TOKEN_FILE: cannot read {}", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
    /// The certificate files of the connection cannot be used.
    #[error("cannot set up TLS to the registry")]
    Tls(#[source] switchboard_transport::Error),
    /// The HTTP client cannot be built.
    #[error("cannot set up the HTTP client for {address}")]
    Setup {
        /// The registry.
        address: String,
        /// The reason.
        #[source]
        source: reqwest::Error,
    },
    /// No answer came: refused, reset, or cut.
    #[error("cannot reach Consul at {address}: is it running, and is CONSUL_HTTP_ADDR right?")]
    Unreachable {
        /// The registry.
        address: String,
        /// The reason.
        #[source]
        source: reqwest::Error,
    },
    /// No answer came in time.
    #[error("Consul at {address} did not answer {path} within {after:?}")]
    Timeout {
        /// The registry.
        address: String,
        /// The path that was asked.
        path: String,
        /// How long was waited.
        after: Duration,
    },
    /// Consul answered with an error.
    #[error("Consul at {address} answered {path} with {status}: {body:?}{}", hint(*status))]
    Status {
        /// The registry.
        address: String,
        /// The path that was asked.
        path: String,
        /// The HTTP status.
        status: u16,
        /// The first bytes of the answer's body.
        body: String,
    },
    /// The answer is larger than any sane catalogue.
    #[error("the answer of Consul at {address} to {path} is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The registry.
        address: String,
        /// The path that was asked.
        path: String,
        /// The bound.
        limit_bytes: usize,
    },
    /// The answer is not what the Consul HTTP API documents.
    #[error(
        "the answer of {address} to {path} is not Consul's: {reason}: is another server at this address?"
    )]
    Decode {
        /// The registry.
        address: String,
        /// The path that was asked.
        path: String,
        /// What the decoder met.
        reason: String,
    },
    /// A name that Consul would not take, or that would change the meaning of a URL.
    #[error("{what} {value:?} is not usable: {reason}")]
    Name {
        /// Which name, for example `service`.
        what: &'static str,
        /// The name.
        value: String,
        /// What is allowed.
        reason: &'static str,
    },
    /// The embedded registry cannot listen.
    #[error("cannot listen on {address}: is another Consul running there?")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// Tells whether the registry itself answered, and refused: it is alive, and asking again at once only adds load.
    pub fn is_answer(&self) -> bool {
        matches!(self, Error::Status { .. } | Error::TooLarge { .. } | Error::Decode { .. })
    }

    /// Tells whether a gateway between us and Consul gave up on a long poll, which is no failure of either.
    pub(crate) fn is_cut_poll(&self) -> bool {
        matches!(self, Error::Status { status: 408 | 502 | 504, .. } | Error::Unreachable { .. })
    }
}

fn hint(status: u16) -> &'static str {
    match status {
        403 => " (set CONSUL_HTTP_TOKEN to a token that may do this)",
        429 => " (too many connections: raise limits.http_max_conns_per_client)",
        500 => " (see Consul's log; it answers so while it has no leader)",
        _ => "",
    }
}
