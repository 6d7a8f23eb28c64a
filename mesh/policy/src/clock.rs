//! The time of rate limits: the system's monotonic clock, or one that a test moves.

use std::time::Instant;

use governor::clock::{Clock as _, FakeRelativeClock};
use governor::nanos::Nanos;

/// Counts nanoseconds since it was made.
#[derive(Debug, Clone)]
pub(crate) enum Clock {
    System(Instant),
    Manual { clock: FakeRelativeClock, start: Nanos },
}

impl Clock {
    pub(crate) fn system() -> Self {
        Self::System(Instant::now())
    }

    pub(crate) fn manual(clock: FakeRelativeClock) -> Self {
        let start = clock.now();
        Self::Manual { clock, start }
    }

    pub(crate) fn since_start(&self) -> Nanos {
        match self {
            Self::System(start) => start.elapsed().into(),
            Self::Manual { clock, start } => clock.now().saturating_sub(*start),
        }
    }
}

impl governor::clock::Clock for Clock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.since_start()
    }
}
