//! `logs`: the log of a workflow, what is kept of it and then what is written.

use switchboard_client::Workflows;
use switchboard_proto::goclaw::v1::{LogEntry, LogLevel as Level, LogStreamRequest};

use super::{json, words};
use crate::args::{LogLevel, Logs};
use crate::failure::Failure;
use crate::output;

/// Prints lines until the workflow has ended.
pub(super) async fn run(args: Logs, workflows: &Workflows) -> Result<(), Failure> {
    let min_level = match args.level {
        LogLevel::Debug => Level::Debug,
        LogLevel::Info => Level::Info,
        LogLevel::Warn => Level::Warn,
        LogLevel::Error => Level::Error,
    };
    let request =
        LogStreamRequest { workflow_id: args.id, min_level: min_level.into(), task_ids: args.tasks };
    let mut entries = workflows.logs(request).await?;
    while let Some(entry) = entries.next().await {
        let entry = entry?;
        let text = if args.json { json::log(&entry).to_string() } else { line(&entry) };
        output::print(&text)?;
    }
    Ok(())
}

/// `2026-01-01T00:00:00Z INFO  plan: task started attempt=2`.
fn line(entry: &LogEntry) -> String {
    let at = entry.timestamp.as_ref().map_or("-".to_owned(), ToString::to_string);
    let task =
        if entry.task_id.is_empty() { String::new() } else { format!("{}: ", words::plain(&entry.task_id)) };
    let mut text = format!("{at} {:5} {task}{}", words::level(entry.level), words::plain(&entry.message));
    if entry.attempt > 1 {
        text.push_str(&format!(" attempt={}", entry.attempt));
    }
    for (name, value) in &entry.fields {
        text.push_str(&format!(" {}={}", words::plain(name), words::plain(value)));
    }
    text
}
