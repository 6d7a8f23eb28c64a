//! The states that others see: five of the wire, and finer ones beside them.

use std::fmt;

/// The state of a workflow or a task, as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Nothing has begun.
    Pending,
    /// Something has.
    Running,
    /// Over, and well.
    Completed,
    /// Over, and not.
    Failed,
    /// Over before its time: by request, or because it is no longer needed.
    Cancelled,
}

impl Status {
    /// Whether it is over.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// What a workflow is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WorkflowDetail {
    /// No task has started.
    Pending,
    /// Tasks run, or are about to.
    Running,
    /// Nothing new starts until it is resumed.
    Paused,
    /// A task failed; attempts in flight end.
    Failing,
    /// Somebody cancelled; attempts in flight end.
    Cancelling,
    /// Waits for somebody to ask for compensation.
    PendingCompensation,
    /// Completed tasks are undone.
    Compensating,
    /// Over, and well.
    Completed,
    /// Over, and not.
    Failed,
    /// Over because it took too long.
    TimedOut,
    /// Over because somebody cancelled.
    Cancelled,
}

/// What a task, or an item of one, is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TaskDetail {
    /// Waits for its dependencies; an item, for its turn.
    Pending,
    /// Waits for a slot.
    Scheduled,
    /// An attempt runs; a task with items has some that are not over.
    Running,
    /// Sleeps, waits for a signal or for a child.
    Waiting,
    /// Waits for the next attempt.
    Retrying,
    /// Has its result.
    Completed,
    /// Failed for good.
    Failed,
    /// Failed for good, because the last attempt took too long.
    TimedOut,
    /// Will not run.
    Skipped,
    /// Was ended.
    Cancelled,
    /// Completed, and is being undone.
    Compensating,
    /// Completed, and is undone.
    Compensated,
    /// Completed, and could not be undone.
    CompensationFailed,
}

/// How far a workflow is, in the words of sagas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SagaState {
    /// No step has started.
    Created,
    /// Steps run, or end after a failure.
    Running,
    /// Every step is over and none failed.
    Completed,
    /// Completed steps are undone.
    Compensating,
    /// Completed steps were not undone and could be: somebody has to ask for it.
    PendingCompensation,
    /// Not completed, and nothing is left to undo.
    Compensated,
    /// A step could not be undone.
    CompensationFailed,
    /// Completed steps are undone after a compensation had failed.
    Recovering,
}

impl TaskDetail {
    /// The state on the wire. What was skipped is CANCELLED there, and what is undone COMPLETED.
    pub fn status(self) -> Status {
        match self {
            Self::Pending | Self::Scheduled => Status::Pending,
            Self::Running | Self::Waiting | Self::Retrying => Status::Running,
            Self::Completed | Self::Compensating | Self::Compensated | Self::CompensationFailed => {
                Status::Completed
            }
            Self::Failed | Self::TimedOut => Status::Failed,
            Self::Skipped | Self::Cancelled => Status::Cancelled,
        }
    }
}

impl WorkflowDetail {
    /// The state on the wire, but for one that is paused before it started, which is PENDING there.
    pub fn status(self) -> Status {
        match self {
            Self::Pending => Status::Pending,
            Self::Running
            | Self::Paused
            | Self::Failing
            | Self::Cancelling
            | Self::PendingCompensation
            | Self::Compensating => Status::Running,
            Self::Completed => Status::Completed,
            Self::Failed | Self::TimedOut => Status::Failed,
            Self::Cancelled => Status::Cancelled,
        }
    }
}

/// Shows states as upper-case words, as the API does.
macro_rules! words {
    ($type:ty { $($variant:ident = $word:literal),* $(,)? }) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),* })
            }
        }
    };
}

words!(Status {
    Pending = "PENDING",
    Running = "RUNNING",
    Completed = "COMPLETED",
    Failed = "FAILED",
    Cancelled = "CANCELLED",
});
words!(WorkflowDetail {
    Pending = "PENDING",
    Running = "RUNNING",
    Paused = "PAUSED",
    Failing = "FAILING",
    Cancelling = "CANCELLING",
    PendingCompensation = "PENDING_COMPENSATION",
    Compensating = "COMPENSATING",
    Completed = "COMPLETED",
    Failed = "FAILED",
    TimedOut = "TIMED_OUT",
    Cancelled = "CANCELLED",
});
words!(TaskDetail {
    Pending = "PENDING",
    Scheduled = "SCHEDULED",
    Running = "RUNNING",
    Waiting = "WAITING",
    Retrying = "RETRYING",
    Completed = "COMPLETED",
    Failed = "FAILED",
    TimedOut = "TIMED_OUT",
    Skipped = "SKIPPED",
    Cancelled = "CANCELLED",
    Compensating = "COMPENSATING",
    Compensated = "COMPENSATED",
    CompensationFailed = "COMPENSATION_FAILED",
});
words!(SagaState {
    Created = "CREATED",
    Running = "RUNNING",
    Completed = "COMPLETED",
    Compensating = "COMPENSATING",
    PendingCompensation = "PENDING_COMPENSATION",
    Compensated = "COMPENSATED",
    CompensationFailed = "COMPENSATION_FAILED",
    Recovering = "RECOVERING",
});
