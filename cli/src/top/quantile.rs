//! Quantiles of a histogram's buckets.

use std::collections::BTreeMap;

/// A time that a share of calls did not exceed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quantile {
    pub(super) ms: f64,
    /// It is in the last bucket, which has no upper bound: `ms` or longer.
    pub(super) or_longer: bool,
}

/// The `share` quantile of calls counted by the upper bound of their bucket in us, `u64::MAX` the last one's; linear
/// inside a bucket, as PromQL's `histogram_quantile` has it. `None` without calls.
pub(super) fn quantile(durations: &BTreeMap<u64, u64>, share: f64) -> Option<Quantile> {
    let total: u64 = durations.values().sum();
    let rank = share * total as f64;
    let (mut below, mut from) = (0, 0);
    for (&bound, &count) in durations {
        if count > 0 && (below + count) as f64 >= rank {
            if bound == u64::MAX {
                return Some(Quantile { ms: from as f64 / 1e3, or_longer: true });
            }
            let inside = (rank - below as f64) / count as f64;
            let us = from as f64 + (bound - from) as f64 * inside;
            return Some(Quantile { ms: us / 1e3, or_longer: false });
        }
        below += count;
        from = bound;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(durations: &[(u64, u64)], share: f64) -> Option<(f64, bool)> {
        let durations = durations.iter().copied().collect();
        quantile(&durations, share).map(|found| ((found.ms * 1e3).round() / 1e3, found.or_longer))
    }

    #[test]
    fn quantiles_are_linear_inside_a_bucket() {
        let even = [(1_000, 0), (2_000, 100), (10_000, 100), (u64::MAX, 0)];
        assert_eq!(ms(&even, 0.5), Some((2.0, false)));
        assert_eq!(ms(&even, 0.25), Some((1.5, false)));
        assert_eq!(ms(&even, 0.75), Some((6.0, false)));
        assert_eq!(ms(&[(1_000, 1)], 0.99), Some((0.99, false)));
    }

    #[test]
    fn the_last_bucket_is_told_by_its_lower_bound() {
        assert_eq!(ms(&[(1_000, 1), (300_000_000, 0), (u64::MAX, 99)], 0.99), Some((300_000.0, true)));
        assert_eq!(ms(&[(u64::MAX, 1)], 0.5), Some((0.0, true)));
    }

    #[test]
    fn no_calls_have_no_quantile() {
        assert_eq!(ms(&[], 0.5), None);
        assert_eq!(ms(&[(1_000, 0), (u64::MAX, 0)], 0.5), None);
    }
}
