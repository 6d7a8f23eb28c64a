//! The headline table in a README, between two marks that stay.

use super::{markdown, names::Columns, tables};
use crate::results::Results;
use anyhow::ensure;

const BEGIN: &str = "<!-- bench:begin -->";
const END: &str = "<!-- bench:end -->";

/// What stands between the marks. `folder` is how the README names the folder of RESULTS.md.
pub(super) fn table(results: &Results, folder: &str) -> String {
    let table = tables::headline(results, &Columns::readme(results));
    format!(
        "{} All tables, charts and targets: [RESULTS.md]({folder}/RESULTS.md).\n\n{}",
        markdown::measured(&results.meta).trim_end(),
        table.unwrap_or_else(|| "Nothing was measured.\n".to_owned())
    )
}

/// `old` with `table` between its marks and nothing else changed.
pub(super) fn replaced(old: &str, table: &str) -> anyhow::Result<String> {
    ensure!(
        old.matches(BEGIN).count() == 1 && old.matches(END).count() == 1,
        "it needs `{BEGIN}` and `{END}` once each, on lines of their own"
    );
    let (before, rest) = old.split_once(BEGIN).expect("it was counted");
    let Some((_, after)) = rest.split_once(END) else {
        anyhow::bail!("`{END}` stands before `{BEGIN}`");
    };
    Ok(format!("{before}{BEGIN}\n{table}{END}{after}"))
}
