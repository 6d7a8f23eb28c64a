//! The part of Consul's HTTP API that the mesh uses, in this process: for `switchboard dev` and for fast tests.
//!
//! ```text
//!  PUT register ──► body: strict decode ──► state: tables and indexes ──► wakes blocked reads
//!                                             ▲            ▲
//!              check: gRPC and TCP probes ────┘            └──── sweep: TTLs, removal of what stays critical
//! ```
//!
//! One test-suite runs against this and a real Consul and must not be able to tell them apart
//! (`tests/conformance`). There is no persistence, no cluster, no ACL and no TLS: bind it to loopback only. Beyond
//! Consul it runs the first check of an instance at once, so that a new backend is callable within 100 ms.

mod api;
mod body;
mod check;
mod page;
mod query;
mod state;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use self::state::State;
use crate::error::Error;

/// Blocked reads at the same time. A router holds at most 100.
const MAX_BLOCKED_READS: usize = 1024;
/// How exactly a TTL ends and a critical instance is removed.
const SWEEP_INTERVAL: Duration = Duration::from_millis(250);
/// Blocked reads are answered at once when the server stops; this is for one who does not read the answer.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(1);

/// Serves the registry's HTTP API until it is dropped or shut down.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts to serve an empty registry on `addr`; port 0 chooses one. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Listen`] if the address is taken.
    pub async fn start(addr: SocketAddr) -> Result<Self, Error> {
        let listen = |source| Error::Listen { address: addr, source };
        let listener = TcpListener::bind(addr).await.map_err(listen)?;
        let addr = listener.local_addr().map_err(listen)?;
        let (stop, stopped) = watch::channel(false);
        let registry = Arc::new(Registry::new(addr, stopped.clone()));
        let task = tokio::spawn(serve(listener, registry, stopped));
        Ok(Self { addr, stop, task: Some(task) })
    }

    /// Gives the address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops: blocked reads are answered with an error as Consul does, and the port is free when this returns.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        if let Some(task) = self.task.take() {
            let abort = task.abort_handle();
            if tokio::time::timeout(SHUTDOWN_LIMIT, task).await.is_err() {
                abort.abort();
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// What the handlers share.
struct Registry {
    addr: SocketAddr,
    state: Mutex<State>,
    /// Counts changes; its value means nothing else.
    changed: watch::Sender<u64>,
    blocked: Semaphore,
    stopped: watch::Receiver<bool>,
}

impl Registry {
    fn new(addr: SocketAddr, stopped: watch::Receiver<bool>) -> Self {
        Self {
            addr,
            state: Mutex::new(State::new()),
            changed: watch::Sender::new(0),
            blocked: Semaphore::new(MAX_BLOCKED_READS),
            stopped,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is applied by code that does not panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes blocked reads if anything that they can see has changed.
    fn change<T>(&self, apply: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let before = state.index();
        let result = apply(&mut state);
        if state.index() != before {
            self.changed.send_modify(|count| *count += 1);
        }
        result
    }
}

async fn serve(listener: TcpListener, registry: Arc<Registry>, mut stopped: watch::Receiver<bool>) {
    let sweeper = tokio::spawn(sweep(registry.clone()));
    let ended = async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let served = axum::serve(listener, api::router(registry.clone())).with_graceful_shutdown(ended).await;
    if let Err(error) = served {
        tracing::error!(%error, "embedded registry ended");
    }
    sweeper.abort();
    // The probes end with the entries that own them.
    registry.state().clear();
}

async fn sweep(registry: Arc<Registry>) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        ticks.tick().await;
        for id in registry.change(|state| state.sweep(tokio::time::Instant::now())) {
            tracing::info!(id, "removed: it was critical for too long");
        }
    }
}
