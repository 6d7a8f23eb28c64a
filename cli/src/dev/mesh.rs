//! The parts of a mesh in this process, from their start to their ordered end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use itinerary_worker::RouterEndpoint;
use switchboard_backend::{Backend, Error, ListenAt, RegistryConfig, Running};
use switchboard_registry::embedded::Server;
use switchboard_router::App;
use weather_tool::WeatherTool;
use workflow_worker::worker::Worker;

use crate::args::{Dev, Example};
use crate::dev::secure::Secure;
use crate::dev::workflow;
use crate::failure::Failure;

/// How long running calls may take to end. A person waits for it.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// The most that one part may take to stop; what takes longer is dropped.
const STOP_LIMIT: Duration = Duration::from_secs(4);

/// What runs; empty before the start and after the end.
#[derive(Default)]
pub(super) struct Mesh {
    registry: Option<Server>,
    router: Option<App>,
    backends: Vec<Running>,
    workflow: Option<Worker>,
}

impl Mesh {
    /// Starts registry, router and backends in this order. What has started when this fails, or when its
    /// future is dropped, is in `self` and can be stopped.
    pub(super) async fn start(
        &mut self,
        dev: &Dev,
        backends: &[Example],
        secure: Option<&Secure>,
    ) -> Result<(), Failure> {
        let failed = |part| {
            move |error: &dyn std::error::Error| Failure::Start {
                part,
                reason: switchboard_transport::chain(error),
            }
        };
        let registry = Server::start(dev.registry).await.map_err(|error| failed("the registry")(&error))?;
        let registry = &*self.registry.insert(registry);
        let config = RegistryConfig::at(&reachable(registry.addr()).to_string())
            .map_err(|error| failed("the registry")(&error))?;

        let router = switchboard_router::Config::for_dev(dev.grpc, dev.admin, config.clone());
        let router = match secure {
            Some(secure) => secure.router(router),
            None => router,
        };
        let router = App::start(router).map_err(|error| failed("the router")(&error))?;
        self.router = Some(router);

        for example in backends {
            if *example == Example::Workflow {
                self.workflow = Some(workflow::start(&dev.data(), self.grpc(), secure).await?);
            }
            let mut http = workflow::http(dev.http).peekable();
            while let Some(mut backend) = self.example(*example, secure)? {
                let at = http.next();
                if let (Example::Workflow, Some(worker), Some(at)) = (example, &self.workflow, at) {
                    backend = backend.listener(worker.http(ListenAt::Addr(at), Default::default()));
                }
                let started = backend
                    .registry(config.clone())
                    .listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
                    .advertise(switchboard_backend::Advertise::Auto)
                    .drain(Duration::ZERO, DRAIN_LIMIT)
                    .start()
                    .await;
                match started {
                    Ok(running) => self.backends.push(running),
                    // Another process has the port.
                    Err(Error::Listener { .. }) if http.peek().is_some() => continue,
                    Err(error) => return Err(failed("a backend")(&error)),
                }
                break;
            }
        }
        Ok(())
    }

    /// Stops in the order in which nothing is missed: first the router, which ends its calls while the
    /// backends still answer them, then the backends, which still find the registry, then that.
    pub(super) async fn stop(&mut self) {
        if let Some(router) = self.router.take() {
            within_limit("the router", router.shutdown()).await;
        }
        let mut stopping = tokio::task::JoinSet::new();
        for backend in self.backends.drain(..) {
            stopping.spawn(async move { backend.shutdown().await });
        }
        within_limit("the backends", async { while stopping.join_next().await.is_some() {} }).await;
        if let Some(workflow) = self.workflow.take() {
            within_limit("the workflow engine", workflow.stop()).await;
        }
        if let Some(registry) = self.registry.take() {
            within_limit("the registry", registry.shutdown()).await;
        }
    }

    /// Waits until the router has ended by itself, which it does only when a part of it fails. Cancel-safe.
    pub(super) async fn router_ended(&self) {
        if let Some(router) = &self.router {
            router.ended().await;
        }
    }

    /// Where clients reach the router from this machine.
    pub(super) fn grpc(&self) -> SocketAddr {
        self.router.as_ref().map_or(NOWHERE, |router| reachable(router.grpc_addr()))
    }

    /// Where the workflow engine's HTTP API is reached from this machine, if it runs.
    pub(super) fn http(&self) -> Option<SocketAddr> {
        self.backends.iter().find_map(|backend| backend.listener("http")).map(reachable)
    }

    /// Where the admin API is reached from this machine.
    pub(super) fn admin(&self) -> SocketAddr {
        self.router.as_ref().map_or(NOWHERE, |router| reachable(router.admin_addr()))
    }

    /// Where the registry is reached from this machine.
    pub(super) fn registry(&self) -> SocketAddr {
        self.registry.as_ref().map_or(NOWHERE, |registry| reachable(registry.addr()))
    }

    fn example(&self, example: Example, secure: Option<&Secure>) -> Result<Option<Backend>, Failure> {
        let (backend, service) = match example {
            Example::Echo => (echo_agent::backend(), "agent-echo"),
            Example::Weather => (weather_tool::backend(WeatherTool::default()), "tool-weather"),
            Example::Itinerary => {
                let service = "worker-itinerary";
                let client = secure.map(|secure| secure.client(service)).unwrap_or_default();
                let router = RouterEndpoint::with(&self.grpc().to_string(), client)?;
                (itinerary_worker::backend(router), service)
            }
            Example::Workflow => match &self.workflow {
                Some(worker) => (worker.backend(), workflow::SERVICE),
                None => return Ok(None),
            },
            Example::None => return Ok(None),
        };
        Ok(Some(match secure {
            Some(secure) if example == Example::Workflow => secure.engine(backend, service),
            Some(secure) => secure.backend(backend, service),
            None => backend,
        }))
    }
}

/// The address of what has not started; nothing asks for it.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// All addresses means also loopback, which can be called.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, address.port())),
        _ => address,
    }
}

async fn within_limit<T>(part: &str, stop: impl Future<Output = T>) {
    if tokio::time::timeout(STOP_LIMIT, stop).await.is_err() {
        tracing::warn!(part, limit = ?STOP_LIMIT, "did not stop in time and is cut");
    }
}
