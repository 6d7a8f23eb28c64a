//! `submit`, `run` and `batch`.

use serde_json::{Map, Value, json};
use switchboard_client::Workflows;
use switchboard_proto::goclaw::v1::{
    GetWorkflowStatusResponse, SubmitWorkflowResponse, SubmitWorkflowsRequest, TaskStatus, WorkflowStatus,
};

use super::{Error, file, follow, json as as_json, words};
use crate::args::{Batch, File, Run, Submit};
use crate::failure::Failure;
use crate::output;

/// Submits and prints the ID.
pub(super) async fn submit(args: Submit, workflows: &Workflows) -> Result<(), Failure> {
    let answer = send(&args.file, workflows).await?;
    if args.json {
        return output::print_json(&json!({
            "workflow_id": answer.workflow_id,
            "status": words::status(answer.status),
            "created_at": as_json::time(answer.created_at.as_ref()),
        }));
    }
    output::print(&answer.workflow_id)
}

async fn send(args: &File, workflows: &Workflows) -> Result<SubmitWorkflowResponse, Failure> {
    let (read, request) = file::one(args)?;
    let sent = match &args.idempotency_key {
        Some(key) => workflows.submit_with_key(key, request).await,
        None => workflows.submit(request).await,
    };
    sent.map_err(|error| file::refused(error, std::slice::from_ref(&read)))
}

/// Submits, follows to the end, and prints what came out of it.
pub(super) async fn run(args: Run, workflows: &Workflows) -> Result<(), Failure> {
    let id = send(&args.file, workflows).await?.workflow_id;
    let how = if args.json || args.quiet { follow::How::Silent } else { follow::How::for_people() };
    let end = follow::to_the_end(workflows, &id, how).await?;
    let results = results(workflows, &end).await?;
    if args.json {
        let mut document = as_json::status(&end);
        document["results"] = Value::Object(results);
        output::print_json(&document)?;
    } else {
        output::print(&shown(&results, args.quiet))?;
    }
    follow::outcome(&end)
}

/// Results of the completed tasks that no other task depends on.
async fn results(
    workflows: &Workflows,
    end: &GetWorkflowStatusResponse,
) -> Result<Map<String, Value>, Failure> {
    let mut results = Map::new();
    if end.status() != WorkflowStatus::Completed {
        return Ok(results);
    }
    let used: std::collections::HashSet<&String> =
        end.tasks.iter().flat_map(|task| &task.dependencies).collect();
    for task in &end.tasks {
        if task.status() == TaskStatus::Completed && !used.contains(&task.task_id) {
            let result = workflows.task_result(&end.workflow_id, &task.task_id).await?;
            results.insert(task.task_id.clone(), as_json::document(&result.result_data));
        }
    }
    Ok(results)
}

/// Results for people: text without quotes, with the task's name unless it is quiet and there is one. Tasks without a
/// result are left out.
fn shown(results: &Map<String, Value>, quiet: bool) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => format!("{other:#}"),
    };
    match results.iter().filter(|(_, value)| !value.is_null()).collect::<Vec<_>>().as_slice() {
        [] => String::new(),
        [(_, value)] if quiet => text(value),
        several => {
            let lines = several.iter().map(|(task, value)| format!("{task}: {}\n", text(value)));
            lines.collect()
        }
    }
}

/// Submits all workflows of files in one call.
pub(super) async fn batch(args: Batch, workflows: &Workflows) -> Result<(), Failure> {
    let files = file::all(&args.files)?;
    let request = SubmitWorkflowsRequest {
        workflows: files.iter().map(|file| file.request().clone()).collect(),
        atomic: args.atomic,
        idempotency_key: args.idempotency_key,
        ordered: args.ordered,
    };
    let answer = workflows.submit_all(request).await.map_err(|error| file::refused(error, &files))?;
    let refused = answer.results.iter().filter(|result| !result.success).count();
    let name = |index: i32| usize::try_from(index).ok().and_then(|index| files.get(index));
    if args.json {
        let row = |result: &switchboard_proto::goclaw::v1::WorkflowSubmissionResult| {
            json!({
                "index": result.index,
                "file": name(result.index).map(file::FromFile::file),
                "name": name(result.index).map(|file| &file.request().name),
                "success": result.success,
                "workflow_id": result.workflow_id,
                "error": result.error.as_ref().map(as_json::error),
            })
        };
        output::print_json(&answer.results.iter().map(row).collect())?;
    } else {
        let mut rows = vec![["WORKFLOW", "NAME", "FILE", "PROBLEM"].map(str::to_owned)];
        for result in &answer.results {
            let file = name(result.index);
            let error = result.error.clone().unwrap_or_default();
            rows.push([
                if result.success { result.workflow_id.clone() } else { "-".to_owned() },
                file.map(|file| words::plain(&file.request().name)).unwrap_or_default(),
                file.map(|file| file.file().to_owned()).unwrap_or_default(),
                if result.success { String::new() } else { problem(&error, file) },
            ]);
        }
        output::print(&words::table(&rows))?;
    }
    match refused {
        0 => Ok(()),
        refused => Err(Error::Batch { refused, all: answer.results.len() }.into()),
    }
}

/// What is wrong with an item, with the first place in its file that the engine named.
fn problem(error: &switchboard_proto::goclaw::v1::Error, file: Option<&file::FromFile>) -> String {
    match (error.details.iter().next(), file) {
        (Some((field, reason)), Some(file)) if error.code == "VALIDATION_FAILED" => {
            words::plain(&format!("{}: {}", error.code, file.wrong(field, reason)))
        }
        _ => words::plain(&format!("{}: {}", error.code, error.message)),
    }
}
