//! What the person at the keyboard has asked for: order, filter, place. Nothing is drawn here.

use std::cmp::Ordering;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::report::{InstanceRow, Report, ServiceRow};
use super::table::Row;

/// A filter is a part of a name; none is longer than a DNS label.
const MAX_FILTER: usize = 63;
/// What PgUp and PgDn move by when the table has not been drawn yet.
const PAGE: usize = 10;

/// What services are sorted by; figures from high to low.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    #[default]
    Calls,
    Errors,
    Open,
    P99,
    Name,
}

impl Sort {
    fn next(self) -> Self {
        match self {
            Self::Calls => Self::Errors,
            Self::Errors => Self::Open,
            Self::Open => Self::P99,
            Self::P99 => Self::Name,
            Self::Name => Self::Calls,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Errors => "errors",
            Self::Open => "open",
            Self::P99 => "p99",
            Self::Name => "name",
        }
    }

    fn compare(self, a: &ServiceRow, b: &ServiceRow) -> Ordering {
        let high_first = |a: Option<f64>, b: Option<f64>| b.unwrap_or(-1.0).total_cmp(&a.unwrap_or(-1.0));
        let p99 = |row: &ServiceRow| row.p99.map(|p99| p99.ms);
        let figures = match self {
            Self::Calls => high_first(a.rates.calls, b.rates.calls),
            Self::Errors => high_first(a.rates.errors, b.rates.errors),
            Self::Open => b.open_streams.cmp(&a.open_streams),
            Self::P99 => high_first(p99(a), p99(b)),
            Self::Name => Ordering::Equal,
        };
        figures.then_with(|| Row::Service(a).name().cmp(&Row::Service(b).name()))
    }
}

/// Whether the program goes on after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Stay,
    Quit,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Screen {
    pub(super) sort: Sort,
    pub(super) filter: String,
    /// Whether keys go into the filter.
    pub(super) typing: bool,
    /// Index of the first row shown; the drawing brings it into bounds.
    pub(super) top: usize,
    /// Rows that fit, as of the last drawing.
    pub(super) page: usize,
    pub(super) instances: bool,
}

impl Default for Screen {
    fn default() -> Self {
        Self {
            sort: Sort::default(),
            filter: String::new(),
            typing: false,
            top: 0,
            page: PAGE,
            instances: true,
        }
    }
}

impl Screen {
    /// Obeys a key.
    pub(super) fn key(&mut self, key: KeyEvent) -> Next {
        if key.kind == KeyEventKind::Release {
            return Next::Stay;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { Next::Quit } else { Next::Stay };
        }
        if self.typing {
            self.type_filter(key.code);
            return Next::Stay;
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Next::Quit,
            KeyCode::Up | KeyCode::Char('k') => self.top = self.top.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.top = self.top.saturating_add(1),
            KeyCode::PageUp => self.top = self.top.saturating_sub(self.page),
            KeyCode::PageDown | KeyCode::Char(' ') => self.top = self.top.saturating_add(self.page),
            KeyCode::Home | KeyCode::Char('g') => self.top = 0,
            KeyCode::End | KeyCode::Char('G') => self.top = usize::MAX,
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('i') => self.instances = !self.instances,
            KeyCode::Char('/') => self.typing = true,
            _ => {}
        }
        Next::Stay
    }

    fn type_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(c) if !c.is_control() && self.filter.chars().count() < MAX_FILTER => {
                self.filter.push(c)
            }
            _ => return,
        }
        self.top = 0;
    }

    /// The rows of a report in their order. A service that matches the filter is there with all its instances, another
    /// with those that match.
    pub(super) fn rows<'r>(&self, report: &'r Report) -> Vec<Row<'r>> {
        let filter = self.filter.to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&filter);
        let service_matches = |row: &ServiceRow| has(&row.service) || row.id.as_deref().is_some_and(has);
        let instance_matches =
            |row: &InstanceRow| has(&row.address) || has(&row.id) || row.version.as_deref().is_some_and(has);
        let mut services: Vec<_> = report.services.iter().collect();
        services.sort_by(|a, b| self.sort.compare(a, b));
        let mut rows = Vec::new();
        for service in services {
            let whole = service_matches(service);
            let instances: Vec<_> =
                service.instances.iter().filter(|instance| whole || instance_matches(instance)).collect();
            if whole || !instances.is_empty() {
                rows.push(Row::Service(service));
                if self.instances {
                    rows.extend(instances.into_iter().map(Row::Instance));
                }
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests;
