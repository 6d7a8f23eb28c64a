//! `cancel`, `retry`, `pause`, `resume`, `signal`: each says in a line what has become of the workflow.

use serde_json::json;
use switchboard_client::Workflows;
use switchboard_proto::goclaw::v1::signal_workflow_request::Payload;
use switchboard_proto::goclaw::v1::{
    CancelWorkflowRequest, PauseWorkflowRequest, RetryWorkflowRequest, SignalWorkflowRequest, WorkflowStatus,
};

use super::{file, words};
use crate::args::{Cancel, Pause, Resume, Retry, Signal};
use crate::failure::Failure;
use crate::output;

pub(super) async fn cancel(args: Cancel, workflows: &Workflows) -> Result<(), Failure> {
    let request =
        CancelWorkflowRequest { workflow_id: args.id.clone(), force: args.force, reason: args.reason };
    let answer = workflows.cancel(request).await?;
    if args.json {
        return said(&args.id, answer.status, 0);
    }
    match answer.status() {
        WorkflowStatus::Running => output::print(&format!(
            "workflow {} is being cancelled; what runs has 30 s to end (--force does not wait)",
            args.id
        )),
        _ => output::print(&format!("workflow {} is CANCELLED", args.id)),
    }
}

pub(super) async fn retry(args: Retry, workflows: &Workflows) -> Result<(), Failure> {
    let request =
        RetryWorkflowRequest { workflow_id: args.id.clone(), from_task_id: args.from, reason: args.reason };
    let answer = workflows.retry(request).await?;
    if args.json {
        return output::print_json(&json!({
            "workflow_id": args.id,
            "status": words::status(answer.status),
            "tasks_reset": answer.tasks_reset,
        }));
    }
    let tasks = if answer.tasks_reset == 1 { "task runs" } else { "tasks run" };
    let state = words::status(answer.status);
    output::print(&format!("workflow {} is {state}; {} {tasks} again", args.id, answer.tasks_reset))
}

pub(super) async fn pause(args: Pause, workflows: &Workflows) -> Result<(), Failure> {
    let request = PauseWorkflowRequest { workflow_id: args.id.clone(), reason: args.reason };
    let answer = workflows.pause(request).await?;
    told(&args.id, answer.status, answer.detail, args.json)
}

pub(super) async fn resume(args: Resume, workflows: &Workflows) -> Result<(), Failure> {
    let answer = workflows.resume(&args.id).await?;
    told(&args.id, answer.status, answer.detail, args.json)
}

pub(super) async fn signal(args: Signal, workflows: &Workflows) -> Result<(), Failure> {
    let payload = args.input.map(|input| file::json_argument("--input", &input)).transpose()?;
    let request = SignalWorkflowRequest {
        workflow_id: args.id.clone(),
        name: args.name.clone(),
        payload: payload.map(Payload::InputJson),
    };
    let answer = workflows.signal(request).await?;
    if args.json {
        return output::print_json(&json!({
            "workflow_id": args.id,
            "name": args.name,
            "task_id": answer.task_id,
        }));
    }
    match answer.task_id.as_str() {
        "" => output::print(&format!("signal {} is kept for the task that will wait for it", args.name)),
        task => output::print(&format!("signal {} has woken task {}", args.name, words::plain(task))),
    }
}

fn told(id: &str, status: i32, detail: i32, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return said(id, status, detail);
    }
    let state = words::state(words::status(status), words::detail(detail));
    output::print(&format!("workflow {id} is {state}"))
}

fn said(id: &str, status: i32, detail: i32) -> Result<(), Failure> {
    output::print_json(&json!({
        "workflow_id": id,
        "status": words::status(status),
        "detail": words::detail(detail),
    }))
}
