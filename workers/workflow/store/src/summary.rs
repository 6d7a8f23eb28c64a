//! What the store knows of a workflow: enough to list, filter, count and find again what is still alive.

use crate::{Millis, WorkflowId};

/// A workflow's state, as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Status {
    /// Accepted, nothing has started.
    Pending = 1,
    /// Something has started.
    Running = 2,
    /// Ended well.
    Completed = 3,
    /// Ended badly.
    Failed = 4,
    /// Ended because somebody asked for it.
    Cancelled = 5,
}

impl Status {
    /// Every status, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Completed, Self::Failed, Self::Cancelled];

    /// Whether the workflow has ended.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl TryFrom<u8> for Status {
    type Error = u8;

    /// Reads a status from its number on the wire; gives the number back if no status has it.
    fn try_from(number: u8) -> Result<Self, u8> {
        Self::ALL.into_iter().find(|status| *status as u8 == number).ok_or(number)
    }
}

/// A set of statuses; the empty set stands for all of them in a [`Filter`](crate::Filter).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Statuses(u8);

impl Statuses {
    /// Whether no status is in the set.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `status` is in the set.
    #[must_use]
    pub fn contains(self, status: Status) -> bool {
        self.0 & (1 << status as u8) != 0
    }
}

impl FromIterator<Status> for Statuses {
    fn from_iter<I: IntoIterator<Item = Status>>(statuses: I) -> Self {
        Self(statuses.into_iter().fold(0, |set, status| set | (1 << status as u8)))
    }
}

/// The workflow and task that a workflow is a child of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The workflow that started this one.
    pub workflow: WorkflowId,
    /// The task in it that waits for this one.
    pub task: String,
}

/// How many tasks a workflow has, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskCounts {
    /// All tasks.
    pub total: u32,
    /// Tasks that have an attempt under way.
    pub running: u32,
    /// Tasks that ended well.
    pub completed: u32,
    /// Tasks that ended badly.
    pub failed: u32,
}

/// One workflow as lists show it. `id` and `created_ms` never change; everything else may, with each commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Which workflow.
    pub id: WorkflowId,
    /// Its name, as submitted: up to 100 characters.
    pub name: String,
    /// Its state on the wire.
    pub status: Status,
    /// The finer state; the store compares it and knows no more of it.
    pub detail: u8,
    /// When it was accepted. Lists are in this order, newest first.
    pub created_ms: Millis,
    /// When it last changed.
    pub updated_ms: Millis,
    /// When its first task started; zero before.
    pub started_ms: Millis,
    /// When it ended; zero before.
    pub finished_ms: Millis,
    /// The sequence number of its last event.
    pub last_seq: u64,
    /// Its priority among workflows; the store does not sort by it.
    pub priority: i32,
    /// The principal that submitted it; empty if callers are not known.
    pub owner: String,
    /// What started it, if a workflow did.
    pub parent: Option<Parent>,
    /// What callers search by: names and values, ordered by name, each name once.
    pub attributes: Vec<(String, String)>,
    /// How far its tasks are.
    pub tasks: TaskCounts,
    /// Whether it is a saga.
    pub saga: bool,
    /// Why it failed, in a line for people; empty if it did not.
    pub error: String,
}

impl Summary {
    /// A workflow that was just accepted: pending, without tasks, owner, parent or attributes.
    #[must_use]
    pub fn new(id: WorkflowId, name: &str, created_ms: Millis) -> Self {
        Self {
            id,
            name: name.to_owned(),
            status: Status::Pending,
            detail: 0,
            created_ms,
            updated_ms: created_ms,
            started_ms: 0,
            finished_ms: 0,
            last_seq: 0,
            priority: 0,
            owner: String::new(),
            parent: None,
            attributes: Vec::new(),
            tasks: TaskCounts::default(),
            saga: false,
            error: String::new(),
        }
    }
}
