//! The report on standard output: JSON for scripts, a plain table for people and pipes.

use serde_json::{Value, json};

use super::quantile::Quantile;
use super::report::{InstanceRow, Report, RouterRow, ServiceRow};
use super::screen::{Screen, Sort};
use super::table::{Column, rate};

/// Everything, with its units in its names. Rates and times are null where nothing is known.
pub(super) fn json(report: &Report) -> Value {
    json!({
        "routers": report.routers.iter().map(router).collect::<Vec<_>>(),
        "totals": {
            "calls_per_second": rounded(report.totals.calls),
            "errors_per_second": rounded(report.totals.errors),
            "open_streams": report.open_streams,
            "calls_in_flight": report.in_flight,
            "client_connections": report.connections,
        },
        "services": report.services.iter().map(service).collect::<Vec<_>>(),
    })
}

fn router(row: &RouterRow) -> Value {
    json!({
        "admin": row.address,
        "reachable": row.problem.is_none(),
        "problem": row.problem,
        "registry": row.registry.as_ref().map(|registry| json!({
            "address": registry.address,
            "reachable": registry.reachable,
            "stale_seconds": rounded(Some(registry.stale_seconds)),
        })),
    })
}

fn service(row: &ServiceRow) -> Value {
    json!({
        "service": row.service,
        "id": row.id,
        "calls_per_second": rounded(row.rates.calls),
        "errors_per_second": rounded(row.rates.errors),
        "open_streams": row.open_streams,
        "p50_ms": quantile(row.p50),
        "p99_ms": quantile(row.p99),
        "known": row.known,
        "healthy": row.healthy,
        "ejected": row.ejected(),
        "down": row.down(),
        "instances": row.instances.iter().map(instance).collect::<Vec<_>>(),
    })
}

fn instance(row: &InstanceRow) -> Value {
    json!({
        "id": row.id,
        "node": row.node,
        "address": row.address,
        "version": row.version,
        "status": row.status,
        "problem": row.problem,
        "healthy": row.healthy,
        "open_streams": row.open_streams,
        "capacity": row.capacity,
        "draining": row.draining > 0,
        "calls_per_second": rounded(row.rates.calls),
        "errors_per_second": rounded(row.rates.errors),
        "p50_ms": quantile(row.p50),
        "p99_ms": quantile(row.p99),
        "probe": row.probe,
        "latency_ms": rounded(row.latency_us.map(|us| us / 1e3)),
        "routers": row.routers,
        "routers_ejecting": row.ejected,
        "routers_not_connected": row.down,
    })
}

/// Above the last bucket's lower bound nothing is known but that: it is what scripts get.
fn quantile(quantile: Option<Quantile>) -> Value {
    rounded(quantile.map(|quantile| quantile.ms))
}

/// To three places: what is beyond is noise.
fn rounded(value: Option<f64>) -> Value {
    value.map_or(Value::Null, |value| json!((value * 1e3).round() / 1e3))
}

/// All rows by name; columns as wide as their widest cell.
pub(super) fn text(report: &Report) -> String {
    let screen = Screen { sort: Sort::Name, ..Screen::default() };
    let mut lines = vec![vec!["SERVICE".to_owned()]];
    lines[0].extend(Column::ALL.map(|column| column.title().to_owned()));
    for row in screen.rows(report) {
        let mut line = vec![row.name()];
        line.extend(Column::ALL.map(|column| row.cell(column)));
        lines.push(line);
    }
    let mut text = String::new();
    let widths: Vec<usize> = (0..lines[0].len())
        .map(|at| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or_default())
        .collect();
    for line in &lines {
        let mut padded = String::new();
        for (at, (cell, width)) in line.iter().zip(&widths).enumerate() {
            // Words to the left, figures to the right.
            let words = at == 0 || at + 1 == line.len();
            padded.push_str(&if words { format!("{cell:width$}  ") } else { format!("{cell:>width$}  ") });
        }
        text.push_str(padded.trim_end());
        text.push('\n');
    }
    text.push_str(&format!("\n{}\n", summary(report)));
    text
}

/// One line on all of it.
pub(super) fn summary(report: &Report) -> String {
    format!(
        "{} calls/s, {} errors/s, {} open streams; {}",
        rate(report.totals.calls),
        rate(report.totals.errors),
        report.open_streams,
        registry(report)
    )
}

/// The age of what is known, by the router that knows least.
fn registry(report: &Report) -> String {
    let answering = report.routers.iter().filter(|router| router.problem.is_none());
    let oldest = answering
        .filter_map(|router| router.registry.as_ref())
        .max_by(|a, b| a.stale_seconds.total_cmp(&b.stale_seconds));
    match oldest {
        None => "registry unknown".to_owned(),
        Some(registry) if registry.stale_seconds > 0.0 || !registry.reachable => {
            format!("registry lost, {:.0} s old", registry.stale_seconds)
        }
        Some(_) => "registry current".to_owned(),
    }
}
