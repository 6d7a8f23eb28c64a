//! What each instance has answered.
//!
//! The counters live in the instance's `Load` and go with it. Worker threads add to them when they merge, several times
//! a second, so a call costs no shared cache line.

use super::{BUCKETS_MS, Histogram};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Codes that say that something is broken, not that a caller was wrong: UNKNOWN, DEADLINE_EXCEEDED,
/// RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE, DATA_LOSS.
pub(crate) const BROKEN: [u8; 6] = [2, 4, 8, 13, 14, 15];

/// Counters of one instance since it joined.
#[derive(Debug, Default)]
pub(crate) struct Served {
    calls: AtomicU64,
    failures: AtomicU64,
    durations: [AtomicU64; BUCKETS_MS.len() + 1],
}

/// What a worker thread has counted since its last merge.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) calls: u64,
    pub(super) failures: u64,
    pub(super) durations: Histogram,
}

impl Served {
    pub(super) fn add(&self, counted: &Counted) {
        self.calls.fetch_add(counted.calls, Relaxed);
        self.failures.fetch_add(counted.failures, Relaxed);
        for (sum, count) in self.durations.iter().zip(counted.durations.buckets) {
            if count > 0 {
                sum.fetch_add(count, Relaxed);
            }
        }
    }

    /// Attempts of calls that ended there.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Relaxed)
    }

    /// Those that ended with one of [`BROKEN`], or were tried again.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// Streams that ended by their duration: each bucket's upper bound in us (`None`: none) and how many are in it.
    /// Nothing before the first.
    pub(crate) fn durations_us(&self) -> Vec<(Option<u64>, u64)> {
        let bounds = BUCKETS_MS.iter().map(|ms| Some(ms * 1_000)).chain([None]);
        let counts = self.durations.iter().map(|count| count.load(Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        if buckets.iter().any(|(_, count)| *count > 0) { buckets } else { Vec::new() }
    }
}
