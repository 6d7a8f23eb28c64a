//! Who watches which workflow.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::sync::watch;
use workflow_machine::{Event, WorkflowId};

/// Tells watchers that a workflow has new events. It never waits for them and keeps nothing for them but the latest
/// batch, which all share: who is slower reads the log.
#[derive(Debug, Default)]
pub(super) struct Hub {
    watched: Mutex<HashMap<WorkflowId, watch::Sender<Head>>>,
    /// Watched workflows, so that publishing costs nothing where nobody looks.
    count: AtomicUsize,
}

/// The newest that is durable.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    /// Sequence of the newest event; 0 before the first that came since somebody watches.
    pub(super) seq: u64,
    /// Number of the newest log line, likewise.
    pub(super) log: u64,
    /// The latest events, up to `seq`.
    pub(super) recent: Arc<[Event]>,
}

/// Looks at one workflow until it is dropped.
#[derive(Debug)]
pub(super) struct Subscription {
    hub: Arc<Hub>,
    id: WorkflowId,
    pub(super) head: watch::Receiver<Head>,
}

impl Hub {
    pub(super) fn subscribe(self: &Arc<Self>, id: &WorkflowId) -> Subscription {
        let mut watched = self.lock();
        let head = match watched.entry(id.clone()) {
            Entry::Occupied(sender) => sender.get().subscribe(),
            Entry::Vacant(place) => place.insert(watch::Sender::default()).subscribe(),
        };
        self.count.store(watched.len(), Relaxed);
        Subscription { hub: self.clone(), id: id.clone(), head }
    }

    /// The events are durable.
    pub(super) fn publish(&self, id: &WorkflowId, events: Vec<Event>) {
        if self.count.load(Relaxed) == 0 {
            return;
        }
        let Some(seq) = events.last().map(|event| event.seq) else { return };
        if let Some(sender) = self.lock().get(id) {
            sender.send_modify(|head| (head.seq, head.recent) = (seq, events.into()));
        }
    }

    /// Log lines up to that number are durable.
    pub(super) fn publish_log(&self, id: &WorkflowId, number: u64) {
        if self.count.load(Relaxed) == 0 {
            return;
        }
        if let Some(sender) = self.lock().get(id) {
            sender.send_modify(|head| head.log = number);
        }
    }

    /// Workflows that somebody watches.
    pub(super) fn len(&self) -> usize {
        self.count.load(Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkflowId, watch::Sender<Head>>> {
        // The map is whole between any two lines that hold it.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut watched = self.hub.lock();
        // This one counts until it is dropped.
        if watched.get(&self.id).is_some_and(|sender| sender.receiver_count() <= 1) {
            watched.remove(&self.id);
        }
        self.hub.count.store(watched.len(), Relaxed);
    }
}
