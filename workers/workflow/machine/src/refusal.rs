//! What is said no to: inputs, submissions, histories.

use std::fmt;

use crate::{Millis, Status, TaskDetail};

/// Why an input was not taken. The workflow is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The report is about an attempt that no longer counts; drop it.
    #[error("attempt {epoch} of task {task} no longer counts: the task is {detail} at attempt {current}")]
    Stale {
        /// Task or item.
        task: String,
        /// What the report named.
        epoch: u64,
        /// The attempt that counts.
        current: u64,
        /// The task's state.
        detail: TaskDetail,
    },
    /// The workflow has ended.
    #[error("the workflow is {status} already")]
    AlreadyTerminal {
        /// How.
        status: Status,
    },
    /// The workflow has not ended; only one that has failed or was cancelled can be retried, or one
    /// that waits for compensation.
    #[error("the workflow is {status}; only one that failed or was cancelled can be retried")]
    NotRetryable {
        /// Its state.
        status: Status,
    },
    /// There is no such task, or no such item of it.
    #[error("the workflow has no task {task}")]
    UnknownTask {
        /// Task or item.
        task: String,
    },
    /// The task does not wait for a slot.
    #[error("task {task} is {detail} and waits for no slot")]
    NotReady {
        /// Task or item.
        task: String,
        /// Its state.
        detail: TaskDetail,
    },
    /// No attempt of the task is running that could take a signal.
    #[error("task {task} is {detail}; only a running task takes signals")]
    NotRunning {
        /// Task or item.
        task: String,
        /// Its state.
        detail: TaskDetail,
    },
    /// The workflow is paused; `Ready` comes again when it is resumed.
    #[error("the workflow is paused")]
    Paused,
    /// The workflow is about to end; nothing new starts.
    #[error("the workflow is about to end")]
    Ending,
    /// The timer is not due, or is not waited for any more; drop it.
    #[error("the timer is not waited for")]
    TimerNotAwaited {
        /// When it is due, if it is waited for.
        due: Option<Millis>,
    },
    /// Too many signals wait for a task that takes them.
    #[error(
        "{kept} signals ({bytes} bytes) wait already for tasks that take them; the limits are {} and {} bytes",
        crate::limits::MAX_KEPT_SIGNALS,
        crate::limits::MAX_KEPT_SIGNAL_BYTES
    )]
    TooManySignals {
        /// How many are kept.
        kept: usize,
        /// Their names and payloads, in bytes.
        bytes: usize,
    },
    /// No completed task has a compensation that could run.
    #[error("the workflow is {status} and nothing of it can be undone")]
    NothingToCompensate {
        /// Its state.
        status: Status,
    },
}

/// Everything that is wrong with a specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// At least one, in the order of the fields; at most [`MAX_VIOLATIONS`].
    pub violations: Vec<Violation>,
}

/// Violations that are listed: enough to work with, and a bound for hostile input.
pub const MAX_VIOLATIONS: usize = 100;

/// One thing that is wrong with a specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, as `tasks[2].dependencies[0]`.
    pub field: String,
    /// What is wrong, and what to do.
    pub reason: String,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Violation { field, reason }) in self.violations.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{field}: {reason}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

/// A history that no workflow can have left.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {seq} of the history: {reason}")]
pub struct Corrupt {
    /// Sequence of the event that does not fit; 0 if there is none at all.
    pub seq: u64,
    /// Why it does not fit.
    pub reason: String,
}
