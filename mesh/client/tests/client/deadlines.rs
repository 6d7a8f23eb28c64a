//! A deadline goes to the server, and holds when the server does not keep it.

use std::time::Duration;

use switchboard_client::{Client, Error};
use tonic::{Code, Status};

use crate::scripted::{Act, Scripted};

const NONE: [(&str, &str); 0] = [];

#[tokio::test]
async fn deadline_is_sent_as_grpc_timeout() {
    let server = Scripted::default();
    let client = Client::connect(server.start().await).await.unwrap();
    client.execute("echo-agent", "x", NONE).await.unwrap();
    client.clone().with_deadline(None).execute("echo-agent", "x", NONE).await.unwrap();
    let endless = Some(Duration::MAX);
    client.clone().with_deadline(endless).execute("echo-agent", "x", NONE).await.unwrap();
    let seen = server.seen();
    let timeout = seen[0].get("grpc-timeout").unwrap().to_str().unwrap();
    let micros: u64 = timeout.strip_suffix('u').map_or_else(
        || timeout.strip_suffix('m').unwrap().parse::<u64>().unwrap() * 1000,
        |micros| micros.parse().unwrap(),
    );
    assert!((290_000_000..=300_000_000).contains(&micros), "default of 300 s, sent {timeout}");
    assert!(seen[1].get("grpc-timeout").is_none());
    assert!(seen[2].get("grpc-timeout").is_some(), "an endless deadline is shortened, not dropped");
}

#[tokio::test]
async fn call_that_hangs_ends_at_its_deadline() {
    let client = Client::connect(Scripted::new([Act::Hang]).start().await).await.unwrap();
    let after = Duration::from_millis(50);
    let error = client.with_deadline(Some(after)).execute("echo-agent", "x", NONE).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert!(matches!(error, Error::Deadline { after: told } if told == after) || error.status().is_some());
    assert!(error.next_step().is_some());
}

#[tokio::test]
async fn stream_that_hangs_ends_at_its_deadline() {
    let server = Scripted::new([Act::Chunks(vec!["a"], None)]);
    let client = Client::connect(server.start().await).await.unwrap();
    let client = client.with_deadline(Some(Duration::from_millis(200)));
    let mut stream = client.stream("echo-agent", "x", NONE).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().content, "a");
    assert_eq!(stream.next().await.unwrap().unwrap_err().code(), Code::DeadlineExceeded);
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn failure_is_told_rather_than_waiting_past_the_deadline() {
    let mut status = Status::unavailable("come back in a while");
    status.metadata_mut().insert("grpc-retry-pushback-ms", "20000".parse().unwrap());
    let server = Scripted::new([Act::Fail(status)]);
    let client = Client::connect(server.start().await).await.unwrap();
    let error = client.with_deadline(Some(Duration::from_secs(10))).list_agents("").await.unwrap_err();
    assert_eq!(error.message(), "come back in a while");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn deadline_that_the_server_enforced_is_a_deadline() {
    let server = Scripted::new([Act::Fail(Status::cancelled("Timeout expired"))]);
    let client = Client::connect(server.start().await).await.unwrap();
    let error = client.execute("echo-agent", "x", NONE).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
}
