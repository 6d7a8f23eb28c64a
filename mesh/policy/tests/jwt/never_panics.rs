//! Nothing that a caller sends, and nothing that a file holds, makes the judge panic; and nothing unsigned gets through.

use std::sync::OnceLock;

use proptest::prelude::*;
use switchboard_policy::{Authenticator, Credentials, KeySource};

use crate::issuer::*;

fn shared() -> &'static Authenticator {
    static SERVER: OnceLock<Authenticator> = OnceLock::new();
    SERVER.get_or_init(|| {
        let secret = format!(r#""kty":"oct","k":"{}""#, base64url(SECRET));
        server("keys.json", jwks(&[rsa_jwk(), ec_jwk(), ed_jwk(), secret])).unwrap()
    })
}

/// JSON of the claims that are read, with values of every type.
fn odd_claims() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| serde_json::Value::from(number).to_string()),
        "\\PC{0,12}".prop_map(|text| serde_json::Value::from(text).to_string()),
        Just("\"switchboard\"".to_owned()),
        Just("\"https://issuer\"".to_owned()),
        Just((NOW + 60).to_string()),
        prop::collection::vec("[a-z]{0,3}", 0..4)
            .prop_map(|texts| serde_json::Value::from(texts).to_string()),
        Just("null".to_owned()),
        Just("{\"a\":[[]]}".to_owned()),
    ];
    let claim = prop::sample::select(vec!["exp", "nbf", "iat", "iss", "aud", "sub", "roles", "x"]);
    prop::collection::vec((claim, value), 0..9).prop_map(|claims| {
        let claims: Vec<_> =
            claims.into_iter().map(|(claim, value)| format!("\"{claim}\":{value}")).collect();
        format!("{{{}}}", claims.join(","))
    })
}

proptest! {
    #[test]
    fn any_header(header in prop::collection::vec(any::<u8>(), 0..200), now: u64) {
        let credentials = Credentials { peer: None, authorization: Some(&header) };
        prop_assert!(shared().authenticate(&credentials, now).is_err());
    }

    #[test]
    fn any_parts(header in "\\PC{0,60}", claims in "\\PC{0,60}", signature: Vec<u8>, now: u64) {
        let token = token(&header, &claims, |_| signature.clone());
        prop_assert!(ask_at(shared(), &token, now).is_err());
    }

    #[test]
    fn any_signature(alg in prop::sample::select(vec!["HS256", "HS512", "RS256", "ES256", "EdDSA"]), signature: Vec<u8>) {
        let header = format!(r#"{{"alg":"{alg}"}}"#);
        prop_assert!(ask(shared(), &token(&header, &claims(), |_| signature.clone())).is_err());
    }

    #[test]
    fn any_claims_of_the_issuer(claims in odd_claims(), now: u64) {
        let token = token(r#"{"alg":"HS256"}"#, &claims, hs256(SECRET));
        for now in [now, NOW] {
            if let Ok(known) = ask_at(shared(), &token, now) {
                prop_assert!(known.valid_until_unix_s > now && known.principal.is_some());
            }
        }
    }

    #[test]
    fn any_keys(text in "\\PC{0,200}", pem in "(-----BEGIN (PUBLIC KEY|RSA PUBLIC KEY|X)-----\n)?[A-Za-z0-9+/=\n]{0,80}(-----END PUBLIC KEY-----)?") {
        let url = settings(KeySource::Url("https://issuer/keys".to_owned()));
        prop_assert!(Authenticator::load(&url, Some(&text)).is_err());
        prop_assert!(server("keys.pem", pem).is_err());
    }

    #[test]
    fn any_jwk(kty in "RSA|EC|OKP|oct", crv in "P-256|Ed25519", part in "[A-Za-z0-9_-]{0,400}") {
        let members = format!(r#""kty":"{kty}","crv":"{crv}","n":"{part}","e":"AQAB","x":"{part}","y":"{part}","k":"{part}""#);
        let Ok(server) = server("keys.json", jwks(&[members])) else { return Ok(()) };
        for alg in ["HS256", "RS256", "ES256", "EdDSA"] {
            let header = format!(r#"{{"alg":"{alg}"}}"#);
            prop_assert!(ask(&server, &token(&header, &claims(), eddsa)).is_err());
        }
    }
}
