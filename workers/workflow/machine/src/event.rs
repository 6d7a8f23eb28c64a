//! The history of a workflow: what is written down, in order, and never changed.
//!
//! An event is a fact that was decided; nothing in it is worked out again when it is read. So rules may change without
//! changing what happened. The encoding is protobuf. It may grow: new fields with new tags, new kinds with new tags. A
//! field that is missing has its type's zero, and zero means what it meant before the field was there. A kind that a
//! reader does not know is an error, unless the writer marked the event as `ignorable`.

mod change;
mod compensation;
mod task;
mod workflow;

use prost::{Message, Oneof};

use crate::Millis;

pub use compensation::{
    CompensationAwaited, CompensationStarted, TaskCompensated, TaskCompensating, TaskCompensationFailed,
    TaskCompensationRetrying,
};
pub use task::{
    SkipReason, TaskCancelled, TaskCompleted, TaskExpanded, TaskFailed, TaskLost, TaskProgressed,
    TaskRetrying, TaskScheduled, TaskSignalled, TaskSkipped, TaskStarted,
};
pub use workflow::{
    CancelRequested, Paused, Reopened, Resumed, SignalReceived, Submitted, WorkflowCancelled,
    WorkflowCompleted, WorkflowFailed, WorkflowFailing, WorkflowStarted,
};

/// One entry of a workflow's history. [`prost::Message`] encodes and decodes it.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// 1 for the first event of a workflow, then without gaps; one counter for the workflow and its tasks.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// When it was decided; never less than in the event before.
    #[prost(uint64, tag = "2")]
    pub at: Millis,
    /// Set by later versions on kinds that readers may pass over when they do not know them.
    #[prost(bool, tag = "3")]
    pub ignorable: bool,
    /// What happened; nothing when a later version wrote a kind that this one does not know.
    #[prost(
        oneof = "EventKind",
        tags = "16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, \
                40, 41, 42, 43"
    )]
    pub kind: Option<EventKind>,
}

/// What happened.
#[derive(Clone, PartialEq, Oneof)]
pub enum EventKind {
    /// The workflow exists. Always the first event.
    #[prost(message, tag = "16")]
    Submitted(Submitted),
    /// The first task started: PENDING became RUNNING.
    #[prost(message, tag = "17")]
    WorkflowStarted(WorkflowStarted),
    /// An attempt, a sleep, a wait or a child began.
    #[prost(message, tag = "18")]
    TaskStarted(TaskStarted),
    /// A task has its result.
    #[prost(message, tag = "19")]
    TaskCompleted(TaskCompleted),
    /// An attempt failed and another one follows.
    #[prost(message, tag = "20")]
    TaskRetrying(TaskRetrying),
    /// The wait before the next attempt is over.
    #[prost(message, tag = "21")]
    TaskScheduled(TaskScheduled),
    /// Whoever made the attempt was lost; it is made again.
    #[prost(message, tag = "22")]
    TaskLost(TaskLost),
    /// A task failed for good.
    #[prost(message, tag = "23")]
    TaskFailed(TaskFailed),
    /// A task will not run.
    #[prost(message, tag = "24")]
    TaskSkipped(TaskSkipped),
    /// A task was ended by the cancellation of the workflow, or by the failure of another one.
    #[prost(message, tag = "25")]
    TaskCancelled(TaskCancelled),
    /// The items of a `for_each` are known.
    #[prost(message, tag = "26")]
    TaskExpanded(TaskExpanded),
    /// An attempt said how far it is.
    #[prost(message, tag = "27")]
    TaskProgressed(TaskProgressed),
    /// A running attempt was steered or interrupted.
    #[prost(message, tag = "28")]
    TaskSignalled(TaskSignalled),
    /// A signal came for the workflow.
    #[prost(message, tag = "29")]
    SignalReceived(SignalReceived),
    /// No task starts until `Resumed`.
    #[prost(message, tag = "30")]
    Paused(Paused),
    /// Tasks start again.
    #[prost(message, tag = "31")]
    Resumed(Resumed),
    /// The workflow will end as CANCELLED.
    #[prost(message, tag = "32")]
    CancelRequested(CancelRequested),
    /// The workflow will end as FAILED.
    #[prost(message, tag = "33")]
    WorkflowFailing(WorkflowFailing),
    /// Compensations wait for somebody to ask for them.
    #[prost(message, tag = "34")]
    CompensationAwaited(CompensationAwaited),
    /// Compensations begin, or go on after they had failed.
    #[prost(message, tag = "35")]
    CompensationStarted(CompensationStarted),
    /// An attempt to undo a task began.
    #[prost(message, tag = "36")]
    TaskCompensating(TaskCompensating),
    /// An attempt to undo a task failed and another one follows.
    #[prost(message, tag = "37")]
    TaskCompensationRetrying(TaskCompensationRetrying),
    /// A task is undone.
    #[prost(message, tag = "38")]
    TaskCompensated(TaskCompensated),
    /// A task could not be undone; compensations stop here.
    #[prost(message, tag = "39")]
    TaskCompensationFailed(TaskCompensationFailed),
    /// The end: every task is over and none failed.
    #[prost(message, tag = "40")]
    WorkflowCompleted(WorkflowCompleted),
    /// The end: a task failed, or the workflow timed out.
    #[prost(message, tag = "41")]
    WorkflowFailed(WorkflowFailed),
    /// The end: somebody cancelled.
    #[prost(message, tag = "42")]
    WorkflowCancelled(WorkflowCancelled),
    /// Somebody asked for another run of a workflow that had failed or was cancelled. The only kind, with
    /// `CompensationStarted`, that may follow an end.
    #[prost(message, tag = "43")]
    Reopened(Reopened),
}

impl Event {
    /// The task, or item of a task, that the event is about; nothing when it is about the workflow.
    pub fn task(&self) -> Option<&str> {
        Some(match self.kind.as_ref()? {
            EventKind::TaskStarted(event) => &event.task,
            EventKind::TaskCompleted(event) => &event.task,
            EventKind::TaskRetrying(event) => &event.task,
            EventKind::TaskScheduled(event) => &event.task,
            EventKind::TaskLost(event) => &event.task,
            EventKind::TaskFailed(event) => &event.task,
            EventKind::TaskSkipped(event) => &event.task,
            EventKind::TaskCancelled(event) => &event.task,
            EventKind::TaskExpanded(event) => &event.task,
            EventKind::TaskProgressed(event) => &event.task,
            EventKind::TaskSignalled(event) => &event.task,
            EventKind::TaskCompensating(event) => &event.task,
            EventKind::TaskCompensationRetrying(event) => &event.task,
            EventKind::TaskCompensated(event) => &event.task,
            EventKind::TaskCompensationFailed(event) => &event.task,
            _ => return None,
        })
    }
}
