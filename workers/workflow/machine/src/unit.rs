//! What is run: a task, or one item of a task with `for_each`.

use std::fmt;

use bytes::Bytes;

use crate::{Millis, TaskDetail, TaskError, WorkflowId, codes};

/// A task, or an item of one, by number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct UnitId {
    pub(crate) task: u32,
    /// `u32::MAX` for the task itself: half the size of an `Option`, and there may be many.
    item: u32,
}

impl UnitId {
    /// A task.
    pub(crate) fn task(task: u32) -> Self {
        Self { task, item: u32::MAX }
    }

    /// An item of a task.
    pub(crate) fn of(task: u32, item: u32) -> Self {
        Self { task, item }
    }

    /// The number of the item, if it is one.
    pub(crate) fn item(self) -> Option<u32> {
        (self.item != u32::MAX).then_some(self.item)
    }
}

impl fmt::Debug for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.item() {
            Some(item) => write!(f, "{}[{item}]", self.task),
            None => write!(f, "{}", self.task),
        }
    }
}

/// Where a unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum State {
    /// Has dependencies that are not over; an item, no turn.
    #[default]
    Pending,
    /// May start.
    Ready,
    /// An attempt runs.
    Running,
    /// Sleeps, or waits for a signal or a child.
    Waiting,
    /// Waits for the next attempt.
    Retrying,
    /// Has items, some of which are not over.
    Expanded,
    Completed,
    Failed,
    /// Its condition was false; whoever depends on it may start.
    SkippedByCondition,
    Skipped,
    Cancelled,
}

impl State {
    pub(crate) fn is_over(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::SkippedByCondition | Self::Skipped | Self::Cancelled
        )
    }

    /// Whether tasks that depend on it may start.
    pub(crate) fn satisfies(self) -> bool {
        matches!(self, Self::Completed | Self::SkippedByCondition)
    }

    /// Whether something outside is going on for it.
    pub(crate) fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Waiting)
    }
}

/// How far a completed unit is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Undo {
    #[default]
    Not,
    Ready,
    Running,
    Retrying,
    Done,
    Failed,
}

/// A task, or an item of one. 10,000 of them are no rarity: what few have is in `extra`.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct Unit {
    pub(crate) state: State,
    pub(crate) undo: Undo,
    /// Whether the attempt was asked to stop.
    pub(crate) interrupted: bool,
    pub(crate) percent: u8,
    /// Attempts that were lost.
    pub(crate) lost: u8,
    /// Dependencies that are not over.
    pub(crate) blockers: u32,
    /// Attempts begun, but for lost ones; of the compensation, once that has begun.
    pub(crate) attempt: u32,
    /// How often it has begun again although it had completed.
    pub(crate) generation: u32,
    pub(crate) epoch: u64,
    pub(crate) started_at: Millis,
    pub(crate) finished_at: Millis,
    /// What its timer is set to: timeout of the attempt, end of the sleep, next attempt; 0 is none.
    pub(crate) until: Millis,
    pub(crate) result: Bytes,
    pub(crate) extra: Option<Box<Extra>>,
}

/// What few units have.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct Extra {
    pub(crate) error: Option<TaskError>,
    pub(crate) message: String,
    pub(crate) child: Option<WorkflowId>,
    pub(crate) items: Option<Items>,
}

/// The items of a task.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct Items {
    /// JSON text of each.
    pub(crate) values: Vec<Bytes>,
    pub(crate) units: Vec<Unit>,
    /// The first one that may not have had its turn.
    pub(crate) next: u32,
    /// Those that are not over.
    pub(crate) open: u32,
    /// The first one that failed.
    pub(crate) failed: Option<u32>,
    /// Whether one was skipped or cancelled.
    pub(crate) cut: bool,
}

impl Unit {
    pub(crate) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    pub(crate) fn error(&self) -> Option<&TaskError> {
        self.extra.as_ref()?.error.as_ref()
    }

    pub(crate) fn child(&self) -> Option<&WorkflowId> {
        self.extra.as_ref()?.child.as_ref()
    }

    pub(crate) fn items(&self) -> Option<&Items> {
        self.extra.as_ref()?.items.as_ref()
    }

    pub(crate) fn items_mut(&mut self) -> Option<&mut Items> {
        self.extra.as_mut()?.items.as_mut()
    }

    pub(crate) fn detail(&self) -> TaskDetail {
        match (self.undo, self.state) {
            (Undo::Ready | Undo::Running | Undo::Retrying, _) => TaskDetail::Compensating,
            (Undo::Done, _) => TaskDetail::Compensated,
            (Undo::Failed, _) => TaskDetail::CompensationFailed,
            (Undo::Not, State::Pending) => TaskDetail::Pending,
            (Undo::Not, State::Ready) => TaskDetail::Scheduled,
            (Undo::Not, State::Running | State::Expanded) => TaskDetail::Running,
            (Undo::Not, State::Waiting) => TaskDetail::Waiting,
            (Undo::Not, State::Retrying) => TaskDetail::Retrying,
            (Undo::Not, State::Completed) => TaskDetail::Completed,
            (Undo::Not, State::Failed) => match self.error() {
                Some(error) if error.code == codes::TIMED_OUT => TaskDetail::TimedOut,
                _ => TaskDetail::Failed,
            },
            (Undo::Not, State::SkippedByCondition | State::Skipped) => TaskDetail::Skipped,
            (Undo::Not, State::Cancelled) => TaskDetail::Cancelled,
        }
    }
}
