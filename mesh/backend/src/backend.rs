//! What a backend is, and how it is to be served.

mod healthcheck;
mod limits;
mod repeats;
mod security;

pub use healthcheck::Unhealthy;

use crate::advertise::host_name;
use crate::connection::Door;
use crate::handshake::Intended;
use crate::listener::{Ending, Listener, Opened, Phase};
use crate::presence::{Entry, Presence};
use crate::running::{Drain, Running, Tended};
use crate::server::{self, GrpcService};
use crate::signals::{Signals, on_hangup};
use crate::stack::{self, Metrics, Services, Shared};
use crate::{Advertise, Error, Options, Rights, env};
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use switchboard_policy::Settings;
use switchboard_registry::{
    Client, ClientId, Config, ConnectSource, Description, Intentions, Kind, Parameter,
};
use switchboard_telemetry::Telemetry;
use switchboard_transport::{Loaded, ServerTls, Watched};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tonic::service::RoutesBuilder;
use tower::Layer;
use tracing::{info, warn};

/// Routers see a deregistration within a blocking query's answer; twice what a busy one needs.
const DRAIN_WAIT: Duration = Duration::from_secs(2);
/// Below the 40 s that the compose file grants.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// Describes a backend; [`Backend::serve`] makes a process of it, [`Backend::start`] a part of one.
///
/// Settings that are not made come from the environment, see [`Options`].
#[derive(Debug)]
pub struct Backend {
    kind: Kind,
    name: String,
    default_port: u16,
    description: Description,
    tags: Vec<String>,
    routes: RoutesBuilder,
    services: Vec<&'static str>,
    descriptor_sets: Vec<&'static [u8]>,
    reflection: bool,
    grpc: bool,
    listeners: Vec<Listener>,
    listen: Option<SocketAddr>,
    consul: Option<String>,
    registry: Option<Config>,
    advertise: Option<Advertise>,
    drain: Drain,
    phase: watch::Sender<Phase>,
    log_json: bool,
    tls: Option<ServerTls>,
    tls_source: Option<Watched<Loaded<ServerConfig>>>,
    /// Certificates come from Consul Connect.
    connect: bool,
    policy: Option<Settings>,
    rights: Option<Rights>,
    /// What the flags say of TLS and policy.
    flags: Options,
}

impl Backend {
    /// Describes an agent: `echo` is called as `echo-agent`. Its port is 50052 unless said otherwise.
    pub fn agent(name: &str) -> Self {
        Self::new(Kind::Agent, name, 50052)
    }

    /// Describes a tool: `weather` is called as `weather-tool`. Its port is 50053 unless said otherwise.
    pub fn tool(name: &str) -> Self {
        Self::new(Kind::Tool, name, 50053)
    }

    /// Describes a worker: `itinerary` is called as `itinerary-worker`. Its port is 50054 unless said otherwise.
    pub fn worker(name: &str) -> Self {
        Self::new(Kind::Worker, name, 50054)
    }

    fn new(kind: Kind, name: &str, default_port: u16) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            default_port,
            description: Description { kind: Some(kind), name: name.to_owned(), ..Description::default() },
            tags: Vec::new(),
            routes: RoutesBuilder::default(),
            services: Vec::new(),
            descriptor_sets: vec![switchboard_proto::DESCRIPTOR_SET],
            reflection: true,
            grpc: true,
            listeners: Vec::new(),
            listen: None,
            consul: None,
            registry: None,
            advertise: None,
            drain: Drain { wait: DRAIN_WAIT, limit: DRAIN_LIMIT },
            phase: watch::Sender::new(Phase::Serving),
            log_json: false,
            tls: None,
            tls_source: None,
            connect: false,
            policy: None,
            rights: None,
            flags: Options::default(),
        }
    }

    /// Sets the name that people read; the name of the ID unless set.
    pub fn display_name(mut self, name: impl Into<String>) -> Self {
        self.description.name = name.into();
        self
    }

    /// Says in a sentence what the backend does.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description.description = text.into();
        self
    }

    /// Says in paragraphs what the backend does.
    pub fn detailed_description(mut self, text: impl Into<String>) -> Self {
        self.description.detailed_description = text.into();
        self
    }

    /// Says how the backend comes to its answers.
    pub fn how_it_works(mut self, text: impl Into<String>) -> Self {
        self.description.how_it_works = text.into();
        self
    }

    /// Says what an answer looks like.
    pub fn return_format(mut self, text: impl Into<String>) -> Self {
        self.description.return_format = text.into();
        self
    }

    /// Says what the backend is good for, one use per text.
    pub fn use_cases(mut self, uses: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.description.use_cases = uses.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the version that `echo-agent@<version>` selects.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.description.version = version.into();
        self
    }

    /// Names what the backend can do; each becomes a tag, too.
    pub fn capabilities(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.description.capabilities = names.into_iter().map(Into::into).collect();
        self
    }

    /// Describes the parameters that calls take.
    pub fn parameters(mut self, parameters: impl IntoIterator<Item = Parameter>) -> Self {
        self.description.parameters = parameters.into_iter().collect();
        self
    }

    /// Says how many calls an instance takes at the same time; routers balance by it. No limit unless set.
    pub fn max_concurrency(mut self, calls: u32) -> Self {
        self.description.max_concurrency = Some(calls);
        self
    }

    /// Adds tags beside kind, name, capabilities and `instance:<host>`.
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Adds a gRPC service. Its name goes into the registry, so that routers can find the backend by it,
    /// and gets a health of its own.
    pub fn add_service<S: GrpcService>(mut self, service: S) -> Self {
        self.routes.add_service(service);
        self.services.push(S::NAME);
        self.description.grpc_services.push(S::NAME.to_owned());
        self
    }

    /// Adds an encoded `FileDescriptorSet` for reflection, for services that are not in `switchboard-proto`.
    pub fn descriptor_set(mut self, encoded: &'static [u8]) -> Self {
        self.descriptor_sets.push(encoded);
        self
    }

    /// Switches reflection (v1) on or off; it is on unless said otherwise.
    pub fn reflection(mut self, on: bool) -> Self {
        self.reflection = on;
        self
    }

    /// Switches gRPC on or off; it is on unless said otherwise. Without it the backend is not registered either, because
    /// routers speak nothing else, and is there for its other listeners alone.
    pub fn grpc(mut self, on: bool) -> Self {
        self.grpc = on;
        self
    }

    /// Adds a listener beside that of gRPC.
    pub fn listener(mut self, listener: Listener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Sets the port that is listened on when nothing else is said.
    pub fn default_port(mut self, port: u16) -> Self {
        self.default_port = port;
        self
    }

    /// Sets the address to listen on; port 0 takes a free one.
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.listen = Some(addr);
        self
    }

    /// Sets the registry.
    pub fn registry(mut self, config: Config) -> Self {
        self.registry = Some(config);
        self
    }

    /// Sets the address to register.
    pub fn advertise(mut self, advertise: Advertise) -> Self {
        self.advertise = Some(advertise);
        self
    }

    /// Sets how long calls are still taken after deregistration (2 s unless set), and after that how long
    /// running ones may take to end (30 s unless set).
    pub fn drain(mut self, wait: Duration, limit: Duration) -> Self {
        self.drain = Drain { wait, limit };
        self
    }

    /// Tells when the backend stops taking calls. Streams that do not end by themselves should end then: they are waited for
    /// as long as any call is, and cut after that.
    pub fn ending(&self) -> Ending {
        Ending(self.phase.subscribe())
    }

    /// Applies flags, above all that was set before.
    pub fn options(mut self, options: Options) -> Self {
        self.flags = options.clone();
        let Options { listen, consul, advertise, drain, log_json, .. } = options;
        self.listen = listen.or(self.listen);
        self.consul = consul.or(self.consul);
        self.advertise = advertise.or(self.advertise);
        self.drain.limit = drain.unwrap_or(self.drain.limit);
        self.log_json |= log_json;
        self
    }

    /// Serves as a process does: sets up logs, serves until SIGTERM or SIGINT, then leaves without failing a call.
    ///
    /// # Errors
    /// Those of [`Backend::start`]; [`Error::Interrupted`] when a second signal comes before all is drained.
    pub async fn serve(self) -> Result<(), Error> {
        let id = self.id()?.to_string();
        switchboard_telemetry::init(Telemetry {
            json: self.log_json,
            filter: env::log_filter(),
            ..Telemetry::new(id.as_str())
        });
        stack::log_panics();
        let mut signals = Signals::install()?;
        let services = self.services.join(", ");
        let version = self.description.version.clone();
        // Certificates of Consul Connect are waited for.
        let (running, registry) = tokio::select! {
            started = self.start_with_registry() => started?,
            _ = signals.next() => return Ok(()),
        };
        for (name, addr) in &running.listeners {
            info!("{name} on {addr}");
        }
        match running.presence {
            Some(_) => info!(
                version,
                instance = running.instance(),
                "{services} on {}, registering with {registry}; call it as {id:?}",
                running.addr(),
            ),
            None => info!(version, "gRPC is off: {id} is not registered"),
        }
        let files = running.files.clone();
        let _reloading = Tended(tokio::spawn(on_hangup(move || {
            info!("SIGHUP: looking at certificates, tokens and policy");
            files.reload();
        })?));
        let signal = signals.next().await;
        info!("{signal}: leaving; a second signal ends the process at once");
        // Dropping the shutdown cuts the calls, which is what the second signal asks for.
        tokio::select! {
            _ = running.shutdown() => Ok(()),
            signal = signals.next() => {
                warn!("second signal {signal}: calls that still run are cut");
                Err(Error::Interrupted)
            }
        }
    }

    /// Listens, serves and registers in the background. It neither sets up logs nor waits for signals, so
    /// that a process can run several. The registry need not be reachable.
    ///
    /// # Errors
    /// A setting cannot be used, or the address cannot be listened on.
    pub async fn start(self) -> Result<Running, Error> {
        Ok(self.start_with_registry().await?.0)
    }

    async fn start_with_registry(self) -> Result<(Running, String), Error> {
        let id = self.id()?;
        let config = match (self.consul, self.registry) {
            (None, Some(config)) => config,
            (flag, _) => env::registry(flag.as_deref())?,
        };
        let advertise = self.advertise.map_or_else(env::advertise, Ok)?;
        let listen = self.listen.map_or_else(|| env::listen(self.kind, self.default_port), Ok)?;
        let registry = config.address.clone();
        let client = Client::new(config)?;
        let (source, intended) = match env::connect(&self.flags, self.connect)? {
            None => (self.tls_source, None),
            Some(auth) => {
                let connect = ConnectSource::start(client.clone(), id.service());
                let intended = Intended::new(Intentions::new(client.clone()), id.service());
                (Some(connect.listener(auth).await?), Some(intended))
            }
        };
        let files = security::files(self.tls, source, self.policy, &self.flags)?;
        if let Some(rights) = &self.rights {
            rights.follow(files.gate.clone());
        }
        let speaks_tls = files.tls.is_some();

        let sets = self.reflection.then_some(self.descriptor_sets.as_slice());
        let (routes, health) = server::complete(self.routes, self.services, sets).await?;
        // All addresses are held before anything is served.
        let (grpc, addr) = match self.grpc {
            true => {
                let unusable = |source| Error::Listen { addr: listen, source };
                let listener = TcpListener::bind(listen).await.map_err(unusable)?;
                let addr = listener.local_addr().map_err(unusable)?;
                (Some(listener), addr)
            }
            false => (None, listen),
        };
        let mut bound = Vec::with_capacity(self.listeners.len());
        for listener in self.listeners {
            let addr = listener.at.beside(listen.ip());
            let unusable = |source| Error::Listener { name: listener.name, addr, source };
            let socket = TcpListener::bind(addr).await.map_err(unusable)?;
            let addr = socket.local_addr().map_err(unusable)?;
            bound.push((listener, socket, addr));
        }
        let listeners = bound.iter().map(|(listener, _, addr)| (listener.name, *addr)).collect();

        let (alive, connections_alive) = watch::channel(());
        let (stop, stopped) = oneshot::channel();
        let metrics = Arc::new(Metrics::default());
        let shared =
            Arc::new(Shared { id: id.to_string(), gate: files.gate.clone(), metrics: metrics.clone() });
        let counts = metrics.handshakes.clone();
        let door = Door { tls: files.tls.clone(), intended, counts, alive: connections_alive };
        let layer = stack::layer(shared.clone());
        let services = Services::new(layer.layer(routes.clone()), shared);
        let mut serving = JoinSet::new();
        if let Some(listener) = grpc {
            // Ends with `stop`; a dropped `stop` counts as one, so that no server outlives its `Running`.
            let server = server::server()
                .layer(layer)
                .add_routes(routes)
                .serve_with_incoming_shutdown(door.clone().grpc(listener), async {
                    stopped.await.unwrap_or(())
                });
            serving.spawn(async { drop(server.await) });
        }
        for (listener, socket, _) in bound {
            let opened = Opened {
                incoming: door.clone().http(socket, listener.max_connections),
                services: services.clone(),
                metrics: metrics.clone(),
                ending: Ending(self.phase.subscribe()),
            };
            serving.spawn(listener.serve(opened));
        }
        let tended = Tended(tokio::spawn(files.clone().tend()));

        let (service, host) = (id.service(), host_name());
        let instance = format!("{service}-{host}-{}", addr.port());
        let own_tags = [id.kind.as_str().to_owned(), id.name.clone()];
        let wanted = own_tags.into_iter().chain(self.description.capabilities.clone()).chain(self.tags);
        let mut tags: Vec<String> = Vec::new();
        for tag in wanted.chain([format!("instance:{host}")]) {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        let entry = Entry {
            service,
            instance: instance.clone(),
            tags,
            meta: self.description.encode(),
            advertise,
            listen: addr,
            tls: speaks_tls,
        };
        let presence = self.grpc.then(|| Presence::keep(client, entry));
        let id = id.to_string();
        let running = Running {
            id,
            instance,
            addr,
            presence,
            health,
            drain: self.drain,
            stop,
            alive,
            serving,
            listeners,
            phase: self.phase,
            files,
            metrics,
            _tended: tended,
        };
        Ok((running, registry))
    }

    fn id(&self) -> Result<ClientId, Error> {
        let refuse = |source| Error::Name { name: self.name.clone(), source };
        // Only this checks the name; a name that itself ends in a kind is still one of ours.
        ClientId::parse(&format!("{}-{}", self.name, self.kind), None).map_err(refuse)
    }
}
