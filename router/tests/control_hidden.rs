//! A real Consul whose ACLs hide its catalogue from the router: nothing is lost, and everything that is said names the
//! reason.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use serde_json::Value;
use std::{net::SocketAddr, time::Duration};
use switchboard_registry::{Check, Client, Registration, Secret};
use switchboard_router::{App, Config};
use switchboard_testkit::{LockedConsul, eventually, get};
use tonic::{Code, Status, transport::Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

const PATIENCE: Duration = Duration::from_secs(30);
const OWN: &str = r#"service "router" { policy = "write" }"#;
const READ_ALL: &str = r#"service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }"#;

fn any() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

async fn registry(app: &App) -> Value {
    let (_, body) = get(app.admin_addr(), "/endpoints").await.unwrap();
    serde_json::from_str::<Value>(&body).unwrap()["registry"].clone()
}

#[tokio::test]
async fn a_router_whose_token_sees_nothing_says_so_and_loses_nothing() {
    let consul = LockedConsul::start("").await.unwrap();
    let policy = consul.policy("router", OWN).await.unwrap();
    let token = consul.token_of(&policy).await.unwrap().secret;
    let at = switchboard_registry::Config::at(&consul.http_addr().to_string()).unwrap();
    let with = |secret: &str| switchboard_registry::Config { token: Some(Secret::new(secret)), ..at.clone() };
    let operator = Client::new(with(consul.operator())).unwrap();
    // A backend that serves nothing but health.
    let listener = tokio::net::TcpListener::bind(any()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (_reporter, health) = tonic_health::server::health_reporter();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let _served =
        tokio::spawn(tonic::transport::Server::builder().add_service(health).serve_with_incoming(incoming));
    let registration =
        Registration { check: Check::None, ..Registration::new("agent-echo", "127.0.0.1", port) };
    operator.register(&registration).await.unwrap();

    let app = App::start(Config::for_dev(any(), any(), with(&token))).unwrap();
    let channel = Endpoint::from_shared(format!("http://{}", app.grpc_addr())).unwrap().connect_lazy();
    let call = async |id: &str| -> Result<(), Status> {
        let mut request = tonic::Request::new(HealthCheckRequest::default());
        request.metadata_mut().insert("x-switchboard-target", id.parse().unwrap());
        HealthClient::new(channel.clone()).check(request).await.map(drop)
    };
    let until_hidden = async |hidden: bool| {
        let look = async || {
            let shown = registry(&app).await;
            if shown["hidden_by_acl"] == hidden { Ok(()) } else { Err(shown) }
        };
        eventually(PATIENCE, look).await.unwrap();
    };
    let refused = call("echo-agent").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    assert!(refused.message().contains("its ACLs hide all services"), "{refused:?}");
    until_hidden(true).await;
    let (status, why) = get(app.admin_addr(), "/readyz").await.unwrap();
    assert!(status == 503 && why.contains("ACLs"), "{why}");

    consul.set_rules(&policy, "router", &format!("{OWN} {READ_ALL}")).await.unwrap();
    eventually(PATIENCE, async || call("echo-agent").await).await.unwrap();
    until_hidden(false).await;
    assert_eq!(call("no-agent").await.unwrap_err().code(), Code::NotFound);

    // The rights are lost while the router runs. A change of the service shows it to the router's watch.
    consul.set_rules(&policy, "router", OWN).await.unwrap();
    operator
        .register(&Registration { tags: vec!["changed".to_owned()], ..registration.clone() })
        .await
        .unwrap();
    until_hidden(true).await;
    call("echo-agent").await.unwrap();
    let refused = call("other-agent").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");

    consul.set_rules(&policy, "router", &format!("{OWN} {READ_ALL}")).await.unwrap();
    until_hidden(false).await;
    call("echo-agent").await.unwrap();
    app.shutdown().await;
}
