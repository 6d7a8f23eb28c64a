//! Thousands of random schedules against the state machine, each from a seed that a failure names.
//!
//! A schedule is a random workflow in a random world: attempts answer in any order, twice, late, or never; timers fire when they
//! like; people pause, cancel, retry and compensate; the process dies and reads the history again. The checker holds
//! every event against what was promised. In the end the world behaves, and the workflow has to end.
//!
//! `WORKFLOW_SCHEDULES=100000` runs more of them, `WORKFLOW_SEED=7` runs one.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "simulation/checker.rs"]
mod checker;
#[path = "simulation/random.rs"]
mod random;
#[path = "simulation/specs.rs"]
mod specs;
#[path = "simulation/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Some seconds of an unoptimized build.
const SCHEDULES: u64 = 5_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().unwrap())
}

#[test]
fn every_schedule_keeps_every_promise() {
    let seeds = match number("WORKFLOW_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WORKFLOW_SCHEDULES").unwrap_or(SCHEDULES),
    };
    let mut seen = world::Seen::default();
    for seed in seeds.clone() {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| world::run(seed, &mut seen))) {
            eprintln!("the schedule of seed {seed} broke a promise; WORKFLOW_SEED={seed} runs it again");
            resume_unwind(panic);
        }
    }
    println!("{} schedules, {seen:?}", seeds.end - seeds.start);
    if seeds.end - seeds.start >= SCHEDULES {
        seen.everything();
    }
}
