//! How often a watch may ask. Pure arithmetic over given instants; it does not sleep.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::Instant;

/// Ten reads a second: as consul-template, and enough to follow any real deployment.
const INTERVAL: Duration = Duration::from_millis(100);
/// A second read at once, so that a lone change is seen without delay.
const BURST: u32 = 2;
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_LAST: Duration = Duration::from_secs(30);

/// Limits reads to 10 a second with a burst of 2.
///
/// Kept as the instant at which the bucket will be full again (the generic cell rate algorithm).
#[derive(Debug)]
pub(crate) struct Pace {
    full_at: Option<Instant>,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { full_at: None }
    }

    /// Takes one read out of the bucket and says when it may start.
    pub(crate) fn reserve(&mut self, now: Instant) -> Instant {
        let full_at = self.full_at.unwrap_or(now).max(now);
        let start = (full_at + INTERVAL).checked_sub(INTERVAL * BURST).map_or(now, |start| start.max(now));
        self.full_at = Some(full_at + INTERVAL);
        start
    }
}

/// Doubles the time between attempts from 500 ms to 30 s, with jitter over the whole of it.
#[derive(Debug)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { failures: 0 }
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Counts a failure and says how long to wait.
    ///
    /// With `b` = 500 ms doubled per failure, at most 30 s: one who cannot be reached is tried after 0 to `b`, so that
    /// a restart is noticed soon. One who answers with an error suffers from each question, so that it is asked after
    /// `b` to 2`b`: at most once in 30 s in the end.
    pub(crate) fn next(&mut self, answered: bool, rng: &mut StdRng) -> Duration {
        let base = BACKOFF_FIRST.saturating_mul(1 << self.failures.min(16)).min(BACKOFF_LAST);
        self.failures = self.failures.saturating_add(1);
        let jitter = base.mul_f64(rng.random());
        if answered { base + jitter } else { jitter }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn two_reads_start_at_once_and_then_ten_a_second() {
        let start = Instant::now();
        let mut pace = Pace::new();
        let begun: Vec<_> = (0..5).map(|_| (pace.reserve(start) - start).as_millis()).collect();
        assert_eq!(begun, [0, 0, 100, 200, 300]);
        // After a pause the burst is back, and no more than the burst.
        let later = start + Duration::from_secs(60);
        let begun: Vec<_> = (0..3).map(|_| (pace.reserve(later) - later).as_millis()).collect();
        assert_eq!(begun, [0, 0, 100]);
    }

    #[test]
    fn delays_double_to_their_cap_and_spread() {
        let mut rng = StdRng::seed_from_u64(7);
        let caps = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000];
        for answered in [false, true] {
            let mut seen = vec![Vec::new(); caps.len()];
            for _ in 0..200 {
                let mut backoff = Backoff::new();
                for seen in &mut seen {
                    seen.push(u64::try_from(backoff.next(answered, &mut rng).as_millis()).unwrap());
                }
            }
            for (cap, seen) in caps.into_iter().zip(seen) {
                let floor = if answered { cap } else { 0 };
                let (least, most) =
                    (*seen.iter().min().unwrap() - floor, *seen.iter().max().unwrap() - floor);
                assert!(least < cap / 10 && most > cap * 9 / 10 && most <= cap, "{cap}: {least}..{most}");
            }
        }
    }

    #[test]
    fn a_success_starts_the_backoff_anew() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut backoff = Backoff::new();
        for _ in 0..100 {
            backoff.next(true, &mut rng);
        }
        backoff.reset();
        assert!(backoff.next(true, &mut rng) <= BACKOFF_FIRST * 2);
    }
}
