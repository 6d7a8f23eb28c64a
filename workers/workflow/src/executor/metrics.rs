//! What is counted where attempts are made. Plain numbers; whoever shows them reads them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters that only rise, and gauges that also fall.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Calls and HTTP requests that wait for room.
    pub waiting: Gauge,
    /// Calls and HTTP requests under way.
    pub in_flight: Gauge,
    /// Attempts for external workers that wait for one.
    pub queued: Gauge,
    /// Attempts that external workers have a lease of.
    pub leased: Gauge,
    /// Open PollTasks streams.
    pub polls: Gauge,
    /// Attempts that were begun, or put into a queue.
    pub started: Counter,
    /// Reports of a success that the engine took.
    pub completed: Counter,
    /// Reports of a failure that the engine took.
    pub failed: Counter,
    /// Attempts that ended because they were no longer wanted.
    pub stopped: Counter,
    /// Leases that ran out.
    pub expired: Counter,
    /// Reports that came too late.
    pub stale: Counter,
    /// Attempts that found their queue full.
    pub refused: Counter,
    /// Lines of logs that were dropped because the engine was behind.
    pub dropped_logs: Counter,
    /// Signals that a worker did not come for in time, or that a call cannot take.
    pub dropped_signals: Counter,
}

/// A number that rises.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Reads it.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }
}

/// A number that rises and falls.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Reads it.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(crate) fn set(&self, value: usize) {
        self.0.store(value as u64, Relaxed);
    }

    /// Counts one until the guard is dropped.
    pub(crate) fn hold(&self) -> Held<'_> {
        self.0.fetch_add(1, Relaxed);
        Held(self)
    }
}

/// One of what a gauge counts.
pub(crate) struct Held<'a>(&'a Gauge);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}
