//! Memory of what is open: by how much the resident memory grows, over the number of what was opened.

use super::{
    lab::{self, Lab, found},
    load::{Held, hold},
};
use crate::{
    contender::{Contender, Running},
    results::Growth,
};
use anyhow::{Context, Result};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

const COUNTS: [usize; 3] = [1_000, 4_000, 10_000];
/// Streams are held on that many connections.
const ON_CONNECTIONS: usize = 10;
/// Streams that are not read fill their windows; a thousand of them reach the router's memory budget.
const STALLED: [usize; 3] = [100, 400, 1_000];
/// Resident memory that grows by less than 1 % between two looks is settled.
const LOOK: Duration = Duration::from_millis(300);
const SETTLE_LIMIT: Duration = Duration::from_secs(5);

/// Connections without a call.
pub(super) fn idle_connections(lab: &Lab, growth: &mut Growth) -> Result<()> {
    let counts = connection_counts()?;
    for contender in [Contender::Router, Contender::HaproxyTcp] {
        let on = |_| ON_CONNECTIONS;
        measure(lab, growth, contender, Held::Connections, on, lab.points(&counts, &counts[2..]))?;
    }
    Ok(())
}

/// Connections whose one call goes on, so that header tables and buffers are in use.
pub(super) fn used_connections(lab: &Lab, growth: &mut Growth) -> Result<()> {
    let counts = connection_counts()?;
    let on = |streams| streams;
    measure(lab, growth, Contender::Router, Held::Streams, on, lab.points(&counts, &counts[2..]))
}

/// Calls that got a message and get no other.
pub(super) fn idle_streams(lab: &Lab, growth: &mut Growth) -> Result<()> {
    let on = |_| ON_CONNECTIONS;
    measure(lab, growth, Contender::Router, Held::Streams, on, lab.points(&COUNTS, &COUNTS[2..]))
}

/// Calls whose answers are not read.
pub(super) fn stalled_streams(lab: &Lab, growth: &mut Growth) -> Result<()> {
    let on = |_| ON_CONNECTIONS;
    measure(lab, growth, Contender::Router, Held::Stalled, on, lab.points(&STALLED, &STALLED[..1]))
}

fn connection_counts() -> Result<[usize; 3]> {
    let most = lab::most_connections()? - ON_CONNECTIONS;
    Ok(COUNTS.map(|count| count.min(most)))
}

/// `on` says on how many connections so many streams are held.
fn measure(
    lab: &Lab,
    growth: &mut Growth,
    contender: Contender,
    held: Held,
    on: fn(usize) -> usize,
    counts: &[usize],
) -> Result<()> {
    let running = lab.start(contender)?;
    // Buffers that the first load makes once are no part of what a connection holds.
    let first = hold(&running, Held::Connections, ON_CONNECTIONS, 0)?;
    let before = settled(&running)?;
    let mut holders = vec![first];
    let mut there = 0;
    for count in counts {
        holders.push(hold(&running, held, count - there, on(count - there))?);
        there = *count;
        let kib = settled(&running)?.saturating_sub(before) as f64 / *count as f64;
        found(*count, contender.name(), kib, &growth.unit);
        growth.series.entry(contender.name().to_owned()).or_default().push((*count as f64, kib));
    }
    Ok(())
}

/// Resident memory in KiB once it has stopped to change.
fn settled(running: &Running) -> Result<u64> {
    let end = Instant::now() + SETTLE_LIMIT;
    let mut last = rss(running)?;
    loop {
        thread::sleep(LOOK);
        let now = rss(running)?;
        if now.abs_diff(last) * 100 < last || Instant::now() > end {
            return Ok(now);
        }
        last = now;
    }
}

fn rss(running: &Running) -> Result<u64> {
    running.pids().iter().map(|pid| rss_of(&fs::read_to_string(format!("/proc/{pid}/status"))?)).sum()
}

/// `VmRSS` of a `/proc/PID/status`, KiB.
fn rss_of(status: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.context("the process has no memory: it has ended")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read() {
        assert_eq!(rss_of("Name:\tx\nVmRSS:\t   10240 kB\nThreads:\t2\n").unwrap(), 10_240);
        assert!(rss_of("Name:\tx\nState:\tZ (zombie)\n").is_err());
    }
}
