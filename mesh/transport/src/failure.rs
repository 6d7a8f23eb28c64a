//! Why a TLS connection failed, as far as a person can do something about it.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// What went wrong in a handshake, by whom and what to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsFailure {
    /// The server's certificate was signed by nobody whom we trust.
    UnknownAuthority,
    /// The server's certificate has ended.
    Expired,
    /// The server's certificate is not valid yet; perhaps a clock is wrong.
    NotYetValid,
    /// The server's certificate is good, but was made for other names, which are given.
    WrongName(Vec<String>),
    /// The other side does not speak TLS.
    NotTls,
    /// The other side speaks TLS only, and we spoke in clear.
    TlsOnly,
    /// The other side speaks TLS, but not HTTP/2.
    NoHttp2,
    /// The server demands a certificate of us.
    CertificateRequired,
    /// The server refuses the certificate that we showed.
    CertificateRefused,
    /// Anything else, in the words of the TLS library.
    Other(String),
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownAuthority => "the server's certificate was signed by an unknown authority",
            Self::Expired => "the server's certificate has expired",
            Self::NotYetValid => "the server's certificate is not valid yet",
            Self::WrongName(_) => "the server's certificate was made for another name",
            Self::NotTls => "the other side does not speak TLS",
            Self::TlsOnly => "this port speaks TLS",
            Self::NoHttp2 => "the other side speaks TLS, but not HTTP/2",
            Self::CertificateRequired => "the server demands a certificate",
            Self::CertificateRefused => "the server refuses our certificate",
            Self::Other(words) => words,
        })
    }
}

/// An error with all its causes in one line: what is wrong outside is often said by the innermost alone.
pub fn chain(error: &dyn StdError) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words.push_str(&format!(": {error}"));
        source = error.source();
    }
    words
}

impl TlsFailure {
    /// Finds the failure in an error and its causes; `None` if TLS has no part in it. [`TlsFailure::TlsOnly`] is not
    /// found here: only HTTP/2 can say so.
    pub fn of(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(tls) = error.downcast_ref::<Error>() {
                return Some(Self::from_rustls(tls));
            }
            // An I/O error hides what it was made of from `source`.
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            if let Some(tls) = inner.and_then(|inner| inner.downcast_ref::<Error>()) {
                return Some(Self::from_rustls(tls));
            }
            if error.is::<io::Error>()
                && let Some(alert) = Self::from_words(&error.to_string())
            {
                return Some(alert);
            }
            next = match inner {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        None
    }

    /// In TLS 1.3 a server refuses a client only after the handshake, when HTTP/2 already reads; its implementation keeps
    /// nothing of an error but the words.
    fn from_words(words: &str) -> Option<Self> {
        use AlertDescription as Alert;
        let name = words.strip_prefix("received fatal alert: ")?;
        let alerts = [
            Alert::CertificateRequired,
            Alert::BadCertificate,
            Alert::UnsupportedCertificate,
            Alert::CertificateRevoked,
            Alert::CertificateExpired,
            Alert::CertificateUnknown,
            Alert::UnknownCA,
            Alert::AccessDenied,
            Alert::DecryptError,
        ];
        let known = alerts.into_iter().find(|alert| format!("{alert:?}") == name);
        Some(match known {
            Some(alert) => Self::from_rustls(&Error::AlertReceived(alert)),
            None => Self::Other(words.to_owned()),
        })
    }

    fn from_rustls(error: &Error) -> Self {
        use AlertDescription as Alert;
        match error {
            Error::InvalidCertificate(problem) => match problem {
                CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownAuthority,
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Self::NotYetValid
                }
                CertificateError::NotValidForName => Self::WrongName(Vec::new()),
                CertificateError::NotValidForNameContext { presented, .. } => {
                    Self::WrongName(presented.iter().map(|name| plain(name).to_owned()).collect())
                }
                other => Self::Other(other.to_string()),
            },
            Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::NotTls,
            Error::NoApplicationProtocol | Error::AlertReceived(Alert::NoApplicationProtocol) => {
                Self::NoHttp2
            }
            Error::AlertReceived(Alert::CertificateRequired) => Self::CertificateRequired,
            Error::AlertReceived(
                Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied
                // The signature of an authority of the same name, for example of a former installation.
                | Alert::DecryptError,
            ) => Self::CertificateRefused,
            other => Self::Other(other.to_string()),
        }
    }
}

/// `host` of `DnsName("host")`, as the verifier of host names writes it.
fn plain(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.map_or(name, |inner| inner.trim_matches('"'))
}
