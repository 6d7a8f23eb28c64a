//! One measurement: the load generator calls a contender for a second and says what that took.

use super::scenario::{Scenario, Unit};
use crate::contender::{Running, process::Process};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// A load generator that has not ended this long after its window hangs on an answer that does not come.
const SLACK: Duration = Duration::from_secs(15);

/// How long is measured, seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Length {
    /// The window.
    pub(crate) seconds: f64,
    /// Load before it, not counted.
    pub(crate) warmup: f64,
}

/// What one window showed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Window {
    /// CPU time of the proxy per unit, us; `None` without a proxy.
    pub(crate) cpu_us: Option<f64>,
    /// Units per second.
    pub(crate) rps: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Memory of the proxy's processes at the end, and the most since their start.
    pub(crate) rss_mib: Option<f64>,
    pub(crate) peak_mib: Option<f64>,
}

/// The line that `switchboard-bench load` prints.
#[derive(Debug, Deserialize)]
struct Report {
    calls: u64,
    messages: u64,
    bytes: u64,
    seconds: f64,
    p50_us: f64,
    p99_us: f64,
    #[serde(default)]
    errors: BTreeMap<String, u64>,
    #[serde(default)]
    observed: Vec<Observed>,
}

#[derive(Debug, Deserialize)]
struct Observed {
    cpu_ns: u64,
    rss_kib: u64,
    peak_kib: u64,
}

/// Measures a contender once. `folder` keeps what the load generator prints.
///
/// # Errors
/// A call failed or was answered wrongly, or the load generator did not end; with what it said.
pub(crate) fn measure(
    running: &Running,
    scenario: &Scenario,
    length: Length,
    folder: &Path,
) -> Result<Window> {
    let mut load = running.load()?;
    load.args(scenario.flags.split_whitespace());
    load.args(["--seconds", &length.seconds.to_string(), "--warmup", &length.warmup.to_string()]);
    let pids: Vec<_> = running.pids().iter().map(u32::to_string).collect();
    if !pids.is_empty() {
        load.args(["--observe", &pids.join(",")]);
    }
    let mut process = Process::spawn("load", load, folder)?;
    let limit = Duration::from_secs_f64(length.seconds + length.warmup) + SLACK;
    let status = process.wait(limit)?;
    let output = process.output();
    match output.lines().rev().find(|line| line.starts_with('{')) {
        Some(line) => read(line, scenario.unit),
        None => bail!("the load generator ended ({status}) without a result:\n{}", process.last_lines()),
    }
}

/// Reads the load generator's line.
fn read(line: &str, unit: Unit) -> Result<Window> {
    let report: Report = serde_json::from_str(line)
        .with_context(|| format!("the load generator's line is not what it should be: {line}"))?;
    if let Some((text, count)) = report.errors.iter().max_by_key(|(_, count)| **count) {
        let all: u64 = report.errors.values().sum();
        bail!("{all} of {} calls failed, {count} of them: {text}", report.calls + all);
    }
    let units = units(&report, unit);
    if units <= 0.0 || report.seconds <= 0.0 {
        bail!("nothing was done in {} s", report.seconds);
    }
    let observed = (!report.observed.is_empty()).then_some(&report.observed);
    let sum = |field: fn(&Observed) -> u64| observed.map(|all| float(all.iter().map(field).sum()));
    Ok(Window {
        cpu_us: sum(|it| it.cpu_ns).map(|ns| ns / 1000.0 / units),
        rps: units / report.seconds,
        p50_us: report.p50_us,
        p99_us: report.p99_us,
        rss_mib: sum(|it| it.rss_kib).map(|kib| kib / 1024.0),
        peak_mib: sum(|it| it.peak_kib).map(|kib| kib / 1024.0),
    })
}

fn units(report: &Report, unit: Unit) -> f64 {
    match unit {
        Unit::Call => float(report.calls),
        Unit::Message => float(report.messages),
        Unit::Megabyte => float(report.bytes) / 1e6,
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of one second are far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"shape":"burst","calls":100,"messages":10000,"bytes":2000000,"seconds":0.5,"rps":200,
        "p50_us":10,"p90_us":11,"p99_us":12,"p999_us":13,"max_us":14,"errors":{},"observed":[
        {"pid":1,"cpu_ns":1000000,"rss_kib":1024,"peak_kib":2048},{"pid":2,"cpu_ns":9000000,"rss_kib":1024,"peak_kib":0}],
        "load_cpu_ns":5}"#;

    #[test]
    fn figures_are_per_unit_and_summed_over_processes() {
        let call = read(LINE, Unit::Call).unwrap();
        let expected = Window {
            cpu_us: Some(100.0),
            rps: 200.0,
            p50_us: 10.0,
            p99_us: 12.0,
            rss_mib: Some(2.0),
            peak_mib: Some(2.0),
        };
        assert_eq!(call, expected);
        assert_eq!(read(LINE, Unit::Message).unwrap().cpu_us, Some(1.0));
        assert_eq!(read(LINE, Unit::Megabyte).unwrap().rps, 4.0);
    }

    #[test]
    fn without_a_proxy_there_is_no_cost() {
        let line = r#"{"calls":5,"messages":5,"bytes":5,"seconds":1,"p50_us":1,"p99_us":2}"#;
        assert_eq!(read(line, Unit::Call).unwrap().cpu_us, None);
    }

    #[test]
    fn failed_calls_fail_the_window_and_say_why() {
        let line = r#"{"calls":5,"messages":5,"bytes":5,"seconds":1,"p50_us":1,"p99_us":2,"errors":{"grpc-status 14":3}}"#;
        let error = read(line, Unit::Call).unwrap_err().to_string();
        assert!(error.contains("3 of 8") && error.contains("grpc-status 14"), "{error}");
    }

    #[test]
    fn nothing_done_is_no_figure() {
        let line = r#"{"calls":0,"messages":0,"bytes":0,"seconds":1,"p50_us":0,"p99_us":0}"#;
        assert!(read(line, Unit::Call).is_err());
    }
}
