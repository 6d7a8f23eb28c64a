//! `admin`: the engine itself.

use serde_json::json;
use switchboard_client::Workflows;
use switchboard_proto::goclaw::v1::{
    EngineState, GetEngineStatusResponse, LaneStats, PurgeWorkflowsRequest, UpdateConfigRequest,
};

use super::{json as as_json, words};
use crate::args::{Admin, AdminCommand};
use crate::failure::Failure;
use crate::output;

/// Runs one of the commands.
pub(super) async fn run(args: Admin, workflows: &Workflows) -> Result<(), Failure> {
    match args.command {
        AdminCommand::Status => {
            let status = workflows.engine_status().await?;
            if args.json {
                output::print_json(&status_json(&status))
            } else {
                output::print(&status_text(&status))
            }
        }
        AdminCommand::Pause { lane: Some(lane) } => {
            workflows.pause_lane(&lane, true).await?;
            lane_told(&lane, true, args.json)
        }
        AdminCommand::Resume { lane: Some(lane) } => {
            workflows.pause_lane(&lane, false).await?;
            lane_told(&lane, false, args.json)
        }
        AdminCommand::Pause { lane: None } => {
            let count = workflows.pause_engine().await?.paused_count;
            match args.json {
                true => output::print_json(&json!({ "paused": true, "workflows": count })),
                false => output::print(&format!(
                    "paused: no task starts and no workflow is taken; {count} workflows wait"
                )),
            }
        }
        AdminCommand::Resume { lane: None } => {
            let count = workflows.resume_engine().await?.resumed_count;
            match args.json {
                true => output::print_json(&json!({ "paused": false, "workflows": count })),
                false => output::print(&format!("resumed: {count} workflows go on")),
            }
        }
        AdminCommand::Lanes { name } => {
            let lanes = workflows.lanes(&name).await?;
            match args.json {
                true => output::print_json(&lanes.iter().map(lane_json).collect()),
                false => output::print(&lanes_text(&lanes)),
            }
        }
        AdminCommand::Config { settings, keep, dry_run } => {
            let request = UpdateConfigRequest {
                config_updates: settings.into_iter().collect(),
                persist: keep,
                dry_run,
            };
            let changes = workflows.update_config(request).await?.applied_changes;
            if args.json {
                return output::print_json(&json!({ "dry_run": dry_run, "kept": keep, "settings": changes }));
            }
            let is = if dry_run { "may be" } else { "is" };
            let line = |(name, value)| words::plain(&format!("{name} {is} {value}")) + "\n";
            output::print(&changes.iter().map(line).collect::<String>())
        }
        AdminCommand::Purge { older_than_hours, dry_run, yes } => {
            if !dry_run && !yes {
                return Err(Failure::Usage(
                    "purge deletes for good: count first with --dry-run, then say --yes".to_owned(),
                ));
            }
            let request =
                PurgeWorkflowsRequest { age_threshold_hours: older_than_hours, confirmation: yes, dry_run };
            let count = workflows.purge(request).await?.purged_count;
            match (args.json, dry_run) {
                (true, _) => output::print_json(&json!({ "dry_run": dry_run, "workflows": count })),
                (false, true) => output::print(&format!("{count} workflows would be deleted")),
                (false, false) => output::print(&format!("{count} workflows are deleted")),
            }
        }
    }
}

fn lane_told(lane: &str, paused: bool, as_json: bool) -> Result<(), Failure> {
    match (as_json, paused) {
        (true, _) => output::print_json(&json!({ "lane": lane, "paused": paused })),
        (false, true) => output::print(&format!("lane {lane} is paused: no task of it starts")),
        (false, false) => output::print(&format!("lane {lane} goes on")),
    }
}

fn state(status: &GetEngineStatusResponse) -> String {
    match EngineState::try_from(status.state) {
        Ok(known) => known.as_str_name().trim_start_matches("ENGINE_STATE_").to_owned(),
        Err(_) => status.state.to_string(),
    }
}

fn status_json(status: &GetEngineStatusResponse) -> serde_json::Value {
    let metrics = status.metrics.unwrap_or_default();
    json!({
        "state": state(status),
        "healthy": status.healthy,
        "paused": status.paused,
        "version": status.version,
        "uptime_since": as_json::time(status.uptime_since.as_ref()),
        "last_error": status.last_error,
        "active_workflows": metrics.active_workflows,
        "completed_workflows": metrics.completed_workflows,
        "failed_workflows": metrics.failed_workflows,
        "cancelled_workflows": metrics.cancelled_workflows,
        "running_tasks": metrics.running_tasks,
        "queue_depth": metrics.queue_depth,
        "watch_streams": metrics.watch_streams,
        "memory_usage_bytes": metrics.memory_usage_bytes,
        "store_bytes": metrics.store_bytes,
        "cpu_usage_percent": metrics.cpu_usage_percent,
        "live_tasks": metrics.goroutine_count,
    })
}

fn status_text(status: &GetEngineStatusResponse) -> String {
    let metrics = status.metrics.unwrap_or_default();
    let paused = if status.paused { ", paused" } else { "" };
    let health = if status.healthy { "" } else { ", not healthy" };
    let mut text = format!("state: {}{paused}{health}\n", state(status));
    let mut say = |name: &str, value: String| {
        if !value.is_empty() {
            text.push_str(&format!("{name}: {}\n", words::plain(&value)));
        }
    };
    say("last error", status.last_error.clone());
    say("version", status.version.clone());
    say("up since", status.uptime_since.as_ref().map(ToString::to_string).unwrap_or_default());
    say(
        "workflows",
        format!(
            "{} active, {} completed, {} failed, {} cancelled",
            metrics.active_workflows,
            metrics.completed_workflows,
            metrics.failed_workflows,
            metrics.cancelled_workflows
        ),
    );
    say("tasks", format!("{} running, {} waiting", metrics.running_tasks, metrics.queue_depth));
    say("watch streams", metrics.watch_streams.to_string());
    say("memory", mebibytes(metrics.memory_usage_bytes));
    say("store", mebibytes(metrics.store_bytes));
    text
}

fn mebibytes(bytes: i64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn lane_json(lane: &LaneStats) -> serde_json::Value {
    json!({
        "lane": lane.lane_name,
        "running": lane.running,
        "workers": lane.worker_count,
        "queue_depth": lane.queue_depth,
        "capacity": lane.capacity,
        "rate_per_sec": lane.rate_per_sec,
        "paused": lane.paused,
        "throughput_per_sec": lane.throughput_per_sec,
        "error_rate": lane.error_rate,
        "oldest_wait_ms": lane.oldest_wait_ms,
    })
}

fn lanes_text(lanes: &[LaneStats]) -> String {
    let head =
        ["LANE", "RUNNING", "WAITING", "RATE", "DONE/S", "ERRORS", "OLDEST", "STATE"].map(str::to_owned);
    let row = |lane: &LaneStats| {
        let limited = lane.rate_per_sec > 0.0;
        [
            words::plain(&lane.lane_name),
            format!("{}/{}", lane.running, lane.worker_count),
            format!("{}/{}", lane.queue_depth, lane.capacity),
            if limited { format!("{}/s", lane.rate_per_sec) } else { "-".to_owned() },
            format!("{:.1}", lane.throughput_per_sec),
            format!("{:.1}%", lane.error_rate * 100.0),
            if lane.queue_depth > 0 { words::duration(lane.oldest_wait_ms) } else { "-".to_owned() },
            if lane.paused { "paused".to_owned() } else { "open".to_owned() },
        ]
    };
    let rows: Vec<_> = std::iter::once(head).chain(lanes.iter().map(row)).collect();
    words::table(&rows)
}
