//! What an event says about states, to those who only read the history.

use super::{Event, EventKind, SkipReason};
use crate::{Status, TaskDetail, TaskError, WorkflowDetail, codes};

impl Event {
    /// The task, or item, whose state the event changes or confirms, and the state. Read one after another they are what a
    /// watcher of tasks sees.
    pub fn task_change(&self) -> Option<(&str, TaskDetail)> {
        let detail = match self.kind.as_ref()? {
            EventKind::TaskStarted(event) if event.waits => TaskDetail::Waiting,
            EventKind::TaskStarted(_)
            | EventKind::TaskExpanded(_)
            | EventKind::TaskProgressed(_)
            | EventKind::TaskSignalled(_) => TaskDetail::Running,
            EventKind::TaskCompleted(_) => TaskDetail::Completed,
            EventKind::TaskRetrying(_) => TaskDetail::Retrying,
            EventKind::TaskScheduled(event) if event.compensation => TaskDetail::Compensating,
            EventKind::TaskScheduled(_) | EventKind::TaskLost(_) => TaskDetail::Scheduled,
            EventKind::TaskFailed(event) => match &event.error {
                Some(error) if error.code == codes::TIMED_OUT => TaskDetail::TimedOut,
                _ => TaskDetail::Failed,
            },
            EventKind::TaskSkipped(_) => TaskDetail::Skipped,
            EventKind::TaskCancelled(_) => TaskDetail::Cancelled,
            EventKind::TaskCompensating(_) | EventKind::TaskCompensationRetrying(_) => {
                TaskDetail::Compensating
            }
            EventKind::TaskCompensated(_) => TaskDetail::Compensated,
            EventKind::TaskCompensationFailed(_) => TaskDetail::CompensationFailed,
            _ => return None,
        };
        Some((self.task()?, detail))
    }

    /// The state into which the event brings the workflow: on the wire, and finer. Read one after another they are what a
    /// watcher of the workflow sees.
    pub fn workflow_change(&self) -> Option<(Status, WorkflowDetail)> {
        let detail = match self.kind.as_ref()? {
            EventKind::Submitted(_) => WorkflowDetail::Pending,
            EventKind::Reopened(event) if event.pending => WorkflowDetail::Pending,
            EventKind::WorkflowStarted(_) | EventKind::Reopened(_) => WorkflowDetail::Running,
            EventKind::Paused(event) if event.pending => {
                return Some((Status::Pending, WorkflowDetail::Paused));
            }
            EventKind::Paused(_) => WorkflowDetail::Paused,
            EventKind::Resumed(event) if event.pending => WorkflowDetail::Pending,
            EventKind::Resumed(_) => WorkflowDetail::Running,
            EventKind::CancelRequested(_) => WorkflowDetail::Cancelling,
            EventKind::WorkflowFailing(_) => WorkflowDetail::Failing,
            EventKind::CompensationAwaited(_) => WorkflowDetail::PendingCompensation,
            EventKind::CompensationStarted(_) => WorkflowDetail::Compensating,
            EventKind::WorkflowCompleted(_) => WorkflowDetail::Completed,
            EventKind::WorkflowFailed(event) => match &event.error {
                Some(error) if event.task.is_empty() && error.code == codes::TIMED_OUT => {
                    WorkflowDetail::TimedOut
                }
                _ => WorkflowDetail::Failed,
            },
            EventKind::WorkflowCancelled(_) => WorkflowDetail::Cancelled,
            _ => return None,
        };
        Some((detail.status(), detail))
    }

    /// What the event says to people: an error's text, a progress message, a reason. Empty if it says nothing.
    pub fn message(&self) -> &str {
        match &self.kind {
            Some(EventKind::TaskProgressed(event)) => &event.message,
            Some(EventKind::TaskSkipped(event)) => match event.reason() {
                SkipReason::Condition => "its condition was false",
                SkipReason::Dependency => "a task that it depends on did not complete",
                SkipReason::FailFast => "another task failed",
            },
            Some(EventKind::Paused(event)) => &event.reason,
            Some(EventKind::CancelRequested(event)) => &event.reason,
            Some(EventKind::WorkflowCancelled(event)) => &event.reason,
            Some(EventKind::CompensationStarted(event)) => &event.reason,
            Some(EventKind::Reopened(event)) => &event.reason,
            _ => self.error().map_or("", |error| &error.message),
        }
    }

    /// The error that the event carries.
    pub fn error(&self) -> Option<&TaskError> {
        match self.kind.as_ref()? {
            EventKind::TaskRetrying(event) => event.error.as_ref(),
            EventKind::TaskFailed(event) => event.error.as_ref(),
            EventKind::TaskCompensationRetrying(event) => event.error.as_ref(),
            EventKind::TaskCompensationFailed(event) => event.error.as_ref(),
            EventKind::WorkflowFailing(event) => event.error.as_ref(),
            EventKind::WorkflowFailed(event) => event.error.as_ref(),
            _ => None,
        }
    }
}
