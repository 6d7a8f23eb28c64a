//! Starts the router, and ends it in order.
//!
//! [`App::start`] binds both ports, starts the worker threads and then the control plane on a thread of its own, so
//! that it works inside another tokio runtime as well. The end, which [`App::shutdown`] waits for:
//!
//! | step | what | how long |
//! |---|---|---|
//! | 1 | not ready, health NOT_SERVING, out of the registry; GOAWAY in two steps on every client connection; still serving, new connections too | `drain_accept` |
//! | 2 | GOAWAY on those made since; health Watch calls end | `drain_goaway_gap` |
//! | 3 | calls go on to their end | at most `drain_limit` |
//! | 4 | the rest ends with UNAVAILABLE, the worker threads are joined | under a second |

use crate::{
    config::Config,
    control::{self, Control, Sources},
    directory::Clock,
    link::{ControlLink, Update},
    observe::Metrics,
    policy::PolicySnapshot,
    route::{RouteError, RouteTable},
    worker::{self, Worker},
};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::Duration,
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{mpsc, oneshot, watch},
    time::{interval, sleep, timeout},
};
use tracing::{error, info, warn};

pub use crate::control::probe;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 1_024;
/// Look-ups that wait for the control plane; each name is asked once per worker thread.
const LOOKUPS: usize = 1_024;
/// Sockets to the router's own services that wait to be served: a few per worker thread.
const LOCAL_SOCKETS: usize = 128;
/// How often the end of calls and of worker threads is looked for.
const LOOK: Duration = Duration::from_millis(10);
/// How often a worker thread's unexpected end is looked for.
const SUPERVISE: Duration = Duration::from_millis(500);
/// A worker thread flushes for half a second after `Stop`; one that hangs is left behind.
const JOIN_PATIENCE: Duration = Duration::from_secs(5);
/// A look-up of a host name cannot be stopped; it is left behind.
const LOOKUP_PATIENCE: Duration = Duration::from_millis(100);

/// Why the router does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port cannot be bound.
    #[error("cannot listen on {addr}: is another process there? choose another address with {flag}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The registry's configuration cannot be used.
    #[error("cannot set up the registry's client")]
    Registry(#[source] switchboard_registry::Error),
    /// A certificate or key cannot be read or used.
    #[error("cannot set up TLS")]
    Tls(#[source] switchboard_transport::Error),
    /// Tokens, keys or rules cannot be used. The port is not opened without them.
    #[error("cannot set up who may call")]
    Policy(#[source] switchboard_policy::Error),
    /// The compiled-in contract has a route that does not fit its message.
    #[error("the contract's routes cannot be read")]
    Routes(#[from] RouteError),
    /// A thread or an event loop cannot be made.
    #[error("cannot start {what}")]
    Start {
        /// The part.
        what: &'static str,
        /// The reason.
        #[source]
        source: io::Error,
    },
}

/// A running router. Dropping it ends the router at once, without waiting and without a drain.
#[derive(Debug)]
pub struct App {
    grpc: SocketAddr,
    admin: SocketAddr,
    stop: oneshot::Sender<()>,
    reload: watch::Sender<()>,
    state: watch::Receiver<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    Ready,
    Ended,
}

impl App {
    /// Starts a router. Client connections are accepted from here on; see [`App::ready`] for more.
    ///
    /// # Errors
    /// A port is taken, or a part cannot be set up: see [`Error`].
    pub fn start(config: Config) -> Result<Self, Error> {
        switchboard_transport::install_crypto();
        let (grpc_listener, grpc) = listen(config.grpc, "--grpc")?;
        let (admin_listener, admin) = listen(config.admin, "--admin")?;
        let config = Arc::new(config);
        let client = switchboard_registry::Client::new(config.registry.clone()).map_err(Error::Registry)?;
        let routes = Arc::new(RouteTable::from_descriptor_set(switchboard_proto::DESCRIPTOR_SET)?);
        let fail = |what| move |source| Error::Start { what, source };
        let policy = Arc::new(PolicySnapshot::load(&config, None, None).map_err(Error::Policy)?);
        let (clock, metrics) = (Clock::start(), Arc::new(Metrics::default()));
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(fail("the control plane"))?;
        let opened = {
            let _within = runtime.enter();
            Sources::open(&config, &client)
        };
        let certificates = match opened {
            Ok(certificates) => certificates,
            Err(error) => {
                // This may run within another runtime, which forbids waiting for the end of ours.
                runtime.shutdown_background();
                return Err(Error::Tls(error));
            }
        };
        let (lookups, asked) = mpsc::channel(LOOKUPS);
        let (local, sockets) = mpsc::channel(LOCAL_SOCKETS);
        let (finished, access) = mpsc::channel(control::ACCESS_QUEUE);
        let (refused, notices) = mpsc::channel(control::NOTICE_QUEUE);
        let setup = worker::Setup {
            config: config.clone(),
            clock,
            control: ControlLink {
                lookups,
                local,
                access: config.access_log.then_some(finished),
                notices: refused,
            },
            metrics: metrics.clone(),
            routes,
            certificates: certificates.newest(),
            policy: policy.clone(),
        };
        let workers = worker::spawn_all(&setup, grpc_listener).map_err(fail("the worker threads"))?;
        info!(%grpc, %admin, registry = config.registry.address, workers = workers.len(), "router started");
        let (reload, reloads) = watch::channel(());
        let setup = control::Setup {
            config,
            client,
            clock,
            metrics,
            workers: workers.iter().map(|worker| worker.link.clone()).collect(),
            lookups: asked,
            local: sockets,
            access,
            notices,
            policy,
            admin: admin_listener,
            grpc,
            certificates,
            reload: reloads,
        };
        let (stop, stopped) = oneshot::channel();
        let (states, state) = watch::channel(State::Starting);
        thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || run(runtime, setup, workers, stopped, &states))
            .map_err(fail("the control plane"))?;
        Ok(App { grpc, admin, stop, reload, state })
    }

    /// The address of the gRPC port, with the port that was chosen if the configuration said 0.
    pub fn grpc_addr(&self) -> SocketAddr {
        self.grpc
    }

    /// The address of the admin port, likewise.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin
    }

    /// Waits until the registry has answered once: from then on `/readyz` says yes and IDs resolve. False if the
    /// router has ended instead. Cancel-safe.
    pub async fn ready(&self) -> bool {
        let mut state = self.state.clone();
        state.wait_for(|state| *state != State::Starting).await.is_ok_and(|state| *state == State::Ready)
    }

    /// Waits until the router has ended by itself, because a part of it failed. Cancel-safe.
    pub async fn ended(&self) {
        // A closed channel is an end as well.
        let _closed = self.state.clone().wait_for(|state| *state == State::Ended).await.is_err();
    }

    /// Has everything read again at once that is read again when it changes: certificates.
    pub fn reload(&self) {
        self.reload.send_replace(());
    }

    /// Ends the router in order and waits for it. Dropping the future goes on with the end, unwatched.
    pub async fn shutdown(self) {
        let App { stop, mut state, reload: _reload, .. } = self;
        // It may have ended by itself.
        let _ended = stop.send(()).is_err();
        let _closed = state.wait_for(|state| *state == State::Ended).await.is_err();
    }
}

/// Binds a port that may have been in use a moment ago.
fn listen(addr: SocketAddr, flag: &'static str) -> Result<(TcpListener, SocketAddr), Error> {
    let bind = || {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    bind().map_err(|source| Error::Listen { addr, flag, source })
}

/// The control thread: from the start of the control plane to the end of the worker threads.
fn run(
    runtime: Runtime,
    setup: control::Setup,
    workers: Vec<Worker>,
    stopped: oneshot::Receiver<()>,
    states: &watch::Sender<State>,
) {
    runtime.block_on(async {
        let (config, metrics) = (setup.config.clone(), setup.metrics.clone());
        match Control::start(setup) {
            Ok(mut control) => {
                if until_stopped(&control, &workers, stopped, states).await {
                    drain(&mut control, &workers, &config, &metrics).await;
                }
                end(workers).await;
            }
            Err(error) => {
                error!(%error, "the control plane cannot start");
                end(workers).await;
            }
        }
    });
    // Frees the admin port before the end is told. Look-ups of host names may still block a thread of the runtime.
    runtime.shutdown_timeout(LOOKUP_PATIENCE);
    info!("router ended");
    states.send_replace(State::Ended);
}

/// Waits for the end; true if it is to be an orderly one.
async fn until_stopped(
    control: &Control,
    workers: &[Worker],
    stopped: oneshot::Receiver<()>,
    states: &watch::Sender<State>,
) -> bool {
    let announce = async {
        control.ready().await;
        info!("router ready");
        states.send_replace(State::Ready);
        std::future::pending::<()>().await;
    };
    let supervise = async {
        let mut look = interval(SUPERVISE);
        while !workers.iter().any(|worker| worker.thread.is_finished()) {
            look.tick().await;
        }
    };
    tokio::select! {
        orderly = stopped => orderly.is_ok(),
        () = announce => false,
        () = supervise => {
            error!("a worker thread has failed, the router ends");
            false
        }
    }
}

/// Steps 1 to 3 of the end.
async fn drain(control: &mut Control, workers: &[Worker], config: &Config, metrics: &Metrics) {
    info!("draining: out of the registry, clients are asked to reconnect, new ones still taken");
    let tell = |update: fn() -> Update| {
        for worker in workers {
            // One that has failed has nothing to drain.
            let _failed = !worker.link.send(update());
        }
    };
    tell(|| Update::GoAway);
    tokio::join!(control.drain(), sleep(config.drain_accept));
    control.close();
    tell(|| Update::Drain);
    sleep(config.drain_goaway_gap).await;
    let calls = || metrics.calls_in_flight.load(Relaxed);
    let quiet = async {
        let mut look = interval(LOOK);
        while calls() > 0 {
            look.tick().await;
        }
    };
    if timeout(config.drain_limit, quiet).await.is_err() {
        warn!(calls = calls(), "the drain time is over, the calls still in flight are ended");
    }
}

/// Step 4 of the end.
async fn end(workers: Vec<Worker>) {
    for worker in &workers {
        // One that has failed has ended already.
        let _failed = !worker.link.send(Update::Stop);
    }
    let all = async {
        let mut look = interval(LOOK);
        while workers.iter().any(|worker| !worker.thread.is_finished()) {
            look.tick().await;
        }
    };
    if timeout(JOIN_PATIENCE, all).await.is_err() {
        return error!("a worker thread does not end");
    }
    for worker in workers {
        if worker.thread.join().is_err() {
            error!("a worker thread has panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_is_named_with_its_flag() {
        let (_listener, addr) = listen(([127, 0, 0, 1], 0).into(), "--grpc").unwrap();
        let error = listen(addr, "--admin").unwrap_err().to_string();
        assert!(error.contains(&addr.to_string()) && error.contains("--admin"), "{error}");
    }
}
