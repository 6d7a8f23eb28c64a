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

/// So many windows of a contender may fail before it is given up: one may be the machine's fault, two are not.
const FAILED_WINDOWS: usize = 2;

/// A contender during the series.
struct Entry {
    contender: Contender,
    /// `None` if it did not start or was given up.
    running: Option<Running>,
    errors: Vec<String>,
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
    // Fresh ones for each scenario: what an earlier load made of their memory does not count.
    let mut entries = Vec::new();
    for contender in contenders {
        let entry = start(site, *contender);
        interrupt::check()?;
        match &entry.running {
            Some(running) => _ = versions.insert(contender.name().to_owned(), running.version.clone()),
            None => {
                say(&format!("{} cannot be measured: {}", contender.name(), entry.errors.join("; ")));
                progress.skip(effort.rounds);
            }
        }
        entries.push(entry);
    }
    let mut rounds = Vec::new();
    for number in 0..effort.rounds {
        let mut round = Round::new();
        for index in turn(number, entries.len()) {
            let entry = &mut entries[index];
            let name = entry.contender.name();
            let Some(running) = &mut entry.running else { continue };
            let outcome = window::measure(running, scenario, effort.length, scratch.path());
            interrupt::check()?;
            match outcome {
                Ok(window) => {
                    progress.window(scenario.name, name, &show(&window, scenario.unit));
                    round.push((entry.contender, window));
                }
                Err(error) => {
                    // That it has ended says more than what its callers saw of it.
                    let error = running.check().err().unwrap_or(error);
                    progress.window(scenario.name, name, &format!("failed: {error:#}"));
                    entry.errors.push(format!("{error:#}"));
                    if entry.errors.len() == FAILED_WINDOWS {
                        entry.running = None;
                        progress.skip(effort.rounds - number - 1);
                    }
                }
            }
        }
        rounds.push(round);
    }
    let figures = |entry: &Entry| {
        let kept = entry.running.is_some();
        (entry.contender.name().to_owned(), outcome(entry.contender, kept, &entry.errors, &rounds))
    };
    Ok(results::Scenario {
        title: scenario.title.to_owned(),
        unit: scenario.unit.name().to_owned(),
        contenders: entries.iter().map(figures).collect(),
    })
}

fn start(site: &Site, contender: Contender) -> Entry {
    match site.start(contender, &Options::default()) {
        Ok(running) => Entry { contender, running: Some(running), errors: Vec::new() },
        Err(error) => Entry { contender, running: None, errors: vec![format!("{error:#}")] },
    }
}

/// The figures of one that was `kept` to the end, or why there are none.
fn outcome(contender: Contender, kept: bool, errors: &[String], rounds: &[Round]) -> Figures {
    let reason = (!errors.is_empty()).then(|| errors.join("; "));
    match figures::figures(contender, rounds).filter(|_| kept) {
        Some(figures) => Figures { note: reason, ..figures },
        None => Figures { failed: reason, ..Figures::default() },
    }
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

    #[test]
    fn one_failed_window_is_noted_and_more_leave_no_figures() {
        let window = Window { cpu_us: Some(2.0), rps: 1.0, ..Window::default() };
        let rounds = [vec![(Contender::Router, window)], Round::new()];
        let error = "grpc-status 14".to_owned();
        let once = outcome(Contender::Router, true, std::slice::from_ref(&error), &rounds);
        assert_eq!(
            (once.cpu_us, once.note.as_deref(), once.failed),
            (Some(2.0), Some("grpc-status 14"), None)
        );
        let twice = outcome(Contender::Router, false, &[error.clone(), error.clone()], &rounds);
        assert_eq!((twice.cpu_us, twice.failed.as_deref()), (None, Some("grpc-status 14; grpc-status 14")));
        let only = outcome(Contender::Router, true, &[error], &[Round::new()]);
        assert_eq!((only.cpu_us, only.failed.as_deref()), (None, Some("grpc-status 14")));
    }
}
