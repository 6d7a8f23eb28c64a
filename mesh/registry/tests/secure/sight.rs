//! What a token may not see is not "there is none", and what it may not do says which rule is missing.

use switchboard_registry::{Client, Error, Query, Stale};
use switchboard_testkit::{Consul, eventually};

use crate::{READ_ALL, SOON, client, client_who, config, locked, register, unchecked};

#[tokio::test]
async fn without_a_token_the_catalogue_is_hidden_and_not_empty() {
    let locked = locked("").await;
    register(&locked, "agent-echo", 1..3).await;
    let nobody = Client::new(config(&locked)).unwrap();
    for service in ["agent-echo", "agent-unknown"] {
        let error = nobody.health(service, &Query::default()).await.unwrap_err();
        assert!(matches!(error, Error::Hidden { .. }), "{error:?}");
    }
    let error = nobody.services(&Query::default()).await.unwrap_err().to_string();
    for word in ["ACLs", "no token", "service_prefix", "node_prefix", "consul/README.md"] {
        assert!(error.contains(word), "{word}: {error}");
    }
    // One who may read is told the truth, also of what does not exist.
    let reader = client_who(&locked, "reader", READ_ALL).await;
    assert_eq!(reader.health("agent-unknown", &Query::default()).await.unwrap().value, []);
}

#[tokio::test]
async fn half_of_the_rights_hide_the_instances() {
    let locked = locked("").await;
    register(&locked, "agent-echo", 1..2).await;
    for (name, rules) in [
        ("no-nodes", r#"service_prefix "" { policy = "read" }"#),
        ("no-services", r#"node_prefix "" { policy = "read" }"#),
        ("own", r#"service "router" { policy = "write" }"#),
    ] {
        let half = client_who(&locked, name, rules).await;
        let error = half.health("agent-echo", &Query::default()).await.unwrap_err();
        assert!(matches!(error, Error::Hidden { .. }), "{name}: {error:?}");
    }
}

#[tokio::test]
async fn without_acls_an_empty_answer_is_believed() {
    switchboard_transport::install_crypto();
    let consul = Consul::start().await.unwrap();
    let client =
        Client::new(switchboard_registry::Config::at(&consul.http_addr().to_string()).unwrap()).unwrap();
    assert_eq!(client.health("agent-echo", &Query::default()).await.unwrap().value, []);
}

/// How many instances readers are shown, and why that may be out of date.
type State = (usize, Option<Stale>);

#[tokio::test]
async fn rights_that_are_lost_at_run_time_lose_no_instance() {
    let locked = locked("").await;
    register(&locked, "agent-echo", 1..4).await;
    let policy = locked.policy("router", READ_ALL).await.unwrap();
    let token = locked.token_of(&policy).await.unwrap().secret;
    let watch = client(&locked, &token).watch("agent-echo");
    let state = || {
        let latest = watch.latest();
        (latest.instances.len(), latest.stale.clone())
    };
    let until = async |wanted: fn(&State) -> bool| {
        let look = async || if wanted(&state()) { Ok(()) } else { Err(state()) };
        eventually(SOON, look).await.unwrap();
    };
    until(|state| *state == (3, None)).await;
    locked.set_rules(&policy, "router", r#"service "router" { policy = "write" }"#).await.unwrap();
    // Consul does not wake readers for this; a change of the service does, and so does the next look.
    register(&locked, "agent-echo", 4..5).await;
    until(|(_, stale)| matches!(stale, Some(Stale::Hidden(error)) if error.contains("service_prefix"))).await;
    assert_eq!(state().0, 3, "what was known stays");
    locked.set_rules(&policy, "router", READ_ALL).await.unwrap();
    until(|state| *state == (4, None)).await;
}

#[tokio::test]
async fn a_refused_registration_says_which_rule_is_missing() {
    let locked = locked("").await;
    let echo = client_who(&locked, "echo", r#"service "agent-echo" { policy = "write" }"#).await;
    echo.register(&unchecked("agent-echo", 1)).await.unwrap();
    // The name of another.
    let error = echo.register(&unchecked("agent-admin", 1)).await.unwrap_err();
    assert!(matches!(error, Error::Forbidden { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(r#"service "agent-admin" { policy = "write" }"#), "{text}");
    let nobody = Client::new(config(&locked)).unwrap();
    let text = nobody.register(&unchecked("agent-echo", 1)).await.unwrap_err().to_string();
    assert!(text.contains("CONSUL_HTTP_TOKEN_FILE") && text.contains("agent-echo"), "{text}");
    let stranger = client(&locked, "22222222-2222-2222-2222-222222222222");
    let text = stranger.register(&unchecked("agent-echo", 1)).await.unwrap_err().to_string();
    assert!(text.contains("does not know the token") && !text.contains("2222"), "{text}");
    // An id that another service took cannot be taken over with a token for the new name.
    register(&locked, "agent-admin", 9..10).await;
    let mut claim = unchecked("agent-echo", 9);
    claim.id = unchecked("agent-admin", 9).id;
    let error = echo.register(&claim).await.unwrap_err();
    assert!(matches!(error, Error::Forbidden { .. }), "{error:?}");
}
