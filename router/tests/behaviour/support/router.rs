//! The router's data plane with a control plane that answers from a table.

use super::until;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};
use switchboard_router::{
    Config,
    directory::{Clock, Directory, Endpoint, Hedge, Limits, Load, Service, Strategy, Usage, nearest},
    link::{Certificates, ControlLink, Lookup, Notice, Update, WorkerLink},
    observe::Metrics,
    policy::PolicySnapshot,
    route::RouteTable,
    worker::{self, Setup, Worker},
};
use tokio::sync::mpsc;

/// How long the worker threads may take to end; they give clients 500 ms.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A running data plane. Dropping it stops it.
pub(crate) struct TestRouter {
    pub(crate) addr: SocketAddr,
    config: Arc<Config>,
    policy: Mutex<Arc<PolicySnapshot>>,
    table: Arc<Mutex<Table>>,
    metrics: Arc<Metrics>,
    workers: Vec<Worker>,
    /// Sockets on which the router calls its own services.
    local: tokio::sync::Mutex<mpsc::Receiver<UnixStream>>,
    /// What the policy has to tell people.
    told: Mutex<mpsc::Receiver<Notice>>,
}

/// An instance as the table holds it.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) addr: SocketAddr,
    pub(crate) version: Option<&'static str>,
    pub(crate) capacity: u32,
    pub(crate) weight: u32,
}

impl Instance {
    pub(crate) fn new(id: &str, addr: SocketAddr) -> Self {
        Instance { id: id.to_owned(), addr, version: None, capacity: 0, weight: 1 }
    }

    /// Meta `max_concurrency`.
    pub(crate) fn capacity(self, capacity: u32) -> Self {
        Instance { capacity, ..self }
    }

    /// Meta `weight`.
    pub(crate) fn weight(self, weight: u32) -> Self {
        Instance { weight, ..self }
    }

    pub(crate) fn version(self, version: &'static str) -> Self {
        Instance { version: Some(version), ..self }
    }
}

/// How the control plane answers look-ups of names that are not in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The registry does not know them.
    Missing,
    /// The registry cannot be asked.
    Failed,
    /// No answer.
    Silence,
}

struct Table {
    services: BTreeMap<String, Vec<Instance>>,
    grpc_services: HashMap<String, String>,
    /// Names that were looked up: only these are published, as with the real control plane.
    wanted: HashSet<Lookup>,
    lookups: Vec<Lookup>,
    otherwise: Reply,
    loads: HashMap<(String, SocketAddr), Arc<Load>>,
    usage: HashMap<String, Arc<Usage>>,
    idempotent: HashSet<String>,
    limits: HashMap<String, Arc<Limits>>,
    strategies: HashMap<String, Strategy>,
    hedge: HashMap<String, Hedge>,
    fresh_until_ms: u64,
    links: Vec<WorkerLink>,
}

impl TestRouter {
    /// One worker thread, short waits.
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// As `start`, with a configuration of the test's own.
    pub(crate) async fn with(adjust: impl FnOnce(&mut Config)) -> Self {
        Self::secured(Certificates::default(), adjust).await
    }

    /// As `with`, with certificates for what the configuration has speak TLS.
    pub(crate) async fn secured(certificates: Certificates, adjust: impl FnOnce(&mut Config)) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut config = Config::new(any, any, switchboard_registry::Config::default());
        config.workers = 1;
        config.no_endpoint_wait = Duration::from_millis(150);
        config.drain_goaway_gap = Duration::from_secs(5);
        adjust(&mut config);
        let listener = TcpListener::bind(any).expect("loopback has ports");
        let addr = listener.local_addr().expect("it is bound");
        let (lookups, mut asked) = mpsc::channel(64);
        let (local, sockets) = mpsc::channel(8);
        let (notices, told) = mpsc::channel(64);
        let policy =
            Arc::new(PolicySnapshot::load(&config, None, None).expect("the policy's files are good"));
        let metrics = Arc::new(Metrics::default());
        let routes = RouteTable::from_descriptor_set(switchboard_proto::DESCRIPTOR_SET);
        let config = Arc::new(config);
        let setup = Setup {
            config: config.clone(),
            clock: Clock::start(),
            control: ControlLink { lookups, local, access: None, notices },
            metrics: metrics.clone(),
            routes: Arc::new(routes.expect("the contract has valid routes")),
            certificates,
            policy: policy.clone(),
        };
        let workers = worker::spawn_all(&setup, listener).expect("threads can be made");
        let table = Arc::new(Mutex::new(Table {
            services: BTreeMap::new(),
            grpc_services: HashMap::new(),
            wanted: HashSet::new(),
            lookups: Vec::new(),
            otherwise: Reply::Missing,
            loads: HashMap::new(),
            usage: HashMap::new(),
            idempotent: HashSet::new(),
            limits: HashMap::new(),
            strategies: HashMap::new(),
            hedge: HashMap::new(),
            fresh_until_ms: u64::MAX,
            links: workers.iter().map(|worker| worker.link.clone()).collect(),
        }));
        let answers = table.clone();
        tokio::spawn(async move {
            while let Some(lookup) = asked.recv().await {
                locked(&answers).answer(lookup);
            }
        });
        TestRouter {
            addr,
            config,
            policy: Mutex::new(policy),
            table,
            metrics,
            workers,
            local: tokio::sync::Mutex::new(sockets),
            told: Mutex::new(told),
        }
    }

    /// Sets a service's healthy instances, by address.
    pub(crate) fn set(&self, service: &str, addrs: &[SocketAddr]) {
        let instance =
            |(index, addr): (usize, &SocketAddr)| Instance::new(&format!("{service}-{index}"), *addr);
        self.set_instances(service, addrs.iter().enumerate().map(instance).collect());
    }

    /// Sets a service's healthy instances.
    pub(crate) fn set_instances(&self, service: &str, instances: Vec<Instance>) {
        let mut table = locked(&self.table);
        table.services.insert(service.to_owned(), instances);
        table.publish();
    }

    /// Sets a service's healthy instances, by address, for the next look-up to find.
    pub(crate) fn set_unseen(&self, service: &str, addrs: &[SocketAddr]) {
        let instance =
            |(index, addr): (usize, &SocketAddr)| Instance::new(&format!("{service}-{index}"), *addr);
        let instances = addrs.iter().enumerate().map(instance).collect();
        locked(&self.table).services.insert(service.to_owned(), instances);
    }

    /// Removes a service from the registry.
    pub(crate) fn remove(&self, service: &str) {
        let mut table = locked(&self.table);
        table.services.remove(service);
        table.publish();
    }

    /// Says which service offers a gRPC service.
    pub(crate) fn set_grpc(&self, grpc_service: &str, service: &str) {
        let mut table = locked(&self.table);
        table.grpc_services.insert(grpc_service.to_owned(), service.to_owned());
        table.publish();
    }

    /// Declares a service's calls idempotent, as meta `idempotent=true` does.
    pub(crate) fn set_idempotent(&self, service: &str) {
        let mut table = locked(&self.table);
        table.idempotent.insert(service.to_owned());
        table.publish();
    }

    /// Sets what a service's calls are held to, as its meta does.
    pub(crate) fn set_limits(&self, service: &str, limits: Limits) {
        let mut table = locked(&self.table);
        table.limits.insert(service.to_owned(), Arc::new(limits));
        table.publish();
    }

    /// Sets how a service's instances are picked: meta `balance`.
    pub(crate) fn set_balance(&self, service: &str, balance: &str) {
        let mut table = locked(&self.table);
        table.strategies.insert(service.to_owned(), Strategy::parse(balance));
        table.publish();
    }

    /// Has slow calls of a service hedged, as meta `hedge` does.
    pub(crate) fn set_hedge(&self, service: &str, hedge: Hedge) {
        let mut table = locked(&self.table);
        table.hedge.insert(service.to_owned(), hedge);
        table.publish();
    }

    /// Sets how look-ups of what is not in the table are answered.
    pub(crate) fn otherwise(&self, reply: Reply) {
        locked(&self.table).otherwise = reply;
    }

    /// Answers a look-up that was left open, whatever the table says.
    pub(crate) fn send(&self, update: impl Fn() -> Update) {
        for worker in &self.workers {
            assert!(worker.link.send(update()), "a worker thread ended");
        }
    }

    /// Has the worker threads take the files of tokens, keys and rules as they are now.
    pub(crate) fn reload_policy(&self) {
        let mut policy = self.policy.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = PolicySnapshot::load(&self.config, None, Some(&policy));
        *policy = Arc::new(loaded.expect("the files are good"));
        self.send(|| Update::Policy(policy.clone()));
    }

    /// The policy's next notice.
    pub(crate) async fn notice(&self) -> Notice {
        let mut next = None;
        until(true, || {
            next = next
                .take()
                .or_else(|| self.told.lock().unwrap_or_else(PoisonError::into_inner).try_recv().ok());
            next.is_some()
        })
        .await;
        next.expect("it is there")
    }

    /// Publishes the directory again, unchanged.
    pub(crate) fn publish(&self) {
        locked(&self.table).publish();
    }

    /// Sets until when published services count as fresh, in ms of the router clock.
    pub(crate) fn fresh_until(&self, ms: u64) {
        locked(&self.table).fresh_until_ms = ms;
    }

    /// How often a service was looked up.
    pub(crate) fn lookups(&self, service: &str) -> usize {
        let asked = Lookup::Service(service.into());
        locked(&self.table).lookups.iter().filter(|lookup| **lookup == asked).count()
    }

    /// Streams that the router counts open at an instance.
    pub(crate) fn open_at(&self, id: &str, addr: SocketAddr) -> u32 {
        locked(&self.table).loads.get(&(id.to_owned(), addr)).map_or(0, |load| load.open())
    }

    /// The socket on which the router calls its own services.
    pub(crate) async fn local_socket(&self) -> tokio::net::UnixStream {
        let socket = self.local.lock().await.recv().await.expect("the worker thread runs");
        socket.set_nonblocking(true).expect("the socket is open");
        tokio::net::UnixStream::from_std(socket).expect("the socket is open")
    }

    /// A metric's value now: its name, with labels if it has any; 0 if it is not there.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let mut text = String::new();
        self.metrics.render(&mut text);
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        line.unwrap_or(0)
    }

    /// Waits until nothing is left of any call.
    pub(crate) async fn settled(&self) {
        until((0, 0, 0), || {
            (
                self.metric("switchboard_calls_in_flight"),
                self.metric("switchboard_calls_parked"),
                self.metric("switchboard_calls_queued"),
            )
        })
        .await;
        let open = || locked(&self.table).loads.values().map(|load| load.open()).sum::<u32>();
        until(0, open).await;
    }
}

fn locked(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Table {
    fn answer(&mut self, lookup: Lookup) {
        self.lookups.push(lookup.clone());
        let known = match &lookup {
            Lookup::Service(name) => self.services.contains_key(&**name),
            Lookup::GrpcService(name) => self.grpc_services.contains_key(&**name),
        };
        self.wanted.insert(lookup.clone());
        if known {
            return self.publish();
        }
        match self.otherwise {
            Reply::Silence => {}
            Reply::Missing => {
                self.publish();
                let mut catalog: Vec<Arc<str>> =
                    self.services.keys().map(|name| name.as_str().into()).collect();
                catalog.sort_unstable();
                let nearest: Arc<[String]> = match &lookup {
                    Lookup::Service(name) => nearest(name, &catalog).into(),
                    Lookup::GrpcService(_) => Arc::default(),
                };
                self.send(|| Update::Missing(lookup.clone(), nearest.clone()));
            }
            Reply::Failed => self.send(|| Update::LookupFailed(lookup.clone(), "connection refused".into())),
        }
    }

    fn send(&self, update: impl Fn() -> Update) {
        for link in &self.links {
            link.send(update());
        }
    }

    fn publish(&mut self) {
        let directory = Arc::new(self.directory());
        self.send(|| Update::Snapshot(directory.clone()));
    }

    fn directory(&mut self) -> Directory {
        let mut directory = Directory::default();
        let mut names: HashSet<String> = HashSet::new();
        for lookup in &self.wanted {
            match lookup {
                Lookup::Service(name) => {
                    names.insert(name.to_string());
                }
                Lookup::GrpcService(name) => {
                    if let Some(service) = self.grpc_services.get(&**name) {
                        names.insert(service.clone());
                        directory.grpc_services.insert(name.clone(), service.as_str().into());
                    }
                }
            }
        }
        for name in names {
            let Some(instances) = self.services.get(&name) else { continue };
            let service: Arc<str> = name.as_str().into();
            let endpoints: Vec<Arc<Endpoint>> = instances
                .iter()
                .map(|instance| {
                    let load = self.loads.entry((instance.id.clone(), instance.addr)).or_default();
                    Arc::new(Endpoint {
                        instance: instance.id.as_str().into(),
                        service: service.clone(),
                        addr: instance.addr,
                        version: instance.version.map(Arc::from),
                        capacity: instance.capacity,
                        weight: instance.weight,
                        load: load.clone(),
                    })
                })
                .collect();
            let idempotent = self.idempotent.contains(&name);
            let entry = Service {
                idempotent,
                hedge: self.hedge.get(&name).copied(),
                name: service.clone(),
                known: endpoints.len(),
                last_seen: Some(SystemTime::now()),
                fresh_until_ms: self.fresh_until_ms,
                uniform: endpoints.iter().all(|one| one.weight == endpoints[0].weight),
                strategy: self.strategies.get(&name).cloned().unwrap_or_default(),
                limits: self.limits.get(&name).cloned(),
                usage: self.usage.entry(name).or_default().clone(),
                endpoints,
            };
            directory.services.insert(service, Arc::new(entry));
        }
        directory
    }
}

impl Drop for TestRouter {
    fn drop(&mut self) {
        for worker in &self.workers {
            worker.link.send(Update::Stop);
        }
        let began = Instant::now();
        for worker in self.workers.drain(..) {
            while !worker.thread.is_finished() && began.elapsed() < STOP_LIMIT {
                std::thread::yield_now();
            }
            let finished = worker.thread.is_finished();
            let panicked = finished && worker.thread.join().is_err();
            if !std::thread::panicking() {
                assert!(finished, "a worker thread does not stop");
                assert!(!panicked, "a worker thread panicked");
            }
        }
    }
}
