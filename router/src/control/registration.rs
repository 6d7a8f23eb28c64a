//! The router in the registry: HAProxy finds routers by it, and operators see them.

use super::Phase;
use crate::config::{Advertise, Config};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use switchboard_registry::{Check, Client, Lease, LeaseState, Registration};
use tokio::{net::UdpSocket, sync::watch, time::sleep};
use tracing::warn;

/// Consul service of all routers.
pub(super) const SERVICE: &str = "router";
/// Between two attempts to find our own address while the registry's name cannot be resolved.
const ROUTE_AGAIN: Duration = Duration::from_secs(1);

/// Keeps the router registered while it runs, and takes it out when its end is announced. Returns when that is
/// done, or has failed: then the registry's check removes the entry.
pub(super) async fn keep(
    config: Arc<Config>,
    client: Client,
    grpc: SocketAddr,
    mut phase: watch::Receiver<Phase>,
) {
    let draining = phase.wait_for(|phase| *phase != Phase::Running);
    let addr = tokio::select! {
        _ = draining => return,
        addr = advertised(&config, &client, grpc) => addr,
    };
    let lease = Lease::keep(client, registration(&config, addr));
    tokio::select! {
        // A closed channel means that the router is gone without announcing it.
        _ = phase.wait_for(|phase| *phase != Phase::Running) => {}
        () = say_refusals(lease.state()) => {}
    }
    if let Err(error) = lease.deregister().await {
        warn!(
            error = switchboard_transport::chain(&error),
            "router could not be deregistered, its check will remove it"
        );
    }
}

/// Says once why the registry does not take the router, until it does. Never ends.
async fn say_refusals(mut state: watch::Receiver<LeaseState>) {
    let mut said: Option<Arc<str>> = None;
    loop {
        match &*state.borrow_and_update() {
            LeaseState::Registered => said = None,
            LeaseState::Registering { error: Some(error), .. } if said.as_ref() != Some(error) => {
                warn!(%error, "the router is not registered: HAProxy and operators do not find it");
                said = Some(error.clone());
            }
            LeaseState::Registering { .. } => {}
        }
        if state.changed().await.is_err() {
            // The lease's task panicked; there is nothing to follow any more.
            std::future::pending::<()>().await;
        }
    }
}

fn registration(config: &Config, addr: SocketAddr) -> Registration {
    let host = &config.hostname;
    let target = addr.to_string();
    Registration {
        check: if config.serves_tls() { Check::grpcs(target) } else { Check::grpc(target) },
        id: format!("{SERVICE}-{host}-{}", addr.port()),
        tags: vec![SERVICE.to_owned(), format!("instance:{host}")],
        meta: [("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())].into(),
        ..Registration::new(SERVICE, addr.ip().to_string(), addr.port())
    }
}

/// The address at which others reach the router. Waits until there is a route to the registry, if that decides.
async fn advertised(config: &Config, client: &Client, grpc: SocketAddr) -> SocketAddr {
    match config.advertise {
        Advertise::Addr(addr) => return addr,
        Advertise::Ip(ip) => return SocketAddr::new(ip, grpc.port()),
        Advertise::Auto if !grpc.ip().is_unspecified() => return grpc,
        Advertise::Auto => {}
    }
    let mut warned = false;
    loop {
        match towards(client.config().host_port()).await {
            Ok(local) => return SocketAddr::new(local.ip(), grpc.port()),
            Err(error) if !warned => {
                warned = true;
                warn!(%error, "no route to the registry yet, so no address to register; see --advertise");
            }
            Err(_) => {}
        }
        sleep(ROUTE_AGAIN).await;
    }
}

/// The local address of packets to `target`. Connecting a UDP socket sends none.
async fn towards(target: &str) -> io::Result<SocketAddr> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the registry's name has no address");
    for addr in tokio::net::lookup_host(target).await? {
        let any: SocketAddr = if addr.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let socket = UdpSocket::bind(any).await?;
        match socket.connect(addr).await {
            Ok(()) => return socket.local_addr(),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULT_ADMIN;

    #[tokio::test]
    async fn the_advertised_address_follows_the_setting() {
        let registry = switchboard_registry::Config::at("127.0.0.1:1").unwrap();
        let client = Client::new(registry.clone()).unwrap();
        let mut config = Config::new(([0, 0, 0, 0], 0).into(), DEFAULT_ADMIN, registry);
        let any: SocketAddr = ([0, 0, 0, 0], 7).into();
        assert_eq!(advertised(&config, &client, any).await, ([127, 0, 0, 1], 7).into());
        assert_eq!(
            advertised(&config, &client, ([127, 0, 0, 9], 7).into()).await,
            ([127, 0, 0, 9], 7).into()
        );
        config.advertise = Advertise::Ip([10, 0, 0, 1].into());
        assert_eq!(advertised(&config, &client, any).await, ([10, 0, 0, 1], 7).into());
        config.advertise = Advertise::Addr(([10, 0, 0, 1], 9).into());
        assert_eq!(advertised(&config, &client, any).await, ([10, 0, 0, 1], 9).into());
    }

    #[test]
    fn the_entry_names_its_machine_and_port() {
        let registry = switchboard_registry::Config::default();
        let mut config = Config::new(([0, 0, 0, 0], 0).into(), DEFAULT_ADMIN, registry);
        config.hostname = "box".to_owned();
        let entry = registration(&config, ([10, 0, 0, 1], 50051).into());
        assert_eq!((entry.id.as_str(), entry.service.as_str()), ("router-box-50051", "router"));
        assert_eq!(entry.tags, ["router", "instance:box"]);
    }
}
