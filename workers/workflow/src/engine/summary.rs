//! What lists show of a workflow, as the store keeps it.

use workflow_machine::{SagaState, Status, Workflow, WorkflowDetail};
use workflow_store::{Parent, Status as StoredStatus, Summary, TaskCounts, WorkflowId as StoreId};

use crate::spec::SAGA_ATTRIBUTE;

/// Characters of an error that lists show; the workflow's state has all of it.
const MAX_ERROR_CHARS: usize = 256;

pub(super) fn of(workflow: &Workflow, id: StoreId, tasks: TaskCounts) -> Summary {
    let spec = workflow.spec();
    let parent = spec.parent.as_ref().and_then(|parent| {
        let id = StoreId::new(&parent.workflow).ok()?;
        Some(Parent { workflow: id, task: parent.task.clone() })
    });
    Summary {
        id,
        name: spec.name.clone(),
        status: status(workflow.status()),
        detail: detail(workflow),
        created_ms: workflow.created_at(),
        updated_ms: workflow.updated_at(),
        started_ms: workflow.started_at().unwrap_or(0),
        finished_ms: workflow.finished_at().unwrap_or(0),
        last_seq: workflow.last_seq(),
        priority: spec.priority,
        owner: spec.owner.clone(),
        parent,
        attributes: spec.attributes.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        tasks,
        saga: spec.attributes.contains_key(SAGA_ATTRIBUTE.0),
        error: workflow
            .error()
            .map(|error| error.message.chars().take(MAX_ERROR_CHARS).collect())
            .unwrap_or_default(),
    }
}

pub(super) fn count(workflow: &Workflow) -> TaskCounts {
    let mut counts = TaskCounts::default();
    for (_, task) in workflow.tasks() {
        counts.total += 1;
        match task.status() {
            Status::Running => counts.running += 1,
            Status::Completed => counts.completed += 1,
            Status::Failed => counts.failed += 1,
            Status::Pending | Status::Cancelled => {}
        }
    }
    counts
}

fn status(status: Status) -> StoredStatus {
    match status {
        Status::Pending => StoredStatus::Pending,
        Status::Running => StoredStatus::Running,
        Status::Completed => StoredStatus::Completed,
        Status::Failed => StoredStatus::Failed,
        Status::Cancelled => StoredStatus::Cancelled,
    }
}

/// Numbers of the finer states in the store: those of `goclaw.v1.WorkflowDetail`, 0 where the status says it all.
fn detail(workflow: &Workflow) -> u8 {
    // Of a saga that ended badly it counts what became of what it had done.
    if workflow.spec().attributes.contains_key(SAGA_ATTRIBUTE.0) && workflow.status().is_terminal() {
        return match workflow.saga_state() {
            SagaState::PendingCompensation => 5,
            SagaState::Compensated => 6,
            SagaState::CompensationFailed => 7,
            _ => 0,
        };
    }
    match workflow.detail() {
        WorkflowDetail::Pending
        | WorkflowDetail::Running
        | WorkflowDetail::Completed
        | WorkflowDetail::Failed
        | WorkflowDetail::Cancelled => 0,
        WorkflowDetail::Paused => 1,
        WorkflowDetail::Cancelling => 2,
        WorkflowDetail::Failing => 3,
        WorkflowDetail::Compensating => 4,
        WorkflowDetail::PendingCompensation => 5,
        WorkflowDetail::TimedOut => 8,
    }
}
