//! Why a caller was not believed.

use std::borrow::Cow;
use std::fmt;

/// A refusal, with a sentence for the caller. The sentence holds no secret, and of claims only bounded, escaped text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The reason, for counters.
    pub kind: DenialKind,
    message: Cow<'static, str>,
}

impl Denial {
    pub(crate) fn new(kind: DenialKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Denial {}

/// A claim, as it may be shown to whoever sent it: quoted, escaped, and not longer than a line.
pub(crate) fn shown(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    let cut: String = text.chars().take(MAX_CHARS).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    let ascii: String = cut.chars().flat_map(char::escape_default).collect();
    format!("\"{ascii}{more}\"")
}

/// The reasons of a [`Denial`]. All of them are UNAUTHENTICATED.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DenialKind {
    /// Neither certificate nor token.
    NoCredentials,
    /// A token, but no certificate, where both are asked for.
    NoCertificate,
    /// A certificate, but no token, where both are asked for.
    NoToken,
    /// The certificate is verified, but cannot name a principal.
    BadCertificate,
    /// The `authorization` header is no `Bearer <token>`.
    BadHeader,
    /// The token is unknown, no JWT, or malformed.
    BadToken,
    /// The JWT is not signed, or signed with an algorithm that its key is not for.
    BadAlgorithm,
    /// The JWT's signature is wrong.
    BadSignature,
    /// A claim is missing, malformed or out of bounds.
    BadClaims,
    /// The token or the certificate is no longer valid.
    Expired,
    /// The token is not valid yet.
    NotYetValid,
    /// The token is for somebody else.
    WrongAudience,
    /// The token is from somebody else.
    WrongIssuer,
    /// The token names a key that is not known: read the keys again.
    UnknownKey,
    /// The token is too long to be looked at.
    TooLong,
}

impl DenialKind {
    /// Every reason.
    pub const ALL: [DenialKind; 15] = [
        Self::NoCredentials,
        Self::NoCertificate,
        Self::NoToken,
        Self::BadCertificate,
        Self::BadHeader,
        Self::BadToken,
        Self::BadAlgorithm,
        Self::BadSignature,
        Self::BadClaims,
        Self::Expired,
        Self::NotYetValid,
        Self::WrongAudience,
        Self::WrongIssuer,
        Self::UnknownKey,
        Self::TooLong,
    ];

    /// Gives the word for labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoCredentials => "no_credentials",
            Self::NoCertificate => "no_certificate",
            Self::NoToken => "no_token",
            Self::BadCertificate => "bad_certificate",
            Self::BadHeader => "bad_header",
            Self::BadToken => "bad_token",
            Self::BadAlgorithm => "bad_algorithm",
            Self::BadSignature => "bad_signature",
            Self::BadClaims => "bad_claims",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::WrongAudience => "wrong_audience",
            Self::WrongIssuer => "wrong_issuer",
            Self::UnknownKey => "unknown_key",
            Self::TooLong => "too_long",
        }
    }
}
