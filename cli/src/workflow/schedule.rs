//! `schedule`: workflows that are submitted again and again.

mod create;
mod shown;

use serde_json::json;
use switchboard_client::{Schedules, Workflows};
use switchboard_proto::goclaw::v1::Schedule as Known;

use super::words;
use crate::args::{Schedule, ScheduleCommand};
use crate::failure::Failure;
use crate::output;
use shown::Clock;

/// Runs one of the commands.
pub(super) async fn run(args: Schedule, workflows: &Workflows) -> Result<(), Failure> {
    let schedules = workflows.schedules();
    match args.command {
        ScheduleCommand::Create(create) => create::run(*create, args.json, &schedules).await,
        ScheduleCommand::List => list(args.json, &schedules).await,
        ScheduleCommand::Show(of) => {
            let schedule = schedules.get(&of.id).await?;
            match args.json {
                true => output::print_json(&shown::json(&schedule)),
                false => output::print(&shown::text(&schedule, &Clock::here())),
            }
        }
        ScheduleCommand::Pause { of, note } => told(&schedules.pause(&of.id, &note).await?, args.json),
        ScheduleCommand::Resume(of) => told(&schedules.resume(&of.id).await?, args.json),
        ScheduleCommand::Trigger(of) => {
            let workflow_id = schedules.trigger(&of.id).await?.workflow_id;
            match args.json {
                true => output::print_json(&json!({ "schedule_id": of.id, "workflow_id": workflow_id })),
                false => output::print(&words::plain(&workflow_id)),
            }
        }
        ScheduleCommand::Delete(of) => {
            schedules.delete(&of.id).await?;
            match args.json {
                true => output::print_json(&json!({ "schedule_id": of.id, "deleted": true })),
                false => {
                    output::print(&format!("schedule {} is deleted; runs that were submitted go on", of.id))
                }
            }
        }
    }
}

async fn list(as_json: bool, schedules: &Schedules) -> Result<(), Failure> {
    let (mut rows, mut all) = (schedules.list(), Vec::new());
    while let Some(row) = rows.next().await {
        all.push(row?);
    }
    match as_json {
        true => output::print_json(&all.iter().map(shown::json).collect()),
        false => output::print(&shown::table(&all, &Clock::here())),
    }
}

/// What has become of a schedule, in a line.
fn told(schedule: &Known, as_json: bool) -> Result<(), Failure> {
    match as_json {
        true => output::print_json(&shown::json(schedule)),
        false => output::print(&shown::line(schedule, &Clock::here())),
    }
}
