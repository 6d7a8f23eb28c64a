//! Hundreds of random schedules against the real loop, committer and handle, each from a seed that a failure names.
//!
//! A schedule is some random workflows in a random world: calls are made and given up, attempts answer late, twice or never,
//! people pause, cancel, retry, signal and purge, watchers come and go, clocks jump, syncs fail, and the process dies
//! between any two groups of commits and goes on from what the disk has. Each event is held against the promises of the state
//! machine's own simulation, and each answer against what the disk has in the end. At last the world behaves, and
//! everything has to end.
//!
//! `WORKFLOW_SCHEDULES=10000` runs more of them, `WORKFLOW_SEED=7` runs one.

#[path = "../../machine/tests/simulation/checker.rs"]
mod checker;
mod disk;
mod full_disk;
mod histories;
mod people;
mod process;
mod purge;
#[path = "../../machine/tests/simulation/random.rs"]
mod random;
mod schedules;
#[path = "../../machine/tests/simulation/specs.rs"]
mod specs;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Some seconds of an unoptimized build.
const SCHEDULES: u64 = 150;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().unwrap())
}

#[test]
fn every_schedule_keeps_every_promise() {
    let seeds = match number("WORKFLOW_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WORKFLOW_SCHEDULES").unwrap_or(SCHEDULES),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut seen = world::Seen::default();
    for seed in seeds.clone() {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| world::run(seed, &runtime, &mut seen))) {
            eprintln!("the schedule of seed {seed} broke a promise; WORKFLOW_SEED={seed} runs it again");
            resume_unwind(panic);
        }
    }
    println!("{} schedules, {seen:?}", seeds.end - seeds.start);
    if seeds.end - seeds.start >= SCHEDULES {
        seen.everything();
    }
}
