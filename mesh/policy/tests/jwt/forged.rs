//! Tokens that were not made by the issuer, or not for here, or not in one piece.

use switchboard_policy::{Credentials, DenialKind, KeySource};

use crate::issuer::*;

const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

#[test]
fn a_signature_by_another_key_is_refused() {
    let server = secret_server();
    assert_eq!(ask(&server, &token(HS256, &claims(), hs256(SECRET))), Ok("ann".to_owned()));
    let other = token(HS256, &claims(), hs256(b"another secret of another issuer"));
    assert_eq!(ask(&server, &other), Err(DenialKind::BadSignature));
}

#[test]
fn a_changed_claim_or_header_breaks_the_signature() {
    let server = secret_server();
    let good = token(HS256, &claims(), hs256(SECRET));
    let signature = good.rsplit_once('.').unwrap().1;
    let admin = claims().replace("caller", "admin");
    let changed = token(HS256, &admin, |_| Vec::new());
    assert_eq!(ask(&server, &format!("{changed}{signature}")), Err(DenialKind::BadSignature));
    let other_header = token(r#"{"alg":"HS256","typ":"jwt"}"#, &claims(), |_| Vec::new());
    assert_eq!(ask(&server, &format!("{other_header}{signature}")), Err(DenialKind::BadSignature));
    // Every single character counts, the last one too: base64url has one text for every signature.
    for at in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        assert!(ask(&server, &String::from_utf8(bytes).unwrap()).is_err(), "{at}");
    }
}

#[test]
fn a_key_that_the_token_brings_along_is_not_used() {
    let server = server("keys.pem", rsa_pem()).unwrap();
    for extra in [
        format!(r#""jwk":{{{}}}"#, ec_jwk()),
        r#""jku":"https://evil.example/keys""#.to_owned(),
        r#""x5u":"https://evil.example/cert""#.to_owned(),
    ] {
        let header = format!(r#"{{"alg":"ES256",{extra}}}"#);
        assert_eq!(ask(&server, &token(&header, &claims(), es256)), Err(DenialKind::BadAlgorithm));
    }
    let extended = r#"{"alg":"RS256","crit":["exp"],"exp":1}"#;
    assert_eq!(ask(&server, &token(extended, &claims(), rs256)), Err(DenialKind::BadToken));
}

#[test]
fn a_token_of_another_purpose_is_refused() {
    let server = secret_server();
    for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt", "JOSE"] {
        let header = format!(r#"{{"alg":"HS256","typ":"{typ}"}}"#);
        assert!(ask(&server, &token(&header, &claims(), hs256(SECRET))).is_ok(), "{typ}");
    }
    for typ in ["logout+jwt", "dpop+jwt", "secevent+jwt", ""] {
        let header = format!(r#"{{"alg":"HS256","typ":"{typ}"}}"#);
        assert_eq!(
            ask(&server, &token(&header, &claims(), hs256(SECRET))),
            Err(DenialKind::BadToken),
            "{typ}"
        );
    }
}

#[test]
fn a_megabyte_is_refused_before_it_is_looked_at() {
    let server = secret_server();
    let long = claims_with(&format!(r#","x":"{}""#, "a".repeat(1 << 20)));
    assert_eq!(ask(&server, &token(HS256, &long, hs256(SECRET))), Err(DenialKind::TooLong));
    assert_eq!(ask(&server, &"A".repeat(1 << 20)), Err(DenialKind::TooLong));
    assert_eq!(ask(&server, &"A.".repeat(1 << 19)), Err(DenialKind::TooLong));
    let most = claims_with(&format!(r#","x":"{}""#, "a".repeat(5_000)));
    assert!(ask(&server, &token(HS256, &most, hs256(SECRET))).is_ok());
}

#[test]
fn garbage_is_refused() {
    let server = secret_server();
    let good = token(HS256, &claims(), hs256(SECRET));
    let parts: Vec<_> = good.split('.').collect();
    let cases = [
        "x".to_owned(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        "....".to_owned(),
        format!("{}.{}", parts[0], parts[1]),
        format!("{good}.{}", parts[2]),
        format!("{good}="),
        format!("{good} "),
        format!(" .{good}"),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}..{}", parts[0], parts[2]),
        format!(".{}.{}", parts[1], parts[2]),
        format!("{}\0", good),
    ];
    for case in cases {
        // Spaces around a token are the header's, not the token's.
        let expected = case.trim() == good;
        assert_eq!(ask(&server, &case).is_ok(), expected, "{case:?}");
    }
    for json in ["", "[]", "null", "7", "\"x\"", "{", "{}x", "{\"alg\":\"HS256\"} {}"] {
        assert!(ask(&server, &token(json, &claims(), hs256(SECRET))).is_err(), "{json:?}");
    }
    let twice = r#"{"alg":"HS256","alg":"none"}"#;
    assert!(ask(&server, &token(twice, &claims(), hs256(SECRET))).is_err());
    let bytes = Credentials { peer: None, authorization: Some(b"Bearer \xff\xfe.\x80.\x80") };
    assert_eq!(server.authenticate(&bytes, NOW).unwrap_err().kind, DenialKind::BadToken);
}

#[test]
fn an_unknown_key_is_told_apart_so_that_keys_can_be_read_again() {
    let server = server("keys.json", jwks(&[format!(r#"{},"kid":"old""#, rsa_jwk())])).unwrap();
    let of = |kid: &str| token(&format!(r#"{{"alg":"RS256","kid":"{kid}"}}"#), &claims(), rs256);
    assert_eq!(ask(&server, &of("old")), Ok("ann".to_owned()));
    assert_eq!(ask(&server, &of("new")), Err(DenialKind::UnknownKey));
    assert_eq!(ask(&server, &of("OLD")), Err(DenialKind::UnknownKey));
    let odd = ask_at(&server, &of("a\\u000d\\nb<\\u202e"), NOW).unwrap_err();
    assert_eq!(odd.kind, DenialKind::UnknownKey);
    assert!(odd.to_string().chars().all(|c| !c.is_control() && c != '\u{202e}'), "{odd}");
    // Before the keys of a URL have come, none is known.
    let url = settings(KeySource::Url("https://issuer/keys".to_owned()));
    let early = switchboard_policy::Authenticator::load(&url, None).unwrap();
    assert_eq!(ask(&early, &of("old")), Err(DenialKind::UnknownKey));
    let body = jwks(&[format!(r#"{},"kid":"new""#, rsa_jwk())]);
    let later = switchboard_policy::Authenticator::load(&url, Some(&body)).unwrap();
    assert_eq!(ask(&later, &of("new")), Ok("ann".to_owned()));
}

#[test]
fn refusals_teach_and_hold_no_secret() {
    let server = secret_server();
    let good = token(HS256, &claims(), hs256(SECRET));
    let signature = good.rsplit_once('.').unwrap().1;
    let late = ask_at(&server, &good, NOW + 335).unwrap_err();
    assert_eq!(late.to_string(), "the token expired 35 s ago: get a new one");
    let far = token(HS256, &claims().replace("\"switchboard\"", "\"billing\""), hs256(SECRET));
    let far = ask_at(&server, &far, NOW).unwrap_err();
    assert_eq!(far.to_string(), "the token is for \"billing\"; tokens for \"switchboard\" are taken here");
    let forged = ask_at(&server, &good.replace(&signature[..4], "AAAA"), NOW).unwrap_err().to_string();
    assert!(!forged.contains(signature) && !forged.contains("ann"), "{forged}");
    let shown = format!("{server:?}");
    assert!(
        !shown.contains(std::str::from_utf8(SECRET).unwrap()) && !shown.contains("48, 49, 50"),
        "{shown}"
    );
}
