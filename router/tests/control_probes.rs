//! What the registry calls critical but answers is visible (complaint 16): real peers with a check that is wrong.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use switchboard_backend::{Backend, RegistryConfig};
use switchboard_proto::agentplatform::{StatusRequest, agent_service_client::AgentServiceClient};
use switchboard_registry::{Check, Client, Registration, embedded::Server as Registry};
use switchboard_router::{App, Config};
use switchboard_testkit::{eventually, free_port, get};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{service::Routes, transport::Server};
use tonic_health::{ServingStatus, server::health_reporter};

const PATIENCE: Duration = Duration::from_secs(20);

fn any() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// Serves until the test is over.
async fn serve(routes: Routes) -> SocketAddr {
    let listener = TcpListener::bind(any()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(Server::builder().add_routes(routes).serve_with_incoming(TcpListenerStream::new(listener)));
    addr
}

/// Registers an instance whose check can only fail.
async fn register(registry: &Client, id: &str, addr: SocketAddr) {
    let registration = Registration {
        id: id.to_owned(),
        check: Check::tcp("127.0.0.1:1"),
        starts_passing: false,
        ..Registration::new("agent-echo", "127.0.0.1", addr.port())
    };
    registry.register(&registration).await.unwrap();
}

async fn instances(admin: SocketAddr) -> Vec<Value> {
    let (_, body) = get(admin, "/endpoints").await.unwrap();
    let shown: Value = serde_json::from_str(&body).unwrap();
    shown["services"][0]["instances"].as_array().cloned().unwrap_or_default()
}

#[tokio::test]
async fn critical_instances_are_asked_and_what_they_say_is_shown() {
    let server = Registry::start(any()).await.unwrap();
    let registry =
        Client::new(switchboard_registry::Config::at(&server.addr().to_string()).unwrap()).unwrap();
    // Port 9 (discard): it registers itself nowhere, so that the check is the test's alone.
    let elsewhere = RegistryConfig::at("127.0.0.1:9").unwrap();
    let well = Backend::agent("echo").listen(any()).registry(elsewhere).start().await.unwrap();
    let (reporter, health) = health_reporter();
    reporter.set_service_status("", ServingStatus::NotServing).await;
    let ill = serve(Routes::new(health)).await;
    let other = tonic_reflection::server::Builder::configure().build_v1().unwrap();
    let mute = serve(Routes::new(other)).await;
    let dead = SocketAddr::from(([127, 0, 0, 1], free_port()));
    for (id, addr) in [("1-well", well.addr()), ("2-ill", ill), ("3-mute", mute), ("4-dead", dead)] {
        register(&registry, id, addr).await;
    }
    let mut config = Config::for_dev(any(), any(), registry.config().clone());
    config.probe_interval = Duration::from_millis(300);
    config.no_endpoint_wait = Duration::from_millis(100);
    let app = App::start(config).unwrap();
    assert!(app.ready().await);
    let mut agents = AgentServiceClient::connect(format!("http://{}", app.grpc_addr())).await.unwrap();
    let mut call = async || agents.get_status(StatusRequest { agent_id: "echo-agent".to_owned() }).await;
    let error = call().await.unwrap_err();
    assert!(error.message().contains("none of its 4 instances is healthy"), "{error:?}");

    let expected = ["serving", "not_serving", "unimplemented", "unreachable"];
    let probed = async || {
        let all = instances(app.admin_addr()).await;
        let found: Vec<_> = all.iter().map(|one| one["probe"]["found"].clone()).collect();
        if found == expected { Ok(all) } else { Err(all) }
    };
    let all = eventually(PATIENCE, probed).await.unwrap();
    assert!(all.iter().all(|one| one["status"] == "critical" && one["healthy"] == false), "{all:?}");
    assert!(all[0]["probe"]["age_seconds"].as_u64().is_some_and(|age| age < 20), "{all:?}");
    let (_, metrics) = get(app.admin_addr(), "/metrics").await.unwrap();
    for found in expected {
        let line = format!("switchboard_probed_instances{{found=\"{found}\"}} 1");
        assert!(metrics.lines().any(|one| one == line), "{line} in\n{metrics}");
    }
    // The registry alone decides who is called.
    assert_eq!(call().await.unwrap_err().code(), tonic::Code::Unavailable);

    // It is asked again and again: what changes is seen.
    reporter.set_service_status("", ServingStatus::Serving).await;
    let changed = async || match instances(app.admin_addr()).await[1]["probe"]["found"].clone() {
        found if found == "serving" => Ok(()),
        found => Err(found),
    };
    eventually(PATIENCE, changed).await.unwrap();
    // An instance that passes is not asked any more.
    let passing = Registration {
        id: "1-well".to_owned(),
        check: Check::None,
        ..Registration::new("agent-echo", "127.0.0.1", well.addr().port())
    };
    registry.deregister("1-well").await.unwrap();
    registry.register(&passing).await.unwrap();
    let passes = async || match instances(app.admin_addr()).await.into_iter().next() {
        Some(one) if one["status"] == "passing" && one["probe"] == json!(null) => Ok(()),
        one => Err(one),
    };
    eventually(PATIENCE, passes).await.unwrap();
    app.shutdown().await;
}
