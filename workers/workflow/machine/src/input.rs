//! What a workflow is told.

use bytes::Bytes;
use prost::Enumeration;

use crate::{Status, TaskError, TimerKey};

/// What [`Workflow::step`](crate::Workflow::step) is told.
///
/// `task` is a task's identifier, or `task[3]` for an item of a `for_each`. An `epoch` that is not the current attempt's is
/// refused as [`Refusal::Stale`](crate::Refusal::Stale).
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// There is a slot for a task that was [`Action::Ready`](crate::Action::Ready). If the step has no
    /// [`Action::Run`](crate::Action::Run) the task could not start (its templates failed), and the slot is still free.
    Dispatch {
        /// Task or item.
        task: String,
    },
    /// An attempt succeeded.
    Completed {
        /// Task or item.
        task: String,
        /// The attempt.
        epoch: u64,
        /// JSON text by custom; anything else is treated as a text.
        result: Bytes,
    },
    /// An attempt failed.
    Failed {
        /// Task or item.
        task: String,
        /// The attempt.
        epoch: u64,
        /// Why, and whether another attempt can help.
        error: TaskError,
    },
    /// Whoever makes the attempt is gone, or did not report in time.
    LeaseExpired {
        /// Task or item.
        task: String,
        /// The attempt.
        epoch: u64,
    },
    /// An attempt says that it lives, and how far it is. Without news the step is empty: its success says that the
    /// attempt still counts.
    Progress {
        /// Task or item.
        task: String,
        /// The attempt.
        epoch: u64,
        /// 0 to 100; more counts as 100.
        percent: u32,
        /// For people.
        message: String,
    },
    /// A timer of [`Action::SetTimer`](crate::Action::SetTimer) fired.
    Timer {
        /// Which.
        key: TimerKey,
    },
    /// Somebody cancels. Without `force` attempts in flight have
    /// [`STOP_GRACE_MS`](crate::limits::STOP_GRACE_MS) to stop; a workflow that is CANCELLED already gives an empty step.
    Cancel {
        /// Whether attempts in flight are given up at once.
        force: bool,
        /// Why, for people.
        reason: String,
    },
    /// A signal for a task that waits, or will wait, for this name.
    Signal {
        /// Its name.
        name: String,
        /// JSON text, or empty.
        payload: Bytes,
    },
    /// A signal for the running attempt of a task.
    SignalTask {
        /// Task or item.
        task: String,
        /// Which.
        kind: SignalKind,
        /// What it carries.
        payload: Bytes,
        /// INTERRUPT only: whether the attempt may stop by itself.
        graceful: bool,
        /// INTERRUPT only: how long it may take to stop, in milliseconds; 0 is
        /// [`STOP_GRACE_MS`](crate::limits::STOP_GRACE_MS).
        timeout_ms: u64,
    },
    /// The child workflow of an attempt ended.
    ChildFinished {
        /// Task or item, as in the child's [`Parent`](crate::Parent).
        task: String,
        /// The attempt, as in the child's [`Parent`](crate::Parent).
        epoch: u64,
        /// How.
        outcome: Outcome,
    },
    /// No task starts until [`Input::Resume`]. Pausing twice is an empty step. A workflow that is about to end cannot be paused, and
    /// one that is paused ends, with its compensations, when it fails or is cancelled.
    Pause {
        /// Why, for people.
        reason: String,
    },
    /// Tasks start again. An empty step if the workflow is not paused.
    Resume,
    /// Another run of a FAILED or CANCELLED workflow, or of one that waits for compensation: tasks that completed stay, everything else begins again.
    Retry {
        /// This task and all that depend on it begin again too, completed or not.
        from: Option<String>,
        /// Why, for people.
        reason: String,
    },
    /// Undoes completed tasks: where the policy waits for it, where a compensation failed, or after the end of a
    /// FAILED or CANCELLED workflow.
    Compensate {
        /// Why, for people.
        reason: String,
    },
}

/// A signal for a running attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum SignalKind {
    /// Changes what the attempt is doing. Delivered at most once: not again after a crash.
    Steer = 0,
    /// Ends the attempt; the task fails with the code INTERRUPTED, unless it completes while it stops.
    Interrupt = 1,
    /// Asks the attempt for what it has so far. Leaves no event.
    Collect = 2,
}

/// How a workflow ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// COMPLETED, FAILED or CANCELLED.
    pub status: Status,
    /// The result as JSON text; empty if it did not complete.
    pub result: Bytes,
    /// Why, if it failed.
    pub error: Option<TaskError>,
}
