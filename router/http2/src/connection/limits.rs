//! Budgets against floods: token buckets over the caller's clock. A frame that does nothing costs a token; useful frames
//! give some back where honest peers answer them with such frames.

use crate::Config;

/// Bytes of answers (acknowledgements, refusals) that may wait unread. Five thousand PINGs: far more than an honest peer
/// has in flight, and little memory for each of ten thousand connections.
pub(super) const CONTROL_OUTPUT_MAX: usize = 64 << 10;

/// Output above the high-water mark at which new streams end the connection: the peer opens streams, and reads none of
/// the answers. 1 MiB holds the header sections of as many streams as may be open.
pub(super) const OUTPUT_EXCESS_MAX: usize = 1 << 20;

/// Interim (1xx) responses on one stream: some are hints on the way, none of them is an answer, and nothing else bounds
/// how many a server may send.
pub(super) const INTERIM_MAX: u8 = 100;

/// Window increments from here on are worth a frame of their own.
pub(super) const TINY_WINDOW_UPDATE: u32 = 1024;

/// A token bucket. Tokens are counted in thousandths, so that any rate per second works with a millisecond clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    milli: u64,
    burst_milli: u64,
    per_second: u32,
    last_ms: u64,
}

impl Bucket {
    fn new(per_second: u32, burst: u32) -> Self {
        let burst_milli = u64::from(burst) * 1000;
        Self { milli: burst_milli, burst_milli, per_second, last_ms: 0 }
    }

    /// Takes one token; false if there is none. A clock that steps back refills nothing.
    pub(super) fn take(&mut self, now_ms: u64) -> bool {
        let elapsed = now_ms.saturating_sub(self.last_ms);
        self.last_ms = self.last_ms.max(now_ms);
        let refill = elapsed.saturating_mul(u64::from(self.per_second));
        self.milli = self.milli.saturating_add(refill).min(self.burst_milli);
        match self.milli.checked_sub(1000) {
            Some(rest) => {
                self.milli = rest;
                true
            }
            None => false,
        }
    }

    /// Gives `n` tokens back.
    #[inline]
    pub(super) fn give(&mut self, n: u64) {
        self.milli = (self.milli + n * 1000).min(self.burst_milli);
    }
}

/// All budgets of a connection.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) resets: Bucket,
    pub(super) pings: Bucket,
    pub(super) settings: Bucket,
    pub(super) window_updates: Bucket,
    pub(super) ignored: Bucket,
    /// Empty DATA frames in a row.
    pub(super) empty_data: u32,
}

impl Limits {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            resets: Bucket::new(config.resets_per_second, config.resets_burst),
            pings: Bucket::new(config.pings_per_second, config.pings_burst),
            settings: Bucket::new(config.settings_per_second, config.settings_burst),
            window_updates: Bucket::new(config.window_updates_per_second, config.window_updates_burst),
            ignored: Bucket::new(config.priority_per_second, config.priority_burst),
            empty_data: 0,
        }
    }

    /// Notes that a DATA frame was sent: the peer may answer it with WINDOW_UPDATEs and a PING.
    #[inline]
    pub(super) fn data_sent(&mut self) {
        self.window_updates.give(4);
        self.pings.give(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_allows_the_burst_and_then_the_rate() {
        let mut bucket = Bucket::new(10, 3);
        assert!(bucket.take(1_000_000));
        assert!(bucket.take(1_000_000));
        assert!(bucket.take(1_000_000));
        assert!(!bucket.take(1_000_000));
        assert!(!bucket.take(1_000_099));
        assert!(bucket.take(1_000_100));
        assert!(!bucket.take(1_000_100));
    }

    #[test]
    fn bucket_ignores_a_clock_that_steps_back() {
        let mut bucket = Bucket::new(1000, 1);
        assert!(bucket.take(5000));
        assert!(!bucket.take(10));
        assert!(!bucket.take(5000));
        assert!(bucket.take(5001));
    }
}
