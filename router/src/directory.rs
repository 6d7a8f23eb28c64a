//! Step 6: the directory, an immutable snapshot of what the registry knows.
//!
//! The control plane builds a new [`Directory`] whenever something changed and sends it to every worker
//! thread; a worker swaps it between two loop turns, so endpoints, health and weights of one pick always
//! come from one snapshot. What must survive a swap (open streams, connect failures, time of last use) lives
//! behind the `Arc`s of [`Load`] and [`Usage`], which the builder carries over by instance and service.
//! Nothing here talks to the registry.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};

/// The registry as of one moment. Bounded by the control plane: at most
/// [`crate::config::Config::max_services`] services are held at a time.
#[derive(Debug, Default)]
pub struct Directory {
    /// Services by Consul name (`agent-echo`), those that were asked for.
    pub services: HashMap<Arc<str>, Arc<Service>>,
    /// Full gRPC service name (`demo.EchoBidi`) -> Consul service that registered it (routing rule (c)).
    pub grpc_services: HashMap<Arc<str>, Arc<str>>,
    /// Names of all services in the catalogue, sorted; for "did you mean".
    pub catalog: Arc<[Arc<str>]>,
}

/// One service and its instances.
#[derive(Debug)]
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
    /// Use by calls, shared by all snapshots.
    pub usage: Arc<Usage>,
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
    /// Load and failures, shared by all snapshots that hold this instance at this address.
    pub load: Arc<Load>,
}

/// When a service was last called; lets the control plane end watches that nobody uses.
#[derive(Debug, Default)]
pub struct Usage {
    last_ms: AtomicU64,
}

impl Usage {
    /// Notes a call at `now_ms` of the router clock.
    pub fn touch(&self, now_ms: u64) {
        self.last_ms.store(now_ms, Relaxed);
    }

    /// Router clock in ms of the last call; 0 if there was none.
    pub fn last_ms(&self) -> u64 {
        self.last_ms.load(Relaxed)
    }
}

/// Back-off after a failed connect: defaults.md 4.1 (Linkerd's 100 ms doubling, capped at 10 s).
const DOWN_FIRST_MS: u64 = 100;
const DOWN_MAX_MS: u64 = 10_000;

/// What all worker threads know of one instance: streams open now, and whether the last connect failed.
#[derive(Debug, Default)]
pub struct Load {
    open: AtomicU32,
    failures: AtomicU32,
    down_until_ms: AtomicU64,
}

impl Load {
    /// Streams open at this instance over all worker threads.
    pub fn open(&self) -> u32 {
        self.open.load(Relaxed)
    }

    /// Counts a stream that was opened; every call pairs with one [`Load::closed`].
    pub fn opened(&self) {
        self.open.fetch_add(1, Relaxed);
    }

    /// Counts the end of a stream.
    pub fn closed(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    /// Notes a failed connect: the instance is not picked until its back-off is over (100 ms, doubled each
    /// time, at most 10 s), unless all instances of the service are in that state.
    pub fn connect_failed(&self, now_ms: u64) {
        let failures = self.failures.fetch_add(1, Relaxed).min(16);
        let pause = (DOWN_FIRST_MS << failures).min(DOWN_MAX_MS);
        self.down_until_ms.store(now_ms + pause, Relaxed);
    }

    /// Notes that a connection is up: the instance may be picked at once.
    pub fn connected(&self) {
        self.failures.store(0, Relaxed);
        self.down_until_ms.store(0, Relaxed);
    }

    /// Whether a connect failed and its back-off is not over.
    pub fn is_down(&self, now_ms: u64) -> bool {
        now_ms < self.down_until_ms.load(Relaxed)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_connect_backs_off_doubling_and_a_good_one_clears_it() {
        let load = Load::default();
        load.connect_failed(1_000);
        assert!(load.is_down(1_099) && !load.is_down(1_100));
        load.connect_failed(2_000);
        assert!(load.is_down(2_199) && !load.is_down(2_200));
        for _ in 0..40 {
            load.connect_failed(3_000);
        }
        assert!(load.is_down(12_999) && !load.is_down(13_000));
        load.connected();
        assert!(!load.is_down(3_001));
    }
}
