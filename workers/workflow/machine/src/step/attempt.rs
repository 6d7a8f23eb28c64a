//! What attempts report: results, failures, that they live, that they were lost.

use bytes::Bytes;

use super::Decision;
use crate::{
    Action, EventKind, Outcome, Refusal, Status, TaskCancelled, TaskCompleted, TaskError, TaskFailed,
    TaskLost, TaskProgressed, TaskRetrying, Work, backoff, codes,
    error::cut,
    limits::{MAX_LOST_ATTEMPTS, MAX_TEXT_BYTES},
    unit::{State, Undo, UnitId},
    workflow::Phase,
};

impl Decision<'_> {
    pub(super) fn completed(&mut self, task: &str, epoch: u64, result: Bytes) -> Result<(), Refusal> {
        let id = self.attempt(task, epoch)?;
        if self.unit(id).undo == Undo::Running {
            self.undone(id);
            return Ok(());
        }
        self.clear_timer(id);
        let completed = TaskCompleted { task: task.to_owned(), epoch, result, signal: 0 };
        self.conclude(id, EventKind::TaskCompleted(completed));
        Ok(())
    }

    pub(super) fn failed(&mut self, task: &str, epoch: u64, error: TaskError) -> Result<(), Refusal> {
        // A child that cannot be submitted is reported like this too.
        let id = self.current(task, epoch)?;
        if self.unit(id).state == State::Waiting && !self.is_child(id) {
            return Err(self.stale(id, epoch));
        }
        self.attempt_failed(id, error);
        Ok(())
    }

    pub(super) fn lease_expired(&mut self, task: &str, epoch: u64) -> Result<(), Refusal> {
        let id = self.attempt(task, epoch)?;
        let unit = self.unit(id);
        let ends = self.workflow.phase != Phase::Open || unit.interrupted || self.item_of_failed(id);
        if unit.undo == Undo::Running || ends || unit.lost >= MAX_LOST_ATTEMPTS {
            let lost = unit.lost;
            let message = format!("whoever ran the attempt was lost, as were {lost} before");
            let mut error = TaskError::permanent(codes::LEASE_EXPIRED, message);
            error.retryable = unit.undo == Undo::Running;
            self.attempt_failed(id, error);
            return Ok(());
        }
        self.clear_timer(id);
        self.emit(EventKind::TaskLost(TaskLost { task: task.to_owned(), epoch }));
        self.ready.push_back(id);
        Ok(())
    }

    pub(super) fn progress(
        &mut self,
        task: &str,
        epoch: u64,
        percent: u32,
        mut message: String,
    ) -> Result<(), Refusal> {
        let id = self.attempt(task, epoch)?;
        cut(&mut message, MAX_TEXT_BYTES);
        let percent = percent.min(100);
        let unit = self.unit(id);
        let before = unit.extra.as_ref().map_or("", |extra| extra.message.as_str());
        // A task that is being undone has its result; how far that is, is not told.
        let news = u32::from(unit.percent) != percent || before != message;
        if news && unit.undo == Undo::Not {
            let task = task.to_owned();
            self.emit(EventKind::TaskProgressed(TaskProgressed { task, epoch, percent, message }));
        }
        Ok(())
    }

    pub(super) fn child_finished(&mut self, task: &str, epoch: u64, outcome: Outcome) -> Result<(), Refusal> {
        let id = self.current(task, epoch)?;
        if !self.is_child(id) {
            return Err(self.stale(id, epoch));
        }
        if outcome.status == Status::Completed {
            self.clear_timer(id);
            let completed = TaskCompleted { task: task.to_owned(), epoch, result: outcome.result, signal: 0 };
            self.conclude(id, EventKind::TaskCompleted(completed));
            return Ok(());
        }
        let reason = match outcome.error {
            Some(error) => {
                format!("the child workflow is {}: {}: {}", outcome.status, error.code, error.message)
            }
            None => format!("the child workflow is {}", outcome.status),
        };
        self.attempt_failed(id, TaskError::retryable(codes::CHILD_FAILED, reason));
        Ok(())
    }

    /// An attempt failed or timed out: it is made again, or the task has failed.
    pub(super) fn attempt_failed(&mut self, id: UnitId, error: TaskError) {
        if self.unit(id).undo == Undo::Running {
            return self.undo_failed(id, error);
        }
        self.clear_timer(id);
        let task = self.workflow.name(id);
        let unit = self.unit(id);
        let (epoch, attempt) = (unit.epoch, unit.attempt);
        if self.is_stopping(id) {
            // It was asked to stop, and did.
            return self.conclude(id, EventKind::TaskCancelled(TaskCancelled { task }));
        }
        if unit.interrupted {
            let message = format!("interrupted; the attempt ended with {}: {}", error.code, error.message);
            let error = Some(TaskError::permanent(codes::INTERRUPTED, message));
            return self.conclude(id, EventKind::TaskFailed(TaskFailed { task, epoch, error }));
        }
        let policy = self.workflow.plan.task(id.task).retry.as_deref();
        let again = self.workflow.phase == Phase::Open && !self.item_of_failed(id);
        if let Some(policy) = policy.filter(|policy| again && backoff::again(policy, attempt, &error)) {
            let wait_ms = backoff::wait_ms(policy, &self.workflow.id, &task, attempt);
            let retry_at = self.now.saturating_add(wait_ms.max(error.retry_after_ms)).max(1);
            let retrying = TaskRetrying { task, epoch, error: Some(error), retry_at };
            self.emit(EventKind::TaskRetrying(retrying));
            return self.set_timer(id);
        }
        self.conclude(id, EventKind::TaskFailed(TaskFailed { task, epoch, error: Some(error) }));
    }

    /// Whether the attempt was asked to stop because its result is no longer needed.
    fn is_stopping(&self, id: UnitId) -> bool {
        let ends = self.workflow.phase != Phase::Open && self.workflow.grace_until > 0;
        ends || (self.unit(id).interrupted && self.item_of_failed(id))
    }

    /// The unit of an attempt that somebody runs.
    fn attempt(&self, task: &str, epoch: u64) -> Result<UnitId, Refusal> {
        let id = self.current(task, epoch)?;
        if self.unit(id).state == State::Waiting { Err(self.stale(id, epoch)) } else { Ok(id) }
    }

    fn stale(&self, id: UnitId, epoch: u64) -> Refusal {
        let unit = self.unit(id);
        let task = self.workflow.name(id);
        Refusal::Stale { task, epoch, current: unit.epoch, detail: unit.detail() }
    }

    pub(super) fn is_child(&self, id: UnitId) -> bool {
        self.unit(id).state == State::Waiting
            && matches!(self.workflow.plan.task(id.task).work, Some(Work::Child(_)))
    }

    /// Tells whoever makes the attempt that it is no longer wanted.
    pub(super) fn stop(&mut self, id: UnitId, grace_ms: u64) {
        let task = self.workflow.name(id);
        if self.is_child(id) {
            if let Some(child) = super::begin::child_of(self.workflow, id) {
                self.act(Action::CancelChild { task, id: child, force: grace_ms == 0 });
            }
            return;
        }
        let epoch = self.unit(id).epoch;
        self.act(Action::Stop { task, epoch, grace_ms });
    }
}
