//! What a call costs as services, instances, connections and streams grow, and what memory what is open holds.
//!
//! A call that costs 2.5 us on an empty router and 25 us in a mesh of ten thousand services would make every other table
//! worthless. HAProxy's plain relay stands beside the router where both see the same load: with more connections each
//! system call carries fewer calls, which nobody can avoid.

mod cost;
mod lab;
mod load;
mod memory;
mod registry;
mod services;

use crate::{
    results::{Growth, Results},
    run::{interrupt, say},
};
use anyhow::{Result, bail};
use lab::Lab;
use std::{
    path::{Path, PathBuf},
    process,
    time::Instant,
};

/// What a call costs as services, instances, connections and streams grow.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fewer points and shorter windows: 45 s instead of 5 min
    #[arg(long)]
    pub(crate) quick: bool,
    /// The file whose growth is replaced; made if it is not there
    #[arg(long, value_name = "FILE", default_value = "bench/results.json")]
    pub(crate) results: PathBuf,
    /// These only
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
}

/// One chart.
struct Chart {
    name: &'static str,
    title: &'static str,
    x: &'static str,
    unit: &'static str,
    measure: fn(&Lab, &mut Growth) -> Result<()>,
}

/// The exit code when the results are written and a chart is missing in them, as of `run`.
const INCOMPLETE: i32 = 3;
const CALL: &str = "us CPU per call";

const CHARTS: &[Chart] = &[
    Chart {
        name: "services",
        title: "Registered services",
        x: "services in the registry; one is called",
        unit: CALL,
        measure: services::registered,
    },
    Chart {
        name: "called-services",
        title: "Services that are called in turn",
        x: "services that are called, of 1,000 in the registry",
        unit: CALL,
        measure: services::called,
    },
    Chart {
        name: "instances",
        title: "Instances of a service",
        x: "instances",
        unit: CALL,
        measure: cost::instances,
    },
    Chart {
        name: "connections",
        title: "Connections that call",
        x: "connections, 256 calls in flight or one on each",
        unit: CALL,
        measure: cost::connections,
    },
    Chart {
        name: "open-connections",
        title: "Connections that are open beside those that call",
        x: "idle connections beside 8 x 32 calls in flight",
        unit: CALL,
        measure: cost::open_connections,
    },
    Chart {
        name: "streams",
        title: "Calls in flight on one connection",
        x: "calls in flight",
        unit: CALL,
        measure: cost::streams,
    },
    Chart {
        name: "open-streams",
        title: "Streams that are open beside those that call",
        x: "idle streams beside 8 x 32 calls in flight",
        unit: CALL,
        measure: cost::open_streams,
    },
    Chart { name: "workers", title: "Worker threads", x: "threads", unit: CALL, measure: cost::workers },
    Chart {
        name: "memory-idle-connection",
        title: "Memory of an idle connection",
        x: "connections without a call",
        unit: "KiB per connection",
        measure: memory::idle_connections,
    },
    Chart {
        name: "memory-used-connection",
        title: "Memory of a connection with one open stream",
        x: "connections with an idle stream",
        unit: "KiB per connection",
        measure: memory::used_connections,
    },
    Chart {
        name: "memory-idle-stream",
        title: "Memory of an open idle stream",
        x: "idle streams",
        unit: "KiB per stream",
        measure: memory::idle_streams,
    },
    Chart {
        name: "memory-stalled-stream",
        title: "Memory of a stream that its client does not read",
        x: "stalled streams",
        unit: "KiB per stream",
        measure: memory::stalled_streams,
    },
];

/// Measures and replaces in the results what was measured. Exit code 3: some chart could not be measured, the others
/// are kept.
pub(crate) fn run(args: Args) -> Result<()> {
    if let Some(unknown) = args.only.iter().find(|name| CHARTS.iter().all(|chart| chart.name != **name)) {
        let names: Vec<&str> = CHARTS.iter().map(|chart| chart.name).collect();
        bail!("there is no growth `{unknown}`; there are {}", names.join(", "));
    }
    lab::raise_limits()?;
    interrupt::watch()?;
    let lab = Lab::new(args.quick)?;
    let begun = Instant::now();
    let chosen = |chart: &&Chart| args.only.is_empty() || args.only.iter().any(|name| name == chart.name);
    let mut failed = Vec::new();
    for chart in CHARTS.iter().filter(chosen) {
        let mut growth = Growth {
            title: chart.title.to_owned(),
            x: chart.x.to_owned(),
            unit: chart.unit.to_owned(),
            ..Growth::default()
        };
        say(&format!("{:>4} s  {}", begun.elapsed().as_secs(), chart.name));
        let done = (chart.measure)(&lab, &mut growth);
        interrupt::check()?;
        if let Err(error) = done {
            say(&format!("        FAILED: {error:#}"));
            failed.push(chart.name);
        }
        // Points that were measured before a failure stand.
        if !growth.series.is_empty() {
            keep(&args.results, chart.name, growth)?;
        }
    }
    drop(lab);
    if !failed.is_empty() {
        say(&format!("not measured: {}", failed.join(", ")));
        process::exit(INCOMPLETE);
    }
    Ok(())
}

/// Puts one chart into the file, whose other parts stay.
fn keep(path: &Path, name: &str, growth: Growth) -> Result<()> {
    let mut results = if path.exists() { Results::load(path)? } else { Results::default() };
    results.growth.insert(name.to_owned(), growth);
    results.save(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_chart_is_kept_beside_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        let growth =
            |x| Growth { series: [("router".to_owned(), vec![(x, 2.5)])].into(), ..Default::default() };
        keep(&path, "services", growth(1.0)).unwrap();
        keep(&path, "streams", growth(2.0)).unwrap();
        keep(&path, "services", growth(3.0)).unwrap();
        let results: Results = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let at = |name: &str| results.growth[name].series["router"][0].0;
        assert_eq!((results.growth.len(), at("services"), at("streams")), (2, 3.0, 2.0));
    }

    #[test]
    fn an_unknown_name_is_refused_with_those_there_are() {
        let args = Args { quick: true, results: PathBuf::new(), only: vec!["service".to_owned()] };
        let error = run(args).unwrap_err().to_string();
        assert!(error.contains("`service`") && error.contains("called-services, instances"), "{error}");
    }
}
