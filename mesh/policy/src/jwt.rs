//! Signed tokens (JWT, RFC 7519): nothing of one is believed, and its claims are not even decoded, before its signature
//! is right.
//!
//! The library checks signatures. All else is decided here, with the time as an argument.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, crypto};
use serde::Deserialize;

use crate::claims::{Claims, Roles};
use crate::denial::{DenialKind as Kind, shown};
use crate::jwks::{self, Key, Origin};
use crate::{Denial, Error, JwtSettings, KeySource, Principal, Proof, base64url};

/// A token without `kid` may be tried with so many keys: what a rotation needs, and not what a flood would like.
const MAX_TRIES: usize = 4;
/// The last second of the year 9999; later ones are milliseconds.
const MAX_TIME_S: u64 = 253_402_300_799;

/// Verifies signed tokens.
#[derive(Debug)]
pub(crate) struct Jwt {
    keys: Vec<Key>,
    issuer: Option<String>,
    audience: Vec<String>,
    leeway_s: u64,
    roles_claim: String,
}

/// What of a header is looked at. Keys that it carries or points to (`jwk`, `jku`, `x5u`) are not.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<serde::de::IgnoredAny>,
}

impl Jwt {
    /// `body` is what the URL gave, if the keys come from one.
    pub(crate) fn load(settings: &JwtSettings, body: Option<&str>) -> Result<Self, Error> {
        let keys = match (&settings.keys, body) {
            (KeySource::File(path), _) => jwks::load(path)?,
            (KeySource::Url(url), Some(body)) => jwks::parse(body, Origin::Url).map_err(|problem| {
                Error::Content { what: "keys of signed tokens", origin: url.clone(), problem }
            })?,
            (KeySource::Url(_), None) => Vec::new(),
        };
        Ok(Self {
            keys,
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            leeway_s: settings.leeway.as_secs(),
            roles_claim: settings.roles_claim.clone(),
        })
    }

    /// The principal of a token, and the first second at which the token is no longer good.
    pub(crate) fn verify(&self, token: &[u8], now_unix_s: u64) -> Result<(Arc<Principal>, u64), Denial> {
        let bad = |message: &'static str| Denial::new(Kind::BadToken, message);
        let token = std::str::from_utf8(token).map_err(|_| bad("the token is not text"))?;
        let unknown = || bad("the token is neither a static token of this server nor a signed token (JWT)");
        let (message, signature) = token.rsplit_once('.').ok_or_else(unknown)?;
        let (header, payload) = message.split_once('.').ok_or_else(unknown)?;
        if payload.contains('.') {
            return Err(bad("the token has more than three parts; encrypted tokens are not taken"));
        }
        let header = base64url::decode(header).ok_or_else(|| bad("the token's header is no base64url"))?;
        let header: Header = serde_json::from_slice(&header)
            .map_err(|_| bad("the token's header is not the JSON of a JWT"))?;
        self.check_signature(&header, message, signature)?;
        let claims = base64url::decode(payload).ok_or_else(|| bad("the token's claims are no base64url"))?;
        let claims = Claims::parse(&claims, &self.roles_claim)
            .map_err(|problem| Denial::new(Kind::BadClaims, format!("the token's claims: {problem}")))?;
        self.check_claims(&claims, now_unix_s)
    }

    fn check_signature(&self, header: &Header, message: &str, signature: &str) -> Result<(), Denial> {
        if header.crit.is_some() {
            return Err(Denial::new(
                Kind::BadToken,
                "the token asks for extensions (crit) that are not known",
            ));
        }
        // A token that was made for another purpose, such as a logout, names it here (RFC 8725, 3.11).
        let typ = header.typ.as_deref().unwrap_or("JWT").to_ascii_lowercase();
        if !matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt" | "jose") {
            let message = format!("the token's type is {}, which is no access token", shown(&typ));
            return Err(Denial::new(Kind::BadToken, message));
        }
        if header.alg.eq_ignore_ascii_case("none") {
            return Err(Denial::new(Kind::BadAlgorithm, "the token is not signed (alg none)"));
        }
        let named =
            header.kid.as_deref().filter(|kid| self.keys.iter().any(|key| key.id.as_deref() == Some(kid)));
        let candidates: Vec<&Key> = match (&header.kid, named) {
            (_, Some(kid)) => self.keys.iter().filter(|key| key.id.as_deref() == Some(kid)).collect(),
            // PEM files and raw secrets name no keys, while most issuers name theirs in every token.
            (Some(_), None) => self.keys.iter().filter(|key| key.id.is_none()).collect(),
            (None, None) => self.keys.iter().collect(),
        };
        if candidates.is_empty() {
            let kid = header.kid.as_deref().map_or_else(|| "none".to_owned(), shown);
            let message = format!("no key is known for the token (kid {kid}): is it from the right issuer?");
            return Err(Denial::new(Kind::UnknownKey, message));
        }
        let algorithm: Option<Algorithm> = header.alg.parse().ok();
        let fits = |key: &&Key| algorithm.is_some_and(|algorithm| key.algorithms.contains(&algorithm));
        let mut fitting = candidates.into_iter().filter(fits).take(MAX_TRIES).peekable();
        let (Some(algorithm), Some(_)) = (algorithm, fitting.peek()) else {
            let message =
                format!("the token is signed with {}, which its key is not for", shown(&header.alg));
            return Err(Denial::new(Kind::BadAlgorithm, message));
        };
        let right =
            |key: &Key| crypto::verify(signature, message.as_bytes(), &key.key, algorithm) == Ok(true);
        if fitting.any(right) {
            return Ok(());
        }
        Err(Denial::new(Kind::BadSignature, "the token's signature is wrong: is it from the right issuer?"))
    }

    fn check_claims(&self, claims: &Claims, now_unix_s: u64) -> Result<(Arc<Principal>, u64), Denial> {
        let bad = |message: String| Denial::new(Kind::BadClaims, message);
        let missing = |claim: &str| bad(format!("the token has no {claim} claim, which is needed"));
        let exp = claims.exp.ok_or_else(|| missing("exp"))?;
        if [Some(exp), claims.nbf, claims.iat].into_iter().flatten().any(|time| time > MAX_TIME_S) {
            return Err(bad("a time of the token lies after the year 9999: times are in seconds".to_owned()));
        }
        let end = exp + self.leeway_s;
        if now_unix_s >= end {
            let message = format!("the token expired {} s ago: get a new one", now_unix_s - exp);
            return Err(Denial::new(Kind::Expired, message));
        }
        let soon = now_unix_s.saturating_add(self.leeway_s);
        if let Some(nbf) = claims.nbf.filter(|nbf| *nbf > soon) {
            let message =
                format!("the token is valid in {} s only: wait, or compare clocks", nbf - now_unix_s);
            return Err(Denial::new(Kind::NotYetValid, message));
        }
        if let Some(iat) = claims.iat.filter(|iat| *iat > soon) {
            let message =
                format!("the token was issued {} s in the future: compare clocks", iat - now_unix_s);
            return Err(Denial::new(Kind::NotYetValid, message));
        }
        if let Some(issuer) = self.issuer.as_ref().filter(|issuer| claims.iss.as_ref() != Some(*issuer)) {
            let theirs = claims.iss.as_deref().map_or_else(|| "nobody".to_owned(), shown);
            let message = format!("the token is from {theirs}; tokens of {} are taken here", shown(issuer));
            return Err(Denial::new(Kind::WrongIssuer, message));
        }
        if !claims.aud.iter().any(|audience| self.audience.contains(audience)) {
            let theirs = claims.aud.first().map_or_else(|| "nobody".to_owned(), |audience| shown(audience));
            let ours = self.audience.first().map_or_else(String::new, |audience| shown(audience));
            let message = format!("the token is for {theirs}; tokens for {ours} are taken here");
            return Err(Denial::new(Kind::WrongAudience, message));
        }
        let name = claims.sub.as_deref().ok_or_else(|| missing("sub"))?;
        let principal = match &claims.roles {
            Roles::Array(roles) => Principal::new(name, roles.iter().map(String::as_str), Proof::Jwt),
            Roles::Text(text) => Principal::new(name, text.split_ascii_whitespace(), Proof::Jwt),
        };
        let principal = principal.map_err(|problem| bad(format!("the token's sub or roles: {problem}")))?;
        Ok((Arc::new(principal), end))
    }
}
