//! The echo agent called directly, as a router calls it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::HashMap;
use std::time::Duration;
use switchboard_backend::{RegistryConfig, Running};
use switchboard_proto::agentplatform::agent_service_client::AgentServiceClient;
use switchboard_proto::agentplatform::{ListAgentsRequest, StatusRequest, TaskChunk, TaskRequest};
use switchboard_registry::{Client, Query, embedded};
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;

struct Echo {
    running: Running,
    client: AgentServiceClient<Channel>,
    registry: embedded::Server,
}

async fn start() -> Echo {
    let registry = embedded::Server::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let config = RegistryConfig::at(&registry.addr().to_string()).unwrap();
    let running = echo_agent::backend()
        .listen(([127, 0, 0, 1], 0).into())
        .registry(config)
        .drain(Duration::ZERO, Duration::from_secs(10))
        .start()
        .await
        .unwrap();
    let client =
        AgentServiceClient::new(switchboard_transport::channel(&running.addr().to_string()).unwrap());
    Echo { running, client, registry }
}

fn task(input: &str) -> TaskRequest {
    TaskRequest {
        task_id: "t-1".to_owned(),
        agent_id: "echo-agent".to_owned(),
        input: input.to_owned(),
        parameters: HashMap::from([("k".to_owned(), "v".to_owned())]),
        session_id: "s-1".to_owned(),
        ..TaskRequest::default()
    }
}

async fn chunks(echo: &mut Echo, input: &str) -> Vec<TaskChunk> {
    let mut stream = echo.client.stream_task(task(input)).await.unwrap().into_inner();
    let mut chunks = Vec::new();
    while let Some(chunk) = stream.message().await.unwrap() {
        chunks.push(chunk);
    }
    chunks
}

#[tokio::test]
async fn a_task_is_answered_with_its_own_input_parameters_and_ids() {
    let mut echo = start().await;
    let answer = echo.client.execute_task(task("Hello, World!")).await.unwrap().into_inner();
    assert_eq!(answer.output, "Echo: Hello, World!");
    assert!(answer.success && answer.error.is_empty());
    assert_eq!((answer.task_id.as_str(), answer.session_id.as_str()), ("t-1", "s-1"));
    assert_eq!(answer.metadata, HashMap::from([("k".to_owned(), "v".to_owned())]));
}

#[tokio::test]
async fn a_stream_has_one_word_per_chunk_and_only_the_last_is_final() {
    let mut echo = start().await;
    let cases: [(&str, &[&str]); 5] = [
        ("one", &["one"]),
        ("one two three", &["one", "two", "three"]),
        ("  größer\tals\n ein Wort  ", &["größer", "als", "ein", "Wort"]),
        ("", &[""]),
        (" \n ", &[""]),
    ];
    for (input, words) in cases {
        let chunks = chunks(&mut echo, input).await;
        let contents: Vec<_> = chunks.iter().map(|chunk| chunk.content.as_str()).collect();
        assert_eq!(contents, words, "{input:?}");
        let finals: Vec<_> = chunks.iter().map(|chunk| chunk.is_final).collect();
        let (last, others) = finals.split_last().unwrap();
        assert!(*last && !others.contains(&true), "{finals:?}");
        // Field 4 is `error` to clients of the older contract.
        assert!(chunks.iter().all(|chunk| chunk.session_id.is_empty() && chunk.task_id == "t-1"));
    }
}

#[tokio::test]
async fn the_status_counts_running_tasks() {
    let mut echo = start().await;
    let idle = echo.client.get_status(StatusRequest::default()).await.unwrap().into_inner();
    assert_eq!((idle.agent_id.as_str(), idle.status.as_str()), ("echo-agent", "healthy"));
    assert_eq!(idle.capabilities, ["echo", "text-processing"]);
    assert_eq!(idle.active_tasks, 0);
    assert!((0..60).contains(&idle.uptime_seconds));

    // More than one window of chunks, so that the stream waits for its reader.
    let mut long = echo.client.stream_task(task(&"word ".repeat(500_000))).await.unwrap().into_inner();
    long.message().await.unwrap().expect("a first chunk");
    let status = echo.client.get_status(StatusRequest::default()).await.unwrap().into_inner();
    assert_eq!(status.active_tasks, 1);
    drop(long);
    let ended = async || {
        let status = echo.client.clone().get_status(StatusRequest::default()).await.unwrap().into_inner();
        if status.active_tasks == 0 { Ok(()) } else { Err(status.active_tasks) }
    };
    switchboard_testkit::eventually(Duration::from_secs(10), ended).await.unwrap();
}

#[tokio::test]
async fn compressed_and_large_messages_are_taken() {
    let mut echo = start().await;
    let input = "x".repeat(8 << 20);
    echo.client = echo
        .client
        .send_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(switchboard_backend::MAX_MESSAGE_BYTES);
    let answer = echo.client.execute_task(task(&input)).await.unwrap().into_inner();
    assert_eq!(answer.output.len(), "Echo: ".len() + input.len());
}

#[tokio::test]
async fn listing_is_left_to_the_router() {
    let mut echo = start().await;
    let refused = echo.client.list_agents(ListAgentsRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    assert!(refused.message().contains("router"), "{refused}");
}

#[tokio::test]
async fn the_registry_has_the_tags_of_the_platform() {
    let echo = start().await;
    echo.running.registered().await;
    let config = RegistryConfig::at(&echo.registry.addr().to_string()).unwrap();
    let found = Client::new(config).unwrap().health("agent-echo", &Query::passing()).await.unwrap().value;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].tags[..3], ["agent", "echo", "text-processing"]);
    assert!(echo.running.shutdown().await);
}
