//! The keys that may sign tokens: from a JWKS (RFC 7517), PEM public keys, or a raw secret.
//!
//! A key knows for which algorithms it is. What a token's header says never widens that, so that a public RSA key cannot
//! be used as the secret of HS256.

use std::path::Path;

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

use crate::{Error, base64url, error, tokens::warn_if_open};

const WHAT: &str = "keys of signed tokens";
/// A hundred RSA-4096 keys with certificate chains.
pub const MAX_JWKS_BYTES: usize = 1 << 20;
/// Issuers publish two to five.
const MAX_KEYS: usize = 100;
/// As RFC 7518 asks: 256 bits for HS256.
const MIN_SECRET_BYTES: usize = 32;
/// 2048 bits; shorter ones are refused by the library too, but at every token and without a reason.
const MIN_RSA_BYTES: usize = 256;
/// An uncompressed point of P-256.
const P256_POINT_BYTES: usize = 65;
/// Names of keys are compared with what tokens say.
const MAX_KID_BYTES: usize = 256;

/// One key, the algorithms that it is for, and its name.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) id: Option<Box<str>>,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) key: DecodingKey,
}

/// Where a JWKS was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    File,
    /// Others can read what a URL gives, so that no secret of it is believed.
    Url,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
    /// The private part of RSA, EC and OKP keys.
    d: Option<serde::de::IgnoredAny>,
}

/// Reads a file: a JWKS, PEM public keys, or, if it is named `*.secret`, one raw secret.
pub(crate) fn load(path: &Path) -> Result<Vec<Key>, Error> {
    let wrong = |problem| Error::Content { what: WHAT, origin: path.display().to_string(), problem };
    if path.extension().is_some_and(|extension| extension == "secret") {
        warn_if_open(WHAT, path);
        let bytes = error::read(WHAT, path, MAX_JWKS_BYTES as u64)?;
        // Editors and `echo` end a file with a newline that nobody means.
        let end = bytes.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |at| at + 1);
        if bytes.starts_with(b"-----BEGIN ") {
            // A public key as a secret would let everyone who has it sign.
            return Err(wrong("a PEM key is no secret; rename the file to *.pem".to_owned()));
        }
        return secret(&bytes[..end], None).map(|key| vec![key]).map_err(wrong);
    }
    let text = error::read_text(WHAT, path, MAX_JWKS_BYTES as u64)?;
    let keys = if text.contains("-----BEGIN ") { pem(&text) } else { parse(&text, Origin::File) };
    keys.map_err(wrong)
}

/// Reads a JWKS. Keys of unknown kinds, for encryption, or broken ones are passed over with a warning; none left is an error.
pub(crate) fn parse(text: &str, origin: Origin) -> Result<Vec<Key>, String> {
    if text.len() > MAX_JWKS_BYTES {
        return Err("more than 1 MiB".to_owned());
    }
    // The parser's message may quote a value, which may be a secret.
    let jwks: Jwks = serde_json::from_str(text).map_err(|error| {
        format!(
            "line {}: no JWKS; expected {{\"keys\": [...]}}, PEM public keys, or a file named *.secret",
            error.line()
        )
    })?;
    if jwks.keys.len() > MAX_KEYS {
        return Err(format!("{} keys; at most {MAX_KEYS} are taken", jwks.keys.len()));
    }
    let mut keys = Vec::new();
    let mut skipped = Vec::new();
    for (at, value) in jwks.keys.into_iter().enumerate() {
        match Jwk::deserialize(value).map_err(|_| "it is no JWK".to_owned()).and_then(|jwk| key(jwk, origin))
        {
            Ok(key) => keys.push(key),
            Err(problem) => skipped.push(format!("key {}: {problem}", at + 1)),
        }
    }
    let skipped = skipped.join("; ");
    if keys.is_empty() {
        return Err(format!("no key that could sign a token ({skipped})"));
    }
    if !skipped.is_empty() {
        tracing::debug!(%skipped, "keys that are not used");
    }
    Ok(keys)
}

fn key(jwk: Jwk, origin: Origin) -> Result<Key, String> {
    if jwk.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
        return Err("it is not for signatures".to_owned());
    }
    if jwk.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify")) {
        return Err("it is not to verify with".to_owned());
    }
    if jwk.kid.as_ref().is_some_and(|kid| kid.is_empty() || kid.len() > MAX_KID_BYTES) {
        return Err("its kid is empty or has more than 256 bytes".to_owned());
    }
    if jwk.d.is_some() {
        return Err("it holds a private key; publish the public part only".to_owned());
    }
    let missing = || "a part of it is missing".to_owned();
    let broken = |_| "a part of it is no base64url".to_owned();
    let id = jwk.kid.as_deref().map(Into::into);
    let mut key = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => {
            let (n, e) = (jwk.n.ok_or_else(missing)?, jwk.e.ok_or_else(missing)?);
            if base64url::decode(&n).is_none_or(|n| n.len() < MIN_RSA_BYTES) {
                return Err("it is shorter than 2048 bits".to_owned());
            }
            rsa(DecodingKey::from_rsa_components(&n, &e).map_err(broken)?, id)
        }
        ("EC", Some("P-256")) => {
            let (x, y) = (jwk.x.ok_or_else(missing)?, jwk.y.ok_or_else(missing)?);
            ec(DecodingKey::from_ec_components(&x, &y).map_err(broken)?, id)?
        }
        ("OKP", Some("Ed25519")) => {
            ed(DecodingKey::from_ed_components(&jwk.x.ok_or_else(missing)?).map_err(broken)?, id)?
        }
        ("oct", _) if origin == Origin::Url => {
            return Err("it is a secret, which is taken from a file only".to_owned());
        }
        ("oct", _) => {
            let bytes = base64url::decode(&jwk.k.ok_or_else(missing)?);
            secret(&bytes.ok_or("its k is no base64url")?, id)?
        }
        _ => return Err("its kind is not known; RSA, EC P-256, Ed25519 and oct are".to_owned()),
    };
    if let Some(alg) = jwk.alg {
        key.algorithms.retain(|algorithm| alg.parse() == Ok(*algorithm));
    }
    if key.algorithms.is_empty() {
        return Err("its alg is not for this kind of key, or not supported".to_owned());
    }
    Ok(key)
}

/// Public keys one after the other, as a rotation needs two.
fn pem(text: &str) -> Result<Vec<Key>, String> {
    let mut keys = Vec::new();
    for (at, block) in text.split("-----BEGIN ").skip(1).enumerate() {
        let wrong = |problem: &str| format!("block {}: {problem}", at + 1);
        let label = block.split("-----").next().unwrap_or_default();
        if keys.len() == MAX_KEYS {
            return Err(format!("more than {MAX_KEYS} keys"));
        }
        if label.ends_with("PRIVATE KEY") {
            return Err(wrong("a private key; give the public key, and keep this one with the issuer"));
        }
        if !matches!(label, "PUBLIC KEY" | "RSA PUBLIC KEY") {
            return Err(wrong("neither PUBLIC KEY nor RSA PUBLIC KEY"));
        }
        let whole = format!("-----BEGIN {block}");
        let bytes = whole.as_bytes();
        // A key is of one kind only, so that at most one of these takes it.
        let key = if let Ok(key) = DecodingKey::from_rsa_pem(bytes) {
            if key.try_get_as_bytes().is_ok_and(|der| der.len() < MIN_RSA_BYTES) {
                return Err(wrong("the RSA key is shorter than 2048 bits"));
            }
            rsa(key, None)
        } else if let Ok(key) = DecodingKey::from_ec_pem(bytes) {
            ec(key, None).map_err(|problem| wrong(&problem))?
        } else if let Ok(key) = DecodingKey::from_ed_pem(bytes) {
            ed(key, None).map_err(|problem| wrong(&problem))?
        } else {
            return Err(wrong("no public key of RSA, EC P-256 or Ed25519"));
        };
        keys.push(key);
    }
    Ok(keys)
}

fn rsa(key: DecodingKey, id: Option<Box<str>>) -> Key {
    Key { id, algorithms: vec![Algorithm::RS256, Algorithm::RS384, Algorithm::RS512], key }
}

fn ec(key: DecodingKey, id: Option<Box<str>>) -> Result<Key, String> {
    if key.try_get_as_bytes().is_ok_and(|point| point.len() == P256_POINT_BYTES) {
        return Ok(Key { id, algorithms: vec![Algorithm::ES256], key });
    }
    Err("the EC key is not on P-256".to_owned())
}

fn ed(key: DecodingKey, id: Option<Box<str>>) -> Result<Key, String> {
    if key.try_get_as_bytes().is_ok_and(|point| point.len() == 32) {
        return Ok(Key { id, algorithms: vec![Algorithm::EdDSA], key });
    }
    Err("the Ed25519 key has not 32 bytes".to_owned())
}

/// A secret is for the algorithms whose digest is no longer than it, as RFC 7518 (3.2) asks.
fn secret(bytes: &[u8], id: Option<Box<str>>) -> Result<Key, String> {
    if bytes.len() < MIN_SECRET_BYTES {
        return Err("the secret has fewer than 32 bytes; make one with `openssl rand -hex 32`".to_owned());
    }
    let sizes = [(32, Algorithm::HS256), (48, Algorithm::HS384), (64, Algorithm::HS512)];
    let fitting = sizes.into_iter().filter(|(size, _)| bytes.len() >= *size);
    let algorithms = fitting.map(|(_, algorithm)| algorithm).collect();
    Ok(Key { id, algorithms, key: DecodingKey::from_secret(bytes) })
}
