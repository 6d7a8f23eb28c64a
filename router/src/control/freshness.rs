//! How old our knowledge of the registry is: fail static, and say so.

use crate::directory::Clock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use tracing::{info, warn};

/// When the registry last answered. Shared by everything that asks it.
#[derive(Debug)]
pub(crate) struct Freshness {
    clock: Clock,
    answered_ms: AtomicU64,
    failing: AtomicBool,
}

impl Freshness {
    /// Starts with a registry that has not answered yet.
    pub(crate) fn new(clock: Clock) -> Self {
        Freshness { clock, answered_ms: AtomicU64::new(0), failing: AtomicBool::new(false) }
    }

    /// Notes a good answer.
    pub(crate) fn answered(&self) {
        self.answered_ms.store(self.clock.now_ms(), Relaxed);
        if self.failing.swap(false, Relaxed) {
            info!("the registry answers again");
        }
    }

    /// Notes a request without a good answer.
    pub(crate) fn failed(&self, error: &str) {
        if !self.failing.swap(true, Relaxed) {
            warn!(
                error,
                "the registry cannot be asked: what is known stays in use, its age is registry_stale_seconds"
            );
        }
    }

    /// Whether the registry has answered at least once.
    pub(crate) fn ever_answered(&self) -> bool {
        self.answered_ms.load(Relaxed) != 0
    }

    /// Whether the last request had a good answer.
    pub(crate) fn reachable(&self) -> bool {
        self.ever_answered() && !self.failing.load(Relaxed)
    }

    /// Seconds since the last good answer while requests fail, else 0. A blocking query that is merely waiting
    /// does not count: a silent registry makes it fail after its time-out.
    pub(crate) fn stale_seconds(&self) -> f64 {
        if !self.failing.load(Relaxed) {
            return 0.0;
        }
        let since_ms = self.clock.now_ms().saturating_sub(self.answered_ms.load(Relaxed));
        f64::from(u32::try_from(since_ms).unwrap_or(u32::MAX)) / 1_000.0
    }
}
