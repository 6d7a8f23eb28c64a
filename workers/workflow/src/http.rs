//! The API over HTTP: REST with JSON, events as SSE, and `/ws/events`.
//!
//! ```text
//!  client ──HTTP/1.1──► accept ─► routes ─► request: path, query and body become one message
//!                                             │
//!                                           call ──► the services that gRPC calls too, interceptors included
//!                                             │
//!                    JSON, SSE, WebSocket ◄───┴─ answer, events, socket; problem when it fails
//! ```
//!
//! No rule of the API stands here: what is valid, who may do what, what an idempotency key means and which error follows is
//! decided where gRPC decides it. This listener, its limits and its end are its own.
//!
//! | module | what |
//! |---|---|
//! | `accept` | connections, their number, and their end |
//! | `route` | the table of routes |
//! | `routes` | from the table to handlers; `/health`, `/ready`, `/status` |
//! | `request`, `origin` | what a request says, also in the origin's words |
//! | `json` | between JSON and messages |
//! | `call` | calls of services inside the process |
//! | `answer` | calls, submissions, lists |
//! | `events`, `socket` | what is followed |
//! | `problem` | errors, and the table of statuses |
//! | `openapi` | what the table says, for machines |

mod accept;
mod answer;
mod call;
mod events;
mod json;
mod openapi;
mod origin;
mod problem;
mod request;
mod route;
mod routes;
mod socket;

use std::{sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
};

use crate::engine::Engine;

pub use call::Calls;

/// More than a process has file descriptors.
const MAX_CONNECTIONS: usize = 1 << 20;
/// More often nobody needs to know that a stream is alive.
const MIN_PING: Duration = Duration::from_millis(10);

/// What an operator may set of the listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Connections at once; more wait to be accepted. 1000: those of the gRPC listener. At least one.
    pub max_connections: usize,
    /// WebSockets at once, which no longer count as connections; more are refused. 1000. At least one.
    pub max_sockets: usize,
    /// Largest body of a request, in bytes. 4 MiB: the API's largest message.
    pub max_body_bytes: usize,
    /// How long a submission waits for the end of its workflow unless it says `async`. 30 s, as the origin.
    pub wait: Duration,
    /// How long a call may take. 90 s: the longest profile of `/admin/debug` takes 60.
    pub call_timeout: Duration,
    /// How often a stream says that it is alive. 15 s: proxies cut what is silent for 30.
    pub ping: Duration,
    /// How long requests in flight have when the server stops. 30 s.
    pub drain: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_connections: 1_000,
            max_sockets: 1_000,
            max_body_bytes: 4 << 20,
            wait: Duration::from_secs(30),
            call_timeout: Duration::from_secs(90),
            ping: Duration::from_secs(15),
            drain: Duration::from_secs(30),
        }
    }
}

/// The HTTP server of one engine.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

/// What all handlers know.
struct Shared {
    engine: Engine,
    services: Calls,
    settings: Settings,
    /// The server stops: streams and waits end.
    stopping: watch::Sender<bool>,
    sockets: Arc<Semaphore>,
}

impl Server {
    /// A server over these services. `engine` is asked how it is, and nothing else.
    ///
    /// Settings that make no sense are taken as the nearest that do.
    pub fn new(engine: Engine, services: Calls, mut settings: Settings) -> Self {
        settings.max_connections = settings.max_connections.clamp(1, MAX_CONNECTIONS);
        settings.max_sockets = settings.max_sockets.clamp(1, MAX_CONNECTIONS);
        settings.ping = settings.ping.max(MIN_PING);
        let sockets = Arc::new(Semaphore::new(settings.max_sockets));
        let shared = Shared { engine, services, settings, stopping: watch::Sender::new(false), sockets };
        Self { shared: Arc::new(shared) }
    }

    /// Serves until `stop` is ready, then lets requests in flight end for at most [`Settings::drain`], and cuts the rest.
    ///
    /// Streams and WebSockets are told and end at once: their clients come back with the last number that they have.
    /// Dropped, it cuts all connections.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let routes = routes::router(&self.shared);
        accept::serve(listener, routes, &self.shared, stop).await;
    }
}

impl Shared {
    /// Ready when the server stops.
    async fn stopped(&self) {
        // The sender lives as long as `self`.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }
}
