//! Tasks with items: the list is resolved when the task may start.

use super::Decision;
use crate::{
    Action, EventKind, FailurePolicy, ForEach, SignalKind, SkipReason, TaskCancelled, TaskExpanded,
    TaskSignalled, TaskSkipped,
    apply::after,
    limits::{MAX_ITEMS, STOP_GRACE_MS},
    template::{Scope, Unresolved, resolve_list},
    unit::{State, UnitId},
};

impl Decision<'_> {
    pub(super) fn expand(&mut self, id: UnitId, for_each: &ForEach) {
        let items = match resolve_list(&for_each.items, &mut Scope::new(self.workflow, id, false)) {
            Ok(items) if items.len() <= MAX_ITEMS => items,
            Ok(items) => {
                let reason = format!("{} items, and the limit is {MAX_ITEMS}", items.len());
                return self.unresolved(id, "for_each.items", &reason);
            }
            Err(Unresolved(reason)) => return self.unresolved(id, "for_each.items", &reason),
        };
        self.started();
        let task = self.workflow.name(id);
        let items = items.into_iter().map(|item| item.to_string().into()).collect();
        self.emit(EventKind::TaskExpanded(TaskExpanded { task, items }));
        let turn = self.unit(id).items().map_or(0, |items| items.next);
        self.ready.extend((0..turn).map(|item| UnitId::of(id.task, item)));
        self.items_over(id.task);
    }

    /// Whether the unit is an item of a task of which an item failed, so that nothing of it is tried again.
    pub(super) fn item_of_failed(&self, id: UnitId) -> bool {
        id.item().is_some()
            && self.workflow.plan.spec.failure_policy() != FailurePolicy::Continue
            && self.unit(UnitId::task(id.task)).items().is_some_and(|items| items.failed.is_some())
    }

    /// Ends the items of a task of which one failed, but for attempts in flight.
    pub(super) fn cut_items(&mut self, number: u32) {
        let stops = self.workflow.plan.spec.failure_policy() == FailurePolicy::FailFastCancel;
        for item in 0..self.unit(UnitId::task(number)).items().map_or(0, |items| items.units.len() as u32) {
            let id = UnitId::of(number, item);
            let task = self.workflow.name(id);
            match self.unit(id).state {
                State::Pending | State::Ready | State::Retrying => {
                    self.clear_timer(id);
                    let reason = SkipReason::FailFast.into();
                    self.emit(EventKind::TaskSkipped(TaskSkipped { task, reason }));
                }
                State::Waiting if self.is_child(id) && stops => self.stop(id, STOP_GRACE_MS),
                State::Waiting if self.is_child(id) => {}
                State::Waiting => {
                    self.clear_timer(id);
                    self.emit(EventKind::TaskCancelled(TaskCancelled { task }));
                }
                State::Running if stops => self.interrupt(id, STOP_GRACE_MS, bytes::Bytes::new()),
                _ => {}
            }
        }
    }

    /// Asks the attempt of a unit to stop; it is given up after `grace_ms`.
    pub(super) fn interrupt(&mut self, id: UnitId, grace_ms: u64, payload: bytes::Bytes) {
        let (task, epoch) = (self.workflow.name(id), self.unit(id).epoch);
        let stop_at = after(self.now, grace_ms).max(1);
        let kind = SignalKind::Interrupt.into();
        self.emit(EventKind::TaskSignalled(TaskSignalled {
            task: task.clone(),
            epoch,
            kind,
            payload,
            stop_at,
        }));
        self.act(Action::Stop { task, epoch, grace_ms });
        self.set_timer(id);
    }
}
