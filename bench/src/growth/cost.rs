//! Cost against instances, connections, streams and workers.

use super::{
    lab::{self, Lab, found},
    load::{Held, Load, SATURATED, compare, hold},
    registry,
};
use crate::{
    contender::{Contender, Running, process::Process},
    results::Growth,
};
use anyhow::{Context, Result};
use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    process::Command,
    time::Duration,
};

const INSTANCES: [usize; 4] = [1, 4, 16, 64];
const CONNECTIONS: [usize; 5] = [1, 10, 100, 1_000, 10_000];
const STREAMS: [usize; 5] = [1, 10, 100, 1_000, 10_000];
const BACKEND_START: Duration = Duration::from_secs(10);
/// Calls in flight while connections grow, until there is one on each.
const IN_FLIGHT: usize = 256;
/// Streams that are held on one connection.
const HELD_ON_ONE: usize = 10_000;

/// Instances are addresses of the loopback network, behind all of which one process listens: as many processes would fight for
/// the cores that are measured.
pub(super) fn instances(lab: &Lab, growth: &mut Growth) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(env::current_exe().context("cannot find this program")?);
    command.args(["backend", "--listen", "0.0.0.0:0"]);
    let mut backend = Process::spawn("backend", command, folder.path())?;
    let port = backend.wait_address(BACKEND_START)?.port();
    let url = lab.site.consul()?.url();
    for count in lab.points(&INSTANCES, &[1, 64]) {
        // The site's own backend is one of them.
        let address = |number: usize| {
            let last = u8::try_from(number + 1).unwrap_or(u8::MAX);
            SocketAddr::from((Ipv4Addr::new(127, 0, 1, last), port))
        };
        let addresses: Vec<_> = (1..*count).map(address).collect();
        registry::instances(&url, &addresses)?;
        let router = lab.start(Contender::Router)?;
        points(lab, growth, &[("router", &router)], &[(*count, SATURATED)])?;
    }
    registry::clear(&url)
}

/// More and more connections call; the same number of calls is in flight, until there is one on each.
pub(super) fn connections(lab: &Lab, growth: &mut Growth) -> Result<()> {
    let (router, relay) = (lab.start(Contender::Router)?, lab.start(Contender::HaproxyTcp)?);
    let most = lab::most_connections()?;
    let load = |count: &usize| {
        let connections = (*count).min(most);
        (connections, Load { connections, streams: (IN_FLIGHT / connections).max(1), ids: 0 })
    };
    let loads: Vec<_> = lab.points(&CONNECTIONS, &[1, 100, 10_000]).iter().map(load).collect();
    points(lab, growth, &[("router", &router), ("haproxy-tcp", &relay)], &loads)
}

/// More and more connections are open and silent while eight call.
pub(super) fn open_connections(lab: &Lab, growth: &mut Growth) -> Result<()> {
    let most = lab::most_connections()? - SATURATED.connections;
    let counts: Vec<_> = CONNECTIONS.iter().map(|count| (*count).min(most)).collect();
    open(lab, growth, Held::Connections, lab.points(&counts, &[1, 1_000]))
}

/// More and more calls are in flight on one connection.
pub(super) fn streams(lab: &Lab, growth: &mut Growth) -> Result<()> {
    let (router, relay) = (lab.start(Contender::Router)?, lab.start(Contender::HaproxyTcp)?);
    let load = |count: &usize| (*count, Load { connections: 1, streams: *count, ids: 0 });
    let loads: Vec<_> = lab.points(&STREAMS, &[1, 100, 10_000]).iter().map(load).collect();
    points(lab, growth, &[("router", &router), ("haproxy-tcp", &relay)], &loads)
}

/// More and more streams are open and silent while eight connections call.
pub(super) fn open_streams(lab: &Lab, growth: &mut Growth) -> Result<()> {
    open(lab, growth, Held::Streams, lab.points(&STREAMS, &[1, 10_000]))
}

fn open(lab: &Lab, growth: &mut Growth, held: Held, counts: &[usize]) -> Result<()> {
    let (router, relay) = (lab.start(Contender::Router)?, lab.start(Contender::HaproxyTcp)?);
    let mut holders = Vec::new();
    let mut there = 0;
    for count in counts {
        for running in [&router, &relay] {
            holders.push(hold(running, held, count - there, (count - there).div_ceil(HELD_ON_ONE))?);
        }
        there = *count;
        points(lab, growth, &[("router", &router), ("haproxy-tcp", &relay)], &[(*count, SATURATED)])?;
    }
    Ok(())
}

/// One and two threads, with a machine of two cores in mind.
pub(super) fn workers(lab: &Lab, growth: &mut Growth) -> Result<()> {
    for threads in [1, 2] {
        let router = lab.start_with(Contender::Router, threads)?;
        let relay = lab.start_with(Contender::HaproxyTcp, threads)?;
        points(lab, growth, &[("router", &router), ("haproxy-tcp", &relay)], &[(threads, SATURATED)])?;
    }
    Ok(())
}

/// Measures every load and adds its point at its x.
pub(super) fn points(
    lab: &Lab,
    growth: &mut Growth,
    them: &[(&str, &Running)],
    loads: &[(usize, Load)],
) -> Result<()> {
    let only_loads: Vec<Load> = loads.iter().map(|(_, load)| *load).collect();
    for ((x, _), costs) in loads.iter().zip(compare(lab, them, &only_loads)?) {
        for ((name, _), us) in them.iter().zip(costs) {
            found(*x, name, us, &growth.unit);
            growth.series.entry((*name).to_owned()).or_default().push((*x as f64, us));
        }
    }
    Ok(())
}
