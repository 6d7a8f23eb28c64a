//! The fold: how each event changes the state. Nothing else changes it.
//!
//! Every event is checked against the state that it meets, so that a history which no workflow can have left is found where
//! it goes wrong. What an event leads to (the task that may start now, say) is part of the change only where no
//! decision is left; decisions are events of their own.

mod compensation;
mod items;
mod reopen;
mod task;

use std::sync::Arc;

use crate::{
    Corrupt, Event, EventKind, Millis, Workflow, WorkflowId,
    plan::Plan,
    unit::{State, Undo, Unit},
    workflow::{Cancel, Failure, Kept, Phase, Saga, Signals},
};

/// Why an event does not fit.
pub(crate) type Misfit = String;

impl Workflow {
    /// Reads a workflow from its history.
    ///
    /// # Errors
    /// The first event that does not fit: it is missing, out of order, of a kind that is not known, or contradicts the ones
    /// before it.
    pub fn replay<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<Self, Corrupt> {
        let mut events = events.into_iter();
        let first = events.next().ok_or_else(|| corrupt(0, "there are no events"))?;
        let mut workflow = Self::from_first(first).map_err(|reason| corrupt(first.seq, &reason))?;
        for event in events {
            workflow.apply(event).map_err(|reason| corrupt(event.seq, &reason))?;
        }
        Ok(workflow)
    }

    /// The workflow that a history begins with.
    pub(crate) fn from_first(event: &Event) -> Result<Self, Misfit> {
        if event.seq != 1 {
            return Err(format!("a history begins with event 1, and this one with {}", event.seq));
        }
        let Some(EventKind::Submitted(submitted)) = &event.kind else {
            return Err("a history begins with the submission".to_owned());
        };
        let spec = submitted.spec.as_deref().cloned().ok_or("the submission has no specification")?;
        let plan = Plan::new(spec).map_err(|unusable| unusable.0)?;
        if plan.duplicate().is_some() || plan.spec.tasks.iter().any(|task| task.id.contains(['[', ']'])) {
            return Err("names of tasks stand for more than one".to_owned());
        }
        Ok(Self::of_plan(WorkflowId::new(&submitted.id), Arc::new(plan), event.at))
    }

    /// A workflow after its first event.
    pub(crate) fn of_plan(id: WorkflowId, plan: Arc<Plan>, at: Millis) -> Self {
        let units = (0..plan.len())
            .map(|task| {
                let blockers = plan.dependencies(task);
                let state = if blockers == 0 { State::Ready } else { State::Pending };
                Unit { state, blockers, ..Unit::default() }
            })
            .collect();
        Self {
            id,
            seq: 1,
            created_at: at,
            updated_at: at,
            started_at: 0,
            finished_at: 0,
            deadline: after(at, plan.spec.timeout_ms),
            grace_until: 0,
            run: 1,
            phase: Phase::Open,
            paused: false,
            cancel: None,
            failure: None,
            open: plan.len(),
            active: 0,
            units,
            signals: Signals::default(),
            saga: Saga::default(),
            plan,
        }
    }

    /// Takes an event into the state. The state is as it was if it does not fit.
    pub(crate) fn apply(&mut self, event: &Event) -> Result<(), Misfit> {
        if event.seq != self.seq + 1 {
            return Err(format!("follows event {}: events are missing or out of order", self.seq));
        }
        if event.at < self.updated_at {
            return Err(format!("is older than the event before it, by {} ms", self.updated_at - event.at));
        }
        match &event.kind {
            Some(kind) => self.apply_kind(kind, event.seq, event.at)?,
            None if event.ignorable => {}
            None => return Err("is of a kind that this version does not know".to_owned()),
        }
        self.seq = event.seq;
        self.updated_at = event.at;
        Ok(())
    }

    fn apply_kind(&mut self, kind: &EventKind, seq: u64, at: Millis) -> Result<(), Misfit> {
        match kind {
            EventKind::Submitted(_) => return Err("submits a workflow that is there already".to_owned()),
            EventKind::WorkflowStarted(_) => {
                self.expect(self.phase == Phase::Open && self.started_at == 0, "starts")?;
                self.started_at = at;
            }
            EventKind::TaskStarted(event) => self.task_started(event, at)?,
            EventKind::TaskCompleted(event) => self.task_completed(event, at)?,
            EventKind::TaskRetrying(event) => self.task_retrying(event)?,
            EventKind::TaskScheduled(event) => self.task_scheduled(event)?,
            EventKind::TaskLost(event) => self.task_lost(event)?,
            EventKind::TaskFailed(event) => self.task_failed(event, at)?,
            EventKind::TaskSkipped(event) => self.task_skipped(event, at)?,
            EventKind::TaskCancelled(event) => self.task_cancelled(event, at)?,
            EventKind::TaskExpanded(event) => self.task_expanded(event, at)?,
            EventKind::TaskProgressed(event) => self.task_progressed(event)?,
            EventKind::TaskSignalled(event) => self.task_signalled(event)?,
            EventKind::SignalReceived(event) => {
                self.expect(!self.phase.is_terminal(), "receives a signal")?;
                self.signals.bytes += event.name.len() + event.payload.len();
                let (name, payload) = (event.name.clone(), event.payload.clone());
                self.signals.kept.push_back(Kept { seq, name, payload });
            }
            EventKind::Paused(_) => {
                self.expect(self.phase == Phase::Open && !self.paused, "is paused")?;
                self.paused = true;
            }
            EventKind::Resumed(_) => {
                self.expect(self.paused, "is resumed")?;
                self.paused = false;
            }
            EventKind::CancelRequested(event) => {
                self.expect(!self.phase.is_terminal(), "is cancelled")?;
                self.cancel = Some(Box::new(Cancel { force: event.force, reason: event.reason.clone() }));
                // What ends is not held up by a pause.
                self.paused = false;
                if matches!(self.phase, Phase::Open | Phase::Failing | Phase::Cancelling) {
                    self.phase = Phase::Cancelling;
                    self.grace_until = event.grace_until;
                }
            }
            EventKind::WorkflowFailing(event) => {
                self.expect(self.phase == Phase::Open, "begins to fail")?;
                self.phase = Phase::Failing;
                self.paused = false;
                self.grace_until = event.grace_until;
                self.fail(&event.task, event.error.as_ref());
            }
            EventKind::CompensationAwaited(_) => {
                self.expect(self.phase == Phase::Failing && self.active == 0, "awaits compensation")?;
                self.phase = Phase::AwaitingCompensation;
            }
            EventKind::CompensationStarted(event) => self.compensation_started(event)?,
            EventKind::TaskCompensating(event) => self.task_compensating(event)?,
            EventKind::TaskCompensationRetrying(event) => self.task_compensation_retrying(event)?,
            EventKind::TaskCompensated(event) => self.task_compensated(event)?,
            EventKind::TaskCompensationFailed(event) => self.task_compensation_failed(event)?,
            EventKind::WorkflowCompleted(_) => {
                self.expect(self.phase == Phase::Open && self.open == 0, "completes")?;
                self.end(Phase::Completed, at);
            }
            EventKind::WorkflowFailed(event) => {
                let from =
                    matches!(self.phase, Phase::Failing | Phase::AwaitingCompensation | Phase::Compensating);
                self.expect(from && self.open == 0, "fails")?;
                self.fail(&event.task, event.error.as_ref());
                self.end(Phase::Failed, at);
            }
            EventKind::WorkflowCancelled(_) => {
                self.expect(self.cancel.is_some() && self.open == 0, "ends as cancelled")?;
                self.expect(!self.phase.is_terminal(), "ends as cancelled")?;
                self.end(Phase::Cancelled, at);
            }
            EventKind::Reopened(event) => self.reopened(event)?,
        }
        Ok(())
    }

    /// Keeps the first failure.
    pub(crate) fn fail(&mut self, task: &str, error: Option<&crate::TaskError>) {
        if self.failure.is_none() {
            let error = error.cloned().unwrap_or_default();
            self.failure = Some(Box::new(Failure { task: task.to_owned(), error }));
        }
    }

    fn end(&mut self, phase: Phase, at: Millis) {
        // What was being undone when somebody forced the end is not undone.
        if let Some(id) = self.undoing()
            && let Some(unit) = self.unit_mut(id)
            && matches!(unit.undo, Undo::Ready | Undo::Running | Undo::Retrying)
        {
            unit.undo = Undo::Not;
            unit.until = 0;
        }
        self.phase = phase;
        self.paused = false;
        self.finished_at = at;
        self.deadline = 0;
        self.grace_until = 0;
    }

    /// That the workflow is where an event can happen.
    fn expect(&self, fits: bool, what: &str) -> Result<(), Misfit> {
        if fits { Ok(()) } else { Err(format!("the workflow {what}, and it is {}", self.detail())) }
    }
}

/// A time after another one, or 0 for ever.
pub(crate) fn after(at: Millis, duration_ms: u64) -> Millis {
    if duration_ms == 0 { 0 } else { at.saturating_add(duration_ms) }
}

fn corrupt(seq: u64, reason: &str) -> Corrupt {
    Corrupt { seq, reason: reason.to_owned() }
}
