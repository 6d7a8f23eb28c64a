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
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

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
/// Latencies are compared with this added to both: below some milliseconds, differences are the scheduler's.
pub(super) const LATENCY_FLOOR_US: f64 = 5_000.0;
/// Share of a new observation in the latency average: some ten calls make a change felt, one spike does not.
const LATENCY_ALPHA: f64 = 0.2;
/// Observations of an instance until they count; the least of them does. A first call pays for connections, caches and
/// code that is loaded, and under calls that come one by one its average would keep all others away.
pub(super) const LATENCY_LEARNT: u32 = 3;
/// What one observation counts at the most, in averages. With it one call, however slow, does not reach the factor from
/// which on an instance is passed over; two in a row do.
const LATENCY_SPIKE: f64 = 4.0;
/// Without observations the latency is forgotten over this time (Linkerd's decay), so that a slow instance is
/// tried again.
const LATENCY_FORGOTTEN_MS: f64 = 10_000.0;

/// A deadline that passes without an answer counts against the instance only if it was kept waiting for this many times
/// what its answers usually take; and for this long at least, which is a pause of a scheduler or a garbage collector; and,
/// while nothing is known of it or of the others, for this long. Otherwise five calls whose clients allow a millisecond
/// would eject an instance that is well.
const OVERDUE_FACTOR: u64 = 3;
const OVERDUE_FLOOR_US: u64 = 100_000;
const OVERDUE_UNKNOWN_US: u64 = 1_000_000;

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

/// Whether an instance that usually takes `usual_us` has been silent for so long that the deadline's passing is its fault.
pub(crate) fn is_overdue(waited_us: u64, usual_us: Option<u64>) -> bool {
    waited_us >= usual_us.map_or(OVERDUE_UNKNOWN_US, |usual| (OVERDUE_FACTOR * usual).max(OVERDUE_FLOOR_US))
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
    number: Number,
    open: AtomicU32,
    connect_failures: AtomicU32,
    down_until_ms: AtomicU64,
    latency_us: AtomicU64,
    latency_at_ms: AtomicU64,
    /// Observations, up to [`LATENCY_LEARNT`].
    learnt: AtomicU32,
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

/// Each is another one.
#[derive(Debug)]
struct Number(usize);

impl Default for Number {
    fn default() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Number(NEXT.fetch_add(1, Relaxed))
    }
}

impl Load {
    /// Tells the instance from all others of this process, also from those that are long gone.
    pub(crate) fn number(&self) -> usize {
        self.number.0
    }

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
        let (observed, learnt) = (latency_us as f64, self.learnt.load(Relaxed));
        let old = self.faded_us(now_ms);
        let new = if learnt == 0 || old == 0.0 {
            self.learnt.store(1, Relaxed);
            observed
        } else if learnt < LATENCY_LEARNT {
            self.learnt.store(learnt + 1, Relaxed);
            observed.min(self.latency_us.load(Relaxed) as f64)
        } else {
            old + (observed.min(LATENCY_SPIKE * (old + LATENCY_FLOOR_US)) - old) * LATENCY_ALPHA
        };
        self.latency_us.store(new as u64, Relaxed);
        self.latency_at_ms.store(now_ms, Relaxed);
    }

    /// Average time to the first of a response in us; 0 if nothing is known yet, or not any more.
    pub(crate) fn latency_us(&self, now_ms: u64) -> f64 {
        if self.learnt.load(Relaxed) < LATENCY_LEARNT { 0.0 } else { self.faded_us(now_ms) }
    }

    /// Average time to the first of a response in us, however long ago it was seen; `None` until enough of it was.
    pub(crate) fn usual_us(&self) -> Option<u64> {
        (self.learnt.load(Relaxed) >= LATENCY_LEARNT).then(|| self.latency_us.load(Relaxed))
    }

    fn faded_us(&self, now_ms: u64) -> f64 {
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
    fn no_instance_has_the_number_of_one_that_is_gone() {
        let numbers: Vec<usize> = (0..100).map(|_| Load::default().number()).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
        assert!(Load::joining(1).number() > numbers[99]);
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
        load.responded(90_000, 1);
        load.responded(1_000, 1);
        assert!(load.latency_us(1) < 1.0, "not known yet");
        load.responded(2_000, 1);
        assert!((load.latency_us(1) - 1_000.0).abs() < 5.0, "the least of the first three");
        load.responded(11_000, 2);
        assert!((load.latency_us(2) - 3_000.0).abs() < 5.0);
        assert!((load.latency_us(5_002) - 1_500.0).abs() < 5.0);
        assert!(load.latency_us(20_000) < 1.0);
        load.responded(90_000, 20_000);
        assert!(load.latency_us(20_000) < 1.0, "learnt anew");
    }

    #[test]
    fn a_deadline_is_held_against_an_instance_by_what_it_usually_takes() {
        for (waited_us, usual_us, overdue) in [
            (1_000, Some(10), false),
            (99_999, Some(1_000), false),
            (100_000, Some(1_000), true),
            (4_999_999, Some(2_000_000), false),
            (6_000_000, Some(2_000_000), true),
            (999_999, None, false),
            (1_000_000, None, true),
        ] {
            assert_eq!(is_overdue(waited_us, usual_us), overdue, "{waited_us} {usual_us:?}");
        }
        let load = Load::default();
        (0..2).for_each(|_| load.responded(5_000, 1));
        assert_eq!(load.usual_us(), None);
        load.responded(5_000, 1);
        assert_eq!(load.usual_us(), Some(5_000));
    }

    #[test]
    fn one_spike_counts_four_averages_at_the_most() {
        let load = Load::default();
        (0..3).for_each(|_| load.responded(10_000, 1));
        load.responded(60_000_000, 1);
        assert!((load.latency_us(1) - 20_000.0).abs() < 5.0, "{}", load.latency_us(1));
    }
}
