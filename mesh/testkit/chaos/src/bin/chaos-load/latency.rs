//! Times in buckets of 3 %: bounded memory, whatever the number of calls.

use serde_json::{Value, json};
use std::time::Duration;

/// Linear steps per power of two.
const STEPS: usize = 32;

/// A histogram of times in microseconds.
#[derive(Default)]
pub(crate) struct Latency {
    buckets: Vec<u64>,
    count: u64,
    max_us: u64,
}

impl Latency {
    pub(crate) fn record(&mut self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = bucket(us);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.count += 1;
        self.max_us = self.max_us.max(us);
    }

    /// The time that this share of all stayed below, in microseconds; 0 if there is none.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let rank = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= rank {
                return upper(bucket).min(self.max_us);
            }
        }
        0
    }

    pub(crate) fn summary(&self) -> Value {
        json!({
            "count": self.count,
            "p50_us": self.quantile(0.5),
            "p99_us": self.quantile(0.99),
            "p999_us": self.quantile(0.999),
            "max_us": self.max_us,
        })
    }
}

/// Below `2 * STEPS` each microsecond has its bucket; above, each power of two has `STEPS` of them.
fn bucket(us: u64) -> usize {
    let exponent = (us | 1).ilog2().saturating_sub(STEPS.ilog2());
    exponent as usize * STEPS + (us >> exponent) as usize
}

/// The largest time of a bucket.
fn upper(bucket: usize) -> u64 {
    let exponent = (bucket / STEPS).saturating_sub(1);
    let step = bucket - exponent * STEPS;
    ((step as u64 + 1) << exponent) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_in_a_bucket_that_is_three_per_cent_wide() {
        for us in (0..5_000).chain([65_535, 65_536, 1_000_000, 123_456_789]) {
            let (bucket, below) = (bucket(us), bucket(us.saturating_sub(1)));
            assert!(bucket == below || bucket == below + 1, "{us}");
            let upper = upper(bucket);
            assert!(upper >= us && upper <= us + us / STEPS as u64 + 1, "{us} in a bucket up to {upper}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_times_recorded() {
        let mut latency = Latency::default();
        assert_eq!(latency.quantile(0.99), 0);
        for us in 1..=1_000 {
            latency.record(Duration::from_micros(us));
        }
        assert!((500..=516).contains(&latency.quantile(0.5)), "{}", latency.quantile(0.5));
        assert!((990..=1_000).contains(&latency.quantile(0.99)), "{}", latency.quantile(0.99));
        assert_eq!(latency.quantile(1.0), 1_000);
    }
}
