//! Requests as they are sent.

use std::time::Duration;

use switchboard_registry::{Client, Query, Registration, Secret};

use crate::fake::{Answer, Fake, instances};

#[tokio::test]
async fn a_watch_asks_any_server_and_waits_with_the_index_it_was_given() {
    let fake = Fake::start(|_, asked| match asked.index() {
        0 => Answer::With(200, 7, instances(&[1])),
        _ => Answer::Never,
    })
    .await;
    let mut watch = fake.client().watch("agent-echo");
    assert_eq!(watch.loaded().await.index, 7);
    switchboard_testkit::eventually(Duration::from_secs(5), async || match fake.asked().as_slice() {
        [first, second, ..] => {
            assert_eq!(
                (first.path.as_str(), first.query.as_str()),
                ("/v1/health/service/agent-echo", "stale=")
            );
            assert_eq!(second.query, "stale=&index=7&wait=300ms");
            Ok(())
        }
        other => Err(other.len()),
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn the_token_is_in_the_header_of_every_request_and_never_in_a_url() {
    let fake = Fake::start(|_, asked| match asked.path.as_str() {
        "/v1/status/leader" => Answer::With(200, 0, "\"a:1\"".to_owned()),
        "/v1/catalog/services" => Answer::With(200, 1, "null".to_owned()),
        "/v1/agent/service/x" => Answer::With(404, 0, String::new()),
        _ => Answer::With(200, 1, "[]".to_owned()),
    })
    .await;
    let mut config = fake.config();
    config.token = Some(Secret::new("s3cret"));
    config.datacenter = Some("dc 2".to_owned());
    let client = Client::new(config).unwrap();
    client.register(&Registration::new("agent-echo", "127.0.0.1", 1)).await.unwrap();
    client.deregister("x").await.unwrap();
    assert_eq!(client.agent_service("x").await.unwrap(), None);
    assert!(client.services(&Query::default()).await.unwrap().value.is_empty());
    client.health("agent-echo", &Query { index: 1, ..Query::passing() }).await.unwrap();
    assert_eq!(client.leader().await.unwrap().as_deref(), Some("a:1"));
    let asked = fake.asked();
    assert_eq!(asked.len(), 6);
    for asked in &asked {
        assert_eq!(asked.token.as_deref(), Some("s3cret"), "{asked:?}");
        assert!(!asked.path.contains("s3cret") && !asked.query.contains("s3cret"));
    }
    assert_eq!(asked[0].query, "replace-existing-checks=true");
    assert_eq!(asked[4].query, "passing=true&stale=&dc=dc+2&index=1&wait=300ms");
}
