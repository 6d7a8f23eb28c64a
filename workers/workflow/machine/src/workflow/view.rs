//! What others may read of a workflow.

use bytes::Bytes;

use super::{Phase, Workflow};
use crate::{
    Millis, SagaState, Spec, Status, TaskDetail, TaskError, TaskSpec, WorkflowDetail, WorkflowId, codes,
    unit::Unit,
};

/// A task, or an item of one, as others see it.
#[derive(Clone, Copy, Debug)]
pub struct TaskView<'a> {
    /// Its state.
    pub detail: TaskDetail,
    /// When its first attempt of this run started.
    pub started_at: Option<Millis>,
    /// When it was over.
    pub finished_at: Option<Millis>,
    /// Attempts begun in this run; of its compensation, once that has begun. Lost ones do not count.
    pub attempt: u32,
    /// The attempt that counts; 0 before the first one.
    pub epoch: u64,
    /// 0 to 100, as the attempt says; 100 when it completed.
    pub percent: u32,
    /// What the attempt said last.
    pub message: &'a str,
    /// Why it failed, or why the last attempt did; nothing once it has completed.
    pub error: Option<&'a TaskError>,
    /// What it answered; empty if it did not complete.
    pub result: &'a Bytes,
    /// What it waits for: the end of the sleep or of the attempt, or the next attempt.
    pub until: Option<Millis>,
    /// The child workflow of the last attempt.
    pub child: Option<&'a WorkflowId>,
    /// Number of its items, once they are known.
    pub items: Option<usize>,
}

impl<'a> TaskView<'a> {
    fn new(unit: &'a Unit) -> Self {
        let time = |at: Millis| (at > 0).then_some(at);
        Self {
            detail: unit.detail(),
            started_at: time(unit.started_at),
            finished_at: time(unit.finished_at),
            attempt: unit.attempt,
            epoch: unit.epoch,
            percent: u32::from(unit.percent),
            message: unit.extra.as_ref().map_or("", |extra| extra.message.as_str()),
            error: unit.error(),
            result: &unit.result,
            until: time(unit.until),
            child: unit.child(),
            items: unit.items().map(|items| items.units.len()),
        }
    }

    /// Its state on the wire.
    pub fn status(&self) -> Status {
        self.detail.status()
    }
}

impl Workflow {
    /// Its identifier.
    pub fn id(&self) -> &WorkflowId {
        &self.id
    }

    /// What it is to do.
    pub fn spec(&self) -> &Spec {
        &self.plan.spec
    }

    /// Its state on the wire.
    pub fn status(&self) -> Status {
        match self.detail() {
            WorkflowDetail::Paused if self.started_at == 0 => Status::Pending,
            detail => detail.status(),
        }
    }

    /// What it is doing.
    pub fn detail(&self) -> WorkflowDetail {
        match self.phase {
            Phase::Open if self.paused => WorkflowDetail::Paused,
            Phase::Open if self.started_at == 0 => WorkflowDetail::Pending,
            Phase::Open => WorkflowDetail::Running,
            Phase::Failing => WorkflowDetail::Failing,
            Phase::Cancelling => WorkflowDetail::Cancelling,
            Phase::AwaitingCompensation => WorkflowDetail::PendingCompensation,
            Phase::Compensating => WorkflowDetail::Compensating,
            Phase::Completed => WorkflowDetail::Completed,
            Phase::Failed => match &self.failure {
                Some(failure) if failure.task.is_empty() && failure.error.code == codes::TIMED_OUT => {
                    WorkflowDetail::TimedOut
                }
                _ => WorkflowDetail::Failed,
            },
            Phase::Cancelled => WorkflowDetail::Cancelled,
        }
    }

    /// How far it is, in the words of sagas.
    pub fn saga_state(&self) -> SagaState {
        match self.phase {
            Phase::Open if self.started_at == 0 => SagaState::Created,
            Phase::Open | Phase::Failing | Phase::Cancelling => SagaState::Running,
            Phase::Completed => SagaState::Completed,
            Phase::AwaitingCompensation => SagaState::PendingCompensation,
            Phase::Compensating if self.saga.recovering => SagaState::Recovering,
            Phase::Compensating => SagaState::Compensating,
            Phase::Failed | Phase::Cancelled if self.saga.failed => SagaState::CompensationFailed,
            Phase::Failed | Phase::Cancelled if self.saga.done.is_empty() => SagaState::Compensated,
            Phase::Failed | Phase::Cancelled => SagaState::PendingCompensation,
        }
    }

    /// Whether it is paused.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Sequence of its last event.
    pub fn last_seq(&self) -> u64 {
        self.seq
    }

    /// When it was submitted.
    pub fn created_at(&self) -> Millis {
        self.created_at
    }

    /// When its last event was.
    pub fn updated_at(&self) -> Millis {
        self.updated_at
    }

    /// When its first task started.
    pub fn started_at(&self) -> Option<Millis> {
        (self.started_at > 0).then_some(self.started_at)
    }

    /// When it ended.
    pub fn finished_at(&self) -> Option<Millis> {
        (self.finished_at > 0).then_some(self.finished_at)
    }

    /// When it times out.
    pub fn deadline(&self) -> Option<Millis> {
        (self.deadline > 0).then_some(self.deadline)
    }

    /// 1, and one more for every time that a retry reopened it.
    pub fn run(&self) -> u32 {
        self.run
    }

    /// Why it fails or failed: the error of [`Workflow::failed_task`], or that it timed out.
    pub fn error(&self) -> Option<&TaskError> {
        self.failure.as_ref().map(|failure| &failure.error)
    }

    /// The first task that failed for good.
    pub fn failed_task(&self) -> Option<&str> {
        self.failure.as_ref().map(|failure| failure.task.as_str()).filter(|task| !task.is_empty())
    }

    /// Why somebody cancelled it.
    pub fn cancel_reason(&self) -> Option<&str> {
        self.cancel.as_ref().map(|cancel| cancel.reason.as_str())
    }

    /// The tasks, in the order of the specification, without their items.
    pub fn tasks(&self) -> impl Iterator<Item = (&str, TaskView<'_>)> {
        let ids = self.plan.spec.tasks.iter().map(|task| task.id.as_str());
        ids.zip(self.units.iter().map(TaskView::new))
    }

    /// A task, or an item of one (`task[3]`).
    pub fn task(&self, task: &str) -> Option<TaskView<'_>> {
        self.unit(self.find(task)?).map(TaskView::new)
    }

    /// What a task, or the task of an item, was submitted as.
    pub fn task_spec(&self, task: &str) -> Option<&TaskSpec> {
        Some(self.plan.task(self.find(task)?.task))
    }

    /// The items of a task, in order; none before they are known.
    pub fn items(&self, task: &str) -> impl Iterator<Item = TaskView<'_>> {
        let unit = self.plan.find(task).and_then(|task| self.units.get(task as usize));
        unit.and_then(Unit::items).into_iter().flat_map(|items| items.units.iter().map(TaskView::new))
    }
}
