//! Static tokens and certificates, in every mode.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::PathBuf;

use switchboard_policy::{Authenticator, Credentials, DenialKind, Mode, Proof, Settings};
use switchboard_transport::PeerIdentity;

const NOW: u64 = 1_800_000_000;
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn authenticator(mode: Mode, tokens: &str) -> Result<Authenticator, String> {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("tokens.toml");
    std::fs::write(&path, tokens).unwrap();
    let settings = Settings { mode, tokens: Some(path), ..Settings::default() };
    Authenticator::load(&settings, None).map_err(|error| error.to_string())
}

fn one_token(mode: Mode) -> Authenticator {
    let file = format!("[[tokens]]\ntoken = \"{TOKEN}\"\nname = \"ci\"\nroles = [\"caller\"]\n");
    authenticator(mode, &file).unwrap()
}

fn peer() -> PeerIdentity {
    PeerIdentity {
        uris: vec!["spiffe://switchboard/svc/agent-echo".to_owned()],
        units: vec!["operator".to_owned(), "caller".to_owned()],
        not_after: 1_900_000_000,
        ..PeerIdentity::default()
    }
}

/// Name, roles, proof and end; or the kind of the refusal.
fn ask(
    authenticator: &Authenticator,
    peer: Option<&PeerIdentity>,
    header: Option<&str>,
) -> Result<(String, String, Proof, u64), DenialKind> {
    let credentials = Credentials { peer, authorization: header.map(str::as_bytes) };
    let known = authenticator.authenticate(&credentials, NOW).map_err(|denial| denial.kind)?;
    let principal = known.principal.unwrap();
    Ok((principal.name.to_string(), principal.roles.join(" "), principal.proof, known.valid_until_unix_s))
}

#[test]
fn a_token_is_known_whatever_the_case_of_its_scheme() {
    let any = one_token(Mode::Any);
    for scheme in ["Bearer ", "bearer ", "BEARER ", "Bearer   "] {
        let known = ask(&any, None, Some(&format!("{scheme}{TOKEN}")));
        assert_eq!(known, Ok(("ci".into(), "caller".into(), Proof::Token, u64::MAX)));
    }
    for wrong in ["", "Bearer", "Bearer ", "Basic abc", TOKEN, "Bearer\t0123456789abcdef"] {
        assert_eq!(ask(&any, None, Some(wrong)), Err(DenialKind::BadHeader), "{wrong:?}");
    }
    let shorter = &TOKEN[1..];
    assert_eq!(ask(&any, None, Some(&format!("Bearer {shorter}"))), Err(DenialKind::BadToken));
}

#[test]
fn a_certificate_names_its_holder_until_it_ends() {
    let any = one_token(Mode::Any);
    let name = "spiffe://switchboard/svc/agent-echo";
    let known = ask(&any, Some(&peer()), None);
    assert_eq!(known, Ok((name.into(), "operator caller".into(), Proof::Certificate, 1_900_000_001)));
    let ended = PeerIdentity { not_after: i64::try_from(NOW).unwrap() - 1, ..peer() };
    assert_eq!(ask(&any, Some(&ended), None), Err(DenialKind::Expired));
    let nameless = PeerIdentity { uris: Vec::new(), ..peer() };
    assert_eq!(ask(&any, Some(&nameless), None), Err(DenialKind::BadCertificate));
    let odd = PeerIdentity { uris: vec!["a\r\nb".to_owned()], ..peer() };
    assert_eq!(ask(&any, Some(&odd), None), Err(DenialKind::BadCertificate));
}

#[test]
fn a_credential_that_is_there_must_be_good() {
    let any = one_token(Mode::Any);
    assert_eq!(ask(&any, Some(&peer()), Some("Bearer wrong")), Err(DenialKind::BadToken));
    let ended = PeerIdentity { not_after: 1, ..peer() };
    assert_eq!(ask(&any, Some(&ended), Some(&format!("Bearer {TOKEN}"))), Err(DenialKind::Expired));
}

#[test]
fn modes_ask_for_what_they_say() {
    let bearer = format!("Bearer {TOKEN}");
    let bearer = Some(bearer.as_str());
    let none = one_token(Mode::None);
    let open = none.authenticate(&Credentials::default(), NOW).unwrap();
    assert_eq!((open.principal, open.valid_until_unix_s), (None, u64::MAX));
    assert_eq!(ask(&one_token(Mode::Any), None, None), Err(DenialKind::NoCredentials));
    // Who sends a token wants its rights, and no others.
    let both_given = ask(&one_token(Mode::Any), Some(&peer()), bearer);
    assert_eq!(both_given, Ok(("ci".into(), "caller".into(), Proof::Token, 1_900_000_001)));
    let both = one_token(Mode::Both);
    assert_eq!(ask(&both, None, None), Err(DenialKind::NoCredentials));
    assert_eq!(ask(&both, None, bearer), Err(DenialKind::NoCertificate));
    assert_eq!(ask(&both, Some(&peer()), None), Err(DenialKind::NoToken));
    let known = ask(&both, Some(&peer()), bearer);
    assert_eq!(known, Ok(("ci".into(), "caller operator".into(), Proof::Both, 1_900_000_001)));
}

#[test]
fn a_digest_stands_for_its_token() {
    let digest = "3eb1bd439947eb762998e566ccc2e099c791118b2f40579cc4f7da2b5061b7f9";
    let file = format!("[[tokens]]\nsha256 = \"{digest}\"\nname = \"ci\"\n");
    let known = ask(&authenticator(Mode::Any, &file).unwrap(), None, Some(&format!("Bearer {TOKEN}")));
    assert_eq!(known, Ok(("ci".into(), String::new(), Proof::Token, u64::MAX)));
    // The digest itself is no token.
    let stolen = ask(&authenticator(Mode::Any, &file).unwrap(), None, Some(&format!("Bearer {digest}")));
    assert_eq!(stolen, Err(DenialKind::BadToken));
}

#[test]
fn a_wrong_file_is_told_without_its_secrets() {
    let cases = [
        ("[[tokens]]\ntoken = \"hunter2\"\nname = \"ci\"", "fewer than 16 bytes"),
        ("[[tokens]]\nname = \"ci\"", "either token or sha256"),
        ("[[tokens]]\nname = [\"hunter2\"]", "line 2"),
        ("[[tokens]]\ntoken = [\"hunter2\"]\nname = \"ci\"", "line 2"),
        ("[[tokens]]\ntoken = \"hunter2\nname = \"ci\"", "line 2"),
        ("tokens = \"hunter2\"", "line 1"),
        ("[[tokens]]\nsha256 = \"xyz\"\nname = \"ci\"", "64 hexadecimal"),
        ("[[tokens]]\ntoken = \"hunter2 hunter2 hunter2\"\nname = \"ci\"", "visible ASCII"),
        ("[[tokens]]\ntoken = \"hunter2hunter2hunter2\"\nname = \"\"", "name is empty"),
        (
            "[[tokens]]\ntoken = \"hunter2hunter2hunter2\"\nrole = \"x\"\nname = \"ci\"",
            "unknown field `role`",
        ),
    ];
    for (file, expected) in cases {
        let error = authenticator(Mode::Any, file).unwrap_err();
        assert!(error.contains(expected), "{file}: {error}");
        assert!(error.contains("tokens.toml") && !error.contains("hunter2"), "{error}");
    }
    let twice = format!("[[tokens]]\ntoken = \"{TOKEN}\"\nname = \"a\"\n").repeat(2);
    assert!(authenticator(Mode::Any, &twice).unwrap_err().contains("another entry"));
}
