//! Log lines that a stranger can cause: one of them is told, the others counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Long enough that an attack fills no disk, short enough to see one begin.
const INTERVAL: Duration = Duration::from_secs(10);

/// Lets one event in ten seconds through.
#[derive(Debug)]
pub(crate) struct Sampled {
    since: Instant,
    /// From when on the next event is told, in milliseconds after `since`.
    next_ms: AtomicU64,
    hidden: AtomicU64,
}

impl Default for Sampled {
    fn default() -> Self {
        Self { since: Instant::now(), next_ms: AtomicU64::new(0), hidden: AtomicU64::new(0) }
    }
}

impl Sampled {
    /// Says whether to tell this event, and how many were not told since the last one that was.
    pub(crate) fn admit(&self) -> Option<u64> {
        let now_ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let next_ms = self.next_ms.load(Ordering::Relaxed);
        let after_ms = now_ms.saturating_add(INTERVAL.as_millis() as u64);
        let ours = now_ms >= next_ms
            && self.next_ms.compare_exchange(next_ms, after_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if ours {
            return Some(self.hidden.swap(0, Ordering::Relaxed));
        }
        self.hidden.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Sampled;

    #[test]
    fn the_first_of_many_is_told() {
        let sampled = Sampled::default();
        let told: Vec<_> = (0..100).map(|_| sampled.admit()).collect();
        assert_eq!(told[0], Some(0));
        assert!(told[1..].iter().all(Option::is_none));
    }
}
