//! Messages as JSON. Names are those of the proto, states are short (`COMPLETED`), times are RFC 3339, results and inputs
//! are JSON themselves.

use prost_types::Timestamp;
use serde_json::{Value, json};
use switchboard_proto::goclaw::v1::{
    Error, GetWorkflowStatusResponse, LogEntry, TaskProgressUpdate, TaskStatusDetail, WorkflowStatusUpdate,
    WorkflowSummary,
};

use super::words;

pub(super) fn summary(row: &WorkflowSummary) -> Value {
    json!({
        "workflow_id": row.workflow_id,
        "name": row.name,
        "status": words::status(row.status),
        "detail": words::detail(row.detail),
        "created_at": time(row.created_at.as_ref()),
        "updated_at": time(row.updated_at.as_ref()),
        "started_at": time(row.started_at.as_ref()),
        "finished_at": time(row.finished_at.as_ref()),
        "tasks_total": row.tasks_total,
        "tasks_completed": row.tasks_completed,
        "tasks_failed": row.tasks_failed,
        "attributes": row.attributes,
        "parent_workflow_id": row.parent_workflow_id,
        "owner": row.owner,
        "error_message": row.error_message,
    })
}

pub(super) fn status(status: &GetWorkflowStatusResponse) -> Value {
    json!({
        "workflow_id": status.workflow_id,
        "name": status.name,
        "status": words::status(status.status),
        "detail": words::detail(status.detail),
        "sequence_number": status.sequence_number,
        "created_at": time(status.created_at.as_ref()),
        "updated_at": time(status.updated_at.as_ref()),
        "started_at": time(status.started_at.as_ref()),
        "finished_at": time(status.finished_at.as_ref()),
        "deadline": time(status.deadline.as_ref()),
        "progress_percent": status.progress_percent,
        "attributes": status.attributes,
        "metadata": status.metadata,
        "input": document(&status.input_json),
        "parent_workflow_id": status.parent_workflow_id,
        "parent_task_id": status.parent_task_id,
        "owner": status.owner,
        "error_message": status.error_message,
        "tasks": status.tasks.iter().map(task).collect::<Vec<_>>(),
    })
}

fn task(task: &TaskStatusDetail) -> Value {
    json!({
        "task_id": task.task_id,
        "name": task.name,
        "status": words::task_status(task.status),
        "detail": words::task_detail(task.detail),
        "type": task.r#type,
        "target": task.target,
        "operation": task.operation,
        "lane": task.lane,
        "dependencies": task.dependencies,
        "attempt": task.attempt,
        "max_attempts": task.max_attempts,
        "progress_percent": task.progress_percent,
        "progress_message": task.progress_message,
        "items_total": task.items_total,
        "items_completed": task.items_completed,
        "started_at": time(task.started_at.as_ref()),
        "completed_at": time(task.completed_at.as_ref()),
        "next_attempt_at": time(task.next_attempt_at.as_ref()),
        "child_workflow_id": task.child_workflow_id,
        "worker_id": task.worker_id,
        "result_bytes": task.result_bytes,
        "error_code": task.error_code,
        "error_message": task.error_message,
    })
}

pub(super) fn workflow_update(update: &WorkflowStatusUpdate) -> Value {
    json!({
        "type": "workflow",
        "sequence_number": update.sequence_number,
        "timestamp": time(update.timestamp.as_ref()),
        "workflow_id": update.workflow_id,
        "status": words::status(update.status),
        "detail": words::detail(update.detail),
        "progress_percent": update.progress_percent,
        "message": update.message,
    })
}

pub(super) fn task_update(update: &TaskProgressUpdate) -> Value {
    json!({
        "type": "task",
        "sequence_number": update.sequence_number,
        "timestamp": time(update.timestamp.as_ref()),
        "workflow_id": update.workflow_id,
        "task_id": update.task_id,
        "status": words::task_status(update.status),
        "detail": words::task_detail(update.detail),
        "attempt": update.attempt,
        "progress_percent": update.progress_percent,
        "message": update.message,
        "error_code": update.error_code,
        "child_workflow_id": update.child_workflow_id,
        "next_attempt_at": time(update.next_attempt_at.as_ref()),
        "result": document(&update.result_data),
        "result_bytes": update.result_bytes,
    })
}

pub(super) fn log(entry: &LogEntry) -> Value {
    json!({
        "timestamp": time(entry.timestamp.as_ref()),
        "level": words::level(entry.level),
        "workflow_id": entry.workflow_id,
        "task_id": entry.task_id,
        "attempt": entry.attempt,
        "message": entry.message,
        "fields": entry.fields,
    })
}

pub(super) fn error(error: &Error) -> Value {
    json!({ "code": error.code, "message": error.message, "details": error.details })
}

/// A message with what kind of line it is.
pub(super) fn typed(kind: &str, mut value: Value) -> Value {
    value["type"] = kind.into();
    value
}

/// RFC 3339, or null.
pub(super) fn time(at: Option<&Timestamp>) -> Value {
    at.map_or(Value::Null, |at| at.to_string().into())
}

/// JSON text as it is; null if there is none, and text if it is no JSON.
pub(super) fn document(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into())
}
