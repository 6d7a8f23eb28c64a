//! Tables of figures as Markdown.

use super::{
    names::{self, Columns},
    numbers::{count, figure, times},
    targets::Verdict,
};
use crate::results::{Figures, Growth, Results, Scenario};
use std::collections::BTreeSet;

/// One row per contender, one column per load: us CPU per unit, and how many times the router's that is.
/// None without a column.
pub(super) fn headline(results: &Results, columns: &Columns) -> Option<String> {
    let of = |name: &str| results.scenarios.get(name);
    let scenarios: Vec<_> = columns.0.iter().filter_map(|(name, head)| Some((head, of(name)?))).collect();
    if scenarios.is_empty() {
        return None;
    }
    let heads = scenarios.iter().map(|(head, scenario)| format!("{head}, us/{}", scenario.unit));
    let rows: BTreeSet<_> = scenarios.iter().flat_map(|(_, scenario)| scenario.contenders.keys()).collect();
    let rows = rows.into_iter().map(|name| (name.clone(), ())).collect();
    let rows = names::contenders(&rows).filter(|(name, ())| *name != "direct").map(|(name, ())| {
        let mut row = vec![bold(name, names::contender(name).to_owned())];
        row.extend(
            scenarios.iter().map(|(_, scenario)| bold(name, cell(name, scenario.contenders.get(name)))),
        );
        row
    });
    Some(table(std::iter::once("CPU".to_owned()).chain(heads), rows))
}

fn cell(name: &str, figures: Option<&Figures>) -> String {
    match figures {
        None => "-".to_owned(),
        Some(Figures { failed: Some(_), .. }) => "failed".to_owned(),
        Some(Figures { cpu_us: Some(us), ratio: Some(ratio), .. }) if !names::is_router(name) => {
            format!("{} ({})", figure(*us), times(*ratio))
        }
        Some(Figures { cpu_us: Some(us), .. }) => figure(*us),
        Some(_) => "-".to_owned(),
    }
}

/// Everything that was measured of one load.
pub(super) fn scenario(scenario: &Scenario) -> String {
    let heads = [
        &format!("us CPU per {}", scenario.unit),
        "min - max",
        "ratio",
        &format!("{}/s", scenario.unit),
        "p50, us",
        "p99, us",
        "RSS, MiB",
        "peak, MiB",
    ];
    let rows = names::contenders(&scenario.contenders).map(|(name, figures)| {
        let or_none = |value: Option<f64>, show: fn(f64) -> String| value.map_or("-".to_owned(), show);
        let mut row = vec![bold(name, names::contender(name).to_owned())];
        if figures.failed.is_some() {
            row.push("failed".to_owned());
            row.resize(heads.len() + 1, "-".to_owned());
            return row;
        }
        let spread = figures.cpu_us_min.zip(figures.cpu_us_max);
        row.push(bold(name, or_none(figures.cpu_us, figure)));
        row.push(spread.map_or("-".to_owned(), |(min, max)| format!("{} - {}", figure(min), figure(max))));
        row.push(or_none(figures.ratio, times));
        row.extend([figures.rps, figures.p50_us, figures.p99_us].map(figure));
        row.extend([figures.rss_mib, figures.peak_mib].map(|mib| or_none(mib, figure)));
        row
    });
    let mut text = table(std::iter::once(String::new()).chain(heads.map(str::to_owned)), rows);
    for (name, figures) in names::contenders(&scenario.contenders) {
        if let Some(why) = &figures.failed {
            text.push_str(&format!("\n{} failed: {}\n", names::contender(name), one_line(why)));
        }
    }
    text
}

/// The points of a growth: a row per contender, a column per x.
pub(super) fn growth(growth: &Growth) -> String {
    let mut xs: Vec<f64> = growth.series.values().flatten().map(|point| point.0).collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    let heads = std::iter::once(growth.x.clone()).chain(xs.iter().map(|x| count(*x)));
    let rows = names::contenders(&growth.series).map(|(name, points)| {
        let at = |x: &f64| points.iter().find(|point| point.0 == *x).map_or("-".to_owned(), |p| figure(p.1));
        std::iter::once(bold(name, names::contender(name).to_owned())).chain(xs.iter().map(at)).collect()
    });
    table(heads, rows)
}

/// The targets and what became of them.
pub(super) fn targets(verdicts: &[Verdict]) -> String {
    let mut last = "";
    let rows = verdicts.iter().map(|verdict| {
        // The name of a load stands at its first target only.
        let load = if verdict.load == last { "" } else { &verdict.load };
        last = &verdict.load;
        let reached = match verdict.reached {
            Some(true) => "reached",
            Some(false) => "**missed**",
            None => "not measured",
        };
        vec![load.to_owned(), verdict.target.clone(), verdict.measured.clone(), reached.to_owned()]
    });
    table(["load", "target", "measured", ""].map(str::to_owned).into_iter(), rows).replacen("---:", "---", 3)
}

/// Two columns without a figure.
pub(super) fn pairs(heads: [&str; 2], rows: impl Iterator<Item = (String, String)>) -> String {
    let rows = rows.map(|(name, value)| vec![name, one_line(&value)]);
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let body: String = rows.map(|row| line(&row)).collect();
    format!("{}|---|---|\n{body}", line(&heads.map(str::to_owned)))
}

/// A table whose first column is text and whose others are aligned to the right.
fn table(heads: impl Iterator<Item = String>, rows: impl Iterator<Item = Vec<String>>) -> String {
    let heads: Vec<String> = heads.collect();
    let mut text = format!("| {} |\n|---|", heads.join(" | "));
    text.push_str(&"---:|".repeat(heads.len() - 1));
    text.push('\n');
    for row in rows {
        text.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    text
}

fn bold(name: &str, text: String) -> String {
    if names::is_router(name) && text != "-" { format!("**{text}**") } else { text }
}

/// Text from outside, as one cell or line takes it.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|").replace('<', "&lt;")
}
