//! A failed call explains itself: code, reason, facts and the next step.

use prost::Message;
use switchboard_client::Client;
use switchboard_proto::rpc;
use tonic::{Code, Status};

use crate::scripted::{Act, Scripted};

const NONE: [(&str, &str); 0] = [];

fn with_info(facts: &[(&str, &str)]) -> Status {
    let facts = facts.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let details = rpc::Status::new(5, "no such agent", "ID_UNKNOWN", facts, None).encode_to_vec();
    Status::with_details(Code::NotFound, "no such agent", details.into())
}

#[tokio::test]
async fn error_info_reaches_the_caller() {
    let facts = [("id", "ehco-agent"), ("next_step", "call echo-agent instead")];
    let server = Scripted::new([Act::Fail(with_info(&facts))]);
    let client = Client::connect(server.start().await).await.unwrap();
    let error = client.execute("ehco-agent", "x", NONE).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert_eq!(error.reason(), Some("ID_UNKNOWN"));
    assert_eq!(error.domain(), Some("switchboard"));
    assert_eq!(error.metadata().unwrap()["id"], "ehco-agent");
    assert_eq!(error.next_step().as_deref(), Some("call echo-agent instead"));
    assert_eq!(error.to_string(), "no such agent");
}

#[tokio::test]
async fn stream_error_after_chunks_keeps_its_details() {
    let server = Scripted::new([Act::Chunks(vec!["a"], Some(Err(with_info(&[]))))]);
    let client = Client::connect(server.start().await).await.unwrap();
    let mut stream = client.stream("echo-agent", "x", NONE).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().content, "a");
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some("ID_UNKNOWN"));
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn status_without_details_still_has_code_and_words() {
    let server = Scripted::new([Act::Fail(Status::new(Code::PermissionDenied, ""))]);
    let client = Client::connect(server.start().await).await.unwrap();
    let error = client.execute("echo-agent", "x", NONE).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    assert_eq!((error.reason(), error.metadata(), error.retry_delay()), (None, None, None));
    assert!(!error.to_string().is_empty());
}

#[tokio::test]
async fn nearest_ids_become_the_next_step() {
    let server = Scripted::new([Act::Fail(with_info(&[("nearest", "echo-agent,etch-agent")]))]);
    let client = Client::connect(server.start().await).await.unwrap();
    let error = client.execute("ehco-agent", "x", NONE).await.unwrap_err();
    assert!(error.next_step().unwrap().starts_with("call echo-agent or etch-agent,"));
}

#[tokio::test]
async fn malformed_details_leave_code_and_words() {
    let status = Status::with_details(Code::Internal, "boom", vec![0xff; 40].into());
    let server = Scripted::new([Act::Fail(status)]);
    let client = Client::connect(server.start().await).await.unwrap();
    let error = client.execute("echo-agent", "x", NONE).await.unwrap_err();
    assert_eq!((error.code(), error.to_string().as_str(), error.reason()), (Code::Internal, "boom", None));
}
