//! A backend that serves, and the order in which it ends.
//!
//! ```text
//!   SIGTERM ─► health NOT_SERVING, deregistered ─► wait (still serving) ─► GOAWAY, listeners closed ─► drained ─► end
//!                                                                                └─ drain limit ─► cut ───┘
//! ```
//!
//! The wait gives routers the time to learn that the entry is gone; calls that come meanwhile are served.

use crate::listener::Phase;
use crate::presence::Presence;
use crate::server::Health;
use crate::stack::{Gate, Metrics};
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use switchboard_transport::{Loaded, Watched, warn_before_expiry};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tonic_health::ServingStatus;
use tracing::{debug, info, warn};

/// What happens to calls at the end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drain {
    /// Between deregistration and GOAWAY.
    pub(crate) wait: Duration,
    /// From GOAWAY on; what still runs then is cut.
    pub(crate) limit: Duration,
}

/// Whose connection is cut has nothing to wait for.
const CUT_LIMIT: Duration = Duration::from_secs(1);

/// What a running backend reads from files, and follows.
#[derive(Clone)]
pub(crate) struct Files {
    pub(crate) tls: Option<Watched<Loaded<ServerConfig>>>,
    pub(crate) gate: Watched<Gate>,
}

impl Files {
    /// Looks at all of them now.
    pub(crate) fn reload(&self) {
        if let Some(tls) = &self.tls {
            tls.trigger();
        }
        self.gate.trigger();
    }

    /// What has to be done from time to time, for ever.
    pub(crate) async fn tend(self) {
        let expiry = async {
            if let Some(tls) = &self.tls {
                warn_before_expiry("the listener's certificate", tls.receiver()).await;
            }
        };
        tokio::join!(expiry, Gate::sweep(self.gate.clone()));
    }
}

/// A task that ends with whoever holds this.
pub(crate) struct Tended(pub(crate) JoinHandle<()>);

impl Drop for Tended {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A backend that listens and registers in the background.
///
/// Dropping it ends serving at once and cuts all calls; the entry stays until the registry's check removes it.
pub struct Running {
    pub(crate) id: String,
    pub(crate) instance: String,
    pub(crate) addr: SocketAddr,
    /// `None` where gRPC is off: nobody would find anything here.
    pub(crate) presence: Option<Presence>,
    pub(crate) health: Health,
    pub(crate) drain: Drain,
    /// Sends GOAWAY and closes the listener.
    pub(crate) stop: oneshot::Sender<()>,
    /// Connections live as long as this does.
    pub(crate) alive: watch::Sender<()>,
    /// The server of gRPC, and what the other listeners serve.
    pub(crate) serving: JoinSet<()>,
    pub(crate) listeners: Vec<(&'static str, SocketAddr)>,
    /// Tells the other listeners.
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) files: Files,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) _tended: Tended,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("instance", &self.instance).field("addr", &self.addr).finish()
    }
}

impl Running {
    /// Gives the ID that clients call: `echo-agent`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Gives the instance's ID in the registry: `agent-echo-<host>-<port>`.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Gives the address that gRPC listens on, with the port that port 0 became. Where gRPC is off, the one that it would.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Gives the address of a listener beside gRPC, with the port that port 0 became.
    pub fn listener(&self, name: &str) -> Option<SocketAddr> {
        self.listeners.iter().find(|(known, _)| *known == name).map(|(_, addr)| *addr)
    }

    /// Waits until the registry has the backend. Waits for as long as there is no registry, or gRPC is off. Cancel safe.
    pub async fn registered(&self) {
        match &self.presence {
            Some(presence) => presence.registered().await,
            None => std::future::pending().await,
        }
    }

    /// Gives what is counted of calls.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Looks at certificates, tokens and policy now instead of within five seconds. Open connections keep the
    /// certificates that they were made with.
    pub fn reload(&self) {
        self.files.reload();
    }

    /// How often changed files (certificates, tokens, policy) could not be used; the former state stayed in force.
    pub fn reload_failures(&self) -> u64 {
        self.files.tls.as_ref().map_or(0, Watched::failures) + self.files.gate.failures()
    }

    /// Leaves the mesh without failing a call, and returns whether every call ended by itself.
    ///
    /// Takes the wait, at most the drain limit, and up to 5 s more if the registry does not answer. Dropping
    /// the future cuts what still runs.
    pub async fn shutdown(self) -> bool {
        let Running { mut health, presence, drain, stop, alive, mut serving, phase, instance, .. } = self;
        phase.send_replace(Phase::Leaving);
        health.set(ServingStatus::NotServing).await;
        if let Some(presence) = presence {
            presence.leave().await;
        }
        debug!(instance, "out of the registry, still serving for {:?}", drain.wait);
        tokio::time::sleep(drain.wait).await;

        let _ = stop.send(());
        phase.send_replace(Phase::Stopped);
        health.end_watches().await;
        let drained = tokio::time::timeout(drain.limit, all(&mut serving)).await.is_ok();
        if !drained {
            warn!(instance, "cutting the calls that still run after {:?}", drain.limit);
        }
        // Idle connections of careless peers, or the calls that are over their time.
        drop(alive);
        if !drained && tokio::time::timeout(CUT_LIMIT, all(&mut serving)).await.is_err() {
            serving.shutdown().await;
        }
        info!(instance, "stopped");
        drained
    }
}

/// Waits until nothing is served any more. A panic was reported.
async fn all(serving: &mut JoinSet<()>) {
    while serving.join_next().await.is_some() {}
}
