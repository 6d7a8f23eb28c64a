//! Limits of rate and of calls in flight.

use crate::fixture::{SOON, alone, channel, gated};
use crate::pki::{Pki, ask, replace, router};
use prost::Message;
use switchboard_backend::{Mode, PolicySettings, Stage};
use switchboard_proto::agentplatform::TaskRequest;
use switchboard_proto::agentplatform::agent_service_client::AgentServiceClient;
use switchboard_proto::rpc;
use switchboard_testkit::eventually;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

fn limited(pki: &Pki, limits: &str, mode: Mode) -> PolicySettings {
    replace(&pki.path("policy.toml"), limits);
    PolicySettings { mode, policy: Some(pki.path("policy.toml")), ..PolicySettings::default() }
}

#[tokio::test]
async fn a_caller_beyond_its_rate_is_told_when_to_come_back() {
    let pki = Pki::new();
    let settings = limited(&pki, "[limits.source]\nrate = \"2/h\"\n", Mode::None);
    let running = alone(gated().0.policy(settings)).await;
    let channel = channel(running.addr());
    for _ in 0..2 {
        ask(channel.clone(), "hello", &[]).await.unwrap();
    }
    let refused = ask(channel.clone(), "hello", &[]).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    let delay = rpc::Status::decode(refused.details()).unwrap().retry_after().expect("RetryInfo");
    assert!((1700..=1800).contains(&delay.as_secs()), "{delay:?}");
    let header: u64 = refused.metadata().get("retry-after").unwrap().to_str().unwrap().parse().unwrap();
    assert!((1700..=1800).contains(&header), "{header}");
    assert_eq!(running.metrics().refused_by(Stage::RateLimit), 1);
    for _ in 0..5 {
        HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.expect("no limit");
    }
}

#[tokio::test]
async fn principals_do_not_share_a_limit() {
    let pki = Pki::new();
    let settings = limited(&pki, "[limits.principal]\nrate = \"1/h\"\n", Mode::Any);
    let running = alone(gated().0.tls(pki.server()).policy(settings)).await;
    let channel = pki.channel(running.addr(), Some(&router()));
    for (name, first) in [("ann", true), ("ann", false), ("bob", true), ("bob", false)] {
        let headers = [("x-switchboard-principal", name)];
        assert_eq!(ask(channel.clone(), "hello", &headers).await.is_ok(), first, "{name}");
    }
}

#[tokio::test]
async fn a_stream_holds_its_place_until_it_ends() {
    let pki = Pki::new();
    let settings = limited(&pki, "[limits.id]\nconcurrency = 1\n", Mode::None);
    let (backend, gate) = gated();
    let running = alone(backend.policy(settings)).await;
    let channel = channel(running.addr());
    let stream = AgentServiceClient::new(channel.clone()).stream_task(TaskRequest::default()).await;
    let mut chunks = stream.unwrap().into_inner();
    chunks.message().await.unwrap().expect("the first chunk");
    let refused = ask(channel.clone(), "hello", &[]).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);

    gate.send_replace(true);
    while chunks.message().await.unwrap().is_some() {}
    let free = async || ask(channel.clone(), "hello", &[]).await.map_err(|status| status.code());
    eventually(SOON, free).await.unwrap();

    // A client that goes away gives its place back, too.
    gate.send_replace(false);
    let stream = AgentServiceClient::new(channel.clone()).stream_task(TaskRequest::default()).await;
    drop(stream.unwrap());
    eventually(SOON, free).await.unwrap();
}
