//! The load generator as a process: windows that are measured, and what is held open.

use super::lab::Lab;
use crate::contender::Running;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    process::{Child, ChildStdin, Stdio},
};

/// Unary calls in a closed loop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) connections: usize,
    /// Calls in flight on each.
    pub(super) streams: usize,
    /// Services that are called in turn; 0 is the backend's own.
    pub(super) ids: usize,
}

/// Eight connections with 32 calls in flight on each, as in the headline.
pub(super) const SATURATED: Load = Load { connections: 8, streams: 32, ids: 0 };

/// What even a busy machine does of those calls that come first.
const FIRST_CALLS_PER_SECOND: f64 = 20_000.0;
/// And of those for a service that the registry has to be asked about.
const LOOK_UPS_PER_SECOND: f64 = 250.0;

/// What the load generator says at its end, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Said {
    calls: u64,
    errors: BTreeMap<String, u64>,
    observed: Vec<Observed>,
}

#[derive(Debug, Deserialize)]
struct Observed {
    cpu_ns: u64,
}

/// Us CPU per call of each of these under each load, by load: medians of windows that go round all of them, so that what
/// disturbs the machine for a while disturbs no point more than the others.
pub(super) fn compare(lab: &Lab, them: &[(&str, &Running)], loads: &[Load]) -> Result<Vec<Vec<f64>>> {
    let mut windows = vec![vec![Vec::new(); them.len()]; loads.len()];
    for round in 0..lab.windows {
        for (load, windows) in loads.iter().zip(&mut windows) {
            for at in 0..them.len() {
                let at = (at + round) % them.len();
                let (name, running) = them[at];
                windows[at]
                    .push(window(lab, running, *load).with_context(|| format!("{name} with {load:?}"))?);
            }
        }
    }
    Ok(windows.into_iter().map(|of_load| of_load.into_iter().map(median).collect()).collect())
}

/// One window of one contender.
fn window(lab: &Lab, running: &Running, load: Load) -> Result<f64> {
    let mut command = running.load()?;
    command.args(["--shape", "unary", "--connections", &load.connections.to_string()]);
    command.args(["--streams", &load.streams.to_string()]);
    // The first call of a connection fills its header tables; all of them are to be over.
    let first_calls = (load.connections * load.streams) as f64 / FIRST_CALLS_PER_SECOND;
    let warmup = lab.warmup + first_calls + load.ids as f64 / LOOK_UPS_PER_SECOND;
    command.args(["--seconds", &lab.seconds.to_string(), "--warmup", &warmup.to_string()]);
    if load.ids > 0 {
        command.args(["--ids", &load.ids.to_string()]);
    }
    let pids: Vec<String> = running.pids().iter().map(u32::to_string).collect();
    command.args(["--observe", &pids.join(",")]);
    let answer = command.output().context("cannot start the load generator")?;
    let text = String::from_utf8_lossy(&answer.stdout);
    let Ok(said) = serde_json::from_str::<Said>(text.trim()) else {
        bail!("the load generator says: {text}{}", String::from_utf8_lossy(&answer.stderr).trim());
    };
    if let Some((error, count)) = said.errors.iter().next() {
        bail!("{count} calls failed: {error}");
    }
    per_call(&said).context("no call was answered")
}

fn per_call(said: &Said) -> Option<f64> {
    let cpu_ns: u64 = said.observed.iter().map(|process| process.cpu_ns).sum();
    (said.calls > 0).then(|| cpu_ns as f64 / said.calls as f64 / 1_000.0)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) { (values[middle - 1] + values[middle]) / 2.0 } else { values[middle] }
}

/// What is held open.
#[derive(Debug, Clone, Copy)]
pub(super) enum Held {
    Connections,
    Streams,
    /// Streams that are not read.
    Stalled,
}

/// A load generator that holds connections or streams. Dropping it closes them.
#[derive(Debug)]
pub(super) struct Holder {
    child: Child,
    /// Its end tells the child to end.
    stdin: Option<ChildStdin>,
}

/// Opens `count` through `running`, streams on `connections`, and waits until all are open.
pub(super) fn hold(running: &Running, held: Held, count: usize, connections: usize) -> Result<Holder> {
    let mut command = running.load()?;
    let flag = match held {
        Held::Connections => "--idle-connections",
        Held::Streams => "--idle-streams",
        Held::Stalled => "--stalled-streams",
    };
    command.args([flag, &count.to_string()]);
    if !matches!(held, Held::Connections) {
        command.args(["--connections", &connections.to_string()]);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot start the load generator")?;
    let stdin = child.stdin.take();
    let mut stdout = BufReader::new(child.stdout.take().context("it was piped")?);
    let holder = Holder { child, stdin };
    let mut line = String::new();
    stdout.read_line(&mut line)?;
    if !line.starts_with("ready") {
        bail!("{count} {held:?} could not be opened: {}", line.trim());
    }
    Ok(holder)
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It ends by itself now; nothing is left to do if it had ended before.
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_of_a_call_is_the_cpu_of_all_processes_over_the_calls() {
        let text = r#"{"shape":"unary","calls":1000,"messages":1000,"rps":1.5,"errors":{},
            "observed":[{"pid":1,"cpu_ns":2000000,"rss_kib":1,"peak_kib":1},{"pid":2,"cpu_ns":500000,"rss_kib":1,"peak_kib":1}]}"#;
        let said: Said = serde_json::from_str(text).unwrap();
        assert_eq!(per_call(&said), Some(2.5));
        assert_eq!(per_call(&Said { calls: 0, ..said }), None);
    }

    #[test]
    fn the_median_is_the_middle_or_between_the_two() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
