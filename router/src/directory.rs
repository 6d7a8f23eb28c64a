//! Step 6: the directory, an immutable snapshot of what the registry knows.
//!
//! The control plane builds a new [`Directory`] whenever something changed and sends it to every worker
//! thread; a worker swaps it between two loop turns, so endpoints, health and weights of one pick always
//! come from one snapshot. What must survive a swap (open streams, connect failures, time of last use) lives
//! behind the `Arc`s of [`Load`] and [`Usage`], which the builder carries over by instance and service.
//! Nothing here talks to the registry.

mod nearest;

pub use crate::balance::Load;
pub use nearest::nearest;
pub use switchboard_registry::{Hedge, Limits};

use crate::call::{Budget, Delay};

use foldhash::HashMap;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::SystemTime,
};

/// Least time between two reads of a service that are due to calls which reach none of its instances.
const REREAD_MS: u64 = 1_000;

/// The registry as of one moment. Bounded by the control plane: at most
/// [`crate::config::Config::max_services`] services are held at a time.
#[derive(Debug, Default)]
pub struct Directory {
    /// Services by Consul name (`agent-echo`), those that were asked for.
    pub services: HashMap<Arc<str>, Arc<Service>>,
    /// Full gRPC service name (`demo.EchoBidi`) -> Consul service that registered it (routing rule (c)).
    pub grpc_services: HashMap<Arc<str>, Arc<str>>,
}

/// One service and its instances.
#[derive(Debug, Clone)]
pub struct Service {
    /// Consul name, `agent-echo`.
    pub name: Arc<str>,
    /// Healthy instances, those that may be picked.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Instances registered, healthy or not.
    pub known: usize,
    /// When the last healthy instance was seen; `None` if never.
    pub last_seen: Option<SystemTime>,
    /// Router clock ([`Clock`]) in ms after which the entry should be read again; `u64::MAX` while a watch keeps
    /// it fresh.
    pub fresh_until_ms: u64,
    /// Whether all weights are equal.
    pub uniform: bool,
    /// How instances are picked: meta `balance`.
    pub strategy: Strategy,
    /// Whether a call may be sent twice: meta `idempotent`.
    pub idempotent: bool,
    /// What its calls are held to instead of the router's settings; `None` if its meta says nothing of it.
    pub limits: Option<Arc<Limits>>,
    /// Whether and when slow calls are sent to a second instance as well, if they may be sent twice: meta `hedge`.
    pub hedge: Option<Hedge>,
    /// Use by calls, shared by all snapshots.
    pub usage: Arc<Usage>,
}

/// How the instances of a service are picked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Strategy {
    /// `p2c`: two at random, the cheaper one.
    #[default]
    P2c,
    /// `round_robin`: each in turn.
    RoundRobin,
    /// `least_request`: the cheapest of all.
    LeastRequest,
    /// `affinity:<header>`: calls with the same value of a request header go to the same instance.
    Affinity(Arc<str>),
}

impl Strategy {
    /// Reads meta `balance`; what is not understood is [`Strategy::P2c`].
    pub fn parse(text: &str) -> Self {
        match text.trim() {
            "round_robin" => Strategy::RoundRobin,
            "least_request" => Strategy::LeastRequest,
            text => match text.strip_prefix("affinity:") {
                Some(header) if !header.is_empty() => Strategy::Affinity(header.to_ascii_lowercase().into()),
                _ => Strategy::P2c,
            },
        }
    }
}

/// One healthy instance, resolved to an address.
#[derive(Debug)]
pub struct Endpoint {
    /// The registry's instance ID.
    pub instance: Arc<str>,
    /// Consul name of its service.
    pub service: Arc<str>,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Meta `version`, which `echo-agent@v2` selects.
    pub version: Option<Arc<str>>,
    /// Streams that it takes at the same time (meta `max_concurrency`); 0 = no limit.
    pub capacity: u32,
    /// Its share of calls beside the others': meta `weight`, else the registry's.
    pub weight: u32,
    /// Load and failures, shared by all snapshots that hold this instance at this address.
    pub load: Arc<Load>,
}

/// When a service was last called; lets the control plane end watches that nobody uses.
#[derive(Debug, Default)]
pub struct Usage {
    last_ms: AtomicU64,
    turn: AtomicUsize,
    calls: AtomicU32,
    reread_ms: AtomicU64,
    /// What second attempts may cost.
    pub(crate) retries: Budget,
    /// When a tracked hedge is due.
    pub(crate) answers: Delay,
}

impl Usage {
    /// Notes a call at `now_ms` of the router clock.
    pub fn touch(&self, now_ms: u64) {
        self.last_ms.store(now_ms, Relaxed);
    }

    /// Counts a call of a service that limits them, unless `most` are in flight; each pairs with one [`Usage::ended`].
    pub(crate) fn begin(&self, most: u32) -> bool {
        self.calls.fetch_update(Relaxed, Relaxed, |calls| (calls < most).then_some(calls + 1)).is_ok()
    }

    /// Calls that are counted so now.
    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Relaxed)
    }

    /// Counts the end of such a call.
    pub(crate) fn ended(&self) {
        self.calls.fetch_sub(1, Relaxed);
    }

    /// Whether the registry is to be asked again on behalf of calls that reach no instance: once a second, over all
    /// worker threads.
    pub(crate) fn may_reread(&self, now_ms: u64) -> bool {
        let last = self.reread_ms.load(Relaxed);
        (last == 0 || now_ms >= last + REREAD_MS)
            && self.reread_ms.compare_exchange(last, now_ms, Relaxed, Relaxed).is_ok()
    }

    /// Numbers the picks of [`Strategy::RoundRobin`], over all worker threads.
    pub(crate) fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Relaxed)
    }

    /// Router clock in ms of the last call; 0 if there was none.
    pub fn last_ms(&self) -> u64 {
        self.last_ms.load(Relaxed)
    }
}

/// Milliseconds since the router started: the one clock of data and control plane.
#[derive(Debug, Clone, Copy)]
pub struct Clock(std::time::Instant);

impl Clock {
    /// Starts the clock at 1 ms (0 means "never" in [`Usage`] and [`Load`]).
    pub fn start() -> Self {
        Clock(std::time::Instant::now())
    }

    /// Milliseconds since the start, plus one.
    pub fn now_ms(&self) -> u64 {
        self.now_us() / 1_000
    }

    /// Microseconds since the start, plus a thousand.
    pub fn now_us(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX - 1_000) + 1_000
    }
}
