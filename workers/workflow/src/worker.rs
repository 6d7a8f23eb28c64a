//! The process's parts, from their start to their ordered end.
//!
//! ```text
//!  start:  store ─► engine (restores what was going on) ─► executor ─► services
//!  end:    services drain ─► executor: attempts end or are given up ─► engine: everything durable ─► store
//! ```

use std::{path::PathBuf, sync::Arc, time::Duration};

use switchboard_backend::{Backend, ListenAt, Listener, Rights};
use workflow_store::{EmbeddedSettings, EmbeddedStore, StoreError};

use crate::{
    api::{self, Api, Services},
    attempt::Reports,
    engine::{self, Engine, StartError},
    executor::{self, Calls, Executors},
    http,
};

/// What a worker is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where everything is kept; made if it is not there.
    pub data: PathBuf,
    /// Router through which agents, tools and workers are called: `host:port` or `http://host:port`.
    pub router: String,
    /// How the router is reached: certificates, tokens.
    pub client: switchboard_client::Config,
    /// Limits of the engine.
    pub engine: engine::Settings,
    /// Limits of what makes attempts.
    pub executor: executor::Settings,
    /// Limits of the API.
    pub api: api::Settings,
    /// The store's.
    pub store: EmbeddedSettings,
}

impl Settings {
    /// Defaults for everything but the two that have none.
    pub fn new(data: impl Into<PathBuf>, router: impl Into<String>) -> Self {
        Self {
            data: data.into(),
            router: router.into(),
            client: switchboard_client::Config::default(),
            engine: engine::Settings::default(),
            executor: executor::Settings::default(),
            api: api::Settings::default(),
            store: EmbeddedSettings::default(),
        }
    }
}

/// Where gRPC is served, the API over HTTP, and figures: the ports of the origin.
pub const GRPC_PORT: u16 = 9090;
/// See [`Worker::http`].
pub const HTTP_PORT: u16 = 8080;
/// See [`Worker::metrics`].
pub const METRICS_PORT: u16 = 9091;

/// How long calls in flight may take to end before the engine does; what takes longer is made again after the next start.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// Why a worker does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data directory cannot be used.
    #[error("cannot open the data directory {}", .path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// The engine cannot go on with what is in it.
    #[error("cannot start the engine from {}", .path.display())]
    Engine {
        /// The data directory.
        path: PathBuf,
        /// Why.
        source: StartError,
    },
    /// The router's address is none, or its certificates cannot be read.
    #[error("cannot call through the router")]
    Router(#[from] switchboard_client::Error),
    /// There can be no HTTP client for tasks of the type http.
    #[error("cannot make HTTP requests")]
    Http(#[from] executor::http::Setup),
    /// What an operator had set cannot be read.
    #[error("cannot read the settings that are kept")]
    Settings(#[from] engine::EngineError),
    /// The thread that started it is gone.
    #[error("the start was given up")]
    GivenUp,
}

/// A running engine with what makes its attempts.
pub struct Worker {
    engine: Engine,
    executors: Executors,
    api: Api,
    rights: Rights,
    http: Arc<http::Metrics>,
}

impl Worker {
    /// Opens the data directory and goes on with what is in it.
    ///
    /// Dropping the future leaves the directory in use until the process ends.
    ///
    /// # Errors
    /// [`Error`] says what is in the way.
    pub async fn start(settings: Settings) -> Result<Self, Error> {
        let Settings { data, router, client, engine, executor, api, store } = settings;
        let rights = Rights::default();
        let calls = Calls::through(&router, client)?.within(rights.clone());
        let runtime = tokio::runtime::Handle::current();
        let started = tokio::task::spawn_blocking(move || {
            let open = |source| Error::Open { path: data.clone(), source };
            let store = Arc::new(EmbeddedStore::open(&data, &store).map_err(open)?);
            let (reports, inbox) = Reports::channel();
            let executors = Executors::new(executor, calls, reports, runtime)?;
            let engine = Engine::start(store, engine, Arc::new(executors.clone()), inbox)
                .map_err(|source| Error::Engine { path: data, source })?;
            Ok::<_, Error>((engine, executors))
        });
        let (engine, executors) = started.await.map_err(|_| Error::GivenUp)??;
        let api = Api::start(engine.clone(), api).await?.with_workers(executors.functions().clone());
        Ok(Self { engine, executors, api, rights, http: Arc::default() })
    }

    /// The backend `workflow-worker` with all services, to be served.
    pub fn backend(&self) -> Backend {
        let backend = Backend::worker("workflow")
            .display_name("Workflow engine")
            .description("Runs durable workflows of agents, tools and workers")
            .version(env!("CARGO_PKG_VERSION"))
            .capabilities(["workflow"])
            .default_port(GRPC_PORT)
            .rights(self.rights.clone());
        // Else whoever looks on, or waits for tasks, would hold up the end until they are cut.
        let (ending, engine) = (backend.ending(), self.engine.clone());
        let functions = self.executors.functions().clone();
        tokio::spawn(async move {
            ending.stopped().await;
            engine.end_streams();
            functions.close();
        });
        let workers = api::worker::service(self.executors.functions().clone());
        Services::new(self.api.clone()).add_to(backend).add_service(workers)
    }

    /// The same API over HTTP, as a listener of the backend; usually at [`HTTP_PORT`].
    pub fn http(&self, at: ListenAt, settings: http::Settings) -> Listener {
        http::listener(self.engine.clone(), at, settings, self.http.clone())
    }

    /// Figures for Prometheus, as a listener of the backend; usually at [`METRICS_PORT`].
    pub fn metrics(&self, at: ListenAt) -> Listener {
        let (api, executors, http) = (self.api.clone(), self.executors.clone(), self.http.clone());
        http::Scrape { api, executors, http }.listener(at)
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Waits until the store has failed, after which nothing is taken. Cancel safe.
    pub async fn failed(&self) {
        self.engine.failed().await;
    }

    /// Ends in good order: lets calls end, makes everything durable. What is left goes on after the next start.
    pub async fn stop(self) {
        self.executors.drain(DRAIN_LIMIT).await;
        let engine = self.engine;
        // A panic there was reported.
        let _ = tokio::task::spawn_blocking(move || engine.stop()).await;
    }
}
