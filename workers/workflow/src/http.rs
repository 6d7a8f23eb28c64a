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
//! decided where gRPC decides it, by the same services behind the same interceptors. Certificates, credentials and the end
//! are those of the backend; what browsers do is looked at here, in `site`.
//!
//! | module | what |
//! |---|---|
//! | `accept` | connections, their number, and their end |
//! | `site` | what pages of other sites may not have a browser do |
//! | `route` | the table of routes |
//! | `routes` | from the table to handlers; `/health`, `/ready`, `/status` |
//! | `request`, `origin` | what a request says, also in the origin's words |
//! | `json` | between JSON and messages |
//! | `call` | calls of services inside the process |
//! | `answer` | calls, submissions, lists |
//! | `events`, `socket` | what is followed |
//! | `problem` | errors, and the table of statuses |
//! | `openapi` | what the table says, for machines |
//! | `ui` | what it all looks like, for people |
//! | [`Metrics`], [`Scrape`] | what is counted, and the port that shows it |

mod accept;
mod answer;
mod call;
mod events;
mod json;
mod metrics;
mod openapi;
mod origin;
mod problem;
mod request;
mod route;
mod routes;
mod scrape;
mod site;
mod socket;
mod ui;

use std::{sync::Arc, time::Duration};

use switchboard_backend::{Ending, ListenAt, Listener, Opened};
use tokio::sync::Semaphore;

use crate::engine::Engine;

pub use call::Calls;
pub use metrics::Metrics;
pub use scrape::Scrape;

/// More than a process has file descriptors.
const MAX_CONNECTIONS: usize = 1 << 20;
/// More often nobody needs to know that a stream is alive.
const MIN_PING: Duration = Duration::from_millis(10);

/// What an operator may set of the listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Connections at once, WebSockets among them; more wait to be accepted. 2000: a browser opens six. At least one.
    pub max_connections: usize,
    /// WebSockets at once; more are refused. 1000: half of the connections, so that requests find one. At least one.
    pub max_sockets: usize,
    /// Largest body of a request, in bytes. 4 MiB: the API's largest message.
    pub max_body_bytes: usize,
    /// How long a submission waits for the end of its workflow unless it says `async`. 30 s, as the origin.
    pub wait: Duration,
    /// How long a call may take. 90 s: the longest profile of `/admin/debug` takes 60.
    pub call_timeout: Duration,
    /// How often a stream says that it is alive. 15 s: proxies cut what is silent for 30.
    pub ping: Duration,
    /// Names with dots by which this server is known, beside its addresses. None. Where nobody has to prove who he is,
    /// requests for other names are refused: a page could have chosen the name, and let it point here.
    pub hosts: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_connections: 2_000,
            max_sockets: 1_000,
            max_body_bytes: 4 << 20,
            wait: Duration::from_secs(30),
            call_timeout: Duration::from_secs(90),
            ping: Duration::from_secs(15),
            hosts: Vec::new(),
        }
    }
}

/// What all handlers know.
struct Shared {
    engine: Engine,
    services: Calls,
    settings: Settings,
    metrics: Arc<Metrics>,
    /// When streams and waits end.
    ending: Ending,
    sockets: Arc<Semaphore>,
}

/// The listener of the API over HTTP. `engine` is asked how it is, and nothing else.
pub fn listener(engine: Engine, at: ListenAt, settings: Settings, metrics: Arc<Metrics>) -> Listener {
    Listener::http("http", at, settings.max_connections.clamp(1, MAX_CONNECTIONS), |opened| {
        let calls = Calls::behind(opened.services.clone());
        serve(engine, calls, settings, metrics, opened)
    })
}

/// Serves the API over these calls until the backend stops, and then until requests in flight have ended.
///
/// Streams and WebSockets are told and end at once: their clients come back with the last number that they have.
/// Settings that make no sense are taken as the nearest that do. Dropped, it cuts all connections.
pub async fn serve(
    engine: Engine,
    services: Calls,
    mut settings: Settings,
    metrics: Arc<Metrics>,
    opened: Opened,
) {
    settings.max_sockets = settings.max_sockets.clamp(1, MAX_CONNECTIONS);
    settings.ping = settings.ping.max(MIN_PING);
    let sockets = Arc::new(Semaphore::new(settings.max_sockets));
    let Opened { incoming, ending, .. } = opened;
    let shared = Arc::new(Shared { engine, services, settings, metrics, ending, sockets });
    let routes = routes::router(&shared);
    accept::serve(incoming, routes, &shared.ending, &shared.metrics).await;
    let all = u32::try_from(shared.settings.max_sockets).unwrap_or(u32::MAX);
    let _ = shared.sockets.acquire_many(all).await;
}

impl Shared {
    /// Ready when the server stops.
    async fn stopped(&self) {
        self.ending.stopped().await;
    }
}
