//! Checks that run: gRPC, TCP and TTL, and what a registration does to them.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::json;
use switchboard_registry::{Check, Instance, Query, Registration, Status};
use switchboard_transport::authority::{Authority, Subject};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;

use crate::Target;

const INTERVAL: Duration = Duration::from_millis(200);

pub(crate) async fn every_case(target: &Target) {
    a_ttl_check_is_what_the_service_says(target).await;
    a_ttl_that_is_not_renewed_ends(target).await;
    registering_again_does_not_heal(target).await;
    a_registration_may_start_passing(target).await;
    a_grpc_check_follows_the_health_service(target).await;
    a_grpc_check_with_tls_believes_any_certificate_and_no_plaintext(target).await;
    a_tcp_check_follows_the_listener(target).await;
}

fn is(status: Status) -> impl Fn(&[Instance]) -> bool {
    move |found| found.len() == 1 && found[0].status == status
}

async fn a_ttl_check_is_what_the_service_says(target: &Target) {
    target
        .register(json!({ "Name": "ttl", "Port": 1, "Checks": [{ "TTL": "10m" }, { "TTL": "10m" }] }))
        .await;
    target.until("ttl", is(Status::Critical)).await;
    let say = async |word: &str, check: &str| {
        assert_eq!(target.put(&format!("/v1/agent/check/{word}/service:ttl:{check}"), "").await.0, 200);
    };
    say("pass", "1").await;
    say("warn", "2").await;
    target.until("ttl", is(Status::Warning)).await;
    let passing = target.client.health("ttl", &Query::passing()).await.unwrap();
    assert_eq!(passing.value, [], "a warning is not passing");
    say("pass", "2").await;
    target.until("ttl", is(Status::Passing)).await;
    assert_eq!(target.client.health("ttl", &Query::passing()).await.unwrap().value.len(), 1);
    say("fail", "1").await;
    target.until("ttl", is(Status::Critical)).await;
    target.deregister("ttl", &["ttl"]).await;
}

async fn a_ttl_that_is_not_renewed_ends(target: &Target) {
    target
        .register(json!({ "Name": "ends", "Port": 1, "Check": { "TTL": "300ms", "Status": "passing" } }))
        .await;
    target.until("ends", is(Status::Critical)).await;
    target.deregister("ends", &["ends"]).await;
}

async fn registering_again_does_not_heal(target: &Target) {
    let body = json!({ "Name": "ill", "Port": 1, "Check": { "TTL": "10m", "Status": "passing" } });
    target.register(body.clone()).await;
    target.until("ill", is(Status::Passing)).await;
    assert_eq!(target.put("/v1/agent/check/fail/service:ill", "").await.0, 200);
    target.until("ill", is(Status::Critical)).await;
    let (status, _) =
        target.put("/v1/agent/service/register?replace-existing-checks=true", &body.to_string()).await;
    assert_eq!(status, 200);
    target.register(json!({ "Name": "ill-witness", "Port": 1 })).await;
    // Consul carries registrations into the catalogue in order: once the later one is there, so is the earlier.
    target.until("ill-witness", |found| found.len() == 1).await;
    target.until("ill", is(Status::Critical)).await;
    target.deregister("ill", &["ill"]).await;
    target.deregister("ill-witness", &["ill-witness"]).await;
}

async fn a_registration_may_start_passing(target: &Target) {
    // Nothing listens there, and the next check is far away.
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    for (starts_passing, status) in [(true, Status::Passing), (false, Status::Critical)] {
        let mut registration = Registration::new("starts", "127.0.0.1", closed.port());
        registration.check = Check::Tcp {
            target: closed.to_string(),
            interval: Duration::from_secs(600),
            timeout: Duration::from_secs(1),
        };
        registration.starts_passing = starts_passing;
        target.client.register(&registration).await.unwrap();
        let found = target.until("starts", |found| found.len() == 1).await;
        assert_eq!(found[0].status, status);
        target.deregister("starts", &[&registration.id]).await;
    }
}

async fn a_grpc_check_follows_the_health_service(target: &Target) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (reporter, health) = tonic_health::server::health_reporter();
    let served = tonic::transport::Server::builder()
        .add_service(health)
        .serve_with_incoming(TcpListenerStream::new(listener));
    let server = tokio::spawn(served);
    let set = async |status| reporter.set_service_status("mesh.v1.Echo", status).await;
    set(tonic_health::ServingStatus::Serving).await;

    let register = async |service: &str, health_target: String| {
        let mut registration = Registration::new(service, "127.0.0.1", address.port());
        registration.check = Check::Grpc {
            target: health_target,
            interval: INTERVAL,
            timeout: Duration::from_secs(1),
            tls: false,
        };
        registration.starts_passing = false;
        target.client.register(&registration).await.unwrap();
        registration.id
    };
    let one = register("grpc-one", format!("{address}/mesh.v1.Echo")).await;
    let all = register("grpc-all", address.to_string()).await;
    let none = register("grpc-none", format!("{address}/no.such.Service")).await;
    target.until("grpc-one", is(Status::Passing)).await;
    target.until("grpc-all", is(Status::Passing)).await;
    target.until("grpc-none", is(Status::Critical)).await;
    set(tonic_health::ServingStatus::NotServing).await;
    target.until("grpc-one", is(Status::Critical)).await;
    target.until("grpc-all", is(Status::Passing)).await;
    set(tonic_health::ServingStatus::Serving).await;
    target.until("grpc-one", is(Status::Passing)).await;
    server.abort();
    target.until("grpc-all", is(Status::Critical)).await;
    target.deregister("grpc-one", &[&one]).await;
    target.deregister("grpc-all", &[&all]).await;
    target.deregister("grpc-none", &[&none]).await;
}

async fn a_grpc_check_with_tls_believes_any_certificate_and_no_plaintext(target: &Target) {
    let authority = Authority::new("nobody knows it", Duration::from_secs(3600)).unwrap();
    let issued = authority.issue(&Subject::new("another name")).unwrap();
    let identity = tonic::transport::Identity::from_pem(issued.cert, issued.key);
    let tls = tonic::transport::ServerTlsConfig::new().identity(identity);
    let start = async |tls: Option<tonic::transport::ServerTlsConfig>| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_, health) = tonic_health::server::health_reporter();
        let mut server = tonic::transport::Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls).unwrap();
        }
        let served = server.add_service(health).serve_with_incoming(TcpListenerStream::new(listener));
        (address, tokio::spawn(served))
    };
    let (secret, server) = start(Some(tls)).await;
    let (plain, plain_server) = start(None).await;
    let register = async |service: &str, address: SocketAddr, tls: bool, starts_passing: bool| {
        let mut registration = Registration::new(service, "127.0.0.1", address.port());
        let timeout = Duration::from_secs(1);
        registration.check = Check::Grpc { target: address.to_string(), interval: INTERVAL, timeout, tls };
        registration.starts_passing = starts_passing;
        target.client.register(&registration).await.unwrap();
        registration.id
    };
    // Each starts with the other status, so that the check has to change it.
    let both = register("grpcs-both", secret, true, false).await;
    let check = register("grpcs-check", plain, true, true).await;
    let port = register("grpcs-port", secret, false, true).await;
    target.until("grpcs-both", is(Status::Passing)).await;
    target.until("grpcs-check", is(Status::Critical)).await;
    target.until("grpcs-port", is(Status::Critical)).await;
    server.abort();
    plain_server.abort();
    target.deregister("grpcs-both", &[&both]).await;
    target.deregister("grpcs-check", &[&check]).await;
    target.deregister("grpcs-port", &[&port]).await;
}

async fn a_tcp_check_follows_the_listener(target: &Target) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut registration = Registration::new("tcp", "127.0.0.1", address.port());
    registration.check =
        Check::Tcp { target: address.to_string(), interval: INTERVAL, timeout: Duration::from_secs(1) };
    registration.starts_passing = false;
    target.client.register(&registration).await.unwrap();
    target.until("tcp", is(Status::Passing)).await;
    drop(listener);
    target.until("tcp", is(Status::Critical)).await;
    target.deregister("tcp", &[&registration.id]).await;
}
