//! Files of keys: which are taken, and what is said of those that are not.

use aws_lc_rs::signature::{KeyPair as _, RsaKeyPair};
use switchboard_policy::{Authenticator, DenialKind, KeySource};

use crate::issuer::*;

fn rs256_of(kid: &str) -> String {
    token(&format!(r#"{{"alg":"RS256","kid":"{kid}"}}"#), &claims(), rs256)
}

/// What is said of a file that cannot be used.
fn refusal(file: &str, content: impl AsRef<[u8]>) -> String {
    server(file, content).unwrap_err().to_string()
}

#[test]
fn pem_keys_of_every_kind_may_stand_in_one_file() {
    let all = [rsa_pem(), public_pem(ec_key().public_key()), public_pem(ed_key().public_key())].concat();
    let server = server("keys.pem", all).unwrap();
    // A PEM file names no keys: what a token calls its key does not matter.
    assert!(ask(&server, &rs256_of("whatever")).is_ok());
    assert!(ask(&server, &token(r#"{"alg":"ES256"}"#, &claims(), es256)).is_ok());
    assert!(ask(&server, &token(r#"{"alg":"EdDSA","kid":"x"}"#, &claims(), eddsa)).is_ok());
}

#[test]
fn a_rotation_takes_both_keys() {
    let old = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let two = [public_pem(old.public_key()), rsa_pem()].concat();
    let server = server("keys.pem", two).unwrap();
    assert!(ask(&server, &rs256_of("x")).is_ok());
}

#[test]
fn a_flood_of_keys_is_not_tried_one_by_one() {
    let others: Vec<_> = (0..9_u8).map(|at| [at; 32]).collect();
    let mut keys: Vec<_> =
        others.iter().map(|key| format!(r#""kty":"oct","k":"{}""#, base64url(key))).collect();
    keys.push(format!(r#""kty":"oct","k":"{}","kid":"last""#, base64url(SECRET)));
    let server = server("keys.json", jwks(&keys)).unwrap();
    let nameless = token(r#"{"alg":"HS256"}"#, &claims(), hs256(SECRET));
    assert_eq!(ask(&server, &nameless), Err(DenialKind::BadSignature));
    let named = token(r#"{"alg":"HS256","kid":"last"}"#, &claims(), hs256(SECRET));
    assert!(ask(&server, &named).is_ok());
}

#[test]
fn a_secret_is_its_file_without_the_last_newline() {
    let server = server("jwt.secret", [SECRET, b"\r\n"].concat()).unwrap();
    assert!(ask(&server, &token(r#"{"alg":"HS256"}"#, &claims(), hs256(SECRET))).is_ok());
    assert!(refusal("jwt.secret", "short\n").contains("fewer than 32 bytes"));
}

#[test]
fn keys_that_are_not_to_verify_with_are_passed_over() {
    let rsa = rsa_jwk();
    let passed_over = [
        format!(r#"{rsa},"kid":"a","use":"enc""#),
        format!(r#"{rsa},"kid":"b","key_ops":["encrypt"]"#),
        format!(r#"{rsa},"kid":"c","alg":"PS256""#),
        format!(r#"{rsa},"kid":"d","alg":"HS256""#),
        format!(r#"{rsa},"kid":"e","d":"AQAB""#),
        format!(r#"{rsa},"kid":"""#),
        r#""kty":"RSA","kid":"f","n":"AQAB","e":"AQAB""#.to_owned(),
        r#""kty":"RSA","kid":"g""#.to_owned(),
        r#""kty":"EC","crv":"P-521","kid":"h","x":"AA","y":"AA""#.to_owned(),
        r#""kty":"EC","crv":"P-256","kid":"i","x":"AA","y":"AA""#.to_owned(),
        r#""kty":"quantum","kid":"j""#.to_owned(),
        r#""kty":7"#.to_owned(),
    ];
    for key in &passed_over {
        let error = refusal("keys.json", jwks(std::slice::from_ref(key)));
        assert!(error.contains("no key that could sign") && error.contains("key 1: "), "{key}: {error}");
    }
    let mut all = passed_over.to_vec();
    all.push(format!(r#"{rsa},"kid":"good""#));
    let server = server("keys.json", jwks(&all)).unwrap();
    assert!(ask(&server, &rs256_of("good")).is_ok());
    for kid in ["a", "b", "c", "d", "e"] {
        assert_eq!(ask(&server, &rs256_of(kid)), Err(DenialKind::UnknownKey), "{kid}");
    }
}

#[test]
fn an_algorithm_that_a_key_names_is_its_only_one() {
    let server = server("keys.json", jwks(&[format!(r#"{},"alg":"RS512""#, rsa_jwk())])).unwrap();
    assert_eq!(ask(&server, &rs256_of("x")), Err(DenialKind::BadAlgorithm));
}

#[test]
fn a_secret_from_a_url_is_not_believed() {
    let url = settings(KeySource::Url("https://issuer/keys".to_owned()));
    let secret = jwks(&[format!(r#""kty":"oct","k":"{}""#, base64url(SECRET))]);
    let error = Authenticator::load(&url, Some(&secret)).unwrap_err().to_string();
    assert!(error.contains("https://issuer/keys") && error.contains("from a file only"), "{error}");
}

#[test]
fn wrong_files_are_told_without_their_secrets() {
    let too_many = vec![rsa_jwk(); 101];
    let private = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n";
    let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cases = [
        ("keys.json", String::new(), "no JWKS"),
        ("keys.json", "hunter2".to_owned(), "no JWKS"),
        ("keys.json", r#"{"keys":"hunter2"}"#.to_owned(), "no JWKS"),
        ("keys.json", r#"{"keys":[]}"#.to_owned(), "no key"),
        ("keys.json", r#"{"keys":["hunter2"]}"#.to_owned(), "no JWK"),
        ("keys.json", jwks(&too_many), "at most 100"),
        ("keys.json", " ".repeat((1 << 20) + 1), "more than 1048576 bytes"),
        ("keys.pem", private.to_owned(), "a private key"),
        ("keys.pem", certificate.to_owned(), "neither PUBLIC KEY"),
        (
            "keys.pem",
            "-----BEGIN PUBLIC KEY-----\nhunter2\n-----END PUBLIC KEY-----".to_owned(),
            "no public key",
        ),
        ("keys.pem", "-----BEGIN ".to_owned(), "neither PUBLIC KEY"),
    ];
    for (file, content, expected) in cases {
        let error = refusal(file, content);
        assert!(error.contains(expected) && error.contains(file), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let missing = settings(KeySource::File("/nowhere/keys.json".into()));
    let error = Authenticator::load(&missing, None).unwrap_err().to_string();
    assert!(error.contains("/nowhere/keys.json"), "{error}");
}
