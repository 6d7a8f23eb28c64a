//! Who has what: attempts, queues, leases. Plain data under one lock; no step of it takes longer than a few look-ups.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use workflow_machine::{Function, Request};

use super::answered::Answered;
use super::poll::Stream;
use super::queue::{Place, Queue};
use super::{Beat, Pulse, QueueStats, Settings};
use crate::attempt::{Attempt, AttemptId};

/// Signals that are kept for one attempt; the oldest is dropped for a new one. A worker comes for them every few seconds.
const MAX_SIGNALS: usize = 64;

/// All that is known.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) attempts: HashMap<AttemptId, Entry>,
    pub(super) queues: HashMap<String, Queue>,
    /// Leases of each worker that has some or polls.
    pub(super) workers: HashMap<String, Worker>,
    pub(super) streams: HashMap<u64, Stream>,
    /// When leases, or the graces of stops, are over.
    ends: BTreeMap<(Instant, u64), AttemptId>,
    pub(super) answered: Answered,
    /// Bytes of all attempts.
    bytes: usize,
    /// Leases of all workers.
    leased: usize,
    pub(super) closed: bool,
    /// Numbers attempts, streams and tickets.
    last_number: u64,
}

/// An attempt.
#[derive(Debug)]
pub(super) struct Entry {
    attempt: Arc<Attempt>,
    queue: String,
    bytes: usize,
    /// Place in the queue; kept while it is leased, as its name in `ends`.
    place: Place,
    lease: Option<Lease>,
    /// When the grace of a stop is over.
    stop_at: Option<Instant>,
    signals: VecDeque<Bytes>,
}

#[derive(Debug)]
struct Lease {
    worker: String,
    until: Instant,
    /// What the worker said last.
    said: (u32, String),
}

/// A worker.
#[derive(Debug, Default)]
pub(super) struct Worker {
    pub(super) leased: usize,
    pub(super) streams: Vec<u64>,
}

/// What became of an attempt that was to be queued.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added {
    Queued,
    /// It is here already, or nothing is taken any more.
    Known,
    Full,
}

/// What became of an attempt that was to stop.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    Unknown,
    /// Nobody had it; it is forgotten.
    Waited,
    /// Its worker will be told.
    Asked,
    /// Its worker had it; it is forgotten.
    Forgotten,
}

impl Entry {
    /// When it is over if nobody is heard of.
    fn end(&self) -> Option<(Instant, u64)> {
        let until = self.lease.as_ref()?.until;
        Some((self.stop_at.map_or(until, |stop| stop.min(until)), self.place.1))
    }
}

impl Table {
    pub(super) fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub(super) fn add(&mut self, attempt: Attempt, settings: &Settings) -> Added {
        let Request::Function(function) = &attempt.run.request else { return Added::Known };
        let id = attempt.id();
        if self.closed || self.attempts.contains_key(&id) {
            return Added::Known;
        }
        let (bytes, name) = (size(function), function.queue.clone());
        let waiting = self.queues.get(&name).map_or(0, |queue| queue.waiting.len());
        if waiting >= settings.max_waiting || self.bytes + bytes > settings.max_bytes {
            return Added::Full;
        }
        let place = (Reverse(attempt.run.priority), self.number());
        self.bytes += bytes;
        self.queues.entry(name.clone()).or_default().waiting.insert(place, id.clone());
        let entry = Entry {
            attempt: Arc::new(attempt),
            queue: name.clone(),
            bytes,
            place,
            lease: None,
            stop_at: None,
            signals: VecDeque::new(),
        };
        self.attempts.insert(id, entry);
        self.wake_one(&name);
        Added::Queued
    }

    /// Gives an attempt that waits to a worker.
    pub(super) fn lease(&mut self, id: &AttemptId, worker: &str, until: Instant) -> Option<Arc<Attempt>> {
        let entry = self.attempts.get_mut(id)?;
        entry.lease = Some(Lease { worker: worker.to_owned(), until, said: (0, String::new()) });
        if let Some(end) = entry.end() {
            self.ends.insert(end, id.clone());
        }
        if let Some(queue) = self.queues.get_mut(&entry.queue) {
            queue.waiting.remove(&entry.place);
            queue.leased += 1;
        }
        self.leased += 1;
        self.workers.entry(worker.to_owned()).or_default().leased += 1;
        Some(entry.attempt.clone())
    }

    /// Takes a heartbeat: what the worker has to know, and whether it says something new. `None` if nobody has the attempt.
    pub(super) fn beat(&mut self, worker: &str, beat: &Beat, until: Instant) -> Option<(Pulse, bool)> {
        if self.attempts.get(&beat.id)?.lease.is_none() {
            // It has it from before a restart.
            self.lease(&beat.id, worker, until);
        }
        let entry = self.attempts.get_mut(&beat.id)?;
        let before = entry.end();
        let lease = entry.lease.as_mut()?;
        if lease.worker != worker {
            return Some((Pulse { stale: true, ..Pulse::default() }, false));
        }
        lease.until = until;
        let said = (beat.percent.min(100), beat.message.as_str());
        let news = said != (lease.said.0, lease.said.1.as_str());
        if news {
            lease.said = (said.0, said.1.to_owned());
        }
        let signals = std::mem::take(&mut entry.signals).into();
        let pulse = Pulse { stale: false, cancel_requested: entry.stop_at.is_some(), signals };
        let after = entry.end();
        self.moved(&beat.id, before, after);
        Some((pulse, news))
    }

    pub(super) fn stop(&mut self, id: &AttemptId, grace: Duration) -> Stopped {
        let Some(entry) = self.attempts.get_mut(id) else { return Stopped::Unknown };
        if entry.lease.is_none() {
            self.forget(id);
            return Stopped::Waited;
        }
        if grace.is_zero() {
            self.forget(id);
            return Stopped::Forgotten;
        }
        let before = entry.end();
        entry.stop_at = Some(Instant::now() + grace);
        let after = entry.end();
        self.moved(id, before, after);
        Stopped::Asked
    }

    /// Keeps a signal, and says whether another was dropped for it; `None` if the attempt is not known.
    pub(super) fn steer(&mut self, id: &AttemptId, payload: Bytes) -> Option<bool> {
        let signals = &mut self.attempts.get_mut(id)?.signals;
        let full = signals.len() >= MAX_SIGNALS;
        if full {
            signals.pop_front();
        }
        signals.push_back(payload);
        Some(full)
    }

    /// Forgets an attempt, and gives its worker credit. Says whether it was known.
    pub(super) fn forget(&mut self, id: &AttemptId) -> bool {
        let Some(entry) = self.attempts.remove(id) else { return false };
        self.bytes -= entry.bytes;
        if let Some(end) = entry.end() {
            self.ends.remove(&end);
        }
        if let Some(queue) = self.queues.get_mut(&entry.queue) {
            match entry.lease {
                Some(_) => queue.leased -= 1,
                None => drop(queue.waiting.remove(&entry.place)),
            }
        }
        self.drop_idle(&entry.queue);
        if let Some(lease) = entry.lease {
            self.leased -= 1;
            self.credit(&lease.worker);
        }
        true
    }

    /// Forgets one attempt whose time was over at `now`; it is lost.
    pub(super) fn expire(&mut self, now: Instant) -> Option<AttemptId> {
        let ((at, _), id) = self.ends.first_key_value()?;
        if *at > now {
            return None;
        }
        let id = id.clone();
        self.forget(&id);
        Some(id)
    }

    /// When the next one is over.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.ends.first_key_value().map(|((at, _), _)| *at)
    }

    /// The worker that has an attempt.
    pub(super) fn worker(&self, id: &AttemptId) -> Option<&str> {
        Some(&self.attempts.get(id)?.lease.as_ref()?.worker)
    }

    pub(super) fn knows(&self, id: &AttemptId) -> bool {
        self.attempts.contains_key(id)
    }

    /// Attempts that wait, leases, streams.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        (self.attempts.len() - self.leased, self.leased, self.streams.len())
    }

    pub(super) fn stats(&self) -> Vec<QueueStats> {
        let stats = |(name, queue): (&String, &Queue)| QueueStats {
            queue: name.clone(),
            waiting: queue.waiting.len(),
            leased: queue.leased,
            streams: queue.streams,
        };
        let mut stats: Vec<_> = self.queues.iter().map(stats).collect();
        stats.sort_unstable_by(|a, b| a.queue.cmp(&b.queue));
        stats
    }

    /// Forgets a queue that nobody needs.
    pub(super) fn drop_idle(&mut self, name: &str) {
        if self.queues.get(name).is_some_and(Queue::is_idle) {
            self.queues.remove(name);
        }
    }

    fn moved(&mut self, id: &AttemptId, before: Option<(Instant, u64)>, after: Option<(Instant, u64)>) {
        before.and_then(|before| self.ends.remove(&before));
        if let Some(after) = after {
            self.ends.insert(after, id.clone());
        }
    }
}

/// What an attempt costs in memory, more or less.
fn size(function: &Function) -> usize {
    let parameters = function.parameters.iter().map(|(name, value)| name.len() + value.len());
    function.input.len() + function.operation.len() + parameters.sum::<usize>() + 512
}
