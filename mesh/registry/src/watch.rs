//! Keeps a snapshot of one service, or of the catalogue, current by blocking reads.
//!
//! ```text
//!            ┌──────────── pace: 10 reads/s, burst 2 ◄───────────┐
//!            ▼                                                   │
//!   blocking read ── answer ──► index rules ──► publisher ───────┤
//!      │   ▲  │                  lower: read anew from 0         │
//!      │   │  └── error ──► snapshot marked stale ──► back-off ──┘
//!      │   └── after 1 to 3 s, and every 60 s: a look, a full read beside it, compared with the table
//!      └── after wait + wait/16 + 10 s: a time-out, which is an error
//! ```
//!
//! A snapshot is never emptied by an error, and never expires: its age and the reason are in it. Choosing between
//! instances is not done here.

pub(crate) mod pace;
mod publisher;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use self::pace::{Backoff, Pace};
use self::publisher::Publisher;
pub use self::snapshot::{CatalogSnapshot, Snapshot, Stale, View};
use crate::client::{Client, Indexed, Query};
use crate::error::Error;
use crate::instance::Instance;

/// A watch may miss a change for ever if an answer is lost between Consul and us; this bounds "for ever".
const FULL_READ_INTERVAL: Duration = Duration::from_secs(60);
/// Keeps the full reads of many routers apart.
const FULL_READ_JITTER: Duration = Duration::from_secs(10);
/// A blocking read that meets a registry which lost its state waits there for an index of the past, and says nothing for
/// `wait`. So one that is not answered soon is looked behind: a read more for each minute of waiting. The 5 s for which
/// vanished instances are held begin with it.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// Keeps the looks of many watches apart.
const LOOK_JITTER: Duration = Duration::from_secs(2);
/// A watch beyond the client's bound on open blocking reads asks in this interval instead.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// A blocking read that lasted this long and was then cut was cut by an idle time-out on the way, not by an outage.
const CUT_AFTER: Duration = Duration::from_secs(5);

/// Holds one watch. The watch ends when the handle and every receiver of it are dropped.
#[derive(Debug)]
pub struct WatchHandle<V = Snapshot> {
    receiver: watch::Receiver<Arc<V>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Somebody could not connect to an instance: an emptied set is no longer held back.
    failure: Notify,
    /// Differences that only a full read has found.
    repairs: AtomicU64,
}

impl<V: View> WatchHandle<V> {
    /// Gives the present snapshot. Before the first read it is empty, with [`Stale::NeverRead`].
    pub fn latest(&self) -> Arc<V> {
        self.receiver.borrow().clone()
    }

    /// Gives a receiver of the snapshots, to wait on. A mere refreshing of `read_at` does not wake it.
    pub fn receiver(&self) -> watch::Receiver<Arc<V>> {
        self.receiver.clone()
    }

    /// Waits for the next change and gives the snapshot. Cancel safe.
    pub async fn changed(&mut self) -> Arc<V> {
        // The sender lives as long as a receiver does, so that an error is impossible here.
        let _ = self.receiver.changed().await;
        self.receiver.borrow_and_update().clone()
    }

    /// Waits until the registry was read once, and gives the snapshot. Never ends while no read succeeds. Cancel safe.
    pub async fn loaded(&mut self) -> Arc<V> {
        let _ = self.receiver.wait_for(|snapshot| snapshot.index() > 0).await;
        self.latest()
    }

    /// Tells the watch that no instance could be connected to: if it holds back an emptied set, it publishes it now.
    pub fn report_failure(&self) {
        self.shared.failure.notify_one();
    }

    /// Counts the differences that the watch missed and a full read repaired.
    pub fn repairs(&self) -> u64 {
        self.shared.repairs.load(Ordering::Relaxed)
    }
}

impl Client {
    /// Watches the instances of a service, healthy or not. Must be called within a tokio runtime.
    ///
    /// The first read starts at once. A name that Consul cannot have gives a watch that stays stale and says why.
    pub fn watch(&self, service: impl Into<String>) -> WatchHandle<Snapshot> {
        start(
            ServiceSource { client: self.clone(), service: service.into() },
            StdRng::from_rng(&mut rand::rng()),
        )
    }

    /// Watches the names and tags of all services. Must be called within a tokio runtime.
    pub fn watch_catalog(&self) -> WatchHandle<CatalogSnapshot> {
        start(CatalogSource { client: self.clone() }, StdRng::from_rng(&mut rand::rng()))
    }
}

/// What a watch reads.
trait Source: Send + Sync + 'static {
    type View: View;

    /// Names it in logs.
    fn name(&self) -> &str;

    /// Bounds the blocking reads that are open at the same time.
    fn slots(&self) -> &Arc<Semaphore>;

    /// Reads at once if `index` is 0, else when the index has passed it.
    fn read(
        &self,
        index: u64,
    ) -> impl Future<Output = Result<Indexed<<Self::View as View>::Value>, Error>> + Send;
}

struct ServiceSource {
    client: Client,
    service: String,
}

impl Source for ServiceSource {
    type View = Snapshot;

    fn name(&self) -> &str {
        &self.service
    }

    fn slots(&self) -> &Arc<Semaphore> {
        self.client.blocking_slots()
    }

    async fn read(&self, index: u64) -> Result<Indexed<Vec<Instance>>, Error> {
        self.client.health(&self.service, &Query { index, ..Query::default() }).await
    }
}

struct CatalogSource {
    client: Client,
}

impl Source for CatalogSource {
    type View = CatalogSnapshot;

    fn name(&self) -> &str {
        "(catalog)"
    }

    fn slots(&self) -> &Arc<Semaphore> {
        self.client.blocking_slots()
    }

    async fn read(&self, index: u64) -> Result<Indexed<BTreeMap<String, Vec<String>>>, Error> {
        self.client.services(&Query { index, ..Query::default() }).await
    }
}

fn start<S: Source>(source: S, rng: StdRng) -> WatchHandle<S::View> {
    let (sender, receiver) = watch::channel(Arc::new(S::View::never_read()));
    let shared = Arc::new(Shared::default());
    let watcher = Watcher {
        source,
        publisher: Publisher::new(sender),
        shared: shared.clone(),
        pace: Pace::new(),
        backoff: Backoff::new(),
        rng,
        index: 0,
        not_before: Instant::now(),
        next_full: Instant::now(),
    };
    tokio::spawn(watcher.run());
    WatchHandle { receiver, shared }
}

struct Watcher<S: Source> {
    source: S,
    publisher: Publisher<S::View>,
    shared: Arc<Shared>,
    pace: Pace,
    backoff: Backoff,
    rng: StdRng,
    /// What the next read waits beyond; 0 is answered at once.
    index: u64,
    /// The next read does not start before.
    not_before: Instant,
    next_full: Instant,
}

type Answer<S> = Result<Indexed<<<S as Source>::View as View>::Value>, Error>;

impl<S: Source> Watcher<S> {
    async fn run(mut self) {
        self.schedule_full_read();
        loop {
            // A watch without a slot reads from 0 in an interval instead of waiting at Consul.
            let slot = self.source.slots().clone().try_acquire_owned().ok();
            if slot.is_none() {
                self.index = 0;
                if self.publisher.is_loaded() {
                    self.not_before = self.not_before.max(Instant::now() + POLL_INTERVAL);
                }
            }
            let started = self.pace.reserve(Instant::now()).max(self.not_before);
            let Some((answer, full)) = self.next_answer(started).await else { return };
            drop(slot);
            match answer {
                Ok(read) => self.accept(read, full),
                Err(error) => self.fail(&error, started),
            }
        }
    }

    /// Reads once, and meanwhile publishes what was held back and makes the full reads that fall due.
    ///
    /// Gives the answer and whether it is a full read's; `None` once nobody listens.
    async fn next_answer(&mut self, started: Instant) -> Option<(Answer<S>, bool)> {
        let Self { source, publisher, shared, backoff, rng, next_full, index, .. } = self;
        let source = &*source;
        let read = async {
            sleep_until(started).await;
            source.read(*index).await
        };
        let look = |at| async move {
            sleep_until(at).await;
            source.read(0).await
        };
        let first_look = started + LOOK_AFTER + LOOK_JITTER.mul_f64(rng.random());
        let full = look(first_look.min(*next_full));
        tokio::pin!(read, full);
        loop {
            let due = publisher.due();
            tokio::select! {
                // In this order: an ended watch does nothing more; an answer is newer than what is held back.
                biased;
                () = publisher.abandoned() => return None,
                answer = &mut read => return Some((answer, *index == 0)),
                () = sleep_until(due.unwrap_or(started)), if due.is_some() => publisher.publish_pending(),
                () = shared.failure.notified() => publisher.release_hold(),
                answer = &mut full, if *index != 0 => {
                    match answer {
                        // Unchanged: the blocking read goes on.
                        Ok(read) if read.index.max(1) == *index && publisher.knows(&read.value) => {
                            backoff.reset();
                            publisher.refresh(*index);
                            *next_full = next_full_read(rng);
                        }
                        Ok(read) => {
                            if read.index.max(1) == *index {
                                shared.repairs.fetch_add(1, Ordering::Relaxed);
                                tracing::warn!(service = source.name(), "watch had missed a change; repaired");
                            }
                            return Some((Ok(read), true));
                        }
                        Err(error) => {
                            publisher.mark_stale(&error);
                            *next_full = Instant::now() + backoff.next(error.is_answer(), rng);
                        }
                    }
                    full.set(look(*next_full));
                }
            }
        }
    }

    fn accept(&mut self, read: Indexed<<S::View as View>::Value>, full: bool) {
        self.backoff.reset();
        self.not_before = Instant::now() + S::View::pause_after(&read.value);
        // 0 would turn blocking reads into a busy loop.
        let index = read.index.max(1);
        if !full && index < self.index {
            // Consul lost its state, or a server answered that is behind. Only a read from 0 can tell what is true.
            tracing::debug!(
                service = self.source.name(),
                from = self.index,
                to = index,
                "index went backwards"
            );
            self.index = 0;
            return;
        }
        if full {
            self.schedule_full_read();
        }
        self.index = index;
        // An equal index normally means an equal value; comparing is cheap, and right also where it does not.
        self.publisher.offer(read.value, index);
    }

    fn fail(&mut self, error: &Error, started: Instant) {
        let lasted = Instant::now().saturating_duration_since(started);
        let cut = error.is_cut_poll() && self.index != 0 && lasted >= CUT_AFTER;
        // After an error nothing is known of the server's index: a higher one than its own would block blindly.
        self.index = 0;
        if cut {
            // No error of anybody: it is asked again at once. The time it lasted bounds how often that can be.
            tracing::debug!(service = self.source.name(), ?lasted, "long poll was cut; reading again");
            self.not_before = Instant::now();
            return;
        }
        let delay = self.backoff.next(error.is_answer(), &mut self.rng);
        self.not_before = Instant::now() + delay;
        if self.publisher.mark_stale(error) {
            tracing::warn!(service = self.source.name(), %error, "registry cannot be read; keeping what is known");
        } else {
            tracing::debug!(service = self.source.name(), %error, ?delay, "registry still cannot be read");
        }
    }

    fn schedule_full_read(&mut self) {
        self.next_full = next_full_read(&mut self.rng);
    }
}

fn next_full_read(rng: &mut StdRng) -> Instant {
    Instant::now() + FULL_READ_INTERVAL + FULL_READ_JITTER.mul_f64(rng.random())
}
