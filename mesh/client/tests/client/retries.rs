//! What is tried again, seen from the server: how many calls arrive, and what they carry.

use std::num::NonZeroU32;
use std::time::Duration;

use switchboard_client::{Client, Config, Error, RetryPolicy};
use tonic::{Code, Status};

use crate::scripted::{Act, Scripted};

const NONE: [(&str, &str); 0] = [];

/// Attempts as by default, but without the time between them.
fn quick() -> Config {
    let retry = RetryPolicy { base: Duration::from_millis(1), ..RetryPolicy::default() };
    Config { retry, ..Config::default() }
}

fn unavailable() -> Act {
    Act::Fail(Status::unavailable("draining"))
}

#[tokio::test]
async fn idempotent_call_survives_two_failures() {
    let server = Scripted::new([unavailable(), unavailable()]);
    let client = Client::connect_with(server.start().await, quick()).await.unwrap();
    assert_eq!(client.agent_status("echo-agent").await.unwrap().status, "healthy");
    let attempts: Vec<_> = server
        .seen()
        .iter()
        .map(|headers| headers.get("grpc-previous-rpc-attempts").map(|n| n.to_str().unwrap().to_owned()))
        .collect();
    assert_eq!(attempts, [None, Some("1".to_owned()), Some("2".to_owned())]);
}

#[tokio::test]
async fn third_failure_is_final() {
    let server = Scripted::new([unavailable(), unavailable(), unavailable()]);
    let client = Client::connect_with(server.start().await, quick()).await.unwrap();
    assert_eq!(client.list_tools("").await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn task_that_may_have_run_is_never_sent_twice() {
    let server = Scripted::new([unavailable(), unavailable(), unavailable(), unavailable()]);
    let client = Client::connect_with(server.start().await, quick()).await.unwrap();
    client.execute("echo-agent", "x", NONE).await.unwrap_err();
    client.execute_tool("weather-tool", "get_weather", NONE).await.unwrap_err();
    client.process_task("itinerary-worker", Default::default()).await.unwrap_err();
    client.stream("echo-agent", "x", NONE).await.unwrap_err();
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn task_waits_for_a_server_that_is_not_up_yet() {
    // The port is found, closed, and opened again by the server after the first refused attempt.
    let address = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let retry = RetryPolicy {
        max_attempts: NonZeroU32::new(1000).unwrap(),
        base: Duration::from_millis(2),
        cap: Duration::from_millis(20),
    };
    let client =
        Client::connect_lazy_with(address.to_string(), Config { retry, ..Config::default() }).unwrap();
    let call = tokio::spawn(async move { client.execute("echo-agent", "late", NONE).await });
    tokio::task::yield_now().await;
    let server = Scripted::default();
    server.start_on(address).await;
    assert_eq!(call.await.unwrap().unwrap().output, "Echo: late");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn refused_connection_is_told_as_such() {
    let address = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let client = Client::connect_lazy_with(address.to_string(), quick()).unwrap();
    let error = client.execute("echo-agent", "x", NONE).await.unwrap_err();
    assert!(matches!(&error, Error::Connect { endpoint, .. } if *endpoint == format!("http://{address}")));
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(error.next_step().unwrap().contains("switchboard dev"));
    assert!(matches!(Client::connect(address.to_string()).await, Err(Error::Connect { .. })));
}

#[tokio::test]
async fn negative_pushback_forbids_another_attempt() {
    let mut status = Status::unavailable("go away");
    status.metadata_mut().insert("grpc-retry-pushback-ms", "-1".parse().unwrap());
    let server = Scripted::new([Act::Fail(status)]);
    let client = Client::connect_with(server.start().await, quick()).await.unwrap();
    client.list_agents("").await.unwrap_err();
    assert_eq!(server.seen().len(), 1);
}
