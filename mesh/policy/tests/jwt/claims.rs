//! The claims of a token whose signature is right: times, issuer, audience, subject and roles.

use std::time::Duration;

use switchboard_policy::{Authenticator, DenialKind, KeySource, Proof};

use crate::issuer::*;

const HS256: &str = r#"{"alg":"HS256"}"#;

/// What becomes of right claims in which `from` was replaced.
fn with(from: &str, to: &str) -> Result<String, DenialKind> {
    assert!(claims().contains(from), "{from}");
    ask(&secret_server(), &token(HS256, &claims().replace(from, to), hs256(SECRET)))
}

fn good() -> Result<String, DenialKind> {
    Ok("ann".to_owned())
}

#[test]
fn a_token_is_good_from_its_first_to_its_last_second() {
    let server = secret_server();
    let token = token(HS256, &claims_with(&format!(r#","nbf":{NOW}"#)), hs256(SECRET));
    let at = |now| {
        ask_at(&server, &token, now).map(|known| known.valid_until_unix_s).map_err(|denial| denial.kind)
    };
    // Valid for 300 s, and the leeway of 30 s on both sides.
    let end = NOW + 330;
    assert_eq!(at(NOW), Ok(end));
    assert_eq!(at(end - 1), Ok(end));
    assert_eq!(at(end), Err(DenialKind::Expired));
    assert_eq!(at(u64::MAX), Err(DenialKind::Expired));
    assert_eq!(at(NOW - 30), Ok(end));
    assert_eq!(at(NOW - 31), Err(DenialKind::NotYetValid));
    assert_eq!(at(0), Err(DenialKind::NotYetValid));
}

#[test]
fn a_token_from_the_future_is_refused() {
    let iat = format!("\"iat\":{}", NOW - 10);
    assert_eq!(with(&iat, &format!("\"iat\":{}", NOW + 30)), good());
    assert_eq!(with(&iat, &format!("\"iat\":{}", NOW + 31)), Err(DenialKind::NotYetValid));
    assert_eq!(with(&iat, &format!("\"nbf\":{}", NOW + 31)), Err(DenialKind::NotYetValid));
    assert_eq!(with(&iat, "\"x\":1"), good());
}

#[test]
fn an_end_must_be_there_and_be_a_time() {
    let exp = format!("\"exp\":{}", NOW + 300);
    for right in [format!("{}.5", NOW + 300), format!("{}e3", NOW / 1_000 + 1), "253402300799".to_owned()] {
        assert_eq!(with(&exp, &format!("\"exp\":{right}")), good(), "{right}");
    }
    let wrong = [
        format!("\"{}\"", NOW + 300),
        "-1".to_owned(),
        "-1.5".to_owned(),
        "18446744073709551615".to_owned(),
        "18446744073709551616".to_owned(),
        "1e400".to_owned(),
        "1e300".to_owned(),
        "253402300800".to_owned(),
        // Milliseconds, which would be good for 50,000 years.
        format!("{}000", NOW + 300),
        "null".to_owned(),
        "true".to_owned(),
        "[1]".to_owned(),
        "{}".to_owned(),
        "NaN".to_owned(),
    ];
    for wrong in wrong {
        assert_eq!(with(&exp, &format!("\"exp\":{wrong}")), Err(DenialKind::BadClaims), "{wrong}");
    }
    assert_eq!(with(&exp, "\"x\":1"), Err(DenialKind::BadClaims));
    assert_eq!(with(&exp, "\"exp\":0"), Err(DenialKind::Expired));
    assert_eq!(with(&exp, "\"exp\":0.5"), Err(DenialKind::Expired));
}

#[test]
fn a_claim_that_is_there_twice_is_refused() {
    for more in [
        r#","exp":9999999999"#,
        r#","sub":"root""#,
        r#","roles":["admin"]"#,
        r#","aud":"switchboard""#,
        r#","iss":"https://issuer""#,
        // The same claim in another spelling of JSON.
        r#","\u0073ub":"root""#,
    ] {
        let token = token(HS256, &claims_with(more), hs256(SECRET));
        assert_eq!(ask(&secret_server(), &token), Err(DenialKind::BadClaims), "{more}");
    }
}

#[test]
fn the_issuer_is_compared_exactly() {
    let iss = r#""iss":"https://issuer""#;
    for wrong in [r#""iss":"https://issuer/""#, r#""iss":"https://Issuer""#, r#""iss":"""#, r#""x":1"#] {
        assert_eq!(with(iss, wrong), Err(DenialKind::WrongIssuer), "{wrong}");
    }
    for odd in [r#""iss":["https://issuer"]"#, r#""iss":7"#, r#""iss":null"#] {
        assert_eq!(with(iss, odd), Err(DenialKind::BadClaims), "{odd}");
    }
}

#[test]
fn the_audience_must_be_ours() {
    let aud = r#""aud":"switchboard""#;
    for right in [r#""aud":["x","switchboard"]"#, r#""aud":"other""#] {
        assert_eq!(with(aud, right), good(), "{right}");
    }
    for wrong in [
        r#""aud":"switchboard2""#,
        r#""aud":"Switchboard""#,
        r#""aud":"x switchboard""#,
        r#""aud":[]"#,
        r#""x":1"#,
    ] {
        assert_eq!(with(aud, wrong), Err(DenialKind::WrongAudience), "{wrong}");
    }
    for odd in [r#""aud":{"switchboard":1}"#, r#""aud":["switchboard",7]"#, r#""aud":null"#] {
        assert_eq!(with(aud, odd), Err(DenialKind::BadClaims), "{odd}");
    }
}

#[test]
fn the_subject_is_a_bounded_name() {
    let sub = r#""sub":"ann""#;
    let longest = format!(r#""sub":"{}""#, "a".repeat(256));
    assert!(with(sub, &longest).is_ok());
    let too_long = format!(r#""sub":"{}""#, "a".repeat(257));
    for wrong in
        [&too_long, r#""x":1"#, r#""sub":"""#, r#""sub":"a\r\nb""#, r#""sub":"a\u0000""#, r#""sub":7"#]
    {
        assert_eq!(with(sub, wrong), Err(DenialKind::BadClaims), "{wrong}");
    }
}

#[test]
fn roles_are_an_array_or_one_text() {
    let roles = |to: &str| {
        let claims = claims().replace(r#"["caller","dev"]"#, to);
        let known = ask_at(&secret_server(), &token(HS256, &claims, hs256(SECRET)), NOW);
        known.map(|known| known.principal.unwrap()).map(|principal| {
            assert_eq!(principal.proof, Proof::Jwt);
            principal.roles.join("|")
        })
    };
    assert_eq!(roles(r#"["caller","dev"]"#).unwrap(), "caller|dev");
    assert_eq!(roles(r#""caller dev  dev""#).unwrap(), "caller|dev");
    assert_eq!(roles(r#"["two words","a,b"]"#).unwrap(), "two words|a,b");
    assert_eq!(roles("[]").unwrap(), "");
    assert_eq!(roles(r#""""#).unwrap(), "");
    let many = |count: u32| (0..count).map(|at| format!("\"r{at}\"")).collect::<Vec<_>>().join(",");
    assert_eq!(roles(&format!("[{}]", many(64))).unwrap().split('|').count(), 64);
    let long = format!("[\"{}\"]", "r".repeat(129));
    let too_many = format!("[{}]", many(65));
    for wrong in [&*long, &too_many, "7", "[7]", "null", "{}", r#"[["admin"]]"#, r#"["a\nb"]"#, r#"[""]"#] {
        assert_eq!(roles(wrong).unwrap_err().kind, DenialKind::BadClaims, "{wrong}");
    }
}

#[test]
fn roles_may_have_another_claim_and_issuers_may_be_any() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwt.secret");
    std::fs::write(&path, SECRET).unwrap();
    let mut settings = settings(KeySource::File(path));
    let jwt = settings.jwt.as_mut().unwrap();
    (jwt.issuer, jwt.roles_claim, jwt.leeway) = (None, "groups".to_owned(), Duration::ZERO);
    let server = Authenticator::load(&settings, None).unwrap();
    let claims = claims_with(r#","groups":"ops""#).replace("https://issuer", "anyone");
    let known = ask_at(&server, &token(HS256, &claims, hs256(SECRET)), NOW).unwrap();
    assert_eq!(known.principal.unwrap().roles.join(" "), "ops");
    assert_eq!(known.valid_until_unix_s, NOW + 300);
}
