//! A backend whose certificate comes from a real Consul Connect, and whose callers its intentions name.

use crate::fixture::{SOON, gated};
use crate::pki::ask;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use serde_json::json;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use switchboard_backend::{RegistryConfig, Running};
use switchboard_registry::{Client, ConnectSource, Secret};
use switchboard_testkit::{LockedConsul, eventually};
use switchboard_transport::service_name;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

async fn as_service(consul: &LockedConsul, service: &str) -> RegistryConfig {
    let token =
        consul.token(service, &format!(r#"service "{service}" {{ policy = "write" }}"#)).await.unwrap();
    let at = RegistryConfig::at(&consul.http_addr().to_string()).unwrap();
    RegistryConfig { token: Some(Secret::new(token)), ..at }
}

/// Calls from a member who got its certificate the same way.
async fn channel(consul: &LockedConsul, service: &str, to: &Running) -> Channel {
    let client = Client::new(as_service(consul, service).await).unwrap();
    let tls = ConnectSource::start(client, service).towards_services().await.unwrap();
    connecting(to.addr(), tls.newest().config.clone())
}

fn connecting(addr: SocketAddr, tls: Arc<ClientConfig>) -> Channel {
    let connect = tower::service_fn(move |_: Uri| {
        let connector = tokio_rustls::TlsConnector::from(tls.clone());
        async move {
            let tcp = TcpStream::connect(addr).await?;
            io::Result::Ok(TokioIo::new(connector.connect(service_name("agent-gated").unwrap(), tcp).await?))
        }
    });
    Endpoint::from_static("http://agent-gated").connect_with_connector_lazy(connect)
}

#[tokio::test]
async fn callers_are_let_in_whom_an_intention_allows() {
    let consul = LockedConsul::start("connect { enabled = true }").await.unwrap();
    let backend = gated().0.registry(as_service(&consul, "agent-gated").await).connect();
    let running = tokio::time::timeout(SOON, backend.start()).await.unwrap().unwrap();
    running.registered().await;
    // Consul's check shows no certificate: it gets in to ask for health, and for nothing else.
    let nobody = switchboard_transport::unverified_channel(&running.addr().to_string()).unwrap();
    let asked = HealthClient::new(nobody.clone()).check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(asked.get_ref().status(), ServingStatus::Serving);
    let refused = ask(nobody, "hello", &[]).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated, "{refused:?}");

    let router = channel(&consul, "router", &running).await;
    ask(router.clone(), "hello", &[]).await.expect_err("nobody may until an intention says so");
    let allow = json!({ "SourceName": "router", "DestinationName": "agent-gated", "SourceType": "consul", "Action": "allow" });
    consul.ask("POST", "connect/intentions", allow).await.unwrap();
    let answered = async || ask(router.clone(), "hello", &[]).await;
    assert_eq!(eventually(SOON, answered).await.unwrap(), "hello");
    let other = channel(&consul, "agent-other", &running).await;
    ask(other, "hello", &[]).await.expect_err("an intention names the router only");
    assert!(running.metrics().handshakes_failed() > 1);
    running.shutdown().await;
}
