//! Workflows and tasks as the wire has them.

use bytes::Bytes;
use prost_types::Timestamp;
use switchboard_proto::goclaw::v1::{
    self, GetTaskResultResponse, GetWorkflowStatusResponse, TaskStatusDetail, WorkflowSummary,
};
use workflow_machine::{
    CallKind, Millis, Status, TaskDetail, TaskSpec, TaskView, Work, Workflow, WorkflowDetail,
    limits::DEFAULT_LANE,
};
use workflow_store::Summary;

use crate::{attempt::AttemptId, executor::functions::Functions};

/// Results that an answer holds: what its message may have, less what else is in it.
const MAX_RESULT_BYTES: usize = (4 << 20) - (16 << 10);

pub(super) fn time(at: Millis) -> Timestamp {
    Timestamp { seconds: (at / 1_000) as i64, nanos: (at % 1_000 * 1_000_000) as i32 }
}

pub(super) fn some_time(at: Millis) -> Option<Timestamp> {
    (at > 0).then(|| time(at))
}

pub(super) fn status(status: Status) -> v1::WorkflowStatus {
    match status {
        Status::Pending => v1::WorkflowStatus::Pending,
        Status::Running => v1::WorkflowStatus::Running,
        Status::Completed => v1::WorkflowStatus::Completed,
        Status::Failed => v1::WorkflowStatus::Failed,
        Status::Cancelled => v1::WorkflowStatus::Cancelled,
    }
}

pub(super) fn task_status(status: Status) -> v1::TaskStatus {
    match status {
        Status::Pending => v1::TaskStatus::Pending,
        Status::Running => v1::TaskStatus::Running,
        Status::Completed => v1::TaskStatus::Completed,
        Status::Failed => v1::TaskStatus::Failed,
        Status::Cancelled => v1::TaskStatus::Cancelled,
    }
}

pub(super) fn task_detail(detail: TaskDetail) -> v1::TaskDetail {
    match detail {
        TaskDetail::Pending
        | TaskDetail::Running
        | TaskDetail::Completed
        | TaskDetail::Failed
        | TaskDetail::Cancelled => v1::TaskDetail::Unspecified,
        TaskDetail::Scheduled => v1::TaskDetail::Scheduled,
        TaskDetail::Retrying => v1::TaskDetail::Retrying,
        TaskDetail::Waiting => v1::TaskDetail::Waiting,
        TaskDetail::Skipped => v1::TaskDetail::Skipped,
        TaskDetail::TimedOut => v1::TaskDetail::TimedOut,
        TaskDetail::Compensating => v1::TaskDetail::Compensating,
        TaskDetail::Compensated => v1::TaskDetail::Compensated,
        TaskDetail::CompensationFailed => v1::TaskDetail::CompensationFailed,
    }
}

pub(super) fn detail(detail: WorkflowDetail) -> v1::WorkflowDetail {
    match detail {
        WorkflowDetail::Pending
        | WorkflowDetail::Running
        | WorkflowDetail::Completed
        | WorkflowDetail::Failed
        | WorkflowDetail::Cancelled => v1::WorkflowDetail::Unspecified,
        WorkflowDetail::Paused => v1::WorkflowDetail::Paused,
        WorkflowDetail::Cancelling => v1::WorkflowDetail::Cancelling,
        WorkflowDetail::Failing => v1::WorkflowDetail::Failing,
        WorkflowDetail::Compensating => v1::WorkflowDetail::Compensating,
        WorkflowDetail::PendingCompensation => v1::WorkflowDetail::PendingCompensation,
        WorkflowDetail::TimedOut => v1::WorkflowDetail::TimedOut,
    }
}

/// One line of a list. The store's numbers are the wire's.
pub(super) fn summary(summary: Summary) -> WorkflowSummary {
    WorkflowSummary {
        workflow_id: summary.id.to_string(),
        name: summary.name,
        status: summary.status as i32,
        created_at: some_time(summary.created_ms),
        updated_at: some_time(summary.updated_ms),
        detail: summary.detail.into(),
        attributes: summary.attributes.into_iter().collect(),
        tasks_total: number(summary.tasks.total),
        tasks_completed: number(summary.tasks.completed),
        tasks_failed: number(summary.tasks.failed),
        parent_workflow_id: summary.parent.map(|parent| parent.workflow.to_string()).unwrap_or_default(),
        started_at: some_time(summary.started_ms),
        finished_at: some_time(summary.finished_ms),
        error_message: summary.error,
        owner: summary.owner,
    }
}

pub(super) fn number(count: impl TryInto<i32>) -> i32 {
    count.try_into().unwrap_or(i32::MAX)
}

/// Share of the tasks that have ended, in percent.
pub(super) fn progress(ended: usize, total: usize) -> i32 {
    number((ended * 100).checked_div(total).unwrap_or(0))
}

/// How far a workflow is, in percent.
pub(super) fn progress_of(workflow: &Workflow) -> i32 {
    let ended = workflow.tasks().filter(|(_, task)| task.status().is_terminal()).count();
    progress(ended, workflow.spec().tasks.len())
}

/// Everything that is to be said of a workflow; `workers` knows who has a task.
pub(super) fn workflow(
    workflow: &Workflow,
    include_input: bool,
    workers: Option<&Functions>,
) -> GetWorkflowStatusResponse {
    let spec = workflow.spec();
    let tasks = spec.tasks.iter().zip(workflow.tasks());
    let parent = spec.parent.as_ref();
    GetWorkflowStatusResponse {
        workflow_id: workflow.id().to_string(),
        name: spec.name.clone(),
        status: status(workflow.status()).into(),
        tasks: tasks.map(|(spec, (_, view))| task(workflow, spec, &view, workers)).collect(),
        created_at: some_time(workflow.created_at()),
        updated_at: some_time(workflow.updated_at()),
        error: None,
        detail: detail(workflow.detail()).into(),
        sequence_number: workflow.last_seq() as i64,
        attributes: spec.attributes.clone(),
        metadata: spec.metadata.clone(),
        input_json: if include_input { spec.input.to_vec() } else { Vec::new() },
        parent_workflow_id: parent.map(|parent| parent.workflow.clone()).unwrap_or_default(),
        parent_task_id: parent.map(|parent| parent.task.clone()).unwrap_or_default(),
        progress_percent: progress_of(workflow),
        started_at: workflow.started_at().map(time),
        finished_at: workflow.finished_at().map(time),
        error_message: workflow.error().map(|error| error.message.clone()).unwrap_or_default(),
        // Their numbers on the wire begin with UNSPECIFIED.
        failure_policy: spec.failure_policy + 1,
        compensation_policy: spec.compensation + 1,
        priority: spec.priority,
        deadline: workflow.deadline().map(time),
        owner: spec.owner.clone(),
    }
}

fn task(
    workflow: &Workflow,
    spec: &TaskSpec,
    view: &TaskView<'_>,
    workers: Option<&Functions>,
) -> TaskStatusDetail {
    let (kind, target, operation) = work(spec.work.as_ref());
    let lane = [spec.lane.as_str(), workflow.spec().lane.as_str(), DEFAULT_LANE];
    let completed = match view.items {
        None => 0,
        Some(_) => workflow.items(&spec.id).filter(|item| item.status() == Status::Completed).count(),
    };
    let waits = matches!(view.detail, TaskDetail::Retrying | TaskDetail::Waiting);
    let policy = spec.retry.as_ref();
    TaskStatusDetail {
        task_id: spec.id.clone(),
        name: if spec.name.is_empty() { spec.id.clone() } else { spec.name.clone() },
        status: task_status(view.status()).into(),
        started_at: view.started_at.map(time),
        completed_at: view.finished_at.map(time),
        error_message: view.error.map(|error| error.message.clone()).unwrap_or_default(),
        detail: task_detail(view.detail).into(),
        attempt: number(view.attempt),
        max_attempts: policy.map_or(1, |policy| number(policy.max_attempts.max(1))),
        progress_percent: number(view.percent),
        r#type: kind.to_owned(),
        target: target.to_owned(),
        operation: operation.to_owned(),
        lane: lane.into_iter().find(|lane| !lane.is_empty()).unwrap_or_default().to_owned(),
        priority: spec.priority.unwrap_or(workflow.spec().priority),
        dependencies: spec.dependencies.clone(),
        next_attempt_at: view.until.filter(|_| waits).map(time),
        child_workflow_id: view.child.map(ToString::to_string).unwrap_or_default(),
        items_total: number(view.items.unwrap_or(0)),
        items_completed: number(completed),
        result_bytes: view.result.len() as i64,
        error_code: view.error.map(|error| error.code.clone()).unwrap_or_default(),
        worker_id: workers.and_then(|workers| worker(workers, workflow, spec, view)).unwrap_or_default(),
        progress_message: view.message.to_owned(),
    }
}

/// The external worker that has a task.
fn worker(workers: &Functions, workflow: &Workflow, spec: &TaskSpec, view: &TaskView<'_>) -> Option<String> {
    if !matches!(spec.work, Some(Work::Function(_))) || view.status() != Status::Running {
        return None;
    }
    let attempt = AttemptId { workflow: workflow.id().clone(), task: spec.id.clone(), epoch: view.epoch };
    workers.worker(&attempt)
}

/// Type, target and operation, in the words of a request.
fn work(work: Option<&Work>) -> (&'static str, &str, &str) {
    match work {
        None | Some(Work::Noop(_)) => ("noop", "", ""),
        Some(Work::Call(call)) => {
            let kind = match CallKind::try_from(call.kind) {
                Ok(CallKind::Agent) => "agent",
                Ok(CallKind::Tool) => "tool",
                _ => "worker",
            };
            (kind, &call.target, &call.operation)
        }
        // A URL may hold credentials: it is for those who read the specification.
        Some(Work::Http(http)) => ("http", "", &http.method),
        Some(Work::Sleep(_)) => ("sleep", "", ""),
        Some(Work::WaitSignal(wait)) => ("wait_signal", &wait.name, ""),
        Some(Work::Child(child)) => {
            ("workflow", child.spec.as_ref().map_or("", |spec| spec.name.as_str()), "")
        }
        Some(Work::Function(function)) => ("function", &function.queue, &function.operation),
    }
}

/// What there is of a task's result: state, and data as far as a message can hold them.
pub(super) fn result(task_id: &str, view: &TaskView<'_>) -> GetTaskResultResponse {
    let fits = view.result.len() <= MAX_RESULT_BYTES;
    let error = view.error.filter(|_| view.status() == Status::Failed);
    GetTaskResultResponse {
        task_id: task_id.to_owned(),
        status: task_status(view.status()).into(),
        result_data: if fits { view.result.to_vec() } else { Vec::new() },
        error_message: error.map(|error| error.message.clone()).unwrap_or_default(),
        error: None,
        detail: task_detail(view.detail).into(),
        attempt: number(view.attempt),
        result_bytes: view.result.len() as i64,
        error_code: error.map(|error| error.code.clone()).unwrap_or_default(),
    }
}

/// The first bytes of JSON text, as JSON: itself, or a string of its beginning.
pub(super) fn cut_json(bytes: &Bytes, max: usize) -> serde_json::Value {
    if bytes.is_empty() {
        return serde_json::Value::Null;
    }
    if bytes.len() <= max
        && let Ok(value) = serde_json::from_slice(bytes)
    {
        return value;
    }
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(max)]).into_owned();
    serde_json::Value::String(text)
}
