//! A router whose certificate, in both directions, comes from a real Consul Connect.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use hyper_util::rt::TokioIo;
use serde_json::json;
use std::{io, net::SocketAddr, time::Duration};
use switchboard_backend::{Backend, RegistryConfig};
use switchboard_registry::{Client, ConnectSource, Secret};
use switchboard_router::{App, Config, config::TlsSource};
use switchboard_testkit::{LockedConsul, eventually, get};
use switchboard_transport::service_name;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

const PATIENCE: Duration = Duration::from_secs(30);

fn any() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// The registry as one service reaches it, with the right to be itself and what `more` says.
async fn as_service(consul: &LockedConsul, service: &str, more: &str) -> RegistryConfig {
    let rules = format!("service \"{service}\" {{ policy = \"write\" }}\n{more}");
    let token = consul.token(service, &rules).await.unwrap();
    let at = RegistryConfig::at(&consul.http_addr().to_string()).unwrap();
    RegistryConfig { token: Some(Secret::new(token)), ..at }
}

/// A channel of a member with a certificate of its own, which expects the router and nobody else.
async fn channel(web: &ConnectSource, router: SocketAddr) -> Channel {
    let tls = web.towards_services().await.unwrap();
    let connect = tower::service_fn(move |_: Uri| {
        let connector = tokio_rustls::TlsConnector::from(tls.newest().config.clone());
        async move {
            let tcp = TcpStream::connect(router).await?;
            io::Result::Ok(TokioIo::new(connector.connect(service_name("router").unwrap(), tcp).await?))
        }
    });
    Endpoint::from_static("http://router").connect_with_connector_lazy(connect)
}

#[tokio::test(flavor = "multi_thread")]
async fn both_directions_are_proved_by_consuls_authority() {
    let consul = LockedConsul::start("connect { enabled = true }").await.unwrap();
    let read = "service_prefix \"\" { policy = \"read\" }\nnode_prefix \"\" { policy = \"read\" }";
    let mut config = Config::for_dev(any(), any(), as_service(&consul, "router", read).await);
    config.tls_source = TlsSource::Connect;
    let app = App::start(config).unwrap();
    let ready = async || match get(app.admin_addr(), "/readyz").await.unwrap() {
        (200, _) => Ok(()),
        (_, why) => Err(why),
    };
    eventually(PATIENCE, ready).await.unwrap();

    let echo =
        Backend::agent("echo").registry(as_service(&consul, "agent-echo", "").await).listen(any()).connect();
    let echo = tokio::time::timeout(PATIENCE, echo.start()).await.unwrap().unwrap();
    echo.registered().await;
    let web = ConnectSource::start(Client::new(as_service(&consul, "web", "").await).unwrap(), "web");
    let channel = channel(&web, app.grpc_addr()).await;
    let call = async || {
        let mut request = tonic::Request::new(HealthCheckRequest::default());
        request.set_timeout(Duration::from_secs(5));
        request.metadata_mut().insert("x-switchboard-target", "echo-agent".parse().unwrap());
        HealthClient::new(channel.clone()).check(request).await.map(drop)
    };
    // The backend asks Consul whether the router may connect, and it may not.
    let refused = call().await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused:?}");
    let allow = json!({ "SourceName": "router", "DestinationName": "agent-echo", "SourceType": "consul", "Action": "allow" });
    consul.ask("POST", "connect/intentions", allow).await.unwrap();
    eventually(PATIENCE, call).await.unwrap();
    let (_, metrics) = get(app.admin_addr(), "/metrics").await.unwrap();
    for role in ["downstream", "upstream"] {
        let line = format!("switchboard_tls_certificate_expiry_seconds{{role=\"{role}\"}} ");
        assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
    }
    app.shutdown().await;
    echo.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_without_a_certificate_says_what_it_waits_for() {
    let consul = LockedConsul::start("connect { enabled = true }").await.unwrap();
    // It may read everything, and not be the router.
    let read = "service_prefix \"\" { policy = \"read\" }\nnode_prefix \"\" { policy = \"read\" }";
    let mut config = Config::for_dev(any(), any(), as_service(&consul, "web", read).await);
    config.tls_source = TlsSource::Connect;
    let app = App::start(config).unwrap();
    let told = async || match get(app.admin_addr(), "/readyz").await.unwrap() {
        (503, why) if why.contains("Consul Connect gave no certificate yet") && why.contains("router") => {
            Ok(())
        }
        other => Err(other),
    };
    eventually(PATIENCE, told).await.unwrap();
    app.shutdown().await;
}
