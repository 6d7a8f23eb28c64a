//! Signed tokens: a key pair (ES256), its public half as a JWKS, and `certs token`.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use switchboard_transport::authority::{Authority, Subject};

use crate::args::certs::Token;
use crate::certs::store::Store;
use crate::certs::{Error, ISSUER};

const KEY: &str = "jwt.key";
const KEYS: &str = "jwks.json";

/// Makes the key pair.
pub(super) fn create(store: &Store, authority: &Authority) -> Result<(), Error> {
    // The authority makes keys of the curve that ES256 takes; its certificate of this one is not needed.
    let made = authority
        .issue(&Subject::new("tokens"))
        .map_err(|source| Error::Certificate { name: "tokens".to_owned(), source })?;
    let mut jwk = public(&made.key)?;
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    store.write_secret(KEY, &made.key)?;
    let keys = serde_json::to_string_pretty(&JwkSet { keys: vec![jwk] }).expect("a JWK is JSON");
    store.write(KEYS, &format!("{keys}\n"))
}

/// Signs a token.
pub(super) fn sign(store: &Store, asked: &Token) -> Result<String, Error> {
    let key = store.read(KEY)?;
    let jwk = public(&key)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = json!({
        "iss": ISSUER,
        "sub": asked.sub,
        "aud": asked.audience,
        "roles": asked.roles,
        "iat": now,
        "nbf": now,
        "exp": now.saturating_add(asked.ttl.as_secs().max(1)),
    });
    let header = Header { kid: jwk.common.key_id, ..Header::new(Algorithm::ES256) };
    Ok(jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ec_pem(key.as_bytes())?)?)
}

/// The public half, named by its thumbprint (RFC 7638).
fn public(key: &str) -> Result<Jwk, Error> {
    let mut jwk = Jwk::from_encoding_key(&EncodingKey::from_ec_pem(key.as_bytes())?, Algorithm::ES256)?;
    jwk.common.key_id = Some(jwk.thumbprint(ThumbprintHash::SHA256)?);
    Ok(jwk)
}
