//! Events of tasks and items, taken into the state.

use super::{Misfit, items};
use crate::{
    FailurePolicy, Millis, SignalKind, SkipReason, TaskCancelled, TaskCompleted, TaskFailed, TaskLost,
    TaskProgressed, TaskRetrying, TaskScheduled, TaskSignalled, TaskSkipped, TaskStarted, Work, Workflow,
    unit::{State, Undo, Unit, UnitId},
    workflow::Phase,
};

impl Workflow {
    pub(super) fn task_started(&mut self, event: &TaskStarted, at: Millis) -> Result<(), Misfit> {
        let id = self.known(&event.task)?;
        self.expect(self.phase == Phase::Open, "starts a task")?;
        let signal = match &self.plan.task(id.task).work {
            Some(Work::WaitSignal(wait)) => Some(wait.name.as_str().into()),
            _ => None,
        };
        let unit = self.unit_in(id, &event.task, |unit| unit.state == State::Ready, "starts")?;
        follows(&event.task, event.epoch, unit.epoch)?;
        unit.state = if event.waits { State::Waiting } else { State::Running };
        unit.epoch = event.epoch;
        unit.attempt = event.attempt;
        unit.until = event.until;
        unit.percent = 0;
        if unit.started_at == 0 {
            unit.started_at = at;
        }
        if !event.child.is_empty() {
            unit.extra().child = Some(event.child.as_str().into());
        }
        if let Some(name) = signal {
            self.signals.waiting.insert((name, id));
        }
        self.active += 1;
        Ok(())
    }

    pub(super) fn task_completed(&mut self, event: &TaskCompleted, at: Millis) -> Result<(), Misfit> {
        let id = self.known(&event.task)?;
        let kept =
            match event.signal {
                0 => None,
                seq => {
                    Some(self.signals.kept.iter().position(|kept| kept.seq == seq).ok_or_else(|| {
                        format!("task {} takes signal {seq}, which is not kept", event.task)
                    })?)
                }
            };
        let fits = |unit: &Unit| match unit.state {
            State::Running | State::Waiting => unit.epoch == event.epoch,
            State::Expanded => unit.items().is_some_and(|items| items.open == 0),
            _ => false,
        };
        let unit = self.unit_in(id, &event.task, fits, "completes")?;
        unit.percent = 100;
        if let Some(extra) = &mut unit.extra {
            extra.error = None;
        }
        match unit.items_mut() {
            Some(items) => unit.result = items::join(items),
            None => unit.result = event.result.clone(),
        }
        if let Some(kept) = kept.and_then(|place| self.signals.kept.remove(place)) {
            self.signals.bytes -= kept.name.len() + kept.payload.len();
            if let Some(unit) = self.unit_mut(id) {
                unit.result = kept.payload;
            }
        }
        self.over(id, State::Completed, at);
        Ok(())
    }

    pub(super) fn task_retrying(&mut self, event: &TaskRetrying) -> Result<(), Misfit> {
        let id = self.known(&event.task)?;
        self.expect(self.phase == Phase::Open, "tries a task again")?;
        let fits = |unit: &Unit| unit.state.is_active() && unit.epoch == event.epoch;
        let unit = self.unit_in(id, &event.task, fits, "is tried again")?;
        unit.state = State::Retrying;
        unit.until = event.retry_at;
        unit.interrupted = false;
        unit.extra().error = event.error.clone();
        self.idle(id);
        Ok(())
    }

    pub(super) fn task_scheduled(&mut self, event: &TaskScheduled) -> Result<(), Misfit> {
        let id = self.known(&event.task)?;
        let undo = event.compensation;
        let fits = |unit: &Unit| {
            if undo { unit.undo == Undo::Retrying } else { unit.state == State::Retrying }
        };
        let unit = self.unit_in(id, &event.task, fits, "is scheduled")?;
        unit.until = 0;
        if undo {
            unit.undo = Undo::Ready;
        } else {
            unit.state = State::Ready;
        }
        Ok(())
    }

    pub(super) fn task_lost(&mut self, event: &TaskLost) -> Result<(), Misfit> {
        let id = self.known(&event.task)?;
        self.expect(self.phase == Phase::Open, "loses an attempt")?;
        let fits = |unit: &Unit| unit.state == State::Running && unit.epoch == event.epoch;
        let unit = self.unit_in(id, &event.task, fits, "is lost")?;
        unit.state = State::Ready;
        unit.until = 0;
        unit.interrupted = false;
        unit.lost = unit.lost.saturating_add(1);
        unit.attempt = unit.attempt.saturating_sub(1);
        self.idle(id);
        Ok(())
    }

    pub(super) fn task_failed(&mut self, event: &TaskFailed, at: Millis) -> Result<(), Misfit> {
        let id = self.known(&event.task)?;
        let unit = self.unit_in(id, &event.task, |unit| !unit.state.is_over(), "fails")?;
        unit.extra().error = event.error.clone();
        self.over(id, State::Failed, at);
        if id.item().is_none() {
            self.fail(&event.task, event.error.as_ref());
        }
        Ok(())
    }

    pub(super) fn task_skipped(&mut self, event: &TaskSkipped, at: Millis) -> Result<(), Misfit> {
        let id = self.known(&event.task)?;
        self.unit_in(id, &event.task, |unit| !unit.state.is_over(), "is skipped")?;
        let state = match event.reason() {
            SkipReason::Condition => State::SkippedByCondition,
            SkipReason::Dependency | SkipReason::FailFast => State::Skipped,
        };
        self.over(id, state, at);
        Ok(())
    }

    pub(super) fn task_cancelled(&mut self, event: &TaskCancelled, at: Millis) -> Result<(), Misfit> {
        let id = self.known(&event.task)?;
        self.unit_in(id, &event.task, |unit| !unit.state.is_over(), "is cancelled")?;
        self.over(id, State::Cancelled, at);
        Ok(())
    }

    pub(super) fn task_progressed(&mut self, event: &TaskProgressed) -> Result<(), Misfit> {
        let id = self.known(&event.task)?;
        let fits = |unit: &Unit| unit.state == State::Running && unit.epoch == event.epoch;
        let unit = self.unit_in(id, &event.task, fits, "progresses")?;
        unit.percent = event.percent.min(100) as u8;
        if unit.extra.is_some() || !event.message.is_empty() {
            unit.extra().message.clone_from(&event.message);
        }
        Ok(())
    }

    pub(super) fn task_signalled(&mut self, event: &TaskSignalled) -> Result<(), Misfit> {
        let id = self.known(&event.task)?;
        let fits = |unit: &Unit| unit.state == State::Running && unit.epoch == event.epoch;
        let unit = self.unit_in(id, &event.task, fits, "is signalled")?;
        if event.kind() == SignalKind::Interrupt {
            unit.interrupted = true;
            if unit.until == 0 || event.stop_at < unit.until {
                unit.until = event.stop_at;
            }
        }
        Ok(())
    }

    /// The unit ends: whoever waited for it may go on.
    fn over(&mut self, id: UnitId, state: State, at: Millis) {
        let Some(unit) = self.unit_mut(id) else { return };
        let was_active = unit.state.is_active();
        unit.state = state;
        unit.finished_at = at;
        unit.until = 0;
        unit.interrupted = false;
        let leaf = unit.items().is_none();
        if was_active {
            self.idle(id);
        }
        if state == State::Completed && leaf && self.plan.task(id.task).compensate.is_some() {
            self.saga.done.push(id);
        }
        if let Some(item) = id.item() {
            let goes_on = self.plan.spec.failure_policy() == FailurePolicy::Continue;
            let open = self.phase == Phase::Open;
            if let Some(items) = self.units[id.task as usize].items_mut() {
                items.over(item, state);
                if open && (goes_on || items.failed.is_none()) && !items.cut {
                    items.promote(1);
                }
            }
            return;
        }
        self.open = self.open.saturating_sub(1);
        if state.satisfies() {
            for dependent in self.plan.dependents(id.task) {
                let unit = &mut self.units[*dependent as usize];
                unit.blockers = unit.blockers.saturating_sub(1);
                if unit.blockers == 0 && unit.state == State::Pending {
                    unit.state = State::Ready;
                }
            }
        }
    }

    /// Nothing outside goes on any more for a unit that was running or waiting.
    fn idle(&mut self, id: UnitId) {
        self.active = self.active.saturating_sub(1);
        if let Some(Work::WaitSignal(wait)) = &self.plan.task(id.task).work {
            self.signals.waiting.remove(&(wait.name.as_str().into(), id));
        }
    }

    /// The unit that an event names.
    pub(super) fn known(&self, name: &str) -> Result<UnitId, Misfit> {
        self.find(name).ok_or_else(|| format!("is about task {name}, which is not there"))
    }

    /// The unit, if it is where the event can happen to it.
    pub(super) fn unit_in(
        &mut self,
        id: UnitId,
        name: &str,
        fits: impl Fn(&Unit) -> bool,
        what: &str,
    ) -> Result<&mut Unit, Misfit> {
        let unit = self.unit_mut(id).ok_or_else(|| format!("is about task {name}, which is not there"))?;
        if fits(unit) {
            Ok(unit)
        } else {
            Err(format!("task {name} {what}, and it is {} at attempt {}", unit.detail(), unit.epoch))
        }
    }
}

/// That an attempt comes after another one, and leaves room for more.
pub(super) fn follows(task: &str, epoch: u64, before: u64) -> Result<(), Misfit> {
    if epoch > before && epoch < u64::MAX / 2 {
        return Ok(());
    }
    Err(format!("task {task} starts as attempt {epoch} after {before}"))
}
