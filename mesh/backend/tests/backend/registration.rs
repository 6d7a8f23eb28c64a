//! The entry in the registry: what it says, and that it comes back.

use crate::fixture::{Mesh, SERVICE, SOON, call, config, gated};
use crate::pki::Pki;
use std::time::Duration;
use switchboard_backend::{Advertise, Mode, PolicySettings, Stage};
use switchboard_registry::{Description, Kind, Limits, Query, embedded};
use switchboard_testkit::{eventually, free_port};

#[tokio::test]
async fn a_started_backend_is_found_with_its_description() {
    let mesh = Mesh::start().await;
    let running = mesh.run(gated().0).await;

    let found = mesh.client.health("agent-gated", &Query::passing()).await.unwrap().value;
    let [instance] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(instance.id, running.instance());
    assert_eq!((instance.address.as_str(), instance.port), ("127.0.0.1", running.addr().port()));
    assert_eq!(
        instance.tags[..4],
        ["agent", "gated", "waiting", "extra"],
        "kind, name, capabilities, own; no twice"
    );
    let host = instance.tags[4].strip_prefix("instance:").expect("the host's tag");
    assert_eq!(running.instance(), format!("agent-gated-{host}-{}", running.addr().port()));

    let description = Description::decode("agent-gated", &instance.meta, &instance.tags);
    assert_eq!((description.kind, description.name.as_str()), (Some(Kind::Agent), "Gated"));
    assert_eq!(description.description, "Waits, until told not to");
    assert_eq!(description.version, "1.2.3");
    assert_eq!(description.capabilities, ["waiting", "gated"]);
    assert_eq!(description.use_cases, ["Tests"]);
    assert_eq!(description.grpc_services, [SERVICE]);
    assert_eq!(description.max_concurrency, Some(7));
    let limits = Limits {
        timeout: Some(Duration::from_millis(1_500)),
        timeout_max: Some(Duration::from_secs(60)),
        stream_idle: Some(Duration::ZERO),
        drain_streams_after: Some(Duration::from_secs(90)),
        max_message_bytes: Some(4 << 20),
        max_queue: Some(10),
        max_calls: Some(100),
    };
    assert_eq!(description.limits, limits);
    assert_eq!(instance.meta["timeout"], "1500ms");
    assert_eq!(description.parameters.len(), 1);
    assert_eq!(running.id(), "gated-agent");
}

#[tokio::test]
async fn an_entry_that_the_registry_lost_comes_back() {
    let mesh = Mesh::start().await;
    let running = mesh.run(gated().0).await;
    mesh.client.deregister(running.instance()).await.unwrap();
    assert!(mesh.instances().await.is_empty());
    let back = async || {
        let found = mesh.instances().await;
        if found == [running.instance()] { Ok(()) } else { Err(found) }
    };
    eventually(SOON, back).await.unwrap();
}

#[tokio::test]
async fn a_backend_serves_without_registry_and_registers_when_there_is_one() {
    let registry = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    let running = gated().0.registry(config(registry)).start().await.unwrap();
    assert_eq!(call(running.addr()).await.unwrap(), "hello");

    let _registry = embedded::Server::start(registry).await.unwrap();
    tokio::time::timeout(SOON, running.registered()).await.expect("registered with the late registry");
}

#[tokio::test]
async fn a_backend_without_registry_ends_in_order() {
    let registry = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    let backend = gated().0.registry(config(registry)).drain(std::time::Duration::ZERO, SOON);
    let running = backend.start().await.unwrap();
    assert!(tokio::time::timeout(SOON, running.shutdown()).await.expect("ended in time"));
}

#[tokio::test]
async fn an_advertised_address_stands_in_the_entry() {
    let mesh = Mesh::start().await;
    let backend = gated().0.advertise(Advertise::HostPort("192.0.2.7".to_owned(), 99));
    let running = mesh.run(backend).await;
    let entry = mesh.client.agent_service(running.instance()).await.unwrap().expect("an entry");
    assert_eq!(entry.endpoint(), "192.0.2.7:99");
}

#[tokio::test]
async fn a_backend_on_all_addresses_registers_the_one_towards_the_registry() {
    let mesh = Mesh::start().await;
    let running = mesh.run(gated().0.listen("0.0.0.0:0".parse().unwrap())).await;
    let entry = mesh.client.agent_service(running.instance()).await.unwrap().expect("an entry");
    assert_eq!(entry.endpoint(), format!("127.0.0.1:{}", running.addr().port()));
}

#[tokio::test]
async fn two_instances_on_one_host_are_two_entries() {
    let mesh = Mesh::start().await;
    let (first, second) = (mesh.run(gated().0).await, mesh.run(gated().0).await);
    let mut expected = [first.instance(), second.instance()];
    expected.sort_unstable();
    assert_eq!(mesh.instances().await, expected);
}

#[tokio::test]
async fn a_backend_with_tls_is_checked_over_tls_without_a_certificate() {
    let (mesh, pki) = (Mesh::start().await, Pki::new());
    let settings = PolicySettings { mode: Mode::Any, ..PolicySettings::default() };
    let running = mesh.run(gated().0.tls(pki.server()).policy(settings)).await;
    // A handshake is counted once the registry's own check has met the port.
    let checked = async || {
        let text = running.metrics().render();
        if text.contains("outcome=\"done\"} 0") { Err(text) } else { Ok(()) }
    };
    eventually(SOON, checked).await.unwrap();
    assert_eq!(mesh.instances().await, [running.instance()], "it passes");
    assert_eq!(running.metrics().refused_by(Stage::Auth), 0);
}
