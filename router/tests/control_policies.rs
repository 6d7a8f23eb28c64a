//! The mesh with a real Consul in default deny, each member with the policy of `consul/policies` and no right more.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{net::SocketAddr, time::Duration};
use switchboard_backend::{Backend, RegistryConfig};
use switchboard_registry::{Client, Query, Secret};
use switchboard_router::{App, Config};
use switchboard_testkit::{LockedConsul, eventually, workspace_root};
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

const PATIENCE: Duration = Duration::from_secs(20);

fn any() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// The registry as the holder of a policy reaches it.
async fn as_holder(consul: &LockedConsul, policy: &str) -> RegistryConfig {
    let file = workspace_root().join("consul/policies").join(policy).with_extension("hcl");
    let token = consul.token(policy, &std::fs::read_to_string(file).unwrap()).await.unwrap();
    let at = RegistryConfig::at(&consul.http_addr().to_string()).unwrap();
    RegistryConfig { token: Some(Secret::new(token)), ..at }
}

#[tokio::test]
async fn router_agent_tool_and_worker_run_with_their_policies_alone() {
    let consul = LockedConsul::start("").await.unwrap();
    let mut members = Vec::new();
    for (policy, backend) in [
        ("agent", Backend::agent("echo")),
        ("tool", Backend::tool("weather")),
        ("worker", Backend::worker("itinerary")),
    ] {
        let member = backend.listen(any()).registry(as_holder(&consul, policy).await).start().await.unwrap();
        tokio::time::timeout(PATIENCE, member.registered()).await.unwrap();
        members.push(member);
    }
    let app = App::start(Config::for_dev(any(), any(), as_holder(&consul, "router").await)).unwrap();
    assert!(tokio::time::timeout(PATIENCE, app.ready()).await.unwrap());
    let channel = Endpoint::from_shared(format!("http://{}", app.grpc_addr())).unwrap().connect_lazy();
    for member in &members {
        let call = async || {
            let mut request = tonic::Request::new(HealthCheckRequest::default());
            request.metadata_mut().insert("x-switchboard-target", member.id().parse().unwrap());
            HealthClient::new(channel.clone()).check(request).await.map(drop)
        };
        eventually(PATIENCE, call).await.unwrap();
    }
    // The operator sees everybody, and sees them leave.
    let at = RegistryConfig::at(&consul.http_addr().to_string()).unwrap();
    let operator = Client::new(RegistryConfig { token: Some(Secret::new(consul.operator())), ..at }).unwrap();
    let until = async |count: usize| {
        let look = async || {
            let mut found = Vec::new();
            for service in ["agent-echo", "tool-weather", "worker-itinerary", "router"] {
                found.extend(operator.health(service, &Query::passing()).await.unwrap().value);
            }
            if found.len() == count { Ok(()) } else { Err(found) }
        };
        eventually(PATIENCE, look).await.unwrap();
    };
    until(4).await;
    app.shutdown().await;
    for member in members {
        member.shutdown().await;
    }
    until(0).await;
}
