//! One workflow: what the engine keeps in memory while it lives, and what others may read of it.

mod outcome;
mod view;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    Action, Event, Millis, TaskError, WorkflowId,
    plan::Plan,
    unit::{Unit, UnitId},
};

pub(crate) use outcome::json;
pub use view::TaskView;

/// What follows from an input.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// What was decided; to be kept in one atomic write.
    pub events: Vec<Event>,
    /// What has to be done once the events are durable, in order.
    pub actions: Vec<Action>,
}

/// One workflow, from its submission on.
///
/// A clone costs as much as its tasks, without the specification, which is shared. Three tasks take less than 4 KiB.
#[derive(Clone, Debug, PartialEq)]
pub struct Workflow {
    pub(crate) id: WorkflowId,
    pub(crate) plan: Arc<Plan>,
    pub(crate) seq: u64,
    pub(crate) created_at: Millis,
    pub(crate) updated_at: Millis,
    /// 0 before the first start, and before the end.
    pub(crate) started_at: Millis,
    pub(crate) finished_at: Millis,
    /// When the workflow times out; 0 is never.
    pub(crate) deadline: Millis,
    /// When attempts that were asked to stop are given up; 0 if none was.
    pub(crate) grace_until: Millis,
    pub(crate) run: u32,
    pub(crate) phase: Phase,
    pub(crate) paused: bool,
    pub(crate) cancel: Option<Box<Cancel>>,
    pub(crate) failure: Option<Box<Failure>>,
    /// Tasks that are not over.
    pub(crate) open: u32,
    /// Tasks and items for which something outside is going on.
    pub(crate) active: u32,
    pub(crate) units: Vec<Unit>,
    pub(crate) signals: Signals,
    pub(crate) saga: Saga,
}

/// Where a workflow is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Tasks start.
    Open,
    /// A task failed or time is up; what is in flight ends.
    Failing,
    /// Somebody cancelled; what is in flight ends.
    Cancelling,
    AwaitingCompensation,
    Compensating,
    Completed,
    Failed,
    Cancelled,
}

impl Phase {
    pub(crate) fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// That somebody cancelled.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cancel {
    pub(crate) force: bool,
    pub(crate) reason: String,
}

/// The first failure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    /// Empty if the workflow timed out.
    pub(crate) task: String,
    pub(crate) error: TaskError,
}

/// Signals for tasks that wait for them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Signals {
    /// Those for which nobody waits yet, in the order in which they came.
    pub(crate) kept: VecDeque<Kept>,
    /// Names and payloads of `kept`.
    pub(crate) bytes: usize,
    /// Who waits, by name.
    pub(crate) waiting: BTreeSet<(Box<str>, UnitId)>,
}

/// A signal for which nobody waits yet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    pub(crate) seq: u64,
    pub(crate) name: String,
    pub(crate) payload: Bytes,
}

/// What can be undone.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Saga {
    /// Completed units with a compensation, in the order in which they completed; the last one is undone first.
    pub(crate) done: Vec<UnitId>,
    /// Whether any unit was undone in this run.
    pub(crate) undone: bool,
    /// Whether a unit could not be undone.
    pub(crate) failed: bool,
    /// Whether compensations go on after one had failed.
    pub(crate) recovering: bool,
}

impl Workflow {
    /// The unit, if it is there.
    pub(crate) fn unit(&self, id: UnitId) -> Option<&Unit> {
        let task = self.units.get(id.task as usize)?;
        match id.item() {
            None => Some(task),
            Some(item) => task.items()?.units.get(item as usize),
        }
    }

    /// The unit, to be changed; only `apply` does.
    pub(crate) fn unit_mut(&mut self, id: UnitId) -> Option<&mut Unit> {
        let task = self.units.get_mut(id.task as usize)?;
        match id.item() {
            None => Some(task),
            Some(item) => task.items_mut()?.units.get_mut(item as usize),
        }
    }

    /// JSON text of the item, if the unit is one.
    pub(crate) fn item_value(&self, id: UnitId) -> Option<&Bytes> {
        self.units.get(id.task as usize)?.items()?.values.get(id.item()? as usize)
    }

    /// The unit that an identifier names: `task`, or `task[3]`.
    pub(crate) fn find(&self, name: &str) -> Option<UnitId> {
        if let Some((task, item)) = name.strip_suffix(']').and_then(|name| name.split_once('[')) {
            // One way to write a number: another one would make another idempotency key.
            if !item.bytes().all(|c| c.is_ascii_digit()) || (item.len() > 1 && item.starts_with('0')) {
                return None;
            }
            let id = UnitId::of(self.plan.find(task)?, item.parse().ok()?);
            return self.unit(id).map(|_| id);
        }
        self.plan.find(name).map(UnitId::task)
    }

    /// The identifier of a unit.
    pub(crate) fn name(&self, id: UnitId) -> String {
        let task = &self.plan.task(id.task).id;
        match id.item() {
            Some(item) => format!("{task}[{item}]"),
            None => task.clone(),
        }
    }

    /// The unit that is undone now, or next.
    pub(crate) fn undoing(&self) -> Option<UnitId> {
        self.saga.done.last().copied()
    }
}
