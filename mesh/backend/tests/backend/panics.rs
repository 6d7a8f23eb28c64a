//! A panic ends its call, and nothing else.

use crate::fixture::{alone, channel, gated};
use crate::pki::ask;
use switchboard_proto::agentplatform::TaskRequest;
use switchboard_proto::agentplatform::agent_service_client::AgentServiceClient;
use tonic::Code;

#[tokio::test]
async fn a_panic_in_a_handler_is_internal_and_the_connection_lives() {
    let (backend, gate) = gated();
    let running = alone(backend).await;
    let channel = channel(running.addr());
    let stream = AgentServiceClient::new(channel.clone()).stream_task(TaskRequest::default()).await;
    let mut beside = stream.unwrap().into_inner();
    beside.message().await.unwrap().expect("the first chunk");

    let error = ask(channel.clone(), "panic", &[("x-request-id", "r-1")]).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::Internal, "internal error"));
    assert_eq!(error.metadata().get("x-request-id").unwrap(), "r-1");

    assert_eq!(ask(channel, "hello", &[]).await.unwrap(), "hello");
    gate.send_replace(true);
    assert!(beside.message().await.unwrap().expect("the last chunk").is_final);
    assert_eq!(running.metrics().panics(), 1);
}

#[tokio::test]
async fn a_panic_in_the_middle_of_a_stream_is_internal_too() {
    let running = alone(gated().0).await;
    let channel = channel(running.addr());
    let request = TaskRequest { input: "panic".to_owned(), ..TaskRequest::default() };
    let mut chunks =
        AgentServiceClient::new(channel.clone()).stream_task(request).await.unwrap().into_inner();
    let error = chunks.message().await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::Internal, "internal error"));
    assert_eq!(ask(channel, "hello", &[]).await.unwrap(), "hello");
    let path = "/agentplatform.AgentService/StreamTask";
    assert_eq!((running.metrics().panics(), running.metrics().ended_with(path, Code::Internal)), (1, 1));
}
