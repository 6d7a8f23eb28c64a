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
#[path = "simulation/seeds.rs"]
mod seeds;
#[path = "simulation/specs.rs"]
mod specs;
#[path = "simulation/world.rs"]
mod world;

/// Some seconds of an unoptimized build.
const SCHEDULES: u64 = 5_000;

#[test]
fn every_schedule_keeps_every_promise() {
    let mut seen = world::Seen::default();
    let seeds = seeds::each(SCHEDULES, |seed| world::run(seed, &mut seen));
    println!("{seeds} schedules, {seen:?}");
    if seeds >= SCHEDULES {
        seen.everything();
    }
}
