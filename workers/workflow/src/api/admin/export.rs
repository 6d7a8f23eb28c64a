//! The engine's figures, for ExportMetrics.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::process;
use crate::api::{Api, status::Problem};

/// One figure.
pub(super) struct Metric {
    pub(super) name: &'static str,
    kind: &'static str,
    lane: Option<String>,
    value: f64,
}

pub(super) async fn collect(api: &Api) -> Result<Vec<Metric>, Problem> {
    let gauges = api.gauges();
    let one = |name, kind, value: u64| Metric { name, kind, lane: None, value: value as f64 };
    let mut metrics = vec![
        one("workflow_engine_live_workflows", "gauge", gauges.live),
        one("workflow_engine_waiting_tasks", "gauge", gauges.waiting),
        one("workflow_engine_running_attempts", "gauge", gauges.running),
        one("workflow_engine_timers", "gauge", gauges.timers),
        one("workflow_engine_schedules", "gauge", gauges.schedules),
        one("workflow_engine_watched_workflows", "gauge", api.engine.watched() as u64),
        one("workflow_api_streams", "gauge", api.streams().open() as u64),
        one("workflow_engine_paused", "gauge", gauges.paused.into()),
        one("workflow_engine_failed", "gauge", gauges.failed.into()),
        one("workflow_engine_submitted_total", "counter", gauges.submitted),
        one("workflow_engine_replayed_total", "counter", gauges.replayed),
        one("workflow_engine_events_total", "counter", gauges.events),
        one("workflow_engine_stale_reports_total", "counter", gauges.stale),
        one("workflow_api_streams_refused_total", "counter", api.streams().refused()),
        one("workflow_engine_schedule_runs_total", "counter", gauges.scheduled),
        one("workflow_engine_schedule_left_out_total", "counter", gauges.left_out),
        one("workflow_engine_purged_total", "counter", gauges.purged),
        one("workflow_engine_retention_seconds", "gauge", gauges.retention_ms / 1_000),
        one("workflow_process_resident_bytes", "gauge", process::resident_bytes()),
    ];
    // A loop that has ended has no lanes, and its other figures are what is asked for then.
    let lanes = if api.engine.is_stopped() { Vec::new() } else { api.engine.lanes().await? };
    for (name, kind) in [
        ("workflow_lane_waiting_tasks", "gauge"),
        ("workflow_lane_running_attempts", "gauge"),
        ("workflow_lane_workers", "gauge"),
        ("workflow_lane_ended_total", "counter"),
        ("workflow_lane_failed_total", "counter"),
    ] {
        for lane in &lanes {
            let value = match name {
                "workflow_lane_waiting_tasks" => lane.waiting as u64,
                "workflow_lane_running_attempts" => lane.running as u64,
                "workflow_lane_workers" => lane.settings.workers.into(),
                "workflow_lane_ended_total" => lane.ended,
                _ => lane.failed,
            };
            metrics.push(Metric { lane: Some(lane.name.clone()), ..one(name, kind, value) });
        }
    }
    Ok(metrics)
}

impl Api {
    /// The engine's figures for a port of Prometheus; without those of the lanes if the loop has ended.
    pub(crate) async fn prometheus(&self) -> String {
        prometheus(collect(self).await.unwrap_or_default().into_iter())
    }
}

/// Prometheus' text format. Names of lanes need no escapes.
pub(super) fn prometheus(metrics: impl Iterator<Item = Metric>) -> String {
    let (mut text, mut last) = (String::new(), "");
    for metric in metrics {
        if metric.name != last {
            last = metric.name;
            let _ = writeln!(text, "# TYPE {} {}", metric.name, metric.kind);
        }
        let _ = match &metric.lane {
            Some(lane) => writeln!(text, "{}{{lane=\"{lane}\"}} {}", metric.name, metric.value),
            None => writeln!(text, "{} {}", metric.name, metric.value),
        };
    }
    text
}

/// A JSON object: a number by name, or an object of numbers by lane.
pub(super) fn json(metrics: impl Iterator<Item = Metric>) -> String {
    let mut object = serde_json::Map::new();
    for metric in metrics {
        match metric.lane {
            None => drop(object.insert(metric.name.to_owned(), json!(metric.value))),
            Some(lane) => {
                let lanes = object.entry(metric.name).or_insert_with(|| json!({}));
                if let Value::Object(lanes) = lanes {
                    lanes.insert(lane, json!(metric.value));
                }
            }
        }
    }
    Value::Object(object).to_string()
}
