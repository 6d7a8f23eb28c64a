//! The words of the table: its columns, which of them fit a width, and every cell.

use super::quantile::Quantile;
use super::report::{InstanceRow, SERVING, ServiceRow};

/// What the name keeps at least before another column is left out.
const MIN_NAME: u16 = 14;
/// A name is not wider than this; what is left goes to the state.
const MAX_NAME: u16 = 48;

/// A column besides the name, which is always first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Calls,
    Errors,
    Open,
    P50,
    P99,
    Up,
    State,
}

impl Column {
    /// From left to right.
    pub(super) const ALL: [Self; 7] =
        [Self::Calls, Self::Errors, Self::Open, Self::P50, Self::P99, Self::Up, Self::State];

    /// The first are the last to go.
    const BY_IMPORTANCE: [Self; 7] =
        [Self::Calls, Self::Errors, Self::Up, Self::State, Self::P99, Self::Open, Self::P50];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Calls => "CALLS/S",
            Self::Errors => "ERR/S",
            Self::Open => "OPEN",
            Self::P50 => "P50",
            Self::P99 => "P99",
            Self::Up => "UP",
            Self::State => "STATE",
        }
    }

    pub(super) fn width(self) -> u16 {
        match self {
            Self::Errors | Self::P50 | Self::P99 => 6,
            Self::Calls | Self::Open | Self::Up => 7,
            Self::State => 12,
        }
    }
}

/// The columns that fit, from left to right, and the name's width.
pub(super) fn fitting(width: u16) -> (u16, Vec<Column>) {
    let mut left = width;
    let mut kept = Vec::new();
    for column in Column::BY_IMPORTANCE {
        let needed = column.width() + 1;
        if left < MIN_NAME + needed {
            break;
        }
        left -= needed;
        kept.push(column);
    }
    let columns = Column::ALL.into_iter().filter(|column| kept.contains(column)).collect();
    (left.min(MAX_NAME), columns)
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(super) enum Row<'r> {
    Service(&'r ServiceRow),
    Instance(&'r InstanceRow),
}

impl Row<'_> {
    /// What it is called: a service by its ID if it has one, an instance by its address first.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Service(row) => row.id.as_ref().unwrap_or(&row.service).clone(),
            Self::Instance(row) => match &row.version {
                Some(version) => format!("  {} {version} {}", row.address, row.id),
                None => format!("  {} {}", row.address, row.id),
            },
        }
    }

    pub(super) fn cell(&self, column: Column) -> String {
        match self {
            Self::Service(row) => match column {
                Column::Calls => rate(row.rates.calls),
                Column::Errors => rate(row.rates.errors),
                Column::Open => row.open_streams.to_string(),
                Column::P50 => time(row.p50),
                Column::P99 => time(row.p99),
                Column::Up => match (row.healthy, row.known) {
                    (Some(healthy), Some(known)) => format!("{healthy}/{known}"),
                    _ => "-".to_owned(),
                },
                Column::State => service_state(row),
            },
            Self::Instance(row) => match column {
                Column::Open => match row.capacity {
                    Some(capacity) => format!("{}/{capacity}", row.open_streams),
                    None => row.open_streams.to_string(),
                },
                Column::Calls => row.rates.calls.map_or(String::new(), |calls| rate(Some(calls))),
                Column::Errors => row.rates.errors.map_or(String::new(), |errors| rate(Some(errors))),
                Column::P50 => match (row.p50, row.latency_us) {
                    (None, None) => String::new(),
                    (None, Some(us)) => format!("~{}", millis(us / 1e3)),
                    (p50, _) => time(p50),
                },
                Column::P99 => row.p99.map_or(String::new(), |p99| time(Some(p99))),
                Column::State => instance_state(row),
                Column::Up => String::new(),
            },
        }
    }

    /// Whether calls suffer: nothing to pick, or instances that do not do their part.
    pub(super) fn is_bad(&self) -> bool {
        match self {
            Self::Service(row) => row.healthy == Some(0) || row.ejected() + row.down() > 0,
            // One that drains has left in order.
            Self::Instance(row) => (!row.healthy && row.draining == 0) || row.ejected + row.down > 0,
        }
    }
}

fn service_state(row: &ServiceRow) -> String {
    match (row.ejected(), row.down()) {
        _ if row.known == Some(0) => "no instance".to_owned(),
        _ if row.healthy == Some(0) => "none healthy".to_owned(),
        (0, 0) => String::new(),
        (ejected, 0) => format!("{ejected} ejected"),
        (0, down) => format!("{down} down"),
        (ejected, down) => format!("{ejected} ej {down} down"),
    }
}

fn instance_state(row: &InstanceRow) -> String {
    let by = |word: &str, routers: usize| match routers == row.routers {
        true => word.to_owned(),
        false => format!("{word} {routers}/{}", row.routers),
    };
    match row {
        InstanceRow { problem: Some(_), .. } => "bad address".to_owned(),
        InstanceRow { ejected: 1.., .. } => by("ejected", row.ejected),
        InstanceRow { down: 1.., .. } => by("down", row.down),
        InstanceRow { draining: 1.., .. } => by("draining", row.draining),
        InstanceRow { probe: Some(found), status, .. } if found == SERVING => {
            let status = if status == "critical" { "crit" } else { "warn" };
            format!("{status}, serves")
        }
        _ => row.status.clone(),
    }
}

/// A rate in at most six characters.
pub(super) fn rate(rate: Option<f64>) -> String {
    match rate {
        None => "-".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(rate) if rate < 0.05 => "<0.1".to_owned(),
        Some(rate) if rate < 99.95 => format!("{rate:.1}"),
        Some(rate) if rate < 99_999.5 => format!("{rate:.0}"),
        Some(rate) if rate < 9_999_500.0 => format!("{:.0}k", rate / 1e3),
        Some(rate) => format!("{:.0}M", rate / 1e6),
    }
}

fn time(quantile: Option<Quantile>) -> String {
    match quantile {
        None => "-".to_owned(),
        Some(Quantile { ms, or_longer: false }) => millis(ms),
        Some(Quantile { ms, or_longer: true }) => format!(">{}", millis(ms)),
    }
}

/// A time in at most five characters up to a day.
fn millis(ms: f64) -> String {
    match ms {
        ms if ms < 9.95 => format!("{ms:.1}ms"),
        ms if ms < 999.5 => format!("{ms:.0}ms"),
        ms if ms < 99_950.0 => format!("{:.1}s", ms / 1e3),
        ms => format!("{:.0}s", ms / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_tables_keep_what_matters_most() {
        assert_eq!(fitting(80), (22, Column::ALL.to_vec()));
        assert_eq!(fitting(40), (17, vec![Column::Calls, Column::Errors, Column::Up]));
        assert_eq!(fitting(10), (10, vec![]));
        assert_eq!(fitting(0), (0, vec![]));
        assert_eq!(fitting(200), (MAX_NAME, Column::ALL.to_vec()));
    }

    #[test]
    fn figures_fit_their_columns() {
        let rates = [0.0, 0.01, 0.26, 9.96, 99.96, 12_345.6, 99_999.9, 1e6, 9_999_499.0, 5e8];
        let texts = ["0", "<0.1", "0.3", "10.0", "100", "12346", "100k", "1000k", "9999k", "500M"];
        assert_eq!(rates.map(|value| rate(Some(value))), texts);
        let times = [0.04, 1.26, 9.96, 999.6, 12_345.0, 300_000.0];
        assert_eq!(times.map(millis), ["0.0ms", "1.3ms", "10ms", "1.0s", "12.3s", "300s"]);
        assert_eq!(time(Some(Quantile { ms: 300_000.0, or_longer: true })), ">300s");
    }

    #[test]
    fn states_say_how_many_and_by_how_many_routers() {
        let one =
            InstanceRow { status: "passing".into(), routers: 3, healthy: true, ..InstanceRow::default() };
        let ejected = InstanceRow { ejected: 1, ..one.clone() };
        let down = InstanceRow { down: 3, ..one.clone() };
        let draining = InstanceRow { draining: 3, healthy: false, status: "gone".into(), ..one.clone() };
        let wrong = InstanceRow {
            probe: Some("serving".into()),
            healthy: false,
            status: "critical".into(),
            ..one.clone()
        };
        let all = [&one, &ejected, &down, &draining, &wrong];
        let states = all.map(|row| Row::Instance(row).cell(Column::State));
        assert_eq!(states, ["passing", "ejected 1/3", "down", "draining", "crit, serves"]);
        assert_eq!(all.map(|row| Row::Instance(row).is_bad()), [false, true, true, false, true]);
        let row = ServiceRow {
            known: Some(3),
            healthy: Some(3),
            instances: vec![one, ejected, down],
            ..ServiceRow::default()
        };
        assert_eq!(Row::Service(&row).cell(Column::State), "1 ej 1 down");
        assert!(Row::Service(&row).is_bad());
        let none = ServiceRow { known: Some(3), healthy: Some(0), ..ServiceRow::default() };
        assert_eq!(Row::Service(&none).cell(Column::State), "none healthy");
    }
}
