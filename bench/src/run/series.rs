//! One scenario: its contenders are started once, and take turns in every round.

use super::figures::{self, Round};
use super::progress::{Progress, say};
use super::scenario::{Scenario, Unit};
use super::window::{self, Length, Window};
use crate::contender::{Contender, Options, Running, Site};
use crate::results::{self, Figures};
use crate::run::interrupt;
use anyhow::Result;
use std::collections::BTreeMap;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Windows of each contender.
    pub(crate) rounds: usize,
    /// How long one is.
    pub(crate) length: Length,
}

/// Measures `contenders` under `scenario` and adds their versions to `versions`.
///
/// A contender that does not start, or whose calls fail, has a reason instead of figures; the others go on.
///
/// # Errors
/// The run is interrupted.
pub(crate) fn measure(
    site: &Site,
    scenario: &Scenario,
    contenders: &[Contender],
    effort: Effort,
    progress: &mut Progress,
    versions: &mut BTreeMap<String, String>,
) -> Result<results::Scenario> {
    let scratch = tempfile::tempdir()?;
    let mut failed: BTreeMap<&str, String> = BTreeMap::new();
    let mut running: Vec<(Contender, Running)> = Vec::new();
    for contender in contenders {
        interrupt::check()?;
        // Fresh ones for each scenario: what an earlier load made of their memory does not count.
        match site.start(*contender, &Options::default()) {
            Ok(started) => {
                versions.insert(contender.name().to_owned(), started.version.clone());
                running.push((*contender, started));
            }
            Err(error) => {
                say(&format!("{} cannot be measured: {error:#}", contender.name()));
                failed.insert(contender.name(), format!("{error:#}"));
                progress.skip(effort.rounds);
            }
        }
    }
    interrupt::check()?;
    let mut rounds = Vec::new();
    for number in 0..effort.rounds {
        let mut round = Round::new();
        for index in turn(number, running.len()) {
            let (contender, started) = &running[index];
            if failed.contains_key(contender.name()) {
                continue;
            }
            let outcome = window::measure(started, scenario, effort.length, scratch.path());
            interrupt::check()?;
            match outcome {
                Ok(window) => {
                    progress.window(scenario.name, contender.name(), &show(&window, scenario.unit));
                    round.push((*contender, window));
                }
                Err(error) => {
                    progress.window(scenario.name, contender.name(), &format!("failed: {error:#}"));
                    progress.skip(effort.rounds - number - 1);
                    failed.insert(contender.name(), format!("{error:#}"));
                }
            }
        }
        rounds.push(round);
    }
    let figures = |contender: &Contender| {
        let found = match failed.remove(contender.name()) {
            Some(reason) => Figures { failed: Some(reason), ..Figures::default() },
            None => figures::figures(*contender, &rounds).unwrap_or_default(),
        };
        (contender.name().to_owned(), found)
    };
    Ok(results::Scenario {
        title: scenario.title.to_owned(),
        unit: scenario.unit.name().to_owned(),
        contenders: contenders.iter().map(figures).collect(),
    })
}

/// The order of a round: each begins with the next one, so that nobody always follows the same neighbour's heat.
fn turn(round: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |index| (index + round) % count)
}

/// A window in one line.
fn show(window: &Window, unit: Unit) -> String {
    let unit = unit.name();
    let rate = format!("{:.0} {unit}/s  p50 {:.0} us", window.rps, window.p50_us);
    match window.cpu_us {
        Some(cpu) => format!("{cpu:8.2} us/{unit}  {rate}"),
        None => format!("         {rate}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_has_all_and_begins_with_another() {
        let order = |round| turn(round, 3).collect::<Vec<_>>();
        assert_eq!([order(0), order(1), order(2), order(3)], [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]);
        assert_eq!(turn(1, 0).count(), 0);
    }
}
