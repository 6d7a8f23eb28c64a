//! The control plane: everything that may wait, on one tokio runtime beside the worker threads.
//!
//! | module | does |
//! |---|---|
//! | `discovery` | answers look-ups, keeps the directory current |
//! | `reads` | reads the registry, remembers for seconds; with `dns`, `instances`, `resolve`, `offers`, `freshness` |
//! | `services` | the router's own gRPC services: lists, registration, health, reflection |
//! | `probes` | asks instances that the registry does not call passing how they are |
//! | `certificates` | hands certificates on when they change; `dial` uses them towards instances |
//! | `registration` | keeps the router itself in the registry |
//! | `admin` | the HTTP port for operators |
//! | `access` | the access log, and what the policy refused |
//! | `policy` | reads tokens, keys and rules again |
//!
//! It meets the data plane in [`crate::link`] only and is never waited for by it.

mod access;
mod admin;
mod certificates;
mod dial;
mod discovery;
mod dns;
mod freshness;
mod instances;
mod offers;
mod policy;
mod probes;
mod reads;
mod registration;
mod resolve;
mod services;

pub(crate) use access::{NOTICE_QUEUE, QUEUE as ACCESS_QUEUE};
pub use admin::probe;
pub(crate) use certificates::Sources;

use crate::{
    config::Config,
    directory::Clock,
    link::{AccessRecord, Lookup, Notice, WorkerLink},
    observe::Metrics,
    policy::PolicySnapshot,
};
use dial::Dial;
use discovery::Discovery;
use freshness::Freshness;
use probes::Probes;
use reads::Reads;
use services::Services;
use std::{io, net::SocketAddr, os::unix::net::UnixStream, sync::Arc, time::Duration};
use switchboard_registry::Client;
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::{interval, timeout},
};

/// How far the router's end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Serving.
    Running,
    /// The end is announced: not ready any more, still serving.
    Draining,
    /// Calls are asked to end: those that would never end by themselves do so now.
    Closing,
}

/// How often a start looks whether the registry has answered.
const READY_LOOK: Duration = Duration::from_millis(10);
/// How long the end of the router waits for its deregistration.
const DEREGISTER_PATIENCE: Duration = Duration::from_secs(2);

/// What the control plane is built of.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) config: Arc<Config>,
    pub(crate) client: Client,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    /// All worker threads.
    pub(crate) workers: Vec<WorkerLink>,
    /// Their look-ups.
    pub(crate) lookups: mpsc::Receiver<Lookup>,
    /// Their sockets to the router's own services.
    pub(crate) local: mpsc::Receiver<UnixStream>,
    /// Their finished calls, where the access log is on.
    pub(crate) access: mpsc::Receiver<AccessRecord>,
    /// What their policy has to tell.
    pub(crate) notices: mpsc::Receiver<Notice>,
    /// The policy that they began with.
    pub(crate) policy: Arc<PolicySnapshot>,
    /// The bound admin port.
    pub(crate) admin: std::net::TcpListener,
    /// The bound address of the gRPC port.
    pub(crate) grpc: SocketAddr,
    /// Where certificates come from.
    pub(crate) certificates: Sources,
    /// Changes when somebody asks for what is on disk to be read again.
    pub(crate) reload: watch::Receiver<()>,
}

/// The running control plane. It ends with its runtime.
#[derive(Debug)]
pub(crate) struct Control {
    phase: watch::Sender<Phase>,
    freshness: Arc<Freshness>,
    registration: JoinHandle<()>,
    /// Owned for their end.
    _tasks: JoinSet<()>,
}

impl Control {
    /// Starts all parts. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The admin port cannot be taken over by the runtime.
    pub(crate) fn start(setup: Setup) -> io::Result<Self> {
        let Setup { config, client, clock, metrics, workers, lookups, local, .. } = setup;
        let Setup { access, notices, policy, admin, grpc, certificates: sources, reload, .. } = setup;
        let (certificates, current) = watch::channel(sources.newest());
        admin::warn_if_exposed(&admin);
        admin.set_nonblocking(true)?;
        let admin = tokio::net::TcpListener::from_std(admin)?;
        let dial = Dial::new(config.calls_by_tls().then_some(current));
        let (phase, phases) = watch::channel(Phase::Running);
        let freshness = Arc::new(Freshness::new(clock));
        let reads = Arc::new(Reads::new(client.clone(), freshness.clone(), &config));
        let (discovery, view, counters) =
            Discovery::new(config.clone(), clock, reads.clone(), workers.clone(), lookups);
        let (policies, policy) = watch::channel(policy);
        let services =
            Arc::new(Services::new(reads.clone(), view.clone(), phases.clone(), clock, dial.clone(), policy));
        let probes = Arc::new(Probes::new(clock, config.probe_interval, dial));
        let shown = admin::Shown {
            config: config.clone(),
            clock,
            freshness: freshness.clone(),
            view: view.clone(),
            counters,
            probes: probes.clone(),
            certificates: sources.clone(),
            metrics: metrics.clone(),
            phase: phases.clone(),
            connections: admin::Connections::default(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(reads.clone().try_dns());
        tasks.spawn(discovery.run());
        tasks.spawn(access::log(access));
        tasks.spawn(sources.clone().publish(workers.clone(), certificates));
        tasks.spawn(sources.attend(reload.clone()));
        tasks.spawn(access::tell(notices));
        tasks.spawn(policy::keep(config.clone(), policies, workers, metrics, reload));
        tasks.spawn(probes.run(view));
        tasks.spawn(services::serve(services, local, config.reflection));
        tasks.spawn(admin::serve(admin, Arc::new(shown)));
        let registration = tokio::spawn(registration::keep(config, client, grpc, phases));
        Ok(Control { phase, freshness, registration, _tasks: tasks })
    }

    /// Waits until `/readyz` would say yes.
    pub(crate) async fn ready(&self) {
        let mut look = interval(READY_LOOK);
        while !self.freshness.ready() {
            look.tick().await;
        }
    }

    /// Announces the end: not ready, health NOT_SERVING, out of the registry. Waits for the latter, but not long.
    pub(crate) async fn drain(&mut self) {
        self.phase.send_replace(Phase::Draining);
        // Either it is done, or the registry's own check will do it.
        let _late = timeout(DEREGISTER_PATIENCE, &mut self.registration).await.is_err();
    }

    /// Ends the calls that would never end by themselves (health Watch).
    pub(crate) fn close(&self) {
        self.phase.send_replace(Phase::Closing);
    }
}
