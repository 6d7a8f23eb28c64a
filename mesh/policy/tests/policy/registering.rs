//! Who may register which service.

use switchboard_policy::{Mode, Policy};
use switchboard_transport::PeerIdentity;

use crate::*;

fn peer(uri: &str) -> PeerIdentity {
    PeerIdentity { uris: vec![uri.to_owned()], ..PeerIdentity::default() }
}

#[test]
fn a_certificate_registers_the_service_it_was_made_for() {
    let policy = Policy::load(None, Mode::Any).unwrap();
    let peer = peer("spiffe://switchboard/svc/agent-echo");
    let echo = policy.grants(Some(&principal("spiffe://switchboard/svc/agent-echo", &[])), Some(&peer));
    assert!(echo.decide("router", REGISTER_AGENT).allowed);
    assert!(echo.may_register("agent-echo"));
    for other in ["agent-billing", "agent-ech", "agent-echo2", "tool-echo", "", "Agent-Echo"] {
        assert!(!echo.may_register(other), "{other}");
    }
    // The name alone proves no certificate: a token may have it as its subject.
    let token = policy.grants(Some(&principal("spiffe://switchboard/svc/agent-echo", &[])), None);
    assert!(!token.may_register("agent-echo") && !token.decide("router", REGISTER_AGENT).allowed);
}

#[test]
fn roles_register_any_service() {
    let policy = Policy::load(None, Mode::Any).unwrap();
    for (role, expected) in [("backend", true), ("admin", true), ("operator", false), ("caller", false)] {
        let grants = policy.grants(Some(&principal("ci", &[role])), None);
        assert_eq!(grants.may_register("agent-echo"), expected, "{role}");
    }
}

#[test]
fn a_deny_rule_takes_the_right_away() {
    let policy = policy(
        r#"
        [[rules]]
        deny = ["ci"]
        ids = ["billing-*"]
        methods = ["*/Register*"]
        [[rules]]
        deny = ["role:frozen"]
        ids = ["router"]
        [[rules]]
        deny = ["role:agents-only"]
        ids = ["*-tool", "*-worker"]
        "#,
    );
    let may = |name: &str, roles: &[&str], service: &str| {
        policy.grants(Some(&principal(name, roles)), None).may_register(service)
    };
    assert!(may("ci", &["backend"], "agent-echo"));
    assert!(!may("ci", &["backend"], "agent-billing-eu") && !may("ci", &["admin"], "tool-billing-eu"));
    assert!(!may("x", &["backend", "frozen"], "agent-echo"));
    let limited = &["backend", "agents-only"];
    assert!(may("x", limited, "agent-echo"));
    assert!(!may("x", limited, "tool-weather") && !may("x", limited, "worker-weather"));
}
