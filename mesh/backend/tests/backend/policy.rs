//! Who is believed, and what it may do.

use crate::fixture::{SOON, alone, channel, gated};
use crate::pki::{Pki, ask, replace, router};
use std::path::PathBuf;
use std::time::Duration;
use switchboard_backend::{Kind, Mode, PolicySettings, Reason, Rights, Running, Stage};
use switchboard_testkit::eventually;
use switchboard_transport::authority::Subject;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// What the router says of its client.
const WORD: [(&str, &str); 3] = [
    ("x-switchboard-principal", "spiffe://switchboard/user/ann%20b"),
    ("x-switchboard-roles", "planner,poet"),
    ("x-switchboard-source", "192.0.2.7"),
];

fn any() -> PolicySettings {
    PolicySettings { mode: Mode::Any, ..PolicySettings::default() }
}

async fn secure(pki: &Pki, settings: PolicySettings) -> Running {
    alone(gated().0.tls(pki.server()).policy(settings)).await
}

/// Settings with a token `ci` of the role `caller`.
fn with_token(pki: &Pki) -> PolicySettings {
    let path = write(
        pki,
        "tokens.toml",
        "[[tokens]]\ntoken = \"0123456789abcdef0123456789abcdef\"\nname = \"ci\"\nroles = [\"caller\"]\n",
    );
    PolicySettings { tokens: Some(path), ..any() }
}

const BEARER: (&str, &str) = ("authorization", "Bearer 0123456789abcdef0123456789abcdef");

fn write(pki: &Pki, name: &str, text: &str) -> PathBuf {
    let path = pki.path(name);
    replace(&path, text);
    path
}

#[tokio::test]
async fn the_router_is_believed_when_it_says_who_calls() {
    let pki = Pki::new();
    let running = secure(&pki, any()).await;
    let said = ask(pki.channel(running.addr(), Some(&router())), "who", &WORD).await.unwrap();
    assert!(said.starts_with("spiffe://switchboard/user/ann b [planner+poet] from 192.0.2.7 as "), "{said}");
}

#[tokio::test]
async fn nobody_but_the_router_can_say_who_calls() {
    let pki = Pki::new();
    let running = secure(&pki, any()).await;
    let same_units = Subject { units: vec!["router".to_owned()], ..Subject::new("router") };
    for other in [Subject::service("agent-billing"), Subject::service("router2"), same_units] {
        let said = ask(pki.channel(running.addr(), Some(&other)), "who", &WORD).await.unwrap();
        let name = other.uris.first().unwrap_or(&other.common_name);
        assert!(said.starts_with(&format!("{name} [")), "{said}");
        assert!(said.contains("from 127.0.0.1") && said.ends_with("header -"), "{said}");
    }
    let refused = ask(pki.channel(running.addr(), None), "who", &WORD).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_spoofed_principal_is_removed_where_nobody_is_asked_either() {
    let running = alone(gated().0).await;
    let said = ask(channel(running.addr()), "who", &WORD).await.unwrap();
    assert!(said.starts_with("nobody [] from 127.0.0.1 as "), "{said}");
    assert!(said.ends_with("header -"), "{said}");
}

#[tokio::test]
async fn without_certificate_only_the_health_is_told() {
    let pki = Pki::new();
    let running = secure(&pki, any()).await;
    let nobody = pki.channel(running.addr(), None);
    let refused = ask(nobody.clone(), "hello", &[]).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(refused.message().contains("client certificate"), "{refused:?}");
    HealthClient::new(nobody).check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(running.metrics().refused_by(Stage::Auth), 1);
    assert!(running.metrics().render().contains("switchboard_backend_refused_total{stage=\"auth\"} 1"));
}

#[tokio::test]
async fn a_router_that_says_nothing_speaks_for_itself() {
    let pki = Pki::new();
    let running = secure(&pki, any()).await;
    // Without tokens of its own, a backend leaves `authorization` to its service.
    let headers = [("authorization", "Basic abc")];
    let said = ask(pki.channel(running.addr(), Some(&router())), "who", &headers).await.unwrap();
    assert!(said.starts_with("spiffe://switchboard/svc/router [] from 127.0.0.1"), "{said}");
}

#[tokio::test]
async fn the_routers_word_must_be_readable() {
    let pki = Pki::new();
    let running = secure(&pki, any()).await;
    for bad in ["", "%zz", "%00", "a%0ab"] {
        let headers = [("x-switchboard-principal", bad)];
        let refused = ask(pki.channel(running.addr(), Some(&router())), "who", &headers).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{bad:?}");
    }
}

#[tokio::test]
async fn a_token_proves_a_caller_that_has_no_certificate() {
    let pki = Pki::new();
    let running = secure(&pki, with_token(&pki)).await;
    let nobody = || pki.channel(running.addr(), None);
    let said = ask(nobody(), "who", &[BEARER]).await.unwrap();
    assert!(said.starts_with("ci [caller] "), "{said}");
    for bad in [
        &[("authorization", "Bearer wrong")][..],
        &[("authorization", "Basic abc")],
        &[BEARER, ("authorization", "Bearer wrong")],
        &[BEARER, BEARER],
    ] {
        let refused = ask(nobody(), "who", bad).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{bad:?}");
        assert!(!refused.message().contains("0123456789abcdef"), "{refused:?}");
    }
}

#[tokio::test]
async fn rules_hold_for_the_principal_and_not_for_the_router() {
    let pki = Pki::new();
    let rules = "[[rules]]\nname = \"planners\"\nallow = [\"role:planner\"]\nids = [\"gated-agent\"]\n";
    let settings = PolicySettings { policy: Some(write(&pki, "policy.toml", rules)), ..any() };
    let running = secure(&pki, settings).await;
    let channel = pki.channel(running.addr(), Some(&router()));
    ask(channel.clone(), "hello", &WORD).await.unwrap();
    let other = [WORD[0], ("x-switchboard-roles", "clerk")];
    let refused = ask(channel.clone(), "hello", &other).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(!refused.message().contains("planners"), "the rule's name is not for callers: {refused:?}");
    assert_eq!(ask(channel, "hello", &[]).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(running.metrics().refused_by(Stage::Authorization), 2);
}

#[tokio::test]
async fn a_changed_policy_holds_for_callers_who_were_believed_before() {
    let pki = Pki::new();
    let rules = |role: &str| format!("[[rules]]\nallow = [\"role:{role}\"]\n");
    let path = write(&pki, "policy.toml", &rules("planner"));
    let running = secure(&pki, PolicySettings { policy: Some(path.clone()), ..any() }).await;
    let channel = pki.channel(running.addr(), Some(&router()));
    ask(channel.clone(), "hello", &WORD).await.unwrap();

    replace(&path, "[[rules]]\nallow = nonsense\n");
    running.reload();
    let counted = async || if running.reload_failures() == 1 { Ok(()) } else { Err("not noticed") };
    eventually(SOON, counted).await.unwrap();
    ask(channel.clone(), "hello", &WORD).await.expect("the former policy stays in force");

    replace(&path, &rules("nobody"));
    running.reload();
    let refused = async || match ask(channel.clone(), "hello", &WORD).await {
        Err(status) if status.code() == Code::PermissionDenied => Ok(()),
        other => Err(other),
    };
    eventually(SOON, refused).await.unwrap();
}

#[tokio::test]
async fn rights_of_others_are_those_of_the_policy_as_it_is_now() {
    let pki = Pki::new();
    let guests = "[[rules]]\ndeny = [\"role:guest\"]\nids = [\"echo-agent\"]\n";
    let path = write(&pki, "policy.toml", &format!("{guests}[[rules]]\nallow = [\"ann\"]\n"));
    let rights = Rights::default();
    let check = async |name: &str, roles: &[&str], id: &str| {
        let roles: Vec<_> = roles.iter().map(|role| (*role).to_owned()).collect();
        rights.check(name, &roles, id, Kind::Agent, "/agentplatform.AgentService/ExecuteTask").await
    };
    let early = tokio::time::timeout(Duration::from_millis(1), check("ann", &[], "echo-agent")).await;
    assert!(early.is_err(), "nobody knows the policy yet");

    let settings = PolicySettings { policy: Some(path.clone()), ..with_token(&pki) };
    let running = alone(gated().0.policy(settings).rights(rights.clone())).await;
    assert_eq!(check("ann", &[], "echo-agent").await, Ok(()));
    for id in ["echo-agent", "echo", "echo-agent@v2"] {
        assert_eq!(check("ann", &["guest"], id).await, Err(Reason::Denied), "{id}");
    }
    assert_eq!(check("bob", &[], "echo-agent").await, Err(Reason::NoRuleAllows));
    assert_eq!(check("", &["admin"], "echo-agent").await, Err(Reason::Anonymous));
    assert_eq!(check("bob", &["admin"], "echo-agent").await, Ok(()));

    replace(&path, "[[rules]]\nallow = [\"bob\"]\n");
    running.reload();
    let changed = async || match (check("ann", &[], "echo-agent").await, check("bob", &[], "x-tool").await) {
        (Err(Reason::NoRuleAllows), Ok(())) => Ok(()),
        other => Err(other),
    };
    eventually(SOON, changed).await.unwrap();
    replace(&path, "");
    running.reload();
    let open = async || check("", &[], "echo-agent").await;
    eventually(SOON, open).await.expect("without rules nothing is asked");
}
