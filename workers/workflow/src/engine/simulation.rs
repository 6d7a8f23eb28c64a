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
#[path = "../../machine/tests/simulation/seeds.rs"]
mod seeds;
#[path = "../../machine/tests/simulation/specs.rs"]
mod specs;
mod world;

/// Some seconds of an unoptimized build.
const SCHEDULES: u64 = 150;

#[test]
fn every_schedule_keeps_every_promise() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut seen = world::Seen::default();
    let seeds = seeds::each(SCHEDULES, |seed| world::run(seed, &runtime, &mut seen));
    println!("{seeds} schedules, {seen:?}");
    if seeds >= SCHEDULES {
        seen.everything();
    }
}
