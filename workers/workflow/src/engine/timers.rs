//! Timers of all live workflows, by when they are due.

use std::collections::BTreeMap;

use workflow_machine::{Millis, TimerKey, WorkflowId};

/// What is due, in order; equal times in the order in which they were set.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeMap<Due, (WorkflowId, TimerKey)>,
    set: u64,
}

/// Names a timer that is set.
pub(super) type Due = (Millis, u64);

impl Timers {
    pub(super) fn set(&mut self, at: Millis, workflow: WorkflowId, key: TimerKey) -> Due {
        self.set += 1;
        let due = (at, self.set);
        self.due.insert(due, (workflow, key));
        due
    }

    pub(super) fn clear(&mut self, due: Due) {
        self.due.remove(&due);
    }

    /// When the first one is due.
    pub(super) fn first(&self) -> Option<Millis> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the first one that is due by `now`.
    pub(super) fn take(&mut self, now: Millis) -> Option<(WorkflowId, TimerKey)> {
        let first = self.due.first_entry().filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }

    pub(super) fn len(&self) -> usize {
        self.due.len()
    }
}
