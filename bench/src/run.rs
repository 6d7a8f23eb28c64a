//! Starts every contender, measures them in turn, and writes the results.

mod figures;
pub(crate) mod interrupt;
pub(crate) mod machine;
mod progress;
mod scenario;
mod series;
mod window;

use crate::contender::{Contender, Site};
use crate::results::{Meta, Results};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use progress::Progress;
pub(crate) use progress::say;
use scenario::{SCENARIOS, Scenario};
use series::Effort;
use std::path::{Path, PathBuf};
use std::process;
use window::Length;

/// The exit code when the results are written and something is missing in them, so that the caller can go on with them.
const INCOMPLETE: i32 = 3;

/// 108 windows a round, 1.4 s each: some 13 minutes.
const FULL: Effort = Effort { rounds: 5, length: Length { seconds: 1.0, warmup: 0.3 } };
/// 44 windows a round, 0.8 s each: some 2 minutes.
const QUICK: Effort = Effort { rounds: 3, length: Length { seconds: 0.5, warmup: 0.2 } };

/// Starts every contender on this machine, measures them in turn, and writes results.json.
///
/// Every round measures each contender once per scenario, in another order each time; figures are medians over the
/// rounds, ratios are of the same round. Exit code 3: results are written, but some contender could not be measured.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  switchboard-bench run                                          everything, some 13 minutes
  switchboard-bench run --quick                                  the main scenarios, some 2 minutes
  switchboard-bench run --only unary-8x32 --contenders haproxy-tcp,router --rounds 3 --out /tmp/mine

Programs are found where `make bench-tools` puts them, or named by HAPROXY_BIN, NGINX_BIN, ENVOY_BIN, CONSUL_BIN and
SWITCHBOARD_ROUTER_BIN (default: the release build).")]
pub(crate) struct Args {
    /// Fewer rounds, shorter windows, main scenarios only
    #[arg(long)]
    quick: bool,
    /// These scenarios only, with commas between
    #[arg(long, value_name = "SCENARIO", value_delimiter = ',')]
    only: Vec<String>,
    /// These contenders only, with commas between; ratios need `router` (or `router-tls`)
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    contenders: Vec<Contender>,
    /// Windows of each contender per scenario [default: 5, quick 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// Length of a window [default: 1.0, quick 0.5]
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// Load before each window that does not count [default: 0.3, quick 0.2]
    #[arg(long, value_name = "SECONDS")]
    warmup: Option<f64>,
    /// Folder of results.json
    #[arg(long, value_name = "DIR", default_value = "bench")]
    out: PathBuf,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let plan = plan(&args)?;
    interrupt::watch()?;
    let path = args.out.join("results.json");
    // Before the minutes of measuring, not after them.
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot create {}", args.out.display()))?;
    let results = measure(&args, &plan)?;
    results.save(&path)?;
    say(&format!("results are in {}", path.display()));
    let failures = results.failures();
    if !failures.is_empty() {
        for failure in &failures {
            say(&format!("not measured: {failure}"));
        }
        // Everything that was started has ended with `measure`.
        process::exit(INCOMPLETE);
    }
    Ok(())
}

/// What is to be measured: each scenario with its contenders.
type Plan = Vec<(&'static Scenario, Vec<Contender>)>;

fn plan(args: &Args) -> Result<Plan> {
    let named = args.only.iter().map(|name| scenario::find(name)).collect::<Result<Vec<_>>>()?;
    let chosen = |scenario: &&Scenario| match args.only.is_empty() {
        true => scenario.quick || !args.quick,
        false => named.iter().any(|named| named.name == scenario.name),
    };
    let wanted: Vec<_> = Contender::value_variants()
        .iter()
        .copied()
        .filter(|it| args.contenders.is_empty() || args.contenders.contains(it))
        .collect();
    let contenders = |scenario: &Scenario| {
        wanted.iter().copied().filter(|it| it.tls() == scenario.tls).collect::<Vec<_>>()
    };
    let plan: Plan = SCENARIOS
        .iter()
        .filter(chosen)
        .map(|scenario| (scenario, contenders(scenario)))
        .filter(|(_, contenders)| !contenders.is_empty())
        .collect();
    if plan.is_empty() {
        bail!(
            "nothing is left to measure: scenarios tls-* take the contenders *-tls, all others those without"
        );
    }
    Ok(plan)
}

fn measure(args: &Args, plan: &Plan) -> Result<Results> {
    let mut effort = if args.quick { QUICK } else { FULL };
    effort.rounds = args.rounds.map_or(effort.rounds, usize::from);
    effort.length.seconds = args.seconds.unwrap_or(effort.length.seconds);
    effort.length.warmup = args.warmup.unwrap_or(effort.length.warmup);
    let mut results = Results { meta: meta(args.quick, effort), ..Results::default() };
    let windows: usize = plan.iter().map(|(_, contenders)| contenders.len() * effort.rounds).sum();
    let mut progress = Progress::new(windows);
    for tls in [false, true] {
        let scenarios: Vec<_> = plan.iter().filter(|(scenario, _)| scenario.tls == tls).collect();
        if scenarios.is_empty() {
            continue;
        }
        let site = Site::new(tls)?;
        for (scenario, contenders) in scenarios {
            let versions = &mut results.meta.versions;
            let measured = series::measure(&site, scenario, contenders, effort, &mut progress, versions)?;
            results.scenarios.insert(scenario.name.to_owned(), measured);
        }
    }
    Ok(results)
}

fn meta(quick: bool, effort: Effort) -> Meta {
    let (cores, load) = (machine::cores(), machine::load());
    if load.is_some_and(|load| load > 0.5) {
        let load = load.unwrap_or_default();
        say(&format!(
            "warning: the machine is busy (load {load:.1} on {cores} cores); figures will be too high"
        ));
    }
    // `make bench` says how it was called itself.
    let command = std::env::var("SWITCHBOARD_BENCH_COMMAND").unwrap_or_else(|_| {
        let words: Vec<_> = std::env::args().skip(1).collect();
        format!("switchboard-bench {}", words.join(" "))
    });
    Meta {
        date: machine::date(),
        machine: machine::describe(),
        kernel: machine::kernel(),
        cores,
        commit: machine::commit(Path::new(env!("CARGO_MANIFEST_DIR"))),
        command,
        rounds: effort.rounds,
        seconds: effort.length.seconds,
        warmup: effort.length.warmup,
        quick,
        load,
        ..Meta::default()
    }
}

#[cfg(test)]
mod tests;
