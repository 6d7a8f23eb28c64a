//! The backend's own entry in the registry: found out, kept, and taken out again.
//!
//! A registry that is down delays the entry and nothing else. The lease does the keeping; this adds what
//! has to happen before it (which address are we?) and what a person wants to read about it.

use crate::Advertise;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use switchboard_registry::{Check, Client, Lease, LeaseState, Registration};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{info, warn};

/// Between two attempts to find the own address: a name in a container network appears within seconds.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(1);

/// What is registered, apart from the address, which has to be found out.
pub(crate) struct Entry {
    pub(crate) service: String,
    pub(crate) instance: String,
    pub(crate) tags: Vec<String>,
    pub(crate) meta: BTreeMap<String, String>,
    pub(crate) advertise: Advertise,
    pub(crate) listen: SocketAddr,
    /// Whether the port speaks TLS, which the registry's check must do then.
    pub(crate) tls: bool,
}

impl Entry {
    fn registration(self, host: String, port: u16) -> Registration {
        let Entry { service, instance, tags, meta, tls, .. } = self;
        let mut registration =
            Registration { id: instance, tags, meta, ..Registration::new(service, host, port) };
        if let Check::Grpc { tls: speaks_tls, .. } = &mut registration.check {
            *speaks_tls = tls;
        }
        registration
    }
}

/// Keeps the entry until it is left. Dropping it stops the keeping and leaves the entry to the registry's check.
pub(crate) struct Presence {
    registered: watch::Receiver<bool>,
    leave: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Presence {
    /// Begins to register in the background.
    pub(crate) fn keep(client: Client, entry: Entry) -> Self {
        let (registered_sender, registered) = watch::channel(false);
        let (leave, left) = oneshot::channel();
        let task = tokio::spawn(run(client, entry, registered_sender, left));
        Self { registered, leave, task }
    }

    /// Waits until the entry is in the registry. Cancel safe.
    pub(crate) async fn registered(&self) {
        // Fails only when the task has ended, which leaving alone makes it do, and that takes `self`.
        let _ = self.registered.clone().wait_for(|registered| *registered).await;
    }

    /// Takes the entry out. Returns when it is out, or when the registry did not answer within 5 s.
    pub(crate) async fn leave(self) {
        let _ = self.leave.send(());
        let _ = self.task.await;
    }
}

async fn run(client: Client, entry: Entry, registered: watch::Sender<bool>, mut left: oneshot::Receiver<()>) {
    let registry = client.config().address.clone();
    let (host, port) = tokio::select! {
        address = own_address(&client, &entry) => address,
        _ = &mut left => return,
    };
    let lease = Lease::keep(client, entry.registration(host, port));
    let left = tokio::select! {
        never = follow(&lease, &registry, &registered) => match never {},
        left = left => left,
    };
    // An error means that the sender was dropped, not used: the backend ended without leaving.
    if left.is_ok() {
        registered.send_replace(false);
        let id = lease.id().to_owned();
        match lease.deregister().await {
            Ok(()) => info!(id, "deregistered"),
            Err(error) => warn!(id, %error, "cannot deregister; the registry's check will remove the entry"),
        }
    }
}

async fn own_address(client: &Client, entry: &Entry) -> (String, u16) {
    let registry = client.config().host_port();
    let mut failed = false;
    loop {
        match entry.advertise.resolve(entry.listen, registry).await {
            Ok(address) => return address,
            Err(error) if !failed => {
                failed = true;
                warn!(
                    %error,
                    "serving, but not registered: cannot find the own address towards the registry {registry}; \
                     is CONSUL_HTTP_ADDR right? SWITCHBOARD_ADVERTISE=<address> does without; trying again"
                );
            }
            Err(_) => {}
        }
        tokio::time::sleep(RESOLVE_INTERVAL).await;
    }
}

/// Passes the lease's state on, and says once what to do when the registry does not take the entry.
async fn follow(lease: &Lease, registry: &str, registered: &watch::Sender<bool>) -> std::convert::Infallible {
    let mut state = lease.state();
    let mut said = false;
    loop {
        let now = state.borrow_and_update().clone();
        registered.send_replace(now == LeaseState::Registered);
        match now {
            LeaseState::Registered => said = false,
            LeaseState::Registering { error: Some(error), .. } if !said => {
                said = true;
                warn!(
                    %error,
                    "serving, but not registered, so no router finds this backend: start the registry at \
                     {registry} (`consul agent -dev` or `switchboard dev`) or set CONSUL_HTTP_ADDR; trying again"
                );
            }
            LeaseState::Registering { .. } => {}
        }
        if state.changed().await.is_err() {
            // The lease's task panicked; there is nothing to follow any more.
            std::future::pending::<()>().await;
        }
    }
}
