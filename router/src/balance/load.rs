//! What is known of one instance beside the registry: open streams, latency, failures, ejection.
//!
//! Shared by all worker threads and carried over from snapshot to snapshot by instance and address. All of it is
//! relaxed atomics: a pick may see a count that is a few nanoseconds old, which costs nothing.
//!
//! ```text
//!            5 failures in a row            ejection is over           its answer is good
//!   serving ─────────────────────► ejected ─────────────────► probing ───────────────────► serving (slow start)
//!                                     ▲                           │ its answer is bad
//!                                     └───────────────────────────┘ (10 s longer)
//! ```

use crate::observe::Served;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Back-off after a failed connect: defaults.md 4.1 (Linkerd's 100 ms doubling, capped at 10 s).
const DOWN_FIRST_MS: u64 = 100;
const DOWN_MAX_MS: u64 = 10_000;
/// Failures in a row that eject (Envoy 5, Linkerd 7).
const EJECT_AFTER: u32 = 5;
/// Ejection lasts `ejection_time` times the ejections so far, at most this.
const EJECT_MAX_MS: u64 = 300_000;
/// A new or returned instance gets a share that grows to its full one over this time, from a tenth.
const SLOW_START_MS: u64 = 10_000;
const SLOW_START_FLOOR: f64 = 0.1;
/// Share of a new observation in the latency average: some ten calls make a change felt, one spike does not.
const LATENCY_ALPHA: f64 = 0.2;
/// Without observations the latency is forgotten over this time (Linkerd's decay), so that a slow instance is
/// tried again.
const LATENCY_FORGOTTEN_MS: f64 = 10_000.0;

/// How a call ended, as far as it says something about the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    Bad,
    /// Cancelled, or refused by the application: says nothing.
    None,
}

impl Verdict {
    /// Of a grpc-status, from headers or trailers alike: UNAVAILABLE, INTERNAL, UNKNOWN and DATA_LOSS count
    /// against the instance (defaults.md 4.2); the others are answers.
    pub(crate) fn of_status(code: u8) -> Self {
        match code {
            2 | 13 | 14 | 15 => Verdict::Bad,
            1 => Verdict::None,
            _ => Verdict::Good,
        }
    }
}

/// Whether an instance may be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fitness {
    Fit,
    /// Its ejection is over: one call may try it.
    Probe,
    Unfit,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Load {
    open: AtomicU32,
    connect_failures: AtomicU32,
    down_until_ms: AtomicU64,
    latency_us: AtomicU64,
    latency_at_ms: AtomicU64,
    bad_in_a_row: AtomicU32,
    ejections: AtomicU32,
    /// 0: not ejected.
    ejected_until_ms: AtomicU64,
    probing: AtomicBool,
    /// When it joined, or came back; 0: long ago.
    warm_from_ms: AtomicU64,
    /// For those who look; no pick depends on it.
    pub(crate) served: Served,
}

impl Load {
    /// An instance that joins a service that is in use: it starts slowly.
    pub fn joining(now_ms: u64) -> Self {
        Load { warm_from_ms: AtomicU64::new(now_ms), ..Load::default() }
    }

    /// Streams open at this instance over all worker threads.
    pub fn open(&self) -> u32 {
        self.open.load(Relaxed)
    }

    /// Counts a stream that was opened; every call pairs with one [`Load::closed`].
    pub fn opened(&self) {
        self.open.fetch_add(1, Relaxed);
    }

    /// Counts the end of a stream.
    pub fn closed(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    /// Notes a failed connect: the instance is not picked until its back-off is over (100 ms, doubled each
    /// time, at most 10 s), unless all instances of the service are in that state.
    pub fn connect_failed(&self, now_ms: u64) {
        let failures = self.connect_failures.fetch_add(1, Relaxed).min(16);
        let pause = (DOWN_FIRST_MS << failures).min(DOWN_MAX_MS);
        self.down_until_ms.store(now_ms + pause, Relaxed);
    }

    /// Notes that a connection is up: the instance may be picked at once.
    pub fn connected(&self) {
        self.connect_failures.store(0, Relaxed);
        self.down_until_ms.store(0, Relaxed);
    }

    /// Whether a connect failed and its back-off is not over.
    pub fn is_down(&self, now_ms: u64) -> bool {
        now_ms < self.down_until_ms.load(Relaxed)
    }

    /// Whether outcomes have taken it out of the rotation, probes not counted.
    pub fn is_ejected(&self) -> bool {
        self.ejected_until_ms.load(Relaxed) != 0
    }

    pub(crate) fn fitness(&self, now_ms: u64) -> Fitness {
        let ejected_until = self.ejected_until_ms.load(Relaxed);
        if self.is_down(now_ms) || now_ms < ejected_until || self.probing.load(Relaxed) {
            Fitness::Unfit
        } else if ejected_until != 0 {
            Fitness::Probe
        } else {
            Fitness::Fit
        }
    }

    /// Takes the one probe of an instance whose ejection is over; false if another call has it.
    pub(crate) fn begin_probe(&self) -> bool {
        self.is_ejected() && !self.probing.swap(true, Relaxed)
    }

    /// The share of a full instance's calls that it may get: grows from 0.1 to 1 during slow start.
    pub(crate) fn warmth(&self, now_ms: u64) -> f64 {
        match self.warm_from_ms.load(Relaxed) {
            0 => 1.0,
            from => {
                let share = now_ms.saturating_sub(from) as f64 / SLOW_START_MS as f64;
                if share >= 1.0 {
                    // Over for good: the next look costs one load.
                    self.warm_from_ms.store(0, Relaxed);
                }
                share.clamp(SLOW_START_FLOOR, 1.0)
            }
        }
    }

    /// Whether slow start is over.
    pub(crate) fn is_warm(&self) -> bool {
        self.warm_from_ms.load(Relaxed) == 0
    }

    /// Notes the time from opening a stream to the first of the response.
    pub(crate) fn responded(&self, latency_us: u64, now_ms: u64) {
        let old = self.latency_us(now_ms);
        let new =
            if old == 0.0 { latency_us as f64 } else { old + (latency_us as f64 - old) * LATENCY_ALPHA };
        self.latency_us.store(new as u64, Relaxed);
        self.latency_at_ms.store(now_ms, Relaxed);
    }

    /// Average time to the first of a response in us; 0 if nothing is known, or not any more.
    pub(crate) fn latency_us(&self, now_ms: u64) -> f64 {
        let idle_ms = now_ms.saturating_sub(self.latency_at_ms.load(Relaxed)) as f64;
        let left = (1.0 - idle_ms / LATENCY_FORGOTTEN_MS).max(0.0);
        self.latency_us.load(Relaxed) as f64 * left
    }

    /// Notes how a call ended. `may_eject` is asked when this is the last straw: whether the service can do without
    /// the instance. `probed`: the call was the probe. `pause_ms` is how long a first ejection lasts.
    /// True if this ejected the instance.
    pub(crate) fn ended(
        &self,
        verdict: Verdict,
        probed: bool,
        now_ms: u64,
        pause_ms: u64,
        may_eject: impl FnOnce() -> bool,
    ) -> bool {
        match (verdict, probed) {
            (Verdict::None, true) => self.probing.store(false, Relaxed),
            (Verdict::None, false) => {}
            (Verdict::Good, probed) => {
                self.bad_in_a_row.store(0, Relaxed);
                if probed {
                    self.warm_from_ms.store(now_ms, Relaxed);
                    self.ejected_until_ms.store(0, Relaxed);
                    self.probing.store(false, Relaxed);
                } else if !self.is_ejected() && self.ejections.load(Relaxed) > 0 && self.is_warm() {
                    // A whole slow start without another ejection: the past is forgiven.
                    self.ejections.store(0, Relaxed);
                }
            }
            (Verdict::Bad, probed) => {
                let failures = self.bad_in_a_row.fetch_add(1, Relaxed) + 1;
                if probed || (failures >= EJECT_AFTER && !self.is_ejected() && may_eject()) {
                    let times = u64::from(self.ejections.fetch_add(1, Relaxed) + 1);
                    let pause = pause_ms.saturating_mul(times).min(EJECT_MAX_MS);
                    self.bad_in_a_row.store(0, Relaxed);
                    self.ejected_until_ms.store(now_ms + pause, Relaxed);
                    self.probing.store(false, Relaxed);
                    return true;
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(load: &Load, verdict: Verdict, now_ms: u64) -> bool {
        load.ended(verdict, false, now_ms, 10_000, || true)
    }

    #[test]
    fn a_failed_connect_backs_off_doubling_and_a_good_one_clears_it() {
        let load = Load::default();
        load.connect_failed(1_000);
        assert!(load.is_down(1_099) && !load.is_down(1_100));
        load.connect_failed(2_000);
        assert!(load.is_down(2_199) && !load.is_down(2_200));
        for _ in 0..40 {
            load.connect_failed(3_000);
        }
        assert!(load.is_down(12_999) && !load.is_down(13_000));
        load.connected();
        assert!(!load.is_down(3_001));
    }

    #[test]
    fn five_failures_in_a_row_eject_and_any_success_between_does_not() {
        let load = Load::default();
        for _ in 0..4 {
            assert!(!end(&load, Verdict::Bad, 1));
        }
        end(&load, Verdict::Good, 1);
        for _ in 0..4 {
            assert!(!end(&load, Verdict::Bad, 1));
        }
        end(&load, Verdict::None, 1);
        assert!(end(&load, Verdict::Bad, 1_000));
        assert_eq!(load.fitness(10_999), Fitness::Unfit);
        assert_eq!(load.fitness(11_000), Fitness::Probe);
    }

    #[test]
    fn the_service_decides_whether_it_can_do_without() {
        let load = Load::default();
        for _ in 0..20 {
            assert!(!load.ended(Verdict::Bad, false, 1, 10_000, || false));
        }
        assert_eq!(load.fitness(1), Fitness::Fit);
    }

    #[test]
    fn one_probe_decides_between_return_and_a_longer_ejection() {
        let load = Load::default();
        for _ in 0..5 {
            end(&load, Verdict::Bad, 0);
        }
        assert!(load.begin_probe());
        assert!(!load.begin_probe());
        assert_eq!(load.fitness(10_000), Fitness::Unfit);
        assert!(load.ended(Verdict::Bad, true, 10_000, 10_000, || true));
        assert_eq!((load.fitness(29_999), load.fitness(30_000)), (Fitness::Unfit, Fitness::Probe));
        assert!(load.begin_probe());
        assert!(!load.ended(Verdict::None, true, 30_000, 10_000, || true));
        assert_eq!(load.fitness(30_000), Fitness::Probe, "an abandoned probe leaves room for the next");
        assert!(load.begin_probe());
        load.ended(Verdict::Good, true, 40_000, 10_000, || true);
        assert_eq!(load.fitness(40_000), Fitness::Fit);
        assert!((load.warmth(41_000) - 0.1).abs() < 1e-9);
        assert!((load.warmth(45_000) - 0.5).abs() < 1e-9);
        assert!((load.warmth(50_000) - 1.0).abs() < 1e-9 && load.is_warm());
    }

    #[test]
    fn latency_follows_slowly_and_is_forgotten_when_idle() {
        let load = Load::default();
        load.responded(1_000, 1);
        load.responded(11_000, 2);
        assert!((load.latency_us(2) - 3_000.0).abs() < 5.0);
        assert!((load.latency_us(5_002) - 1_500.0).abs() < 5.0);
        assert!(load.latency_us(20_000) < 1.0);
    }
}
