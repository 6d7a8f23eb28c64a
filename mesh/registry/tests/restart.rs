//! A registry that is restarted and has lost everything: leases bring it back, and watches never show it empty.

#![expect(clippy::unwrap_used, reason = "a test that fails here has shown what it should")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use switchboard_registry::{Check, Client, Config, Lease, Registration, Snapshot, embedded};
use switchboard_testkit::{Consul, free_port};
use tokio::sync::watch::Receiver;

const PORTS: [u16; 3] = [1, 2, 3];

/// Leases and a watch that outlive the registry.
struct Mesh {
    _leases: Vec<Lease>,
    snapshots: Receiver<Arc<Snapshot>>,
}

async fn mesh(addr: SocketAddr) -> Mesh {
    let client = Client::new(Config::at(&addr.to_string()).unwrap()).unwrap();
    // Others first, so that the new registry's indexes are not those of the old one.
    for port in 10..20 {
        let other = Registration { check: Check::None, ..Registration::new("other", "127.0.0.1", port) };
        client.register(&other).await.unwrap();
    }
    let keep = |port| {
        let registration =
            Registration { check: Check::None, ..Registration::new("agent-kept", "127.0.0.1", port) };
        Lease::keep(client.clone(), registration)
    };
    let leases: Vec<_> = PORTS.into_iter().map(keep).collect();
    for lease in &leases {
        lease.registered().await;
    }
    let watch = client.watch("agent-kept");
    let mut snapshots = watch.receiver();
    let all = snapshots.wait_for(|snapshot| snapshot.instances.len() == PORTS.len());
    tokio::time::timeout(Duration::from_secs(10), all).await.expect("all are there").unwrap();
    Mesh { _leases: leases, snapshots }
}

impl Mesh {
    /// Waits until every instance is back under a lower index, and fails if none was known in between.
    async fn comes_back(&mut self, limit: Duration) {
        let old: Vec<u64> =
            self.snapshots.borrow().instances.iter().map(|instance| instance.create_index).collect();
        let back = self.snapshots.wait_for(|snapshot| {
            assert!(!snapshot.instances.is_empty(), "{snapshot:?}");
            let new = snapshot.instances.iter().map(|instance| instance.create_index).collect::<Vec<_>>();
            new.len() == PORTS.len() && new != old && snapshot.stale.is_none()
        });
        let back = tokio::time::timeout(limit, back).await.is_ok();
        assert!(back, "not every instance is back: {:?}", self.snapshots.borrow());
    }
}

#[tokio::test]
async fn an_embedded_registry_that_comes_back_empty_is_filled_again() {
    // Not one that an outgoing connection may take in between.
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let server = embedded::Server::start(addr).await.unwrap();
    let mut mesh = mesh(addr).await;
    server.shutdown().await;
    let _server = embedded::Server::start(addr).await.unwrap();
    mesh.comes_back(Duration::from_secs(15)).await;
}

#[tokio::test]
async fn a_consul_that_comes_back_empty_is_filled_again() {
    let mut consul = Consul::start().await.unwrap();
    let mut mesh = mesh(consul.http_addr()).await;
    consul.restart(true).await.unwrap();
    mesh.comes_back(Duration::from_secs(15)).await;
}
