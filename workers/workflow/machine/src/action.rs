//! What has to be done, once the events of the same step are durable.

use bytes::Bytes;

use crate::{Call, Function, Http, Millis, SignalKind, Spec, Status, WorkflowId};

/// What has to be done, in order.
///
/// Actions follow from events and state: what a crash loses, [`Workflow::outstanding`](crate::Workflow::outstanding) gives again.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A task waits for a slot of its lane; answer with [`Input::Dispatch`](crate::Input::Dispatch). May be given again for the
    /// same task (after a pause, say).
    Ready {
        /// Task or item.
        task: String,
        /// Its lane.
        lane: String,
        /// Higher goes first.
        priority: i32,
        /// Whether it is to be undone.
        compensation: bool,
    },
    /// Make an attempt.
    Run(Box<Run>),
    /// An attempt is no longer wanted. Its result is still taken for `grace_ms`, if that is not 0.
    Stop {
        /// Task or item.
        task: String,
        /// The attempt.
        epoch: u64,
        /// How long it may take to stop, in milliseconds.
        grace_ms: u64,
    },
    /// Set a timer, instead of the one with the same key if there is one. A time in the past fires at once.
    SetTimer {
        /// Comes back in [`Input::Timer`](crate::Input::Timer).
        key: TimerKey,
        /// When.
        at: Millis,
    },
    /// A timer is no longer needed. One that fires all the same is refused and does no harm.
    ClearTimer {
        /// Which.
        key: TimerKey,
    },
    /// Submit a workflow. If one with this identifier exists it is the same one.
    StartChild {
        /// Task or item that waits for it.
        task: String,
        /// The attempt.
        epoch: u64,
        /// Identifier of the child.
        id: WorkflowId,
        /// What it does, with [`Spec::parent`] set. A refusal of it is to be reported as
        /// [`Input::Failed`](crate::Input::Failed).
        spec: Box<Spec>,
    },
    /// Cancel a child workflow.
    CancelChild {
        /// Task or item that started it.
        task: String,
        /// Identifier of the child.
        id: WorkflowId,
        /// Whether its attempts are given up at once.
        force: bool,
    },
    /// Deliver a signal to a running attempt.
    Signal {
        /// Task or item.
        task: String,
        /// The attempt.
        epoch: u64,
        /// Which.
        kind: SignalKind,
        /// What it carries.
        payload: Bytes,
    },
    /// The workflow ended. Always the last action of its step.
    Finished {
        /// COMPLETED, FAILED or CANCELLED.
        status: Status,
    },
}

/// An attempt to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Task or item.
    pub task: String,
    /// Fencing token; every report of the attempt names it.
    pub epoch: u64,
    /// 1 for the first.
    pub attempt: u32,
    /// What is asked, templates resolved.
    pub request: Request,
    /// When the attempt times out.
    pub deadline: Option<Millis>,
    /// The same for all attempts of the task; see [`WorkflowId::idempotency_key`].
    pub idempotency_key: String,
    /// Whether it undoes the task.
    pub compensation: bool,
    /// Lane whose slot it takes.
    pub lane: String,
    /// Priority that it had there.
    pub priority: i32,
}

/// What is asked, with all templates resolved.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// A call of an agent, a tool or a worker.
    Call(Call),
    /// An HTTP request.
    Http(Http),
    /// Work for an external worker.
    Function(Function),
}

/// A timer of a workflow.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TimerKey {
    /// The workflow's timeout.
    Workflow,
    /// The end of the time in which attempts may stop.
    Grace,
    /// Whatever the attempt of a task waits for: its timeout, its end, the next attempt.
    Task {
        /// Task or item.
        task: String,
        /// The attempt.
        epoch: u64,
    },
}
