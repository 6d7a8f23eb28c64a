//! The directory's author: answers the worker threads' look-ups and keeps what they use current.
//!
//! One task owns the [`Directory`] and everything that leads to it. Requests to the registry run beside it, each
//! at most once at a time, and come back as [`Event`]s. A service is read afresh when it is first asked for, then
//! followed by a blocking query ([`Config::max_watches`] of them) or, beyond that, read again when a call finds it
//! older than [`Config::cache_ttl`]. Nothing is forgotten because the registry is gone: known services keep their
//! instances, and only unknown names fail.

mod entry;
mod grpc;
mod keeping;
mod watching;

use super::{
    instances::Instances,
    offers::{self, Offers},
    reads::{Failed, Names, Reads},
};
use crate::{
    config::Config,
    directory::{Clock, Directory, Usage},
    link::{Lookup, Update, WorkerLink},
    plane::millis,
};
pub(crate) use entry::Loads;
use entry::{Change, Entry};
use grpc::Rescan;
use moka::future::Cache;
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use switchboard_registry::{Snapshot, Stale, WatchHandle};
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::{Instant, interval, sleep_until},
};
use tracing::debug;

/// Look-ups under way; further ones wait in the workers' bounded queue.
const MAX_ASKING: usize = 256;
/// Answers to look-ups that arrive together share a snapshot.
const ANSWER_COALESCED: Duration = Duration::from_millis(1);
/// Changes that a watch reports are collected for this long (defaults.md 4.5).
const CHANGES_COALESCED: Duration = Duration::from_millis(50);
/// How often unused services, sudden emptiness and old host names are looked at.
const SWEEP: Duration = Duration::from_millis(250);
/// How long a name stays in the negative memory at most entries.
const MAX_MISSING: u64 = 10_000;

/// What other parts of the control plane see of the directory.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// As the worker threads have it.
    pub(crate) directory: Arc<Directory>,
    /// Its services with all that is known of them.
    pub(crate) services: HashMap<Arc<str>, ServiceView>,
    /// Names of all services in the registry, sorted.
    pub(crate) catalog: Names,
}

/// What is known of one service beside what worker threads need.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServiceView {
    /// Every instance, healthy or not, as the registry said last.
    pub(crate) instances: Instances,
    /// Whether a watch keeps it current.
    pub(crate) watched: bool,
    /// Loads of these, and of instances that left and still have streams.
    pub(crate) loads: Loads,
}

/// Counters of discovery.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) lookups: AtomicU64,
    pub(crate) missing: AtomicU64,
    pub(crate) lookups_failed: AtomicU64,
    pub(crate) snapshots: AtomicU64,
    pub(crate) watches: AtomicU64,
}

/// The outcome of something that ran beside the author.
enum Event {
    /// A service was read because of a look-up; with the names near its own if it is not there.
    Read { service: Arc<str>, answer: Result<Instances, Failed>, nearest: Nearest },
    /// A watch saw a change.
    Watched {
        service: Arc<str>,
        watch: u64,
        next: watching::Service,
        snapshot: Arc<Snapshot>,
        instances: Instances,
    },
    /// A gRPC service was searched for.
    Searched { grpc: Arc<str>, answer: Result<Option<(Arc<str>, Instances)>, Failed> },
    /// All offers were read again because the catalogue changed.
    Offers(Result<Arc<Offers>, Failed>),
    /// The catalogue's names changed.
    Catalog { next: watching::Catalog, names: Names },
}

/// Client IDs near one that nobody registered.
type Nearest = Arc<[String]>;

/// One service's watch: it ends when this is dropped.
struct Watch {
    /// Tells this watch of the service from an earlier one.
    number: u64,
    handle: WatchHandle,
    /// The registry says that no instance is left, and the watch waits for a second look.
    emptied: bool,
    waiting: AbortHandle,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.waiting.abort();
    }
}

/// Owns the directory. [`Discovery::run`] it on a task; dropping that task ends all of its requests.
pub(crate) struct Discovery {
    config: Arc<Config>,
    clock: Clock,
    reads: Arc<Reads>,
    workers: Vec<WorkerLink>,
    lookups: mpsc::Receiver<Lookup>,
    view: watch::Sender<Arc<View>>,
    counters: Arc<Counters>,
    tasks: JoinSet<Event>,
    asking: HashSet<Lookup>,
    missing: Cache<Lookup, Nearest>,
    entries: HashMap<Arc<str>, Entry>,
    grpc: foldhash::HashMap<Arc<str>, Arc<str>>,
    catalog: Names,
    rescan: Rescan,
    watches: HashMap<Arc<str>, Watch>,
    next_watch: u64,
    directory: Arc<Directory>,
    /// Directories that worker threads may still hold. They are freed here, not in an event loop.
    retired: Vec<Arc<Directory>>,
    /// When the changes so far are published; `None` while there are none.
    publish_at: Option<Instant>,
}

impl Discovery {
    /// Creates an empty directory. The receiver follows what is published.
    pub(crate) fn new(
        config: Arc<Config>,
        clock: Clock,
        reads: Arc<Reads>,
        workers: Vec<WorkerLink>,
        lookups: mpsc::Receiver<Lookup>,
    ) -> (Self, watch::Receiver<Arc<View>>, Arc<Counters>) {
        let (view, seen) = watch::channel(Arc::new(View::default()));
        let counters = Arc::new(Counters::default());
        let discovery = Discovery {
            missing: Cache::builder().max_capacity(MAX_MISSING).time_to_live(config.negative_ttl).build(),
            config,
            clock,
            reads,
            workers,
            lookups,
            view,
            counters: counters.clone(),
            tasks: JoinSet::new(),
            asking: HashSet::new(),
            entries: HashMap::new(),
            grpc: foldhash::HashMap::default(),
            catalog: Names::default(),
            rescan: Rescan::default(),
            watches: HashMap::new(),
            next_watch: 0,
            directory: Arc::default(),
            retired: Vec::new(),
            publish_at: None,
        };
        (discovery, seen, counters)
    }

    /// Answers look-ups until the task is dropped.
    pub(crate) async fn run(mut self) {
        let catalog = watching::Catalog::of(&self.reads.client().watch_catalog());
        self.tasks.spawn(catalog.changed(self.reads.clone()));
        let mut sweep = interval(SWEEP);
        let mut workers_gone = false;
        loop {
            let publish_at = self.publish_at.unwrap_or_else(Instant::now);
            // Every branch is cancel-safe: nothing is taken from a queue before its branch is chosen.
            tokio::select! {
                lookup = self.lookups.recv(), if !workers_gone && self.asking.len() < MAX_ASKING => match lookup {
                    Some(lookup) => self.asked(lookup).await,
                    None => workers_gone = true,
                },
                Some(done) = self.tasks.join_next() => {
                    // An aborted watch is no event; a panic in a request must not end discovery.
                    if let Ok(event) = done {
                        self.handle(event).await;
                    }
                }
                () = sleep_until(publish_at), if self.publish_at.is_some() => self.publish(),
                _ = sweep.tick() => self.sweep(),
            }
        }
    }

    /// A worker thread asks.
    async fn asked(&mut self, lookup: Lookup) {
        self.counters.lookups.fetch_add(1, Relaxed);
        if self.answered_by_directory(&lookup) {
            self.publish_within(ANSWER_COALESCED);
        } else if let Some(nearest) = self.missing.get(&lookup).await {
            self.say_missing(lookup, &nearest);
        } else if self.asking.insert(lookup.clone()) {
            let reads = self.reads.clone();
            match lookup {
                Lookup::Service(service) => {
                    let catalog = self.catalog.clone();
                    self.tasks.spawn(async move {
                        let answer = reads.service_now(&service).await;
                        let nearest = match &answer {
                            Ok(instances) if instances.is_empty() => reads.nearest(&service, catalog).await,
                            _ => Nearest::default(),
                        };
                        Event::Read { service, answer, nearest }
                    })
                }
                Lookup::GrpcService(grpc) => self.tasks.spawn(async move {
                    let answer = grpc::search(&reads, &grpc).await;
                    Event::Searched { grpc, answer }
                }),
            };
        }
    }

    /// Whether the directory as it stands is the answer, so that sending it again suffices. Of a service none of whose
    /// instances can be connected to, it is not: whoever replaced them may be registered by now.
    fn answered_by_directory(&self, lookup: &Lookup) -> bool {
        let service = match lookup {
            Lookup::Service(service) => Some(service),
            Lookup::GrpcService(grpc) => self.grpc.get(grpc),
        };
        let entry = service.and_then(|service| self.entries.get(service));
        let now_ms = self.clock.now_ms();
        entry.is_some_and(|entry| {
            let dead = !entry.service.endpoints.is_empty() && entry.is_down(now_ms);
            entry.service.fresh_until_ms > now_ms && !dead
        })
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Read { service, answer, nearest } => {
                let lookup = Lookup::Service(service.clone());
                self.asking.remove(&lookup);
                match answer {
                    Ok(instances) if instances.is_empty() && !self.entries.contains_key(&service) => {
                        self.missing.insert(lookup.clone(), nearest.clone()).await;
                        self.say_missing(lookup, &nearest);
                    }
                    Ok(instances) => self.take(&service, instances),
                    Err(reason) => self.failed(lookup, &reason),
                }
            }
            Event::Searched { grpc, answer } => {
                let lookup = Lookup::GrpcService(grpc.clone());
                self.asking.remove(&lookup);
                match answer {
                    Ok(Some((service, instances))) => {
                        self.map(grpc, &service);
                        self.take(&service, instances);
                    }
                    Ok(None) => {
                        self.missing.insert(lookup.clone(), Nearest::default()).await;
                        self.say_missing(lookup, &Nearest::default());
                    }
                    Err(reason) => self.failed(lookup, &reason),
                }
            }
            Event::Watched { service, watch, next, snapshot, instances } => {
                // An event of a watch that was ended meanwhile is void.
                let Some(current) = self.watches.get_mut(&service).filter(|it| it.number == watch) else {
                    return;
                };
                current.emptied = snapshot.stale == Some(Stale::Emptied);
                current.waiting = self.tasks.spawn(next.changed(service.clone(), watch, self.reads.clone()));
                if self.reads.has_dns() && matches!(snapshot.stale, Some(Stale::Failed(_))) {
                    self.unfollow(&service);
                } else {
                    self.reads.remember(&service, &instances).await;
                    self.apply(&service, instances, CHANGES_COALESCED);
                }
            }
            Event::Catalog { next, names } => {
                self.tasks.spawn(next.changed(self.reads.clone()));
                if names != self.catalog {
                    self.reads.remember_names(&names).await;
                    self.catalog = names;
                    // A name that was missing may be there now, and a better offer too.
                    self.missing.invalidate_all();
                    self.rescan();
                    self.show();
                }
            }
            Event::Offers(answer) => {
                self.rescanned();
                if let Ok(offers) = answer {
                    self.remap(&offers);
                }
            }
        }
    }

    /// Takes a service that was just read, and keeps it current from now on.
    fn take(&mut self, service: &Arc<str>, instances: Instances) {
        if !self.entries.contains_key(service) {
            self.make_room();
        } else if self.reads.has_dns() && self.is_followed(service) {
            // Read while the watch was blind, which knows better by now.
            return self.publish_within(ANSWER_COALESCED);
        }
        if !self.watches.contains_key(service) && self.watches.len() < self.config.max_watches {
            self.watch(service);
        }
        self.apply(service, instances, ANSWER_COALESCED);
        // The look-up is answered by a snapshot even if nothing changed.
        self.publish_within(ANSWER_COALESCED);
    }

    /// Puts what the registry says of a service into the directory.
    fn apply(&mut self, service: &Arc<str>, instances: Instances, within: Duration) {
        let now_ms = self.clock.now_ms();
        let watched = self.is_followed(service);
        let fresh_until_ms = if watched { u64::MAX } else { now_ms + millis(self.config.cache_ttl) };
        let entry = self.entries.entry(service.clone()).or_insert_with(|| {
            let usage = Arc::new(Usage::default());
            usage.touch(now_ms);
            Entry::new(service.clone(), usage)
        });
        // A watch holds sudden emptiness back by itself.
        let change = if watched {
            entry.update(instances, fresh_until_ms, now_ms)
        } else {
            entry.doubt(instances, fresh_until_ms, now_ms)
        };
        if change == Change::None {
            return;
        }
        let entry = &self.entries[service];
        debug!(%service, healthy = entry.service.endpoints.len(), known = entry.service.known, "instances changed");
        // A gRPC service stays with a service that offers it; another one may do so next time it is called.
        let instances = &entry.instances;
        self.grpc.retain(|grpc, of| of != service || entry.is_held() || offers::offers(instances, grpc));
        self.publish_within(within);
    }

    /// Whether a watch keeps the service current. With a second source, one that cannot read the registry does not.
    fn is_followed(&self, service: &Arc<str>) -> bool {
        let blind =
            |watch: &Watch| matches!(watch.handle.latest().stale, Some(Stale::Failed(_) | Stale::NeverRead));
        self.watches.get(service).is_some_and(|watch| !(self.reads.has_dns() && blind(watch)))
    }

    /// The service's watch has become blind: calls have it read again in `cache_ttl`, by whatever source answers then.
    fn unfollow(&mut self, service: &Arc<str>) {
        if let Some(entry) = self.entries.get_mut(service)
            && entry.service.fresh_until_ms == u64::MAX
        {
            entry.extend(self.clock.now_ms() + millis(self.config.cache_ttl));
            self.publish_within(CHANGES_COALESCED);
        }
    }

    /// The registry did not answer: what is known stays, and is asked for again a little later.
    fn failed(&mut self, lookup: Lookup, reason: &Failed) {
        if let Lookup::Service(service) = &lookup
            && let Some(entry) = self.entries.get_mut(service)
        {
            // A watch asks by itself.
            if !self.watches.contains_key(service) {
                entry.extend(self.clock.now_ms() + millis(self.config.negative_ttl));
            }
            return self.publish_within(ANSWER_COALESCED);
        }
        self.counters.lookups_failed.fetch_add(1, Relaxed);
        self.send(|| Update::LookupFailed(lookup.clone(), reason.clone()));
    }

    fn say_missing(&self, lookup: Lookup, nearest: &Nearest) {
        self.counters.missing.fetch_add(1, Relaxed);
        self.send(|| Update::Missing(lookup.clone(), nearest.clone()));
    }

    fn watch(&mut self, service: &Arc<str>) {
        let handle = self.reads.client().watch(&**service);
        self.next_watch += 1;
        let number = self.next_watch;
        let next = watching::Service::of(&handle);
        let waiting = self.tasks.spawn(next.changed(service.clone(), number, self.reads.clone()));
        self.watches.insert(service.clone(), Watch { number, handle, emptied: false, waiting });
        self.count_watches();
    }

    fn count_watches(&self) {
        self.counters.watches.store(self.watches.len() as u64, Relaxed);
    }

    fn publish_within(&mut self, within: Duration) {
        let at = Instant::now() + within;
        self.publish_at = Some(self.publish_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Sends the directory as it is now; the very same snapshot if nothing changed.
    fn publish(&mut self) {
        self.publish_at = None;
        if self.differs() {
            self.counters.snapshots.fetch_add(1, Relaxed);
            let services =
                self.entries.iter().map(|(name, entry)| (name.clone(), entry.service.clone())).collect();
            let next = Arc::new(Directory { services, grpc_services: self.grpc.clone() });
            self.retired.push(std::mem::replace(&mut self.directory, next));
        }
        self.show();
        self.send(|| Update::Snapshot(self.directory.clone()));
    }

    /// Shows the rest of the control plane what is known now.
    fn show(&self) {
        let services = self.entries.iter().map(|(name, entry)| {
            let watched = self.watches.contains_key(name);
            let (instances, loads) = (entry.instances.clone(), entry.loads.clone());
            (name.clone(), ServiceView { instances, watched, loads })
        });
        self.view.send_replace(Arc::new(View {
            directory: self.directory.clone(),
            services: services.collect(),
            catalog: self.catalog.clone(),
        }));
    }

    fn differs(&self) -> bool {
        let last = &self.directory;
        last.services.len() != self.entries.len()
            || last.grpc_services != self.grpc
            || self.entries.iter().any(|(name, entry)| {
                last.services.get(name).is_none_or(|service| !Arc::ptr_eq(service, &entry.service))
            })
    }

    fn send(&self, update: impl Fn() -> Update) {
        for worker in &self.workers {
            // A worker thread that has ended needs no answer.
            let _ended = !worker.send(update());
        }
    }
}

#[cfg(test)]
mod tests;
