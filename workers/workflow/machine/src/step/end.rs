//! What follows when a task is over, and when all are.

use super::Decision;
use crate::{
    Action, CompensationAwaited, CompensationPolicy, CompensationStarted, EventKind, FailurePolicy,
    SkipReason, TaskCancelled, TaskCompleted, TaskError, TaskFailed, TaskSkipped, TimerKey,
    WorkflowCancelled, WorkflowCompleted, WorkflowFailed, WorkflowFailing,
    apply::after,
    codes,
    limits::STOP_GRACE_MS,
    unit::{State, UnitId},
    workflow::Phase,
};

/// What happens to attempts in flight when a workflow is about to end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum InFlight {
    /// They end by themselves.
    Drain,
    /// They are asked to stop.
    Stop,
    /// They are given up.
    Force,
}

impl Decision<'_> {
    /// Writes down how a unit ends, and sees to what follows.
    pub(super) fn conclude(&mut self, id: UnitId, kind: EventKind) {
        let Some(item) = id.item() else {
            self.emit(kind);
            return self.task_over(id.task);
        };
        let turn =
            |decision: &Self| decision.unit(UnitId::task(id.task)).items().map_or(0, |items| items.next);
        let before = turn(self);
        self.emit(kind);
        for next in before..turn(self) {
            self.ready.push_back(UnitId::of(id.task, next));
        }
        let first_failure = self
            .unit(UnitId::task(id.task))
            .items()
            .is_some_and(|items| items.failed == Some(item) && self.unit(id).state == State::Failed);
        if first_failure && self.item_of_failed(id) && self.workflow.phase == Phase::Open {
            self.cut_items(id.task);
        }
        self.items_over(id.task);
    }

    /// Ends a task whose items are all over.
    pub(super) fn items_over(&mut self, number: u32) {
        let id = UnitId::task(number);
        let unit = self.unit(id);
        let Some(items) = unit.items().filter(|items| items.open == 0 && unit.state == State::Expanded)
        else {
            return;
        };
        let task = self.workflow.name(id);
        let kind = match items.failed {
            Some(first) => {
                let item = &items.units[first as usize];
                let why = item.error().map(|error| format!("{}: {}", error.code, error.message));
                let message = format!("item {task}[{first}] failed: {}", why.unwrap_or_default());
                let error = Some(TaskError::permanent(codes::ITEM_FAILED, message));
                EventKind::TaskFailed(TaskFailed { task, epoch: 0, error })
            }
            None if items.cut => EventKind::TaskCancelled(TaskCancelled { task }),
            None => EventKind::TaskCompleted(TaskCompleted { task, ..TaskCompleted::default() }),
        };
        self.conclude(id, kind);
    }

    fn task_over(&mut self, number: u32) {
        if self.workflow.phase != Phase::Open {
            return;
        }
        let plan = self.workflow.plan.clone();
        let unit = &self.workflow.units[number as usize];
        if unit.state.satisfies() {
            // Each of them waited for this one, so none was ready before.
            for dependent in plan.dependents(number) {
                if self.workflow.units[*dependent as usize].state == State::Ready {
                    self.ready.push_back(UnitId::task(*dependent));
                }
            }
            return;
        }
        match plan.spec.failure_policy() {
            FailurePolicy::Continue => self.skip_dependents(number),
            policy => {
                let task = plan.task(number).id.clone();
                let error = unit.error().cloned().unwrap_or_default();
                let in_flight = match policy {
                    FailurePolicy::FailFastCancel => InFlight::Stop,
                    _ => InFlight::Drain,
                };
                self.fail_workflow(task, error, in_flight);
            }
        }
    }

    /// Skips every task that depends on this one, however far away.
    fn skip_dependents(&mut self, number: u32) {
        let plan = self.workflow.plan.clone();
        let mut left = vec![number];
        while let Some(number) = left.pop() {
            for dependent in plan.dependents(number) {
                if self.workflow.units[*dependent as usize].state == State::Pending {
                    let task = plan.task(*dependent).id.clone();
                    let reason = SkipReason::Dependency.into();
                    self.emit(EventKind::TaskSkipped(TaskSkipped { task, reason }));
                    left.push(*dependent);
                }
            }
        }
    }

    /// The workflow will fail: nothing new starts.
    pub(super) fn fail_workflow(&mut self, task: String, error: TaskError, in_flight: InFlight) {
        let stops = in_flight != InFlight::Drain;
        let grace_until = if stops { after(self.now, STOP_GRACE_MS) } else { 0 };
        let error = Some(error);
        self.emit(EventKind::WorkflowFailing(WorkflowFailing { error, task, grace_until }));
        self.end_all(in_flight);
        self.set_grace();
    }

    /// Sets the timer that ends waiting for attempts to stop.
    pub(super) fn set_grace(&mut self) {
        let at = self.workflow.grace_until;
        if at > 0 && self.workflow.active > 0 {
            self.act(Action::SetTimer { key: TimerKey::Grace, at });
        }
    }

    /// Ends every unit that is not over, but for attempts that may end by themselves.
    pub(super) fn end_all(&mut self, in_flight: InFlight) {
        for number in 0..self.workflow.plan.len() {
            let task = UnitId::task(number);
            if self.unit(task).state != State::Expanded {
                self.end_one(task, in_flight);
                continue;
            }
            for item in 0..self.unit(task).items().map_or(0, |items| items.units.len() as u32) {
                self.end_one(UnitId::of(number, item), in_flight);
            }
            self.items_over(number);
        }
    }

    fn end_one(&mut self, id: UnitId, in_flight: InFlight) {
        let state = self.unit(id).state;
        if state.is_over() || state == State::Expanded {
            return;
        }
        if state == State::Running || self.is_child(id) {
            match in_flight {
                InFlight::Drain => return,
                InFlight::Stop => return self.stop(id, STOP_GRACE_MS),
                InFlight::Force => {
                    self.clear_timer(id);
                    self.stop(id, 0);
                }
            }
        } else {
            self.clear_timer(id);
        }
        let task = self.workflow.name(id);
        let begun = state.is_active();
        self.emit(if begun || self.workflow.phase == Phase::Cancelling {
            EventKind::TaskCancelled(TaskCancelled { task })
        } else {
            EventKind::TaskSkipped(TaskSkipped { task, reason: SkipReason::FailFast.into() })
        });
    }

    /// Ends the workflow if nothing is left of it.
    pub(super) fn settle(&mut self) {
        if self.workflow.phase == Phase::Open && self.workflow.open == 0 {
            let Some(failure) = self.workflow.failure.as_deref().cloned() else {
                self.emit(EventKind::WorkflowCompleted(WorkflowCompleted {}));
                return self.finished();
            };
            self.fail_workflow(failure.task, failure.error, InFlight::Drain);
        }
        let ending = matches!(self.workflow.phase, Phase::Failing | Phase::Cancelling);
        if !ending || self.workflow.active > 0 {
            return;
        }
        if self.workflow.grace_until > 0 {
            self.act(Action::ClearTimer { key: TimerKey::Grace });
        }
        let policy = self.workflow.plan.spec.compensation();
        let cancel = self.workflow.cancel.as_deref();
        let nothing = self.workflow.saga.done.is_empty();
        match (policy, cancel) {
            _ if nothing => self.end(),
            (_, Some(cancel)) if cancel.force => self.end(),
            (CompensationPolicy::Auto, cancel) => {
                let reason =
                    cancel.map_or("the workflow failed", |_| "the workflow was cancelled").to_owned();
                self.emit(EventKind::CompensationStarted(CompensationStarted { reason, reopened: false }));
                self.undo();
            }
            (CompensationPolicy::Manual, None) => {
                self.emit(EventKind::CompensationAwaited(CompensationAwaited {}));
            }
            _ => self.end(),
        }
    }

    /// Ends a workflow that failed or was cancelled.
    pub(super) fn end(&mut self) {
        let kind = match (&self.workflow.cancel, &self.workflow.failure) {
            (Some(cancel), _) => {
                EventKind::WorkflowCancelled(WorkflowCancelled { reason: cancel.reason.clone() })
            }
            (None, failure) => {
                let failure = failure.as_deref().cloned();
                let (task, error) = failure.map(|failure| (failure.task, failure.error)).unwrap_or_default();
                EventKind::WorkflowFailed(WorkflowFailed { error: Some(error), task })
            }
        };
        self.emit(kind);
        self.finished();
    }

    fn finished(&mut self) {
        if self.workflow.plan.spec.timeout_ms > 0 {
            self.act(Action::ClearTimer { key: TimerKey::Workflow });
        }
        let status = self.workflow.status();
        self.act(Action::Finished { status });
    }
}
