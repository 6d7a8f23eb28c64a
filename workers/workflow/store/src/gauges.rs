//! What the committer counts, as plain atomics that any exporter can read.

use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds of [`Gauges::sync_us`]: a sync costs 0.1 ms on a good disk, and 10 ms on one that writes.
const SYNC_US: [u64; 14] =
    [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000];
/// Upper bounds of [`Gauges::batch_commits`], up to the cap of a batch.
const BATCH_COMMITS: [u64; 12] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048];

/// What a [`Committer`](crate::Committer) has done and what lies before it. Everything but the queue only grows.
#[derive(Debug)]
pub struct Gauges {
    /// Commits that wait, those of the batch under way not among them.
    pub queue_commits: AtomicU64,
    /// Their bytes, about.
    pub queue_bytes: AtomicU64,
    /// Batches that were written.
    pub batches: AtomicU64,
    /// Commits that became durable.
    pub commits: AtomicU64,
    /// Reads that only waited for what was before them.
    pub reads: AtomicU64,
    /// Bytes of those commits, about.
    pub bytes: AtomicU64,
    /// Commits that the store rejected.
    pub rejected: AtomicU64,
    /// Attempts that found the disk full.
    pub full: AtomicU64,
    /// Times that a submitter waited because the queue was full.
    pub blocked: AtomicU64,
    /// Microseconds from handing a batch to the store until it was durable and visible.
    pub sync_us: Histogram,
    /// Commits per batch.
    pub batch_commits: Histogram,
}

impl Default for Gauges {
    fn default() -> Self {
        Self {
            queue_commits: AtomicU64::new(0),
            queue_bytes: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            full: AtomicU64::new(0),
            blocked: AtomicU64::new(0),
            sync_us: Histogram::new(&SYNC_US),
            batch_commits: Histogram::new(&BATCH_COMMITS),
        }
    }
}

/// Counts values by size.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    counts: Vec<AtomicU64>,
    sum: AtomicU64,
}

impl Histogram {
    fn new(bounds: &'static [u64]) -> Self {
        Self {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }
    }

    pub(crate) fn record(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// How many values were in each bucket: (upper bound, count), ascending; the last bound is `u64::MAX`. Not cumulative.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let bounds = self.bounds.iter().copied().chain([u64::MAX]);
        bounds.zip(self.counts.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// The sum of all values.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }
}
