//! Each algorithm is taken with a key of its kind, and with no other.

use aws_lc_rs::{hmac, signature};
use switchboard_policy::DenialKind;

use crate::issuer::*;

#[test]
fn every_algorithm_is_taken_with_its_own_key() {
    let all = [
        format!(r#"{},"kid":"rsa""#, rsa_jwk()),
        format!(r#"{},"kid":"ec","use":"sig","alg":"ES256""#, ec_jwk()),
        format!(r#"{},"kid":"ed""#, ed_jwk()),
        format!(r#""kty":"oct","k":"{}","kid":"secret""#, base64url(SECRET)),
    ];
    let server = server("keys.json", jwks(&all)).unwrap();
    type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;
    let signers: [(&str, &str, Sign); 8] = [
        ("HS256", "secret", Box::new(hs256(SECRET))),
        ("HS384", "secret", Box::new(hs(hmac::HMAC_SHA384, SECRET))),
        ("HS512", "secret", Box::new(hs(hmac::HMAC_SHA512, SECRET))),
        ("RS256", "rsa", Box::new(rs256)),
        ("RS384", "rsa", Box::new(|message| rs(&signature::RSA_PKCS1_SHA384, message))),
        ("RS512", "rsa", Box::new(|message| rs(&signature::RSA_PKCS1_SHA512, message))),
        ("ES256", "ec", Box::new(es256)),
        ("EdDSA", "ed", Box::new(eddsa)),
    ];
    for (alg, right, sign) in &signers {
        for kid in ["rsa", "ec", "ed", "secret"] {
            let header = format!(r#"{{"alg":"{alg}","typ":"JWT","kid":"{kid}"}}"#);
            let answer = ask(&server, &token(&header, &claims(), sign));
            let expected = if kid == *right { Ok("ann".to_owned()) } else { Err(DenialKind::BadAlgorithm) };
            assert_eq!(answer, expected, "{alg} with {kid}");
        }
        // Without a name, the keys of its kind are tried.
        let header = format!(r#"{{"alg":"{alg}"}}"#);
        assert_eq!(ask(&server, &token(&header, &claims(), sign)), Ok("ann".to_owned()), "{alg}");
    }
    // PS256 is RSA too, but with a padding that nobody asked for.
    let pss =
        token(r#"{"alg":"PS256","kid":"rsa"}"#, &claims(), |message| rs(&signature::RSA_PSS_SHA256, message));
    assert_eq!(ask(&server, &pss), Err(DenialKind::BadAlgorithm));
}

#[test]
fn a_token_without_signature_is_refused() {
    for server in [secret_server(), server("keys.pem", rsa_pem()).unwrap()] {
        for alg in ["none", "None", "NONE", "nOnE"] {
            let header = format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#);
            for signature in [Vec::new(), b"x".to_vec()] {
                let unsigned = token(&header, &claims(), |_| signature.clone());
                assert_eq!(ask(&server, &unsigned), Err(DenialKind::BadAlgorithm));
            }
        }
        for header in [r#"{"typ":"JWT"}"#, r#"{"alg":null}"#, r#"{"alg":""}"#, r#"{"alg":["HS256"]}"#, "{}"] {
            assert!(ask(&server, &token(header, &claims(), |_| Vec::new())).is_err(), "{header}");
        }
        let stripped = token(r#"{"alg":"HS256"}"#, &claims(), |_| Vec::new());
        assert!(ask(&server, &stripped).is_err());
    }
}

#[test]
fn a_public_key_is_no_secret() {
    let pem = rsa_pem();
    let der = aws_lc_rs::signature::KeyPair::public_key(rsa_key()).as_ref().to_vec();
    let of_pem = server("keys.pem", &pem).unwrap();
    let of_jwks = server("keys.json", jwks(&[format!(r#"{},"kid":"a""#, rsa_jwk())])).unwrap();
    for server in [of_pem, of_jwks] {
        for secret in [pem.as_bytes(), pem.trim_end().as_bytes(), &der] {
            for header in [r#"{"alg":"HS256"}"#, r#"{"alg":"HS256","kid":"a"}"#] {
                let forged = token(header, &claims(), hs256(secret));
                assert_eq!(ask(&server, &forged), Err(DenialKind::BadAlgorithm));
            }
        }
        assert_eq!(ask(&server, &token(r#"{"alg":"RS256"}"#, &claims(), rs256)), Ok("ann".to_owned()));
    }
    // The same mistake as a setting: a public key named as a secret.
    let error = server("public.secret", &pem).unwrap_err().to_string();
    assert!(error.contains("no secret"), "{error}");
}

#[test]
fn a_short_secret_is_not_for_a_long_digest() {
    let server = server("jwt.secret", &SECRET[..32]).unwrap();
    assert!(ask(&server, &token(r#"{"alg":"HS256"}"#, &claims(), hs256(&SECRET[..32]))).is_ok());
    let longer = token(r#"{"alg":"HS512"}"#, &claims(), hs(hmac::HMAC_SHA512, &SECRET[..32]));
    assert_eq!(ask(&server, &longer), Err(DenialKind::BadAlgorithm));
}
