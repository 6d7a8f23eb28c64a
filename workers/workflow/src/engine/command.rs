//! What the loop can be told, and the answers.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use workflow_machine::{Input, Invalid, Refusal, Status, Workflow, WorkflowDetail, WorkflowId};

use super::{LaneSettings, LaneState, Reach, StartError, schedule::ScheduleCommand};
use crate::spec::Submission;

/// Where an answer goes. It is sent when everything that it rests on is durable.
pub(super) type Reply<T> = oneshot::Sender<Result<T, EngineError>>;

/// Looks at a workflow, if it is in memory, and leaves what is to be done once what it saw is durable.
pub(super) type Read = Box<dyn FnOnce(Option<&Workflow>) -> Then + Send>;

/// Done once what came before is durable, or is known not to be.
pub(super) type Then = Box<dyn FnOnce(Result<(), EngineError>) + Send>;

pub(super) enum Command {
    Submit {
        submissions: Vec<Submission>,
        atomic: bool,
        key: Option<Key>,
        reply: Reply<Vec<Result<Submitted, EngineError>>>,
    },
    Tell {
        id: WorkflowId,
        reach: Reach,
        input: Input,
        reply: Reply<Taken>,
    },
    TellOnce {
        id: WorkflowId,
        reach: Reach,
        input: Input,
        key: Key,
        reply: Reply<Told>,
    },
    Read {
        id: WorkflowId,
        reach: Reach,
        read: Read,
    },
    SetPaused {
        paused: bool,
        reply: Reply<()>,
    },
    SetLane {
        name: String,
        settings: LaneSettings,
        reply: Reply<()>,
    },
    DeleteLane {
        name: String,
        reply: Reply<()>,
    },
    KeepSetting {
        name: String,
        value: Option<Bytes>,
        reply: Reply<()>,
    },
    Schedule(ScheduleCommand),
    /// Deletes those of the workflows that ended before `before`; answers how many.
    Purge {
        ids: Vec<workflow_store::WorkflowId>,
        before: workflow_machine::Millis,
        reply: Reply<usize>,
    },
    Lanes {
        reply: Reply<Vec<LaneState>>,
    },
    Stop,
}

/// What makes a submission recognizable when it is sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Whose keys: the principal and the method, in any form.
    pub scope: Bytes,
    /// What the client sent: 1 to 255 visible ASCII characters.
    pub key: String,
    /// Digest of what is submitted.
    pub hash: [u8; 32],
}

/// A workflow that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Its identifier.
    pub id: WorkflowId,
    /// It was taken before, under the same key.
    pub replayed: bool,
    /// When it was taken, in Unix ms.
    pub at: workflow_machine::Millis,
}

/// What a workflow is after it was told something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its state on the wire.
    pub status: Status,
    /// What it is doing.
    pub detail: WorkflowDetail,
    /// Sequence of its last event.
    pub seq: u64,
    /// Whether anything followed.
    pub changed: bool,
}

/// That a workflow was told something under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Sequence of its last event then.
    pub seq: u64,
    /// It was told before, under the same key.
    pub replayed: bool,
}

/// Why the engine does not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EngineError {
    /// There is no such workflow.
    #[error("there is no such workflow")]
    NotFound,
    /// The identifier that the client chose is taken.
    #[error(
        "workflow {0} exists; choose another ID, or send the same idempotency key to get the same answer"
    )]
    Exists(WorkflowId),
    /// The key was used for something else.
    #[error(
        "the idempotency key was used for another request within the last 24 hours; use a new key for a new request"
    )]
    KeyReused,
    /// The specification is wrong.
    #[error("{0}")]
    Invalid(Invalid),
    /// The workflow does not take that now.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no such schedule.
    #[error("there is no such schedule")]
    NoSchedule,
    /// The identifier of a schedule is taken.
    #[error("schedule {0} exists; choose another ID, or delete it first")]
    ScheduleExists(String),
    /// There is no such lane.
    #[error("there is no lane {0}")]
    NoLane(String),
    /// The lane is needed.
    #[error("lane {name} is in use: {waiting} tasks wait in it and {running} run; pause or empty it first")]
    LaneInUse {
        /// Its name.
        name: String,
        /// Tasks that wait for a slot.
        waiting: usize,
        /// Attempts that hold one.
        running: usize,
    },
    /// Nothing new is taken while the engine is paused.
    #[error("the engine is paused and takes no workflow; ask an administrator to resume it")]
    Paused,
    /// There is too much of something.
    #[error("{what}: {current} of at most {max}; try again later")]
    Overloaded {
        /// What.
        what: &'static str,
        /// How much there is.
        current: usize,
        /// How much there may be.
        max: usize,
    },
    /// The disk is nearly full.
    #[error("the disk is nearly full: no workflow is taken; free some space, or purge old workflows")]
    DiskFull,
    /// What is kept cannot be read.
    #[error("the store cannot be read")]
    Unreadable(#[source] Arc<StartError>),
    /// The engine is about to end.
    #[error("the engine is stopping; try again")]
    Stopping,
    /// The store failed, and nothing is certain any more.
    #[error("the store failed and the engine takes nothing until it is restarted; its log says why")]
    Failed,
}
