//! Compensation: completed tasks are undone one after another, the one that completed last first.

use super::{Decision, begin};
use crate::{
    Action, CompensationStarted, EventKind, Refusal, RetryPolicy, TaskCompensated, TaskCompensating,
    TaskCompensationFailed, TaskCompensationRetrying, TaskError, Work,
    apply::after,
    backoff, codes,
    error::cut,
    limits::MAX_TEXT_BYTES,
    request,
    template::Unresolved,
    unit::{Undo, UnitId},
    workflow::Phase,
};

impl Decision<'_> {
    /// Somebody asks for it.
    pub(super) fn compensate(&mut self, mut reason: String) -> Result<(), Refusal> {
        let reopened = match self.workflow.phase {
            Phase::Compensating => return Ok(()),
            Phase::AwaitingCompensation => false,
            Phase::Failed | Phase::Cancelled if !self.workflow.saga.done.is_empty() => true,
            _ => return Err(Refusal::NothingToCompensate { status: self.workflow.status() }),
        };
        cut(&mut reason, MAX_TEXT_BYTES);
        self.emit(EventKind::CompensationStarted(CompensationStarted { reason, reopened }));
        self.undo();
        Ok(())
    }

    /// Announces the next unit that is to be undone; those that need no slot are undone at once.
    pub(super) fn undo(&mut self) {
        let plan = self.workflow.plan.clone();
        while let Some(id) = self.workflow.undoing() {
            if self.unit(id).undo != Undo::Ready {
                return;
            }
            let work = plan.task(id.task).compensate.as_ref().and_then(|compensate| compensate.work.as_ref());
            if !matches!(work, None | Some(Work::Noop(_))) {
                let action = begin::ready(self.workflow, id, true);
                return self.act(action);
            }
            let epoch = self.start_undo(id, 0);
            let task = self.workflow.name(id);
            self.emit(EventKind::TaskCompensated(TaskCompensated { task, epoch }));
        }
        self.end();
    }

    /// There is a slot for the unit that is to be undone.
    pub(super) fn dispatch_undo(&mut self, id: UnitId) -> Result<(), Refusal> {
        let plan = self.workflow.plan.clone();
        let task = plan.task(id.task);
        let compensate = task.compensate.as_deref();
        let request =
            match request::of_work(self.workflow, id, compensate.and_then(|it| it.work.as_ref()), true) {
                Ok(Some(request)) => request,
                Ok(None) => {
                    let detail = self.unit(id).detail();
                    return Err(Refusal::NotReady { task: self.workflow.name(id), detail });
                }
                Err(Unresolved(reason)) => {
                    let error = TaskError::permanent(codes::TEMPLATE, format!("compensate: {reason}"));
                    self.give_up_undo(id, 0, error);
                    return Ok(());
                }
            };
        let timeout_ms = compensate.map(|it| it.timeout_ms).filter(|ms| *ms > 0).unwrap_or(task.timeout_ms);
        self.start_undo(id, after(self.now, timeout_ms));
        self.set_timer(id);
        let run = begin::run(self.workflow, id, request, true);
        self.act(Action::Run(run));
        Ok(())
    }

    fn start_undo(&mut self, id: UnitId, until: u64) -> u64 {
        let unit = self.unit(id);
        let (epoch, attempt) = (unit.epoch + 1, unit.attempt.saturating_add(1));
        let task = self.workflow.name(id);
        self.emit(EventKind::TaskCompensating(TaskCompensating { task, epoch, attempt, until }));
        epoch
    }

    /// The unit is undone.
    pub(super) fn undone(&mut self, id: UnitId) {
        self.clear_timer(id);
        let (task, epoch) = (self.workflow.name(id), self.unit(id).epoch);
        self.emit(EventKind::TaskCompensated(TaskCompensated { task, epoch }));
        self.undo();
    }

    /// An attempt to undo the unit failed.
    pub(super) fn undo_failed(&mut self, id: UnitId, error: TaskError) {
        self.clear_timer(id);
        let (epoch, attempt) = (self.unit(id).epoch, self.unit(id).attempt);
        let compensate = self.workflow.plan.task(id.task).compensate.as_ref();
        let policy = compensate.and_then(|it| it.retry.clone()).unwrap_or_else(RetryPolicy::compensation);
        if !backoff::again(&policy, attempt, &error) {
            return self.give_up_undo(id, epoch, error);
        }
        let task = self.workflow.name(id);
        let wait_ms = backoff::wait_ms(&policy, &self.workflow.id, &task, attempt);
        let retry_at = self.now.saturating_add(wait_ms.max(error.retry_after_ms)).max(1);
        let retrying = TaskCompensationRetrying { task, epoch, error: Some(error), retry_at };
        self.emit(EventKind::TaskCompensationRetrying(retrying));
        self.set_timer(id);
    }

    fn give_up_undo(&mut self, id: UnitId, epoch: u64, error: TaskError) {
        let task = self.workflow.name(id);
        let failed = TaskCompensationFailed { task, epoch, error: Some(error) };
        self.emit(EventKind::TaskCompensationFailed(failed));
        self.end();
    }
}
