//! The process's parts, from their start to their ordered end.
//!
//! ```text
//!  start:  store ─► engine (restores what was going on) ─► executor ─► services
//!  end:    services drain ─► executor: attempts end or are given up ─► engine: everything durable ─► store
//! ```

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use switchboard_backend::Backend;
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
        let calls = Calls::through(&router, client)?;
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
        let api = Api::start(engine.clone(), api).await?;
        Ok(Self { engine, executors, api })
    }

    /// The backend `workflow-worker` with all services, to be served.
    pub fn backend(&self) -> Backend {
        let backend = Backend::worker("workflow")
            .display_name("Workflow engine")
            .description("Runs durable workflows of agents, tools and workers")
            .version(env!("CARGO_PKG_VERSION"))
            .capabilities(["workflow"])
            .default_port(9090);
        let workers = api::worker::service(self.executors.functions().clone());
        Services::new(self.api.clone()).add_to(backend).add_service(workers)
    }

    /// The same API over HTTP. Nobody is asked there who he is, so it is for this machine only: see [`local`].
    pub fn http(&self) -> http::Server {
        let calls = http::Calls::new(Services::new(self.api.clone()).routes());
        http::Server::new(self.engine.clone(), calls, http::Settings::default())
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

/// Reads an address that only this machine can reach, for a listener that asks nobody who he is.
///
/// # Errors
/// What is wrong with it, for people.
pub fn local(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| format!("expected an address such as 127.0.0.1:8080, got {text:?}"))?;
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err(format!(
            "{address} can be reached from other machines, and HTTP asks nobody for credentials yet; use \
             127.0.0.1 or ::1, and gRPC through the router from elsewhere"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn only_this_machine_may_come_without_credentials() {
        assert!(local("127.0.0.1:0").is_ok() && local("[::1]:8080").is_ok());
        assert!(local("0.0.0.0:8080").unwrap_err().contains("other machines"));
        assert!(local("8080").unwrap_err().contains("127.0.0.1:8080"));
    }
}
