//! Timers that fired. What a timer means is what its owner waits for now; anything else is late, and is refused.

use super::{Decision, end::InFlight};
use crate::{
    EventKind, Refusal, TaskCompleted, TaskError, TaskScheduled, TimerKey, Work, codes,
    limits::STOP_GRACE_MS,
    unit::{State, Undo, UnitId},
    workflow::Phase,
};

impl Decision<'_> {
    pub(super) fn timer(&mut self, key: &TimerKey) -> Result<(), Refusal> {
        self.living()?;
        let phase = self.workflow.phase;
        match key {
            TimerKey::Workflow => {
                self.due(if phase == Phase::Open { self.workflow.deadline } else { 0 })?;
                let timeout_ms = self.workflow.plan.spec.timeout_ms;
                let message = format!("the workflow took longer than its timeout of {timeout_ms} ms");
                let error = TaskError::permanent(codes::TIMED_OUT, message);
                self.fail_workflow(String::new(), error, InFlight::Stop);
            }
            TimerKey::Grace => {
                let ending = matches!(phase, Phase::Failing | Phase::Cancelling);
                self.due(if ending { self.workflow.grace_until } else { 0 })?;
                self.end_all(InFlight::Force);
            }
            TimerKey::Task { task, epoch } => {
                let id = self.known(task)?;
                let unit = self.unit(id);
                self.due(if unit.epoch == *epoch { unit.until } else { 0 })?;
                self.task_timer(id);
            }
        }
        Ok(())
    }

    fn due(&self, at: u64) -> Result<(), Refusal> {
        if at > 0 && at <= self.now {
            return Ok(());
        }
        Err(Refusal::TimerNotAwaited { due: (at > 0).then_some(at) })
    }

    fn task_timer(&mut self, id: UnitId) {
        let task = self.workflow.name(id);
        let unit = self.unit(id);
        let epoch = unit.epoch;
        match (unit.undo, unit.state) {
            (Undo::Retrying, _) => {
                self.emit(EventKind::TaskScheduled(TaskScheduled { task, compensation: true }));
                self.undo();
            }
            (_, State::Retrying) => {
                self.emit(EventKind::TaskScheduled(TaskScheduled { task, compensation: false }));
                self.ready.push_back(id);
            }
            (_, State::Waiting) if matches!(self.workflow.plan.task(id.task).work, Some(Work::Sleep(_))) => {
                let completed = TaskCompleted { task, epoch, ..TaskCompleted::default() };
                self.conclude(id, EventKind::TaskCompleted(completed));
            }
            (Undo::Running, _) | (_, State::Running | State::Waiting) => {
                let interrupted = unit.interrupted;
                if unit.state == State::Running || unit.undo == Undo::Running {
                    self.stop(id, 0);
                } else if self.is_child(id) {
                    self.stop(id, STOP_GRACE_MS);
                }
                let error = if interrupted {
                    TaskError::permanent(codes::INTERRUPTED, "it did not stop in time")
                } else {
                    TaskError::retryable(codes::TIMED_OUT, "the attempt took longer than its timeout")
                };
                self.attempt_failed(id, error);
            }
            _ => {}
        }
    }
}
