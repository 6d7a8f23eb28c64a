//! The seeds of a run, and a word on the one that fails.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().unwrap())
}

/// Runs that of `WORKFLOW_SEED`, or else as many as `WORKFLOW_SCHEDULES` says, or `usual` many. Gives how many there were.
#[allow(
    clippy::print_stderr,
    reason = "a failure names its seed; in a test of the library that is no exception"
)]
pub(crate) fn each(usual: u64, mut run: impl FnMut(u64)) -> u64 {
    let seeds = match number("WORKFLOW_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WORKFLOW_SCHEDULES").unwrap_or(usual),
    };
    let count = seeds.end - seeds.start;
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
            eprintln!("the schedule of seed {seed} broke a promise; WORKFLOW_SEED={seed} runs it again");
            resume_unwind(panic);
        }
    }
    count
}
