//! A workflow in memory: the state machine and what the engine knows of it beside.

use std::collections::HashMap;

use workflow_machine::{Event, EventKind, Millis, TimerKey, Workflow};
use workflow_store::{TaskCounts, WorkflowId as StoreId};

use super::{lanes::LaneKey, summary, timers::Due};

/// A workflow in memory.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) workflow: Workflow,
    /// Its name in the store.
    pub(super) id: StoreId,
    /// The commit that its latest change is part of; see `Loop::durable`.
    pub(super) commit: u64,
    /// It is in the store.
    pub(super) created: bool,
    /// The turn that is under way changed it.
    pub(super) touched: bool,
    /// Attempts that hold a slot.
    slots: Vec<Slot>,
    /// Timers that are set.
    pub(super) timers: HashMap<TimerKey, Due>,
    /// Task counts of the summary, and when they were counted.
    counts: (TaskCounts, Millis),
    /// Number of its latest log line; `None` while the store was not asked.
    pub(super) log: Option<u64>,
}

#[derive(Debug)]
struct Slot {
    task: String,
    lane: LaneKey,
}

/// Tasks up to which the counts of a summary are always exact. Those of a larger workflow may be this old, so that a
/// transition does not cost as much as all its tasks.
const COUNTED_ALWAYS: usize = 256;
const COUNTS_AGE_MS: Millis = 250;

impl Live {
    pub(super) fn new(workflow: Workflow, id: StoreId, created: bool) -> Self {
        Self {
            workflow,
            id,
            commit: 0,
            created,
            touched: false,
            slots: Vec::new(),
            timers: HashMap::new(),
            counts: (TaskCounts::default(), 0),
            log: None,
        }
    }

    /// An attempt got a slot.
    pub(super) fn hold(&mut self, task: String, lane: LaneKey) {
        self.slots.push(Slot { task, lane });
    }

    /// Gives back the slot of an attempt that the event ended: the lane, and whether the attempt failed.
    pub(super) fn release(&mut self, event: &Event) -> Option<(LaneKey, bool)> {
        let failed = match event.kind.as_ref()? {
            EventKind::TaskCompleted(_) | EventKind::TaskCancelled(_) | EventKind::TaskCompensated(_) => {
                false
            }
            EventKind::TaskRetrying(_)
            | EventKind::TaskLost(_)
            | EventKind::TaskFailed(_)
            | EventKind::TaskSkipped(_)
            | EventKind::TaskCompensationRetrying(_)
            | EventKind::TaskCompensationFailed(_) => true,
            _ => return None,
        };
        let task = event.task()?;
        let at = self.slots.iter().position(|slot| slot.task == task)?;
        Some((self.slots.swap_remove(at).lane, failed))
    }

    /// Gives back all slots: the workflow has ended.
    pub(super) fn release_all(&mut self) -> impl Iterator<Item = LaneKey> {
        self.slots.drain(..).map(|slot| slot.lane)
    }

    /// What lists are to show.
    pub(super) fn summary(&mut self, now: Millis) -> workflow_store::Summary {
        let total = self.workflow.spec().tasks.len();
        let old = now.saturating_sub(self.counts.1) >= COUNTS_AGE_MS;
        if total <= COUNTED_ALWAYS || old || self.workflow.status().is_terminal() {
            self.counts = (summary::count(&self.workflow), now);
        }
        summary::of(&self.workflow, self.id.clone(), self.counts.0)
    }
}
