//! The figures, and the page that shows them.

use crate::{
    contender::binary,
    run::{machine, say},
};
use std::fmt::Write;

/// What a figure should be.
#[derive(Clone, Copy)]
pub(super) enum Target {
    None,
    AtLeast(f64),
    AtMost(f64),
}

struct Row {
    what: String,
    figure: f64,
    unit: &'static str,
    target: Target,
}

/// All figures of a run.
pub(super) struct Table {
    quick: bool,
    load: f64,
    rows: Vec<Row>,
}

impl Table {
    pub(super) fn new(quick: bool) -> Self {
        Self { quick, load: machine::load().unwrap_or(0.0), rows: Vec::new() }
    }

    /// Adds a figure, and says it.
    pub(super) fn row(&mut self, what: impl Into<String>, figure: f64, unit: &'static str, target: Target) {
        let row = Row { what: what.into(), figure, unit, target };
        say(&format!("{:<64} {:>10} {}{}", row.what, number(figure), unit, row.outcome(": ")));
        self.rows.push(row);
    }

    pub(super) fn markdown(&self) -> String {
        let mut text = String::from(
            "<!-- Written by `switchboard-bench engine`; edits are lost. -->\n# What the workflow engine does\n\n",
        );
        let command = if self.quick { "make bench-engine QUICK=1" } else { "make bench-engine" };
        let _ = writeln!(
            text,
            "Measured on {} on {}, {} cores, {}, commit {}, by `{command}`. Client and engine share the cores; every answer \
             follows the sync of what it says.",
            &machine::date()[..10],
            machine::describe(),
            machine::cores(),
            machine::kernel(),
            machine::commit(binary::root()),
        );
        if self.load > 0.5 {
            let _ = writeln!(text, "Something else was running (load {:.1}).", self.load);
        }
        text.push_str("\n| what | measured | target |  |\n|---|---:|---|---|\n");
        for row in &self.rows {
            let what = match row.what.strip_prefix("  ") {
                Some(part) => format!("… {part}"),
                None => row.what.clone(),
            };
            let target = match row.target {
                Target::None => String::new(),
                Target::AtLeast(least) => format!("at least {} {}", number(least), row.unit),
                Target::AtMost(most) => format!("at most {} {}", number(most), row.unit),
            };
            let _ = writeln!(
                text,
                "| {what} | {} {} | {target} | {} |",
                number(row.figure),
                row.unit,
                row.outcome("")
            );
        }
        text
    }
}

impl Row {
    fn outcome(&self, before: &str) -> String {
        let reached = match self.target {
            Target::None => return String::new(),
            Target::AtLeast(least) => self.figure >= least,
            Target::AtMost(most) => self.figure <= most,
        };
        format!("{before}{}", if reached { "reached" } else { "**missed**" })
    }
}

/// Three digits that mean something, thousands apart.
fn number(figure: f64) -> String {
    if figure >= 1000.0 {
        let digits = format!("{figure:.0}");
        let first = (digits.len() - 1) % 3 + 1;
        let groups =
            digits.as_bytes()[first..].chunks(3).map(|group| String::from_utf8_lossy(group).into_owned());
        return std::iter::once(digits[..first].to_owned()).chain(groups).collect::<Vec<_>>().join(",");
    }
    match figure {
        0.0..10.0 => format!("{figure:.2}"),
        10.0..100.0 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Table, Target, number};

    #[test]
    fn numbers_are_short() {
        let shown = [0.123, 1.5, 25.04, 912.4, 1_234.5, 1_000_000.0].map(number);
        assert_eq!(shown, ["0.12", "1.50", "25.0", "912", "1,234", "1,000,000"]);
    }

    #[test]
    fn a_target_is_reached_or_missed() {
        let mut table = Table::new(true);
        table.row("submissions", 9_999.0, "per s", Target::AtLeast(10_000.0));
        table.row("  p99", 25.0, "ms", Target::AtMost(25.0));
        let page = table.markdown();
        assert!(
            page.contains("| submissions | 9,999 per s | at least 10,000 per s | **missed** |"),
            "{page}"
        );
        assert!(page.contains("| … p99 | 25.0 ms | at most 25.0 ms | reached |"), "{page}");
    }
}
