//! Credentials in, principal or refusal out.
//!
//! | mode   | certificate | token | principal |
//! |--------|-------------|-------|-----------|
//! | `none` | any         | any   | none: nobody is asked |
//! | `any`  | good        | none  | the certificate's, with its organizational units as roles |
//! | `any`  | none, good  | good  | the token's, with the token's roles alone: who sends a token wants its rights |
//! | `both` | good        | good  | the token's, with the roles of both |
//! | `any`, `both` | all else   |       | refused |
//!
//! A credential that is there must be good: a bad token is refused though the certificate is good, and the reverse.
//! The static tokens are searched before a token is taken for a JWT.

use std::sync::Arc;

use switchboard_transport::PeerIdentity;

use crate::denial::DenialKind as Kind;
use crate::jwt::Jwt;
use crate::tokens::Tokens;
use crate::{Denial, Error, Mode, Principal, Proof, Settings};

/// An RSA-4096 signature has 700 characters; 8 KiB leave 5 KiB for claims, and are what servers take as a header.
pub const MAX_TOKEN_BYTES: usize = 8 << 10;

/// What a caller offers as a proof.
#[derive(Debug, Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// The verified certificate of the connection.
    pub peer: Option<&'a PeerIdentity>,
    /// The value of the `authorization` header. A call that repeats the header is to be refused before.
    pub authorization: Option<&'a [u8]>,
}

/// A caller that was believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    /// Who it is; `None` only if the mode is none.
    pub principal: Option<Arc<Principal>>,
    /// Until when the same credentials need no second look, in seconds since 1970: the first second at which one of them
    /// is no longer good. `u64::MAX` if none of them ends.
    pub valid_until_unix_s: u64,
}

/// Knows all keys and tokens. Immutable: new files make a new one.
#[derive(Debug)]
pub struct Authenticator {
    mode: Mode,
    tokens: Tokens,
    jwt: Option<Jwt>,
}

impl Authenticator {
    /// Reads the files that the settings name.
    ///
    /// `jwks` is the body of the URL if the keys come from one; without it no signed token is known, and each is refused
    /// with [`DenialKind::UnknownKey`](crate::DenialKind::UnknownKey) until a new authenticator has the keys.
    ///
    /// # Errors
    /// A file cannot be read or does not hold what it should. The settings are taken to be checked.
    pub fn load(settings: &Settings, jwks: Option<&str>) -> Result<Self, Error> {
        let tokens = settings.tokens.as_deref().map(Tokens::load).transpose()?.unwrap_or_default();
        let jwt = settings.jwt.as_ref().map(|jwt| Jwt::load(jwt, jwks)).transpose()?;
        Ok(Self { mode: settings.mode, tokens, jwt })
    }

    /// What callers have to prove.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Says who the caller is. Costs a digest or a signature check: keep the answer until it ends.
    ///
    /// # Errors
    /// A credential is missing or bad.
    pub fn authenticate(
        &self,
        credentials: &Credentials<'_>,
        now_unix_s: u64,
    ) -> Result<Authenticated, Denial> {
        if self.mode == Mode::None {
            return Ok(Authenticated { principal: None, valid_until_unix_s: u64::MAX });
        }
        let certificate = credentials.peer.map(|peer| by_certificate(peer, now_unix_s)).transpose()?;
        let token = credentials.authorization.map(|header| self.by_token(header, now_unix_s)).transpose()?;
        match (self.mode, certificate, token) {
            (_, None, None) => {
                let hint = match self.mode {
                    Mode::Both => {
                        "connect with a client certificate and send `authorization: Bearer <token>`"
                    }
                    _ => "connect with a client certificate or send `authorization: Bearer <token>`",
                };
                Err(Denial::new(Kind::NoCredentials, format!("no credentials: {hint}")))
            }
            (Mode::Both, None, _) => Err(Denial::new(
                Kind::NoCertificate,
                "a token alone is not enough here: connect with a client certificate too",
            )),
            (Mode::Both, _, None) => Err(Denial::new(
                Kind::NoToken,
                "a certificate alone is not enough here: send `authorization: Bearer <token>` too",
            )),
            (Mode::Both, Some(certificate), Some(token)) => certificate.and(token),
            (_, certificate, Some(token)) => Ok(token.at_most_as_long_as(certificate)),
            (_, Some(certificate), None) => Ok(certificate),
        }
        .map(|known| Authenticated {
            principal: Some(known.principal),
            valid_until_unix_s: known.valid_until_unix_s,
        })
    }

    fn by_token(&self, header: &[u8], now_unix_s: u64) -> Result<Known, Denial> {
        let token = bearer(header)?;
        if let Some(principal) = self.tokens.find(token) {
            return Ok(Known { principal: principal.clone(), valid_until_unix_s: u64::MAX });
        }
        let Some(jwt) = &self.jwt else {
            return Err(Denial::new(Kind::BadToken, "the token is not one that this server knows"));
        };
        let (principal, valid_until_unix_s) = jwt.verify(token, now_unix_s)?;
        Ok(Known { principal, valid_until_unix_s })
    }
}

/// A principal that one credential proved, and until when.
struct Known {
    principal: Arc<Principal>,
    valid_until_unix_s: u64,
}

impl Known {
    fn at_most_as_long_as(mut self, other: Option<Known>) -> Known {
        let end = other.map_or(u64::MAX, |other| other.valid_until_unix_s);
        self.valid_until_unix_s = self.valid_until_unix_s.min(end);
        self
    }

    /// The certificate `self` and a token together.
    fn and(self, token: Known) -> Result<Known, Denial> {
        let roles = token.principal.roles.iter().chain(&self.principal.roles);
        let principal = Principal::new(&token.principal.name, roles.map(|role| &**role), Proof::Both);
        let bad = |problem| Denial::new(Kind::BadClaims, format!("token and certificate: {problem}"));
        let principal = Arc::new(principal.map_err(bad)?);
        Ok(Known { principal, ..token }.at_most_as_long_as(Some(self)))
    }
}

/// The principal of a certificate that the handshake verified. A connection may outlive it.
fn by_certificate(peer: &PeerIdentity, now_unix_s: u64) -> Result<Known, Denial> {
    let bad = |problem: &str| Denial::new(Kind::BadCertificate, format!("the client certificate: {problem}"));
    let name = peer.name().ok_or_else(|| bad("it has no URI, DNS name or common name"))?;
    // The last second is valid, as X.509 says.
    let valid_until_unix_s = u64::try_from(peer.not_after).unwrap_or(0).saturating_add(1);
    if now_unix_s >= valid_until_unix_s {
        let late = now_unix_s - valid_until_unix_s + 1;
        let message = format!("the client certificate expired {late} s ago: connect with a new one");
        return Err(Denial::new(Kind::Expired, message));
    }
    let roles = peer.units.iter().map(String::as_str);
    let principal = Principal::new(name, roles, Proof::Certificate).map_err(bad)?;
    Ok(Known { principal: Arc::new(principal), valid_until_unix_s })
}

/// The token of `Bearer <token>`.
fn bearer(header: &[u8]) -> Result<&[u8], Denial> {
    const SCHEME: &[u8] = b"bearer ";
    let wrong = || Denial::new(Kind::BadHeader, "the authorization header is not `Bearer <token>`");
    // Before anything else looks at it; the scheme's few bytes do not matter.
    if header.len() > MAX_TOKEN_BYTES + SCHEME.len() {
        return Err(Denial::new(Kind::TooLong, "the token has more than 8 KiB: ask for fewer claims"));
    }
    let (scheme, token) = header.split_at_checked(SCHEME.len()).ok_or_else(wrong)?;
    let token = token.trim_ascii();
    if !scheme.eq_ignore_ascii_case(SCHEME) || token.is_empty() {
        return Err(wrong());
    }
    Ok(token)
}
