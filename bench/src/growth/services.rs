//! Cost against services: those in the registry, and those that are called.

use super::{
    cost::points,
    lab::Lab,
    load::{Load, SATURATED},
    registry, say,
};
use crate::{
    contender::{Contender, Running},
    results::Growth,
};
use anyhow::Result;
use std::{
    fs, thread,
    time::{Duration, Instant},
};

const REGISTERED: [usize; 5] = [1, 100, 1_000, 10_000, 100_000];
const CALLED: [usize; 4] = [1, 10, 100, 1_000];
/// Services in the registry while more and more of them are called.
const BEHIND_CALLED: usize = 1_000;
/// So many take seconds to register.
const SLOW: usize = 10_000;
/// How long the router may work on a changed catalogue.
const QUIET_LIMIT: Duration = Duration::from_secs(15);
/// A router that uses less than this of a core has nothing left to do but its timers.
const QUIET_TICKS: u64 = 1;
const LOOK: Duration = Duration::from_millis(250);

/// More and more services in the registry; one of them is called.
pub(super) fn registered(lab: &Lab, growth: &mut Growth) -> Result<()> {
    let router = lab.start(Contender::Router)?;
    let mut there = 0;
    for count in lab.points(&REGISTERED, &REGISTERED[..4]) {
        grow(lab, &router, &mut there, *count)?;
        let load = Load { ids: 1, ..SATURATED };
        points(lab, growth, &[("router", &router)], &[(*count, load)])?;
    }
    drop(router);
    registry::clear(&lab.site.consul()?.url())
}

/// More and more of the services in the registry are called in turn.
pub(super) fn called(lab: &Lab, growth: &mut Growth) -> Result<()> {
    let router = lab.start(Contender::Router)?;
    grow(lab, &router, &mut 0, BEHIND_CALLED)?;
    let load = |count: &usize| (*count, Load { ids: *count, ..SATURATED });
    let loads: Vec<_> = lab.points(&CALLED, &[1, 100]).iter().map(load).collect();
    points(lab, growth, &[("router", &router)], &loads)?;
    drop(router);
    registry::clear(&lab.site.consul()?.url())
}

/// Registers services until there are `count`, and waits until the router knows.
fn grow(lab: &Lab, router: &Running, there: &mut usize, count: usize) -> Result<()> {
    let began = Instant::now();
    registry::services(&lab.site.consul()?.url(), *there..count, lab.backend)?;
    let written = began.elapsed();
    quiet(router)?;
    if count >= SLOW {
        let all = began.elapsed();
        say(&format!("        {count} services registered in {written:.1?}, known after {all:.1?}"));
    }
    *there = count;
    Ok(())
}

/// Waits until a process has nothing to do: what the router does about a catalogue that is being filled is not the cost
/// of a call.
fn quiet(running: &Running) -> Result<()> {
    let end = Instant::now() + QUIET_LIMIT;
    let mut last = ticks(running)?;
    while Instant::now() < end {
        thread::sleep(LOOK);
        let now = ticks(running)?;
        if now - last <= QUIET_TICKS {
            return Ok(());
        }
        last = now;
    }
    say("        the router is still busy with the registry");
    Ok(())
}

/// CPU time in ticks of 10 ms.
fn ticks(running: &Running) -> Result<u64> {
    let mut sum = 0;
    for pid in running.pids() {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name, in brackets, may hold spaces; utime and stime are fields 14 and 15.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
        sum += fields.skip(11).take(2).map(|field| field.parse().unwrap_or(0)).sum::<u64>();
    }
    Ok(sum)
}
