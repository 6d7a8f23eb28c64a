//! What the router is held to, and whether the figures reach it.
//!
//! Ratios are medians over the rounds of what both cost in the same round, so that a busy machine slows both.

use super::{
    names,
    numbers::{figure, times},
};
use crate::results::{Figures, Growth, Results};

/// One line of the table of targets.
pub(super) struct Verdict {
    pub(super) load: String,
    pub(super) target: String,
    pub(super) measured: String,
    /// None if it was not measured.
    pub(super) reached: Option<bool>,
}

/// What is asked of a load.
enum Ask {
    /// The peer costs at least so many times as much.
    Under(&'static str, f64),
    /// The router costs at most so many times as much as the peer.
    AtMost(&'static str, f64),
    /// CPU per unit, us.
    Cpu(f64),
    /// The median latency is at most so many times that without a proxy.
    Latency(f64),
}

/// What is asked of a growth.
enum Grow {
    /// No value is higher than one before it by more than this share.
    Flat,
    /// The same of the ratio to HAProxy tcp: more sockets cost everybody more.
    FlatBesideRelay,
    /// No value is higher, KiB.
    KiB(f64),
}

/// By how much a flat growth may rise.
const FLAT: f64 = 0.20;

const SATURATED: &[Ask] = &[
    Ask::Under("envoy", 15.0),
    Ask::Under("nginx", 10.0),
    Ask::Under("tonic", 10.0),
    Ask::Under("haproxy-http", 3.0),
    Ask::Under("hyper", 3.0),
    Ask::AtMost("haproxy-tcp", 1.5),
];
const ONE_AT_A_TIME: &[Ask] = &[
    Ask::AtMost("haproxy-tcp", 1.2),
    Ask::Latency(1.6),
    Ask::Under("haproxy-http", 2.0),
    Ask::Under("envoy", 3.5),
];
const MESSAGE: &[Ask] = &[Ask::Cpu(0.35), Ask::Under("haproxy-http", 2.0), Ask::Under("envoy", 8.0)];
const BODY: &[Ask] = &[Ask::AtMost("haproxy-tcp", 1.0), Ask::Under("envoy", 1.4)];

const LOADS: &[(&str, &[Ask])] = &[
    ("unary-8x32", SATURATED),
    ("unary-64x8", SATURATED),
    ("unary-1x1", ONE_AT_A_TIME),
    ("burst", MESSAGE),
    ("upload-1mb", BODY),
    ("download-1mb", BODY),
    ("upload-10mb", BODY),
    ("download-10mb", BODY),
];

const GROWTH: &[(&str, &str, Grow)] = &[
    ("services", "cost per call, 1 to 100,000 services", Grow::Flat),
    ("instances", "cost per call, 1 to 64 instances", Grow::Flat),
    ("connections", "cost per call, 1 to 10,000 connections that call", Grow::FlatBesideRelay),
    ("open-connections", "cost per call, 1 to 10,000 more open connections", Grow::Flat),
    ("streams", "cost per call, 1 to 10,000 calls in flight on a connection", Grow::Flat),
    ("open-streams", "cost per call, 1 to 10,000 more open streams", Grow::Flat),
    ("workers", "cost per call, 1 and 2 workers", Grow::Flat),
    ("memory-idle-connection", "memory of an idle connection", Grow::KiB(20.0)),
    ("memory-idle-stream", "memory of an open idle stream", Grow::KiB(1.0)),
];

/// Every target beside what was measured, in order.
pub(super) fn verdicts(results: &Results) -> Vec<Verdict> {
    let loads = LOADS.iter().flat_map(|(name, asks)| asks.iter().map(|ask| load(results, name, ask)));
    let growth = GROWTH.iter().map(|(name, what, ask)| growth(results.growth.get(*name), what, ask));
    loads.chain(growth).collect()
}

fn load(results: &Results, scenario: &str, ask: &Ask) -> Verdict {
    let unit = results.scenarios.get(scenario).map_or("unit", |scenario| &scenario.unit);
    let figures = |name: &str| measured(results, scenario, name);
    let (target, found) = match *ask {
        Ask::Under(peer, least) => {
            let target = format!("at least {least}x under {}", names::contender(peer));
            let ratio = figures(peer).and_then(|peer| peer.ratio);
            (target, ratio.map(|ratio| (times(ratio) + " under", ratio >= least)))
        }
        Ask::AtMost(peer, most) => {
            let target = format!("at most {most}x {}", names::contender(peer));
            let ratio = figures(peer).and_then(|peer| peer.ratio).filter(|ratio| *ratio > 0.0);
            (target, ratio.map(|ratio| (times(1.0 / ratio), 1.0 / ratio <= most)))
        }
        Ask::Cpu(most) => {
            let cpu = figures("router").and_then(|router| router.cpu_us);
            (
                format!("at most {most} us per {unit}"),
                cpu.map(|us| (format!("{} us", figure(us)), us <= most)),
            )
        }
        Ask::Latency(most) => {
            let both = figures("router").zip(figures("direct")).filter(|(_, direct)| direct.p50_us > 0.0);
            let found = both.map(|(router, direct)| {
                let ratio = router.p50_us / direct.p50_us;
                let us = (figure(router.p50_us), figure(direct.p50_us));
                (format!("{} ({} us against {} us)", times(ratio), us.0, us.1), ratio <= most)
            });
            (format!("p50 at most {most}x that without a proxy"), found)
        }
    };
    verdict(names::scenario(scenario), target, found)
}

fn growth(growth: Option<&Growth>, what: &str, ask: &Grow) -> Verdict {
    let series = |name: &str| growth.and_then(|growth| growth.series.get(name)).map(Vec::as_slice);
    let router = series("router");
    let shown = |rise: Rise, show: fn(f64) -> String, unit: &str| {
        let share = rise.to / rise.from - 1.0;
        let text = format!("{:.0} % ({} to {}{unit})", share * 100.0, show(rise.from), show(rise.to));
        (text, share <= FLAT)
    };
    let (target, found) = match ask {
        Grow::Flat => {
            ("rises by at most 20 %".to_owned(), router.and_then(rise).map(|it| shown(it, figure, " us")))
        }
        Grow::FlatBesideRelay => {
            let ratios = router.zip(series("haproxy-tcp")).map(|(router, relay)| ratios(router, relay));
            (
                "beside HAProxy tcp, rises by at most 20 %".to_owned(),
                ratios.and_then(|ratios| rise(&ratios)).map(|it| shown(it, times, "")),
            )
        }
        Grow::KiB(most) => {
            let value = router.and_then(|points| points.iter().map(|point| point.1).reduce(f64::max));
            let found = value.map(|kib| (format!("{} KiB", figure(kib)), kib <= *most));
            (format!("at most {most} KiB"), found)
        }
    };
    verdict(what, target, found)
}

fn verdict(load: &str, target: String, found: Option<(String, bool)>) -> Verdict {
    let (measured, reached) = found.map_or(("-".to_owned(), None), |(text, reached)| (text, Some(reached)));
    Verdict { load: load.to_owned(), target, measured, reached }
}

fn measured<'r>(results: &'r Results, scenario: &str, contender: &str) -> Option<&'r Figures> {
    results.scenarios.get(scenario)?.contenders.get(contender).filter(|figures| figures.failed.is_none())
}

/// From a value to a later one.
struct Rise {
    from: f64,
    to: f64,
}

/// The most by which a value lies above the least of those before it, as a share of that. A cost that falls first,
/// because more calls share a system call, rises from its lowest point.
fn rise(points: &[(f64, f64)]) -> Option<Rise> {
    let mut points = points.iter().map(|point| point.1);
    let mut least = points.next().filter(|value| *value > 0.0)?;
    let mut most = Rise { from: least, to: least };
    for value in points.filter(|value| *value > 0.0) {
        if value / least > most.to / most.from {
            most = Rise { from: least, to: value };
        }
        least = least.min(value);
    }
    Some(most)
}

/// The first series over the second, where both have a point.
fn ratios(over: &[(f64, f64)], under: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let other = |x: f64| under.iter().find(|point| point.0 == x).map(|point| point.1);
    let ratio = |(x, y): &(f64, f64)| Some((*x, y / other(*x).filter(|other| *other > 0.0)?));
    over.iter().filter_map(ratio).collect()
}
