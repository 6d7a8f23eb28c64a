//! Events in JSON, for people and tools that read a history.

use bytes::Bytes;
use serde_json::{Value, json};
use switchboard_proto::goclaw::v1::HistoryEvent;
use workflow_machine::{Event, EventKind, SignalKind, SkipReason, TaskError};

use crate::api::shown;

/// Bytes of a result or an input that are shown.
const MAX_SHOWN_BYTES: usize = 4 << 10;

/// Names of a `Reopened` that are shown.
const MAX_SHOWN_TASKS: usize = 100;

pub(super) fn shown(event: &Event) -> HistoryEvent {
    let (kind, mut data) = event.kind.as_ref().map_or(("unknown", json!({})), described);
    if let Some(error) = event.error()
        && let Value::Object(data) = &mut data
    {
        data.insert("error".to_owned(), error_of(error));
    }
    let attempt = match &event.kind {
        Some(EventKind::TaskStarted(event)) => event.attempt,
        Some(EventKind::TaskCompensating(event)) => event.attempt,
        _ => 0,
    };
    HistoryEvent {
        sequence_number: event.seq as i64,
        timestamp: shown::some_time(event.at),
        r#type: kind.to_owned(),
        task_id: event.task().unwrap_or_default().to_owned(),
        attempt: shown::number(attempt),
        data_json: data.to_string().into_bytes(),
    }
}

fn error_of(error: &TaskError) -> Value {
    json!({ "code": error.code, "message": error.message, "retryable": error.retryable })
}

fn cut(bytes: &Bytes) -> Value {
    shown::cut_json(bytes, MAX_SHOWN_BYTES)
}

/// The type of an event in snake_case, and what else there is to it.
fn described(kind: &EventKind) -> (&'static str, Value) {
    match kind {
        EventKind::Submitted(event) => {
            let spec = event.spec.as_deref();
            let data = json!({
                "name": spec.map(|spec| spec.name.as_str()),
                "tasks": spec.map_or(0, |spec| spec.tasks.len()),
                "input": spec.map_or(Value::Null, |spec| cut(&spec.input)),
                "owner": spec.map(|spec| spec.owner.as_str()),
                "request_id": spec.map(|spec| spec.request_id.as_str()),
            });
            ("workflow_submitted", data)
        }
        EventKind::WorkflowStarted(_) => ("workflow_started", json!({})),
        EventKind::TaskStarted(event) => {
            ("task_started", json!({ "epoch": event.epoch, "until_ms": event.until, "child": event.child }))
        }
        EventKind::TaskCompleted(event) => {
            let data = json!({
                "epoch": event.epoch,
                "result": cut(&event.result),
                "result_bytes": event.result.len(),
                "signal_sequence": event.signal,
            });
            ("task_completed", data)
        }
        EventKind::TaskRetrying(event) => {
            ("task_retrying", json!({ "epoch": event.epoch, "retry_at_ms": event.retry_at }))
        }
        EventKind::TaskScheduled(event) => ("task_scheduled", json!({ "compensation": event.compensation })),
        EventKind::TaskLost(event) => ("task_lost", json!({ "epoch": event.epoch })),
        EventKind::TaskFailed(event) => ("task_failed", json!({ "epoch": event.epoch })),
        EventKind::TaskSkipped(event) => {
            let reason = match event.reason() {
                SkipReason::Condition => "condition",
                SkipReason::Dependency => "dependency",
                SkipReason::FailFast => "fail_fast",
            };
            ("task_skipped", json!({ "reason": reason }))
        }
        EventKind::TaskCancelled(_) => ("task_cancelled", json!({})),
        EventKind::TaskExpanded(event) => ("task_expanded", json!({ "items": event.items.len() })),
        EventKind::TaskProgressed(event) => {
            ("task_progressed", json!({ "percent": event.percent, "message": event.message }))
        }
        EventKind::TaskSignalled(event) => {
            let kind = match event.kind() {
                SignalKind::Steer => "steer",
                SignalKind::Interrupt => "interrupt",
                SignalKind::Collect => "collect",
            };
            ("task_signalled", json!({ "kind": kind, "payload": cut(&event.payload) }))
        }
        EventKind::SignalReceived(event) => {
            ("signal_received", json!({ "name": event.name, "payload": cut(&event.payload) }))
        }
        EventKind::Paused(event) => ("workflow_paused", json!({ "reason": event.reason })),
        EventKind::Resumed(_) => ("workflow_resumed", json!({})),
        EventKind::CancelRequested(event) => {
            ("cancel_requested", json!({ "force": event.force, "reason": event.reason }))
        }
        EventKind::WorkflowFailing(event) => ("workflow_failing", json!({ "task": event.task })),
        EventKind::CompensationAwaited(_) => ("compensation_awaited", json!({})),
        EventKind::CompensationStarted(event) => {
            ("compensation_started", json!({ "reason": event.reason, "reopened": event.reopened }))
        }
        EventKind::TaskCompensating(event) => {
            ("task_compensating", json!({ "epoch": event.epoch, "until_ms": event.until }))
        }
        EventKind::TaskCompensationRetrying(event) => {
            ("task_compensation_retrying", json!({ "epoch": event.epoch, "retry_at_ms": event.retry_at }))
        }
        EventKind::TaskCompensated(event) => ("task_compensated", json!({ "epoch": event.epoch })),
        EventKind::TaskCompensationFailed(event) => {
            ("task_compensation_failed", json!({ "epoch": event.epoch }))
        }
        EventKind::WorkflowCompleted(_) => ("workflow_completed", json!({})),
        EventKind::WorkflowFailed(event) => ("workflow_failed", json!({ "task": event.task })),
        EventKind::WorkflowCancelled(event) => ("workflow_cancelled", json!({ "reason": event.reason })),
        EventKind::Reopened(event) => {
            let reset = event.reset.iter().chain(&event.resumed).take(MAX_SHOWN_TASKS);
            let data = json!({
                "reason": event.reason,
                "tasks_reset": event.reset.len() + event.resumed.len(),
                "positions": reset.collect::<Vec<_>>(),
            });
            ("workflow_reopened", data)
        }
    }
}
