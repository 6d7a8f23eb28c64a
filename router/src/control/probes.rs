//! Active probes: instances that the registry does not call passing are asked by the router itself how they are.
//!
//! A registry's check can be wrong: it sticks after a redeployment, or asks the wrong port (complaint 16). What
//! `grpc.health.v1.Health/Check` answers (by TLS where calls go by TLS) is shown in `/endpoints`, `/metrics` and `switchboard top`,
//! and a check that stays wrong is logged once. It changes no routing. The registry alone says who may be called: a check is
//! also how an operator takes an instance out, and routers that each trust their own eyes would disagree.
//!
//! Cost: at most [`AT_ONCE`] connections for at most [`PATIENCE`] each, and [`MAX_PROBED`] addresses in all. If all of
//! them are silent, a round takes a minute instead of `probe_interval`.

use super::{dial::Dial, discovery::View};
use crate::directory::Clock;
use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use switchboard_registry::Status;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// Probes under way: some file descriptors, and no burst of connects.
const AT_ONCE: usize = 16;
/// Addresses that are probed; of more, those of the services that were called last.
const MAX_PROBED: usize = 1_000;
/// Members of the mesh are one hop apart: as for connects of calls.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often what is due is looked for.
const LOOK: Duration = Duration::from_millis(250);
/// A newly critical instance is asked within this time, not all of them at the same moment.
const FIRST_MS: u64 = 1_000;
/// Answers SERVING in a row that make a wrong check of one that is merely late: Consul asks every 5 s.
const WRONG_AFTER: u32 = 3;
/// An answer is two bytes.
const MAX_ANSWER_BYTES: usize = 1_024;

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Found {
    /// Nothing yet.
    Never,
    Serving,
    NotServing,
    /// It answers gRPC, but not the question for its health.
    Unimplemented,
    /// No connection, no HTTP/2, or no answer in time.
    Unreachable,
}

impl Found {
    pub(super) const ALL: [Self; 5] =
        [Self::Never, Self::Serving, Self::NotServing, Self::Unimplemented, Self::Unreachable];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Serving => "serving",
            Self::NotServing => "not_serving",
            Self::Unimplemented => "unimplemented",
            Self::Unreachable => "unreachable",
        }
    }
}

/// One address. Instances that share one share its probe.
#[derive(Debug, Clone)]
struct Probed {
    /// Of the first instance there, for the log.
    instance: Arc<str>,
    /// Likewise, for its certificate.
    service: Arc<str>,
    found: Found,
    found_ms: u64,
    serving_in_a_row: u32,
    /// When to ask; `None` while asking.
    due_ms: Option<u64>,
}

/// The probes and what they found.
#[derive(Debug)]
pub(crate) struct Probes {
    clock: Clock,
    every_ms: u64,
    dial: Dial,
    probed: Mutex<BTreeMap<SocketAddr, Probed>>,
    /// Probes made.
    pub(super) made: AtomicU64,
    /// Addresses beyond [`MAX_PROBED`].
    pub(super) left_out: AtomicU64,
}

impl Probes {
    /// Prepares probes every `every`, give or take a fifth; none if it is zero.
    pub(super) fn new(clock: Clock, every: Duration, dial: Dial) -> Self {
        Probes {
            clock,
            dial,
            every_ms: crate::plane::millis(every),
            probed: Mutex::default(),
            made: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
        }
    }

    /// What was found at an address, and how many seconds ago; `None` where none is made.
    pub(super) fn at(&self, addr: SocketAddr) -> Option<(Found, Option<u64>)> {
        let probed = self.locked();
        let probed = probed.get(&addr)?;
        let age = self.clock.now_ms().saturating_sub(probed.found_ms) / 1_000;
        Some((probed.found, (probed.found != Found::Never).then_some(age)))
    }

    /// How many addresses were found in which state.
    pub(super) fn count(&self) -> HashMap<&'static str, u64> {
        let mut counts = HashMap::new();
        for probed in self.locked().values() {
            *counts.entry(probed.found.as_str()).or_insert(0) += 1;
        }
        counts
    }

    /// Probes until the task is dropped.
    pub(super) async fn run(self: Arc<Self>, mut view: watch::Receiver<Arc<View>>) {
        if self.every_ms == 0 {
            return;
        }
        let mut asking = JoinSet::new();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        view.mark_changed();
        loop {
            tokio::select! {
                _ = look.tick() => {
                    // The view never closes before this task ends.
                    if view.has_changed().unwrap_or(false) {
                        let now = view.borrow_and_update().clone();
                        self.choose(&now);
                    }
                }
                Some(done) = asking.join_next() => {
                    // A panic of a probe must not end the others.
                    if let Ok((addr, found)) = done {
                        self.note(addr, found);
                    }
                }
            }
            while asking.len() < AT_ONCE
                && let Some((addr, service)) = self.take_due()
            {
                self.made.fetch_add(1, Relaxed);
                let dial = self.dial.clone();
                asking.spawn(async move { (addr, ask(&dial, addr, &service).await) });
            }
        }
    }

    /// Takes up what is critical now, and forgets what is not any more.
    fn choose(&self, view: &View) {
        let used = |name: &Arc<str>| view.directory.services.get(name).map_or(0, |it| it.usage.last_ms());
        let mut services: Vec<_> = view.services.iter().collect();
        services.sort_by_key(|(name, _)| std::cmp::Reverse((used(name), *name)));
        let mut wanted: BTreeMap<SocketAddr, (Arc<str>, Arc<str>)> = BTreeMap::new();
        let mut left_out = 0;
        for (name, service) in services {
            for known in service.instances.iter().filter(|known| known.instance.status != Status::Passing) {
                let Ok(addr) = known.addr else { continue };
                if wanted.len() < MAX_PROBED {
                    wanted.entry(addr).or_insert_with(|| (known.instance.id.as_str().into(), name.clone()));
                } else if !wanted.contains_key(&addr) {
                    left_out += 1;
                }
            }
        }
        self.left_out.store(left_out, Relaxed);
        let now_ms = self.clock.now_ms();
        let mut probed = self.locked();
        probed.retain(|addr, _| wanted.contains_key(addr));
        for (addr, (instance, service)) in wanted {
            probed.entry(addr).or_insert_with(|| Probed {
                instance,
                service,
                found: Found::Never,
                found_ms: now_ms,
                serving_in_a_row: 0,
                due_ms: Some(now_ms + rand::random_range(0..FIRST_MS.min(self.every_ms))),
            });
        }
    }

    /// The address that has been due for the longest time, which is being asked from now on.
    fn take_due(&self) -> Option<(SocketAddr, Arc<str>)> {
        let now_ms = self.clock.now_ms();
        let mut probed = self.locked();
        let due = probed.iter_mut().filter(|(_, one)| one.due_ms.is_some_and(|due| due <= now_ms));
        let (addr, one) = due.min_by_key(|(_, one)| one.due_ms)?;
        one.due_ms = None;
        Some((*addr, one.service.clone()))
    }

    fn note(&self, addr: SocketAddr, found: Found) {
        let now_ms = self.clock.now_ms();
        let mut probed = self.locked();
        // It may pass again, or be gone.
        let Some(one) = probed.get_mut(&addr) else { return };
        one.serving_in_a_row = if found == Found::Serving { one.serving_in_a_row + 1 } else { 0 };
        if one.serving_in_a_row == WRONG_AFTER {
            let instance = &one.instance;
            // Once for each time; an instance in maintenance is meant to be so.
            tracing::info!(%instance, %addr, "answers SERVING though it does not pass: its check is wrong, or it is in maintenance");
        }
        (one.found, one.found_ms) = (found, now_ms);
        let jitter = rand::random_range(0.8..1.2);
        one.due_ms = Some(now_ms + (self.every_ms as f64 * jitter) as u64);
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Probed>> {
        self.probed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks one address on a connection of its own, so that nothing is kept open to what is perhaps not well.
async fn ask(dial: &Dial, addr: SocketAddr, service: &str) -> Found {
    let asked = async {
        let mut client =
            HealthClient::new(dial.channel(addr, service)).max_decoding_message_size(MAX_ANSWER_BYTES);
        // The whole server: which service the registry's check asks for is not known here.
        client.check(HealthCheckRequest { service: String::new() }).await
    };
    match timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving => Found::Serving,
        Ok(Ok(_)) => Found::NotServing,
        Ok(Err(status)) => match status.code() {
            Code::Unimplemented | Code::NotFound | Code::Unauthenticated | Code::PermissionDenied => {
                Found::Unimplemented
            }
            _ => Found::Unreachable,
        },
        Err(_) => Found::Unreachable,
    }
}

#[cfg(test)]
mod tests;
