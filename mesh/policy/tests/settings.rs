//! Settings of a backend: what the variables say, and which contradict one another.

use std::time::Duration;

use switchboard_policy::{KeySource, Mode, Settings};

fn read(vars: &[(&str, &str)]) -> Result<Settings, String> {
    let get = |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Settings::from_vars(get).map_err(|error| error.to_string())
}

/// What is wrong with a set of variables; `certificates` as [`Settings::check`] takes it.
fn problem(certificates: bool, vars: &[(&str, &str)]) -> Option<String> {
    let checked =
        read(vars).and_then(|settings| settings.check(certificates).map_err(|error| error.to_string()));
    checked.err()
}

#[test]
fn nothing_set_asks_nobody() {
    assert_eq!(read(&[]).unwrap(), Settings::default());
    assert_eq!(read(&[("SWITCHBOARD_AUTH", ""), ("SWITCHBOARD_POLICY", " ")]).unwrap(), Settings::default());
    assert_eq!(problem(false, &[]), None);
}

#[test]
fn every_variable_is_read() {
    let settings = read(&[
        ("SWITCHBOARD_AUTH", "both"),
        ("SWITCHBOARD_AUTH_TOKENS", "/etc/tokens.toml"),
        ("SWITCHBOARD_AUTH_JWT_KEYS", "https://issuer.example/keys"),
        ("SWITCHBOARD_AUTH_JWT_ISSUER", "https://issuer.example"),
        ("SWITCHBOARD_AUTH_JWT_AUDIENCE", "a, b"),
        ("SWITCHBOARD_AUTH_JWT_LEEWAY", "2m"),
        ("SWITCHBOARD_AUTH_JWT_ROLES_CLAIM", "groups"),
        ("SWITCHBOARD_POLICY", "/etc/policy.toml"),
    ])
    .unwrap();
    settings.check(true).unwrap();
    assert_eq!((settings.mode, settings.jwks_url()), (Mode::Both, Some("https://issuer.example/keys")));
    let jwt = settings.jwt.unwrap();
    assert_eq!(
        (jwt.issuer.as_deref(), jwt.audience.join("|")),
        (Some("https://issuer.example"), "a|b".into())
    );
    assert_eq!((jwt.leeway, &*jwt.roles_claim), (Duration::from_secs(120), "groups"));
    assert_eq!(settings.policy.unwrap().to_str(), Some("/etc/policy.toml"));
    assert_eq!(settings.tokens.unwrap().to_str(), Some("/etc/tokens.toml"));
    assert_eq!(KeySource::parse("keys.pem"), KeySource::File("keys.pem".into()));
}

#[test]
fn a_wrong_value_names_its_setting() {
    let keys = ("SWITCHBOARD_AUTH_JWT_KEYS", "k.pem");
    let cases = [
        (vec![("SWITCHBOARD_AUTH", "yes")], "auth: \"yes\" is neither none, any nor both"),
        (vec![keys, ("SWITCHBOARD_AUTH_JWT_LEEWAY", "30")], "auth_jwt_leeway: \"30\" is no duration"),
        (vec![keys, ("SWITCHBOARD_AUTH_JWT_LEEWAY", "99999999999s")], "auth_jwt_leeway: "),
        (vec![("SWITCHBOARD_AUTH_JWT_AUDIENCE", "a")], "auth_jwt_audience: is set, but auth_jwt_keys is not"),
        (vec![("SWITCHBOARD_AUTH_JWT_ISSUER", "a")], "auth_jwt_issuer: "),
        (vec![("SWITCHBOARD_AUTH_JWT_LEEWAY", "1s")], "auth_jwt_leeway: "),
        (vec![("SWITCHBOARD_AUTH_JWT_ROLES_CLAIM", "a")], "auth_jwt_roles_claim: "),
    ];
    for (vars, expected) in cases {
        let error = read(&vars).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn contradictions_are_told() {
    let (any, both) = (("SWITCHBOARD_AUTH", "any"), ("SWITCHBOARD_AUTH", "both"));
    let tokens = ("SWITCHBOARD_AUTH_TOKENS", "t.toml");
    let keys = ("SWITCHBOARD_AUTH_JWT_KEYS", "k.pem");
    let audience = ("SWITCHBOARD_AUTH_JWT_AUDIENCE", "switchboard");
    let wrong = [
        (false, vec![tokens], "auth_tokens: is set, but auth is none"),
        (false, vec![keys, audience], "auth_jwt_keys: is set, but auth is none"),
        (false, vec![any], "auth: is any, but nobody could prove anything"),
        (true, vec![both], "auth: is both, but no token could be right"),
        (false, vec![both, tokens], "auth: is both, but no certificate is asked for"),
        (false, vec![any, keys], "auth_jwt_audience: must be set"),
        (false, vec![any, keys, ("SWITCHBOARD_AUTH_JWT_AUDIENCE", " , ")], "auth_jwt_audience: must be set"),
        (false, vec![any, keys, audience, ("SWITCHBOARD_AUTH_JWT_LEEWAY", "11m")], "auth_jwt_leeway: "),
        (
            false,
            vec![any, keys, audience, ("SWITCHBOARD_AUTH_JWT_ROLES_CLAIM", "sub")],
            "auth_jwt_roles_claim: ",
        ),
        (
            false,
            vec![any, ("SWITCHBOARD_AUTH_JWT_KEYS", "http://issuer/keys"), audience],
            "auth_jwt_keys: must be https",
        ),
    ];
    for (certificates, vars, expected) in wrong {
        let problem = problem(certificates, &vars).unwrap_or_default();
        assert!(problem.starts_with(expected), "{vars:?}: {problem:?}");
    }
    let right = [
        (true, vec![any]),
        (true, vec![]),
        (false, vec![any, tokens]),
        (false, vec![any, keys, audience]),
        (true, vec![both, tokens]),
        (false, vec![("SWITCHBOARD_POLICY", "p.toml")]),
    ];
    for (certificates, vars) in right {
        assert_eq!(problem(certificates, &vars), None, "{vars:?}");
    }
}
