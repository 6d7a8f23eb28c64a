//! Another run of a workflow that had ended.

use super::Misfit;
use crate::{
    Reopened, Workflow,
    unit::{State, Undo, Unit},
    workflow::{Phase, Saga},
};

impl Workflow {
    pub(super) fn reopened(&mut self, event: &Reopened) -> Result<(), Misfit> {
        let from = matches!(self.phase, Phase::Failed | Phase::Cancelled | Phase::AwaitingCompensation);
        self.expect(from, "is reopened")?;
        let all = event.reset.iter().chain(&event.resumed);
        if let Some(task) = all.into_iter().find(|task| **task >= self.plan.len()) {
            return Err(format!("begins task number {task} again, and there are {}", self.plan.len()));
        }
        for task in &event.reset {
            self.units[*task as usize].begin_again();
        }
        for task in &event.resumed {
            let max_parallel =
                self.plan.task(*task).for_each.as_ref().map_or(0, |for_each| for_each.max_parallel);
            let window = if max_parallel == 0 { u32::MAX } else { max_parallel };
            if !self.units[*task as usize].resume_items(window) {
                return Err(format!("goes on with items of task number {task}, which has none"));
            }
        }
        self.count_blockers();
        self.phase = Phase::Open;
        self.run = self.run.saturating_add(1);
        self.cancel = None;
        self.failure = None;
        self.paused = false;
        self.finished_at = 0;
        self.grace_until = 0;
        self.deadline = event.deadline;
        self.open = self.units.iter().filter(|unit| !unit.state.is_over()).count() as u32;
        let mut done = std::mem::take(&mut self.saga.done);
        done.retain(|id| self.unit(*id).is_some_and(|unit| unit.state == State::Completed));
        // What could not be undone is still done.
        for id in &done {
            if let Some(unit) = self.unit_mut(*id) {
                unit.undo = Undo::Not;
            }
        }
        self.saga = Saga { done, ..Saga::default() };
        Ok(())
    }

    /// Counts what tasks still wait for, and lets those start that wait for nothing.
    fn count_blockers(&mut self) {
        for unit in &mut self.units {
            unit.blockers = 0;
        }
        for task in 0..self.plan.len() {
            if !self.units[task as usize].state.satisfies() {
                for dependent in self.plan.dependents(task) {
                    self.units[*dependent as usize].blockers += 1;
                }
            }
        }
        for unit in &mut self.units {
            if unit.state == State::Pending && unit.blockers == 0 {
                unit.state = State::Ready;
            }
        }
    }
}

impl Unit {
    /// Begins from nothing; only the epoch goes on, so that no attempt from before can count. What had completed becomes
    /// another generation.
    fn begin_again(&mut self) {
        let items = || self.items().into_iter().flat_map(|items| &items.units);
        let epoch = items().map(|item| item.epoch).fold(self.epoch, u64::max);
        let completed = |unit: &Self| unit.state == State::Completed;
        let again = completed(self) || items().any(completed);
        let generation = items().map(|item| item.generation).fold(self.generation, u32::max);
        let generation = generation.saturating_add(u32::from(again));
        *self = Self { epoch, generation, ..Self::default() };
    }

    /// Goes on with the items that did not complete. False if there are no items.
    fn resume_items(&mut self, window: u32) -> bool {
        if self.items().is_none() || self.state == State::Completed {
            return false;
        }
        self.state = State::Expanded;
        self.finished_at = 0;
        self.extra().error = None;
        let Some(items) = self.items_mut() else { return false };
        items.failed = None;
        items.cut = false;
        items.next = 0;
        items.open = 0;
        for unit in &mut items.units {
            if unit.state != State::Completed {
                unit.begin_again();
                items.open += 1;
            }
        }
        items.promote(window);
        true
    }
}
