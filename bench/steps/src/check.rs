//! Compares the instructions of the hot steps with the numbers kept in the repository.
//!
//! Instructions are counted by valgrind, of this very program as `run NAME`, with N and with 2N iterations; the
//! difference is what N iterations took, without start and end. That says the same on a busy machine and on a quiet one,
//! which no time does, and a change of a few per cent is seen.

mod count;
mod kept;

use anyhow::bail;
use count::Valgrind;
use kept::Kept;
use std::{
    io::{self, Write},
    path::PathBuf,
};
use switchboard_router::steps::Step;

/// Change, in per cent, that is not accepted upwards, and has to be kept downwards.
const TOLERANCE: f64 = 10.0;

/// Compares the instructions of the hot steps with the numbers kept in the repository.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Writes what was counted instead of comparing with it.
    #[arg(long)]
    keep: bool,
    /// Counts only these steps.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The numbers that are kept.
    #[arg(long, default_value = "bench/steps/steps.json")]
    file: PathBuf,
}

/// Counts, tells and judges.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    if let Some(unknown) = args.only.iter().find(|name| Step::names().all(|known| known != **name)) {
        bail!("no step is called {unknown}; there are: {}", Step::names().collect::<Vec<_>>().join(", "));
    }
    kept::check_build()?;
    let mut kept = Kept::read(&args.file)?;
    let valgrind = Valgrind::find()?;
    let mut out = io::stdout().lock();
    writeln!(out, "{:<20} {:>12} {:>12} {:>8}", "instructions", "kept", "now", "change")?;
    let (mut worse, mut better, mut new) = (Vec::new(), Vec::new(), Vec::new());
    for name in Step::names().filter(|name| args.only.is_empty() || args.only.iter().any(|only| only == name))
    {
        let now = valgrind.per_iteration(name)?;
        match kept.steps.get(name).copied() {
            Some(before) => {
                let change = 100.0 * (now / before - 1.0);
                writeln!(out, "{name:<20} {before:>12.1} {now:>12.1} {change:>+7.1}%")?;
                if change > TOLERANCE {
                    worse.push(name);
                } else if change < -TOLERANCE {
                    better.push(name);
                }
            }
            None => {
                writeln!(out, "{name:<20} {:>12} {now:>12.1}", "-")?;
                new.push(name);
            }
        }
        out.flush()?;
        if args.keep {
            kept.steps.insert(name.to_owned(), (now * 10.0).round() / 10.0);
        }
    }
    if args.keep {
        kept.write(&args.file)?;
        writeln!(out, "kept in {}", args.file.display())?;
        return Ok(());
    }
    let again = "run `make bench-check KEEP=1` and commit bench/steps/steps.json";
    if !better.is_empty() {
        writeln!(out, "{} got cheaper by more than {TOLERANCE} %: {again}", better.join(", "))?;
    }
    if !new.is_empty() {
        bail!("nothing is kept of {}: {again}", new.join(", "));
    }
    if !worse.is_empty() {
        let why = "`valgrind --tool=callgrind` on `switchboard-steps run NAME` says where";
        bail!(
            "{} got dearer by more than {TOLERANCE} %; {why}. If it is worth it, {again}",
            worse.join(", ")
        );
    }
    Ok(())
}
