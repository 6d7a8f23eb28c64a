//! Writes what `run` and `growth` measured as `RESULTS.md`, as charts and as the table of the README.
//!
//! Everything comes from `results.json`: no figure and no verdict is written by hand.

mod bars;
mod lines;
mod markdown;
mod names;
mod numbers;
mod readme;
mod svg;
mod tables;
mod targets;
#[cfg(test)]
mod tests;

use crate::results::Results;
use anyhow::Context;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Writes tables and charts from results.json.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What was measured
    #[arg(long, value_name = "FILE", default_value = "bench/results.json")]
    pub(crate) results: PathBuf,
    /// Folder of RESULTS.md and charts/
    #[arg(long, value_name = "DIR", default_value = "bench")]
    pub(crate) out: PathBuf,
    /// File whose text between `<!-- bench:begin -->` and `<!-- bench:end -->` becomes the headline table
    #[arg(long, value_name = "FILE")]
    pub(crate) readme: Option<PathBuf>,
}

/// Writes the report of `args.results`. Charts of loads that were not measured are removed.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let results = Results::load(&args.results)?;
    let charts = args.out.join("charts");
    remove_charts(&charts)?;
    for (name, svg) in charts_of(&results) {
        write(&charts.join(format!("{name}.svg")), &svg)?;
    }
    write(&args.out.join("RESULTS.md"), &markdown::page(&results))?;
    if let Some(path) = &args.readme {
        let old = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        let new = readme::replaced(&old, &readme::table(&results, &link(path, &args.out)))
            .with_context(|| format!("{}", path.display()))?;
        write(path, &new)?;
    }
    Ok(())
}

/// Every chart: file name without its end, and text.
fn charts_of(results: &Results) -> Vec<(String, String)> {
    let loads = names::scenarios(results)
        .filter_map(|(name, scenario)| bars::chart(scenario).map(|svg| (name.to_owned(), svg)));
    let growth = names::growth(results)
        .filter_map(|(name, growth)| lines::chart(growth).map(|svg| (format!("growth-{name}"), svg)));
    loads.chain(growth).collect()
}

/// How a file beside `from` names the folder `to`.
fn link(from: &Path, to: &Path) -> String {
    let beside = from.parent().unwrap_or(Path::new(""));
    to.strip_prefix(beside).unwrap_or(to).display().to_string()
}

fn remove_charts(folder: &Path) -> anyhow::Result<()> {
    let Ok(files) = fs::read_dir(folder) else { return Ok(()) };
    for file in files {
        let path = file?.path();
        if path.extension().is_some_and(|end| end == "svg") {
            fs::remove_file(&path).with_context(|| format!("{}", path.display()))?;
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("{}", path.display()))
}
