//! Start and end of a whole router: its entry in the registry, its health, and the order of its end.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{net::SocketAddr, time::Duration};
use switchboard_proto::agentplatform::{ListAgentsRequest, agent_service_client::AgentServiceClient};
use switchboard_registry::{Client, Query, Status, embedded::Server};
use switchboard_router::{App, Config, app};
use switchboard_testkit::{eventually, get};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

const PATIENCE: Duration = Duration::from_secs(20);

fn any() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

async fn registry() -> (Server, Client) {
    let server = Server::start(any()).await.unwrap();
    let config = switchboard_registry::Config::at(&server.addr().to_string()).unwrap();
    (server, Client::new(config).unwrap())
}

async fn health_client(grpc: SocketAddr) -> HealthClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{grpc}")).unwrap();
    HealthClient::new(endpoint.connect().await.unwrap())
}

/// Waits until the registry has as many routers of this health.
async fn routers(client: &Client, healthy: bool, count: usize) {
    let probe = async || {
        let instances = client.health("router", &Query::default()).await.unwrap().value;
        let found = instances.iter().filter(|one| (one.status == Status::Passing) == healthy).count();
        if found == count { Ok(()) } else { Err(instances) }
    };
    eventually(PATIENCE, probe).await.unwrap();
}

#[tokio::test]
async fn a_router_registers_itself_and_leaves_before_it_closes() {
    let (_server, client) = registry().await;
    let mut config = Config::for_dev(any(), any(), client.config().clone());
    config.drain_accept = Duration::from_secs(600);
    let app = App::start(config).unwrap();
    assert!(app.ready().await);
    routers(&client, true, 1).await;
    let entry = client.health("router", &Query::default()).await.unwrap().value.remove(0);
    assert_eq!(entry.endpoint(), app.grpc_addr().to_string());
    assert!(entry.id.starts_with("router-") && entry.tags.contains(&"router".to_owned()), "{entry:?}");

    let (grpc, admin) = (app.grpc_addr(), app.admin_addr());
    let ending = tokio::spawn(app.shutdown());
    routers(&client, true, 0).await;
    // It still takes connections, and says that it is about to go.
    let mut health = health_client(grpc).await;
    let answer = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::NotServing);
    assert_eq!(get(admin, "/readyz").await.unwrap().0, 503);
    assert!(!ending.is_finished());
    ending.abort();
}

#[tokio::test]
async fn the_registry_s_check_finds_the_router_healthy() {
    let (_server, client) = registry().await;
    let app = App::start(Config::for_dev(any(), any(), client.config().clone())).unwrap();
    let mut health = health_client(app.grpc_addr()).await;
    let answer = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
    routers(&client, true, 1).await;
    app.shutdown().await;
}

#[tokio::test]
async fn a_shutdown_ends_health_watches_and_frees_both_ports() {
    let (_server, client) = registry().await;
    let app = App::start(Config::for_dev(any(), any(), client.config().clone())).unwrap();
    let (grpc, admin) = (app.grpc_addr(), app.admin_addr());
    let mut health = health_client(grpc).await;
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let ended = tokio::time::timeout(PATIENCE, app.shutdown());
    let (ended, told) = tokio::join!(ended, async {
        let last = watch.message().await.unwrap().unwrap().status();
        (last, watch.message().await.unwrap_err().code())
    });
    ended.unwrap();
    assert_eq!(told, (ServingStatus::NotServing, tonic::Code::Unavailable));
    // The same ports at once again.
    let app = App::start(Config::for_dev(grpc, admin, client.config().clone())).unwrap();
    app.shutdown().await;
}

#[tokio::test]
async fn a_busy_port_names_the_flag() {
    let (_server, client) = registry().await;
    let taken = std::net::TcpListener::bind(any()).unwrap();
    let busy = taken.local_addr().unwrap();
    for (grpc, admin, flag) in [(busy, any(), "--grpc"), (any(), busy, "--admin")] {
        let error = App::start(Config::for_dev(grpc, admin, client.config().clone())).unwrap_err();
        assert!(matches!(&error, app::Error::Listen { addr, .. } if *addr == busy));
        assert!(error.to_string().contains(flag), "{error}");
    }
}

#[tokio::test]
async fn a_dropped_router_ends_at_once() {
    let (_server, client) = registry().await;
    let app = App::start(Config::new(any(), any(), client.config().clone())).unwrap();
    let grpc = app.grpc_addr();
    assert!(app.ready().await);
    drop(app);
    let closed = async || match tokio::net::TcpStream::connect(grpc).await {
        Ok(_) => Err("still open"),
        Err(_) => Ok(()),
    };
    eventually(PATIENCE, closed).await.unwrap();
}

#[tokio::test]
async fn lists_are_served_through_the_port() {
    let (_server, client) = registry().await;
    let app = App::start(Config::for_dev(any(), any(), client.config().clone())).unwrap();
    let mut agents = AgentServiceClient::connect(format!("http://{}", app.grpc_addr())).await.unwrap();
    let listed = agents.list_agents(ListAgentsRequest::default()).await.unwrap().into_inner();
    assert!(listed.agents.is_empty());
    app.shutdown().await;
}
