//! An issuer of tokens that signs whatever it is told to, and the server that judges them.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use aws_lc_rs::{hmac, rsa};
use switchboard_policy::{
    Authenticated, Authenticator, Credentials, Denial, DenialKind, Error, JwtSettings, KeySource, Mode,
    Settings,
};

pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Claims that are right, with more of them (`,"a":1`) at the end.
pub(crate) fn claims_with(more: &str) -> String {
    let (iat, exp) = (NOW - 10, NOW + 300);
    format!(
        r#"{{"iss":"https://issuer","aud":"switchboard","sub":"ann","iat":{iat},"exp":{exp},"roles":["caller","dev"]{more}}}"#
    )
}

pub(crate) fn claims() -> String {
    claims_with("")
}

/// The three parts of a token, with any signature.
pub(crate) fn token(header: &str, claims: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()));
    let signature = sign(message.as_bytes());
    format!("{message}.{}", base64url(&signature))
}

pub(crate) fn hs256(key: &[u8]) -> impl Fn(&[u8]) -> Vec<u8> {
    hs(hmac::HMAC_SHA256, key)
}

pub(crate) fn hs(algorithm: hmac::Algorithm, key: &[u8]) -> impl Fn(&[u8]) -> Vec<u8> {
    let key = hmac::Key::new(algorithm, key);
    move |message| hmac::sign(&key, message).as_ref().to_vec()
}

pub(crate) fn rs256(message: &[u8]) -> Vec<u8> {
    rs(&signature::RSA_PKCS1_SHA256, message)
}

pub(crate) fn rs(padding: &'static dyn signature::RsaEncoding, message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; rsa_key().public_modulus_len()];
    rsa_key().sign(padding, &SystemRandom::new(), message, &mut bytes).unwrap();
    bytes
}

pub(crate) fn es256(message: &[u8]) -> Vec<u8> {
    ec_key().sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
}

pub(crate) fn eddsa(message: &[u8]) -> Vec<u8> {
    ed_key().sign(message).as_ref().to_vec()
}

pub(crate) fn rsa_key() -> &'static RsaKeyPair {
    static KEY: OnceLock<RsaKeyPair> = OnceLock::new();
    KEY.get_or_init(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
}

pub(crate) fn ec_key() -> &'static EcdsaKeyPair {
    static KEY: OnceLock<EcdsaKeyPair> = OnceLock::new();
    KEY.get_or_init(|| EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
}

pub(crate) fn ed_key() -> &'static Ed25519KeyPair {
    static KEY: OnceLock<Ed25519KeyPair> = OnceLock::new();
    KEY.get_or_init(|| Ed25519KeyPair::generate().unwrap())
}

pub(crate) fn public_pem(key: &impl AsDer<PublicKeyX509Der<'static>>) -> String {
    let body = base64(key.as_der().unwrap().as_ref());
    let lines: Vec<_> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

pub(crate) fn rsa_pem() -> String {
    public_pem(rsa_key().public_key())
}

/// Members of a JWK, without `kid`.
pub(crate) fn rsa_jwk() -> String {
    let public: &rsa::PublicKey = rsa_key().public_key();
    let (n, e) = (public.modulus(), public.exponent());
    let part = |bytes: &[u8]| base64url(bytes);
    format!(
        r#""kty":"RSA","n":"{}","e":"{}""#,
        part(n.big_endian_without_leading_zero()),
        part(e.big_endian_without_leading_zero())
    )
}

pub(crate) fn ec_jwk() -> String {
    let point = ec_key().public_key().as_ref();
    format!(
        r#""kty":"EC","crv":"P-256","x":"{}","y":"{}""#,
        base64url(&point[1..33]),
        base64url(&point[33..])
    )
}

pub(crate) fn ed_jwk() -> String {
    format!(r#""kty":"OKP","crv":"Ed25519","x":"{}""#, base64url(ed_key().public_key().as_ref()))
}

/// A set of keys of members.
pub(crate) fn jwks(keys: &[String]) -> String {
    let keys: Vec<_> = keys.iter().map(|members| format!("{{{members}}}")).collect();
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

pub(crate) fn settings(keys: KeySource) -> Settings {
    let jwt = JwtSettings {
        keys,
        issuer: Some("https://issuer".to_owned()),
        audience: vec!["switchboard".to_owned(), "other".to_owned()],
        leeway: Duration::from_secs(30),
        roles_claim: "roles".to_owned(),
    };
    let settings = Settings { mode: Mode::Any, jwt: Some(jwt), ..Settings::default() };
    settings.check(false).unwrap();
    settings
}

/// A server with the keys of a file.
pub(crate) fn server(file: &str, content: impl AsRef<[u8]>) -> Result<Authenticator, Error> {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join(file);
    std::fs::write(&path, content).unwrap();
    Authenticator::load(&settings(KeySource::File(path)), None)
}

/// A server with [`SECRET`].
pub(crate) fn secret_server() -> Authenticator {
    server("jwt.secret", SECRET).unwrap()
}

pub(crate) fn ask_at(server: &Authenticator, token: &str, now_unix_s: u64) -> Result<Authenticated, Denial> {
    let header = format!("Bearer {token}");
    let credentials = Credentials { peer: None, authorization: Some(header.as_bytes()) };
    server.authenticate(&credentials, now_unix_s)
}

/// The name of the principal, or why there is none.
pub(crate) fn ask(server: &Authenticator, token: &str) -> Result<String, DenialKind> {
    let answer = ask_at(server, token, NOW);
    answer.map(|known| known.principal.unwrap().name.to_string()).map_err(|denial| denial.kind)
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    base64(bytes).trim_end_matches('=').replace('+', "-").replace('/', "_")
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let all =
            chunk.iter().fold(0_u32, |all, byte| all << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let symbol = ALPHABET[usize::try_from(all >> (18 - 6 * at) & 63).unwrap()];
            text.push(if at <= chunk.len() { char::from(symbol) } else { '=' });
        }
    }
    text
}
