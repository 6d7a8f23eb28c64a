//! Events of compensation, taken into the state. One unit is undone at a time: the last one of `Saga::done`.

use super::{Misfit, task::follows};
use crate::{
    CompensationStarted, TaskCompensated, TaskCompensating, TaskCompensationFailed, TaskCompensationRetrying,
    Workflow,
    unit::{Undo, Unit, UnitId},
    workflow::Phase,
};

impl Workflow {
    pub(super) fn compensation_started(&mut self, event: &CompensationStarted) -> Result<(), Misfit> {
        let from = if event.reopened {
            matches!(self.phase, Phase::Failed | Phase::Cancelled)
        } else {
            matches!(self.phase, Phase::Failing | Phase::Cancelling | Phase::AwaitingCompensation)
        };
        self.expect(from && self.open == 0 && !self.saga.done.is_empty(), "begins compensations")?;
        self.phase = Phase::Compensating;
        self.grace_until = 0;
        self.finished_at = 0;
        self.saga.recovering = event.reopened && self.saga.failed;
        self.saga.failed = false;
        self.undo_next();
        Ok(())
    }

    pub(super) fn task_compensating(&mut self, event: &TaskCompensating) -> Result<(), Misfit> {
        let unit = self.undone_in(&event.task, |unit| unit.undo == Undo::Ready, "begins to be undone")?;
        follows(&event.task, event.epoch, unit.epoch)?;
        unit.undo = Undo::Running;
        unit.epoch = event.epoch;
        unit.attempt = event.attempt;
        unit.until = event.until;
        Ok(())
    }

    pub(super) fn task_compensation_retrying(
        &mut self,
        event: &TaskCompensationRetrying,
    ) -> Result<(), Misfit> {
        let fits = |unit: &Unit| unit.undo == Undo::Running && unit.epoch == event.epoch;
        let unit = self.undone_in(&event.task, fits, "is undone again")?;
        unit.undo = Undo::Retrying;
        unit.until = event.retry_at;
        unit.extra().error = event.error.clone();
        Ok(())
    }

    pub(super) fn task_compensated(&mut self, event: &TaskCompensated) -> Result<(), Misfit> {
        let fits = |unit: &Unit| unit.undo == Undo::Running && unit.epoch == event.epoch;
        let unit = self.undone_in(&event.task, fits, "is undone")?;
        unit.undo = Undo::Done;
        unit.until = 0;
        if let Some(extra) = &mut unit.extra {
            extra.error = None;
        }
        self.saga.done.pop();
        self.saga.undone = true;
        self.undo_next();
        Ok(())
    }

    pub(super) fn task_compensation_failed(&mut self, event: &TaskCompensationFailed) -> Result<(), Misfit> {
        let fits = |unit: &Unit| matches!(unit.undo, Undo::Ready | Undo::Running);
        let unit = self.undone_in(&event.task, fits, "could not be undone")?;
        unit.undo = Undo::Failed;
        unit.until = 0;
        unit.extra().error = event.error.clone();
        self.saga.failed = true;
        Ok(())
    }

    fn undo_next(&mut self) {
        if let Some(id) = self.undoing()
            && let Some(unit) = self.unit_mut(id)
        {
            unit.undo = Undo::Ready;
            unit.attempt = 0;
            unit.until = 0;
        }
    }

    /// The unit, if it is the one that is undone now.
    fn undone_in(
        &mut self,
        name: &str,
        fits: impl Fn(&Unit) -> bool,
        what: &str,
    ) -> Result<&mut Unit, Misfit> {
        let id: UnitId = self.known(name)?;
        self.expect(self.phase == Phase::Compensating, "undoes a task")?;
        if self.undoing() != Some(id) {
            return Err(format!("task {name} {what} out of turn"));
        }
        self.unit_in(id, name, fits, what)
    }
}
