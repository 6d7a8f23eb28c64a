//! The engine's clock: wall time that never goes back.

use std::{
    sync::LazyLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use workflow_machine::Millis;

/// Wall time, except that after a jump back it goes on by the monotonic clock until wall time has caught up. After a jump
/// forward it follows at once, which is right after a suspension: timers that came due meanwhile fire, each once.
#[derive(Debug)]
pub(super) struct Clock {
    wall: fn() -> Millis,
    /// Time since some moment, whatever is done to the wall clock.
    passed: fn() -> Duration,
    last: Millis,
    /// When it was `last`, as `passed` has it.
    seen: Duration,
}

impl Clock {
    /// That wall clock, and the system's other one.
    pub(super) fn by(wall: fn() -> Millis) -> Self {
        Self::with(wall, passed)
    }

    pub(super) fn with(wall: fn() -> Millis, passed: fn() -> Duration) -> Self {
        Self { wall, passed, last: wall(), seen: passed() }
    }

    /// It was that late already, as somebody wrote down.
    pub(super) fn at_least(&mut self, at: Millis) {
        self.last = self.last.max(at);
    }

    /// Unix milliseconds.
    pub(super) fn now(&mut self) -> Millis {
        let (wall, passed) = ((self.wall)(), (self.passed)());
        if wall >= self.last {
            (self.last, self.seen) = (wall, passed);
            return wall;
        }
        // Whole milliseconds are taken; the rest counts the next time, however often somebody asks.
        let more = passed.saturating_sub(self.seen).as_millis() as Millis;
        self.last += more;
        self.seen += Duration::from_millis(more);
        self.last
    }
}

fn passed() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}

/// What the system's clock says, in Unix milliseconds.
pub(crate) fn wall() -> Millis {
    // A clock before 1970 is a clock that was not set.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    #[test]
    fn a_jump_back_does_not_turn_time_back() {
        static WALL: AtomicU64 = AtomicU64::new(1_000_000);
        static PASSED_US: AtomicU64 = AtomicU64::new(0);
        let mut clock = Clock::with(|| WALL.load(Relaxed), || Duration::from_micros(PASSED_US.load(Relaxed)));
        assert_eq!(clock.now(), 1_000_000);
        WALL.store(1_500_000, Relaxed);
        assert_eq!(clock.now(), 1_500_000, "a jump forward is followed");
        WALL.store(900_000, Relaxed);
        assert_eq!(clock.now(), 1_500_000);
        // Asked again and again between two milliseconds.
        for _ in 0..1_000 {
            PASSED_US.fetch_add(1_500, Relaxed);
            clock.now();
        }
        assert_eq!(clock.now(), 1_501_500, "it goes as fast as time does");
        WALL.store(2_000_000, Relaxed);
        assert_eq!(clock.now(), 2_000_000);
        clock.at_least(3_000_000);
        assert!(clock.now() >= 3_000_000, "what was written down has happened");
    }
}
