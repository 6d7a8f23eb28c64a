//! What the engine's loop counts, at one moment.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::api::Api;

/// See [`crate::engine::Shared`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Gauges {
    pub(super) live: u64,
    pub(super) waiting: u64,
    pub(super) running: u64,
    pub(super) timers: u64,
    pub(super) submitted: u64,
    pub(super) events: u64,
    pub(super) stale: u64,
    pub(super) replayed: u64,
    pub(super) schedules: u64,
    pub(super) scheduled: u64,
    pub(super) left_out: u64,
    pub(super) purged: u64,
    pub(super) retention_ms: u64,
    pub(super) paused: bool,
    pub(super) failed: bool,
}

impl Api {
    pub(super) fn gauges(&self) -> Gauges {
        let shared = self.engine.shared();
        let number = |gauge: &AtomicU64| gauge.load(Relaxed);
        let flag = |flag: &AtomicBool| flag.load(Relaxed);
        Gauges {
            live: number(&shared.live),
            waiting: number(&shared.waiting),
            running: number(&shared.running),
            timers: number(&shared.timers),
            submitted: number(&shared.submitted),
            events: number(&shared.events),
            stale: number(&shared.stale),
            replayed: number(&shared.replayed),
            schedules: number(&shared.schedules),
            scheduled: number(&shared.scheduled),
            left_out: number(&shared.left_out),
            purged: number(&shared.purged),
            retention_ms: number(&shared.retention_ms),
            paused: flag(&shared.paused),
            failed: flag(&shared.failed),
        }
    }
}
