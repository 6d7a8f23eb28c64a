//! Another run of a workflow that failed or was cancelled.

use super::Decision;
use crate::{
    Action, EventKind, Refusal, Reopened, TimerKey,
    apply::after,
    error::cut,
    limits::MAX_TEXT_BYTES,
    unit::{Undo, UnitId},
    workflow::Phase,
};

/// What a task does in the next run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    Stays,
    Resumes,
    Begins,
}

impl Decision<'_> {
    pub(super) fn retry(&mut self, from: Option<&str>, mut reason: String) -> Result<(), Refusal> {
        let ended = matches!(self.workflow.phase, Phase::Failed | Phase::Cancelled);
        if !ended && self.workflow.phase != Phase::AwaitingCompensation {
            return Err(Refusal::NotRetryable { status: self.workflow.status() });
        }
        let from = from.map(|from| self.known(from)).transpose()?;
        let again = self.again(from);
        let of = |wanted| (0..).zip(&again).filter(move |(_, again)| **again == wanted).map(|(task, _)| task);
        let (reset, resumed) = (of(Again::Begins).collect(), of(Again::Resumes).collect::<Vec<u32>>());
        cut(&mut reason, MAX_TEXT_BYTES);
        let deadline = after(self.now, self.workflow.plan.spec.timeout_ms);
        let pending = self.workflow.started_at == 0;
        let resumed_too = resumed.clone();
        self.emit(EventKind::Reopened(Reopened { reset, resumed: resumed_too, reason, deadline, pending }));
        if deadline > 0 {
            self.act(Action::SetTimer { key: TimerKey::Workflow, at: deadline });
        }
        self.queue_ready();
        for task in resumed {
            self.items_over(task);
        }
        Ok(())
    }

    /// What each task does: what has its result and was not undone stays, unless it depends on what begins again.
    fn again(&self, from: Option<UnitId>) -> Vec<Again> {
        let workflow = &*self.workflow;
        let undone = |task: usize| {
            let unit = &workflow.units[task];
            let items = unit.items().into_iter().flat_map(|items| &items.units);
            std::iter::once(unit).chain(items).any(|unit| unit.undo == Undo::Done)
        };
        let mut again: Vec<Again> = (0..workflow.units.len())
            .map(|task| {
                let unit = &workflow.units[task];
                if undone(task) || from.is_some_and(|from| from.task as usize == task) {
                    Again::Begins
                } else if unit.state.satisfies() {
                    Again::Stays
                } else if unit.items().is_some() {
                    Again::Resumes
                } else {
                    Again::Begins
                }
            })
            .collect();
        let begins = |again: &[Again]| -> Vec<u32> {
            (0..).zip(again).filter(|(_, again)| **again != Again::Stays).map(|(task, _)| task).collect()
        };
        let mut left = begins(&again);
        while let Some(task) = left.pop() {
            for dependent in workflow.plan.dependents(task) {
                let place = &mut again[*dependent as usize];
                if *place != Again::Begins {
                    *place = Again::Begins;
                    left.push(*dependent);
                }
            }
        }
        again
    }
}
