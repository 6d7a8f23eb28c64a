//! The engine's clock: wall time that never goes back.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use workflow_machine::Millis;

/// Wall time, except that after a jump back it goes on by the monotonic clock until wall time has caught up. After a jump
/// forward it follows at once, which is right after a suspension: timers that came due meanwhile fire, each once.
#[derive(Debug)]
pub(super) struct Clock {
    wall: fn() -> Millis,
    last: Millis,
    seen: Instant,
}

impl Clock {
    pub(super) fn with(wall: fn() -> Millis) -> Self {
        Self { wall, last: wall(), seen: Instant::now() }
    }

    /// It was that late already, as somebody wrote down.
    pub(super) fn at_least(&mut self, at: Millis) {
        self.last = self.last.max(at);
    }

    /// Unix milliseconds.
    pub(super) fn now(&mut self) -> Millis {
        let wall = (self.wall)();
        if wall >= self.last {
            self.last = wall;
            self.seen = Instant::now();
            return wall;
        }
        let passed = self.seen.elapsed().as_millis() as Millis;
        if passed > 0 {
            self.last += passed;
            self.seen = Instant::now();
        }
        self.last
    }
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
        let mut clock = Clock::with(|| WALL.load(Relaxed));
        assert_eq!(clock.now(), 1_000_000);
        WALL.store(1_500_000, Relaxed);
        assert_eq!(clock.now(), 1_500_000, "a jump forward is followed");
        WALL.store(900_000, Relaxed);
        let after = clock.now();
        assert!((1_500_000..1_600_000).contains(&after), "{after}");
        WALL.store(2_000_000, Relaxed);
        assert_eq!(clock.now(), 2_000_000);
        clock.at_least(3_000_000);
        assert!(clock.now() >= 3_000_000, "what was written down has happened");
    }
}
