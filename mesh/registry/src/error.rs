//! The crate's one error type. Each message names the registry's address and says what to do; no message holds a token.

use std::path::PathBuf;
use std::time::Duration;

use switchboard_transport::TlsFailure;

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
    /// TLS could not be agreed on.
    #[error("cannot speak TLS with Consul at {address}: {reason}")]
    Handshake {
        /// The registry.
        address: String,
        /// What is wrong, and which setting mends it.
        reason: &'static str,
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
    /// Consul refused the token, or who has none.
    #[error("Consul at {address} refused {path} (403 {body:?}): {remedy}; see consul/README.md")]
    Forbidden {
        /// The registry.
        address: String,
        /// The path that was asked.
        path: String,
        /// The first bytes of the answer's body.
        body: String,
        /// What has to be done, with the rule that a policy of the token needs.
        remedy: String,
    },
    /// Consul answers as if there were nothing, because the token may not see anything.
    #[error(
        "the ACLs of Consul at {address} hide the catalogue from {token}: give it one with \
         `service_prefix \"\" {{ policy = \"read\" }}` and `node_prefix \"\" {{ policy = \"read\" }}`; see consul/README.md"
    )]
    Hidden {
        /// The registry.
        address: String,
        /// `its token` or `who has no token`.
        token: &'static str,
    },
    /// Consul answered with an error.
    #[error("Consul at {address} answered {path} with {status}: {body:?}{}", hint(*status, body))]
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
        let refused = matches!(self, Error::Status { .. } | Error::Forbidden { .. } | Error::Hidden { .. });
        refused || matches!(self, Error::TooLarge { .. } | Error::Decode { .. })
    }

    /// Tells whether a gateway between us and Consul gave up on a long poll, which is no failure of either.
    pub(crate) fn is_cut_poll(&self) -> bool {
        matches!(self, Error::Status { status: 408 | 502 | 504, .. } | Error::Unreachable { .. })
    }
}

/// Says what is wrong if TLS is the reason.
pub(crate) fn handshake_reason(error: &reqwest::Error) -> Option<&'static str> {
    Some(match TlsFailure::of(error)? {
        TlsFailure::UnknownAuthority => {
            "its certificate is of an authority that the file of CONSUL_CACERT does not hold"
        }
        TlsFailure::Expired => "its certificate has expired, or our clock is wrong",
        TlsFailure::NotYetValid => "its certificate is not valid yet, or our clock is wrong",
        TlsFailure::WrongName(_) => "its certificate is not made for the host in CONSUL_HTTP_ADDR",
        TlsFailure::NotTls => {
            "its answer is not TLS: use http:// in CONSUL_HTTP_ADDR, or Consul's port for https"
        }
        TlsFailure::CertificateRequired | TlsFailure::CertificateRefused => {
            "it wants a client certificate and got none that is good: set CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY to one \
             of an authority that Consul trusts and that has not expired"
        }
        TlsFailure::TlsOnly | TlsFailure::NoHttp2 | TlsFailure::Other(_) => "the handshake failed",
    })
}

fn hint(status: u16, body: &str) -> &'static str {
    match status {
        400 if body.contains("HTTP request to an HTTPS server") => {
            " (this port speaks TLS: use https:// in CONSUL_HTTP_ADDR, with CONSUL_CACERT)"
        }
        429 => " (too many connections: raise limits.http_max_conns_per_client)",
        500 => " (see Consul's log; it answers so while it has no leader)",
        _ => "",
    }
}
