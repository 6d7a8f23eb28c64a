//! The order of the end: out of the registry, then out of reach, then idle, then gone.

use crate::fixture::{Mesh, SERVICE, SOON, call, channel, gated};
use std::time::Duration;
use switchboard_proto::agentplatform::agent_service_client::AgentServiceClient;
use switchboard_proto::agentplatform::{TaskChunk, TaskRequest};
use switchboard_testkit::eventually;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::Streaming;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Long enough that the checks made within it pass on a loaded machine.
const WAIT: Duration = Duration::from_secs(3);

/// Opens a stream and takes its first chunk, so that it is certainly running.
async fn running_stream(addr: std::net::SocketAddr) -> Streaming<TaskChunk> {
    let mut client = AgentServiceClient::new(channel(addr));
    let mut chunks = client.stream_task(TaskRequest::default()).await.unwrap().into_inner();
    assert!(!chunks.message().await.unwrap().expect("the first chunk").is_final);
    chunks
}

#[tokio::test]
async fn the_entry_goes_first_then_the_listener_and_a_running_stream_finishes() {
    let mesh = Mesh::start().await;
    let (backend, gate) = gated();
    let running = mesh.run(backend.drain(WAIT, SOON)).await;
    let addr = running.addr();
    let mut chunks = running_stream(addr).await;

    let shutdown = tokio::spawn(running.shutdown());
    let gone = async || {
        let found = mesh.instances().await;
        if found.is_empty() { Ok(()) } else { Err(found) }
    };
    eventually(SOON, gone).await.unwrap();
    assert_eq!(call(addr).await.unwrap(), "hello", "out of the registry, and still serving new connections");
    let mut health = HealthClient::new(channel(addr));
    for service in ["", SERVICE] {
        let request = HealthCheckRequest { service: service.to_owned() };
        assert_eq!(health.check(request).await.unwrap().into_inner().status(), ServingStatus::NotServing);
    }

    let closed = async || match TcpStream::connect(addr).await {
        Ok(_) => Err("the listener is open"),
        Err(_) => Ok(()),
    };
    eventually(SOON, closed).await.unwrap();
    assert!(!shutdown.is_finished(), "the stream still runs");
    gate.send_replace(true);
    assert!(chunks.message().await.unwrap().expect("the last chunk").is_final);
    assert!(chunks.message().await.unwrap().is_none(), "the stream ends with OK");
    assert!(timeout(SOON, shutdown).await.expect("ended in time").unwrap(), "drained");
}

#[tokio::test]
async fn a_stream_beyond_the_drain_limit_is_cut() {
    let mesh = Mesh::start().await;
    let (backend, _gate) = gated();
    let running = mesh.run(backend.drain(Duration::ZERO, Duration::from_millis(100))).await;
    let mut chunks = running_stream(running.addr()).await;
    assert!(!timeout(SOON, running.shutdown()).await.expect("ended in time"), "not drained");
    chunks.message().await.expect_err("the stream was cut");
}

#[tokio::test]
async fn somebody_who_watches_the_health_does_not_hold_the_end_up() {
    let mesh = Mesh::start().await;
    let running = mesh.run(gated().0.drain(Duration::ZERO, SOON * 2)).await;
    let mut health = HealthClient::new(channel(running.addr()));
    let request = HealthCheckRequest { service: SERVICE.to_owned() };
    let mut watched = health.watch(request).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().expect("a status").status(), ServingStatus::Serving);

    let shutdown = tokio::spawn(running.shutdown());
    assert_eq!(watched.message().await.unwrap().expect("a change").status(), ServingStatus::NotServing);
    assert!(watched.message().await.unwrap().is_none(), "the watch ends with OK");
    assert!(timeout(SOON, shutdown).await.expect("well before the drain limit").unwrap());
}

#[tokio::test]
async fn a_dropped_backend_is_gone_at_once() {
    let mesh = Mesh::start().await;
    let (backend, _gate) = gated();
    let running = mesh.run(backend).await;
    let addr = running.addr();
    let mut chunks = running_stream(addr).await;
    drop(running);
    timeout(SOON, chunks.message()).await.expect("cut in time").expect_err("the stream was cut");
    let closed = async || if call(addr).await.is_err() { Ok(()) } else { Err("still serving") };
    eventually(SOON, closed).await.unwrap();
}
