//! `show`: the state of a workflow and its tasks, or the result of one task.

use serde_json::Value;
use switchboard_client::Workflows;
use switchboard_proto::goclaw::v1::{
    GetWorkflowStatusRequest, GetWorkflowStatusResponse, TaskStatus, TaskStatusDetail,
};

use super::view::View;
use super::{json, words};
use crate::args::Show;
use crate::failure::Failure;
use crate::output;

/// Prints one or the other.
pub(super) async fn run(args: Show, workflows: &Workflows) -> Result<(), Failure> {
    if let Some(task) = &args.task {
        return result(&args, task, workflows).await;
    }
    let request = GetWorkflowStatusRequest { workflow_id: args.id, include_input: args.json };
    let status = workflows.status_of(request).await?;
    if args.json {
        return output::print_json(&json::status(&status));
    }
    output::print(&text(&status))
}

async fn result(args: &Show, task: &str, workflows: &Workflows) -> Result<(), Failure> {
    let answer = workflows.task_result(&args.id, task).await?;
    let result = json::document(&answer.result_data);
    if args.json {
        output::print_json(&serde_json::json!({
            "workflow_id": args.id,
            "task_id": task,
            "status": words::task_status(answer.status),
            "detail": words::task_detail(answer.detail),
            "attempt": answer.attempt,
            "result": result,
            "result_bytes": answer.result_bytes,
            "error_code": answer.error_code,
            "error_message": answer.error_message,
        }))?;
    } else if answer.status() == TaskStatus::Completed {
        return match result {
            Value::String(text) => output::print(&text),
            other => output::print_json(&other),
        };
    }
    match answer.status() {
        TaskStatus::Completed => Ok(()),
        _ => {
            let state = words::state(words::task_status(answer.status), words::task_detail(answer.detail));
            let message = words::plain(&answer.error_message);
            let because = if message.is_empty() { String::new() } else { format!(": {message}") };
            Err(Failure::Answered(format!("task {task} has no result, it is {state}{because}")))
        }
    }
}

fn text(status: &GetWorkflowStatusResponse) -> String {
    let view = View::of(status);
    let mut text = String::new();
    let mut say = |name: &str, value: String| {
        if !value.is_empty() {
            text.push_str(&format!("{name}: {}\n", words::plain(&value)));
        }
    };
    let time = |at: &Option<prost_types::Timestamp>| at.as_ref().map(ToString::to_string).unwrap_or_default();
    let pairs = |map: &std::collections::BTreeMap<String, String>| {
        map.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
    };
    say("workflow", status.workflow_id.clone());
    say("name", status.name.clone());
    say("status", view.state.clone());
    say("error", status.error_message.clone());
    say("created", time(&status.created_at));
    say("finished", time(&status.finished_at));
    say("deadline", time(&status.deadline));
    say("attributes", pairs(&status.attributes));
    say("metadata", pairs(&status.metadata));
    say("parent", status.parent_workflow_id.clone());
    say("owner", status.owner.clone());
    text.push('\n');
    // What runs has run until the state was taken.
    let now = status.updated_at.as_ref().map_or(view.begin, words::millis);
    let mut rows = vec![["TASK", "STATUS", "WHAT", "TOOK", "AFTER", "REMARKS"].map(str::to_owned)];
    rows.extend(status.tasks.iter().zip(&view.tasks).map(|(task, seen)| {
        [
            words::plain(&task.task_id),
            seen.state.clone(),
            what(task),
            seen.took(now).map_or("-".to_owned(), words::duration),
            words::plain(&task.dependencies.join(",")),
            seen.remarks(),
        ]
    }));
    text + &words::table(&rows)
}

/// `weather-tool/get_weather`; `wait_signal approved` and the like of what is no call.
fn what(task: &TaskStatusDetail) -> String {
    let call = matches!(task.r#type.as_str(), "" | "agent" | "tool" | "worker");
    let text = match (task.target.as_str(), task.operation.as_str()) {
        ("", _) => task.r#type.clone(),
        (target, "") if call => target.to_owned(),
        (target, operation) if call => format!("{target}/{operation}"),
        (target, operation) => format!("{} {target} {operation}", task.r#type),
    };
    words::plain(text.trim_end())
}
