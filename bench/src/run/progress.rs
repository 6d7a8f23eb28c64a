//! Lines on standard error while a run goes on: what was measured, and how long the rest will take.

use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Counts windows.
#[derive(Debug)]
pub(crate) struct Progress {
    done: u32,
    all: u32,
    began: Instant,
}

impl Progress {
    /// Begins with `all` windows ahead.
    pub(crate) fn new(all: usize) -> Self {
        Self { done: 0, all: u32::try_from(all).unwrap_or(u32::MAX), began: Instant::now() }
    }

    /// Says what a window showed, and counts it.
    pub(crate) fn window(&mut self, scenario: &str, contender: &str, figure: &str) {
        self.done += 1;
        let left = left(self.began.elapsed(), self.done, self.all);
        let width = self.all.to_string().len();
        say(&format!(
            "[{:width$}/{}] {scenario:<16} {contender:<12} {figure:<44} {left} left",
            self.done, self.all
        ));
    }

    /// Leaves out windows that will not be measured.
    pub(crate) fn skip(&mut self, windows: usize) {
        self.all = self.all.saturating_sub(u32::try_from(windows).unwrap_or(u32::MAX));
    }
}

/// Writes a line; a closed standard error is no reason to stop.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The rest takes as long per window as what is done did, starts included.
fn left(spent: Duration, done: u32, all: u32) -> String {
    let seconds = (spent / done.max(1)).saturating_mul(all.saturating_sub(done)).as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_like_what_was() {
        assert_eq!(left(Duration::from_secs(30), 20, 100), "2:00");
        assert_eq!(left(Duration::from_secs(30), 0, 0), "0:00");
        assert_eq!(left(Duration::from_secs(30), 7, 3), "0:00");
    }
}
