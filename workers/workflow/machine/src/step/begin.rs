//! Tasks that may start: those that need a slot are announced, the others begin at once.

use bytes::Bytes;

use super::Decision;
use crate::{
    Action, Child, EventKind, Parent, Refusal, Request, Run, SkipReason, Sleep, Spec, TaskCompleted,
    TaskFailed, TaskSkipped, TaskStarted, WaitSignal, Work, Workflow, WorkflowId, WorkflowStarted,
    apply::after,
    codes,
    error::TaskError,
    limits::DEFAULT_LANE,
    request,
    template::{Scope, Unresolved, holds},
    unit::{State, Undo, UnitId},
    workflow::Phase,
};

/// What an attempt is.
enum Started {
    Runs,
    Waits,
    Child(String),
}

impl Decision<'_> {
    /// Looks at a unit that became ready. Its condition and its items are looked at before its first attempt.
    pub(super) fn begin(&mut self, id: UnitId) {
        if !self.open() || self.unit(id).state != State::Ready {
            return;
        }
        let plan = self.workflow.plan.clone();
        let task = plan.task(id.task);
        if id.item().is_none() {
            if !task.when.is_empty() && self.unit(id).attempt == 0 {
                match holds(&task.when, &mut Scope::new(self.workflow, id, false)) {
                    Ok(true) => {}
                    Ok(false) => {
                        let reason = SkipReason::Condition.into();
                        let skipped = TaskSkipped { task: task.id.clone(), reason };
                        return self.conclude(id, EventKind::TaskSkipped(skipped));
                    }
                    Err(Unresolved(reason)) => return self.unresolved(id, "when", &reason),
                }
            }
            if let Some(for_each) = &task.for_each {
                return self.expand(id, for_each);
            }
        }
        match &task.work {
            None | Some(Work::Noop(_)) => {
                let name = self.workflow.name(id);
                let epoch = self.start(id, 0, Started::Runs);
                let completed = TaskCompleted { task: name, epoch, ..TaskCompleted::default() };
                self.conclude(id, EventKind::TaskCompleted(completed));
            }
            Some(Work::Sleep(sleep)) => self.sleep(id, sleep),
            Some(Work::WaitSignal(wait)) => self.wait(id, wait, task.timeout_ms),
            Some(Work::Child(child)) => self.start_child(id, child, task.timeout_ms),
            Some(Work::Call(_) | Work::Http(_) | Work::Function(_)) => {
                let action = ready(self.workflow, id, false);
                self.act(action);
            }
        }
    }

    /// There is a slot for a unit.
    pub(super) fn dispatch(&mut self, task: &str) -> Result<(), Refusal> {
        self.living()?;
        let id = self.known(task)?;
        let unit = self.unit(id);
        if unit.undo == Undo::Ready {
            return self.dispatch_undo(id);
        }
        if unit.state != State::Ready
            || self.workflow.plan.task(id.task).for_each.is_some() && id.item().is_none()
        {
            return Err(Refusal::NotReady { task: task.to_owned(), detail: unit.detail() });
        }
        if self.workflow.phase != Phase::Open {
            return Err(Refusal::Ending);
        }
        if self.workflow.paused {
            return Err(Refusal::Paused);
        }
        let spec = self.workflow.plan.task(id.task);
        let timeout_ms = spec.timeout_ms;
        let request = match request::of_work(self.workflow, id, spec.work.as_ref(), false) {
            Ok(Some(request)) => request,
            // Such work never waits for a slot.
            Ok(None) => return Err(Refusal::NotReady { task: task.to_owned(), detail: unit.detail() }),
            Err(Unresolved(reason)) => {
                self.unresolved(id, "work", &reason);
                return Ok(());
            }
        };
        let until = after(self.now, timeout_ms);
        self.start(id, until, Started::Runs);
        self.set_timer(id);
        let run = run(self.workflow, id, request, false);
        self.act(Action::Run(run));
        Ok(())
    }

    /// Begins an attempt. Returns its epoch.
    fn start(&mut self, id: UnitId, until: u64, started: Started) -> u64 {
        self.started();
        let unit = self.unit(id);
        let (epoch, attempt) = (unit.epoch + 1, unit.attempt.saturating_add(1));
        let task = self.workflow.name(id);
        let (waits, child) = match started {
            Started::Runs => (false, String::new()),
            Started::Waits => (true, String::new()),
            Started::Child(child) => (true, child),
        };
        self.emit(EventKind::TaskStarted(TaskStarted { task, epoch, attempt, until, child, waits }));
        epoch
    }

    /// The workflow is RUNNING from its first start on.
    pub(super) fn started(&mut self) {
        if self.workflow.started_at == 0 {
            self.emit(EventKind::WorkflowStarted(WorkflowStarted {}));
        }
    }

    fn sleep(&mut self, id: UnitId, sleep: &Sleep) {
        let until = if sleep.until_ms > 0 { sleep.until_ms } else { after(self.now, sleep.duration_ms) };
        let epoch = self.start(id, until, Started::Waits);
        if until <= self.now {
            let task = self.workflow.name(id);
            let completed = TaskCompleted { task, epoch, ..TaskCompleted::default() };
            return self.conclude(id, EventKind::TaskCompleted(completed));
        }
        self.set_timer(id);
    }

    fn wait(&mut self, id: UnitId, wait: &WaitSignal, timeout_ms: u64) {
        let until = after(self.now, timeout_ms);
        let epoch = self.start(id, until, Started::Waits);
        match self.workflow.signals.kept.iter().find(|kept| kept.name == wait.name) {
            Some(kept) => {
                let signal = kept.seq;
                let task = self.workflow.name(id);
                let completed = TaskCompleted { task, epoch, result: Bytes::new(), signal };
                self.conclude(id, EventKind::TaskCompleted(completed));
            }
            None => self.set_timer(id),
        }
    }

    fn start_child(&mut self, id: UnitId, child: &Child, timeout_ms: u64) {
        let task = self.workflow.name(id);
        let child_id = self.workflow.id.child(&task, self.unit(id).epoch + 1);
        match child_spec(self.workflow, id, child) {
            Err(Unresolved(reason)) => self.unresolved(id, "work.child", &reason),
            Ok(mut spec) => {
                let started = Started::Child(child_id.to_string());
                let epoch = self.start(id, after(self.now, timeout_ms), started);
                let workflow = self.workflow.id.to_string();
                spec.parent = Some(Box::new(Parent { workflow, task: task.clone(), epoch }));
                self.set_timer(id);
                self.act(Action::StartChild { task, epoch, id: child_id, spec });
            }
        }
    }

    /// A unit cannot start because a template or a condition of it has no value.
    pub(super) fn unresolved(&mut self, id: UnitId, field: &str, reason: &str) {
        let task = self.workflow.name(id);
        let error = TaskError::permanent(codes::TEMPLATE, format!("{field}: {reason}"));
        let failed = TaskFailed { task, epoch: 0, error: Some(error) };
        self.started();
        self.conclude(id, EventKind::TaskFailed(failed));
    }
}

/// That a unit waits for a slot.
pub(crate) fn ready(workflow: &Workflow, id: UnitId, compensation: bool) -> Action {
    let (lane, priority) = place(workflow, id);
    Action::Ready { task: workflow.name(id), lane, priority, compensation }
}

/// The lane and the priority of a unit.
fn place(workflow: &Workflow, id: UnitId) -> (String, i32) {
    let (spec, task) = (&workflow.plan.spec, workflow.plan.task(id.task));
    let lane = [&task.lane, &spec.lane].into_iter().find(|lane| !lane.is_empty());
    (lane.map_or(DEFAULT_LANE, String::as_str).to_owned(), task.priority.unwrap_or(spec.priority))
}

/// The attempt that a unit is at.
pub(crate) fn run(workflow: &Workflow, id: UnitId, request: Request, compensation: bool) -> Box<Run> {
    let task = workflow.name(id);
    let (epoch, attempt, until, generation) = workflow
        .unit(id)
        .map_or((0, 0, 0, 0), |unit| (unit.epoch, unit.attempt, unit.until, unit.generation));
    let idempotency_key = workflow.id.idempotency_key(&task, generation, compensation);
    let deadline = (until > 0).then_some(until);
    let (lane, priority) = place(workflow, id);
    Box::new(Run { task, epoch, attempt, request, deadline, idempotency_key, compensation, lane, priority })
}

/// What a child workflow is to do, templates of the parent resolved, without its parent.
pub(crate) fn child_spec(workflow: &Workflow, id: UnitId, child: &Child) -> Result<Box<Spec>, Unresolved> {
    let Some(spec) = &child.spec else {
        return Err(Unresolved("there is no specification".to_owned()));
    };
    let mut spec = spec.clone();
    // A child belongs to whoever its parent belongs to, whatever it says.
    let own = &workflow.plan.spec;
    spec.owner.clone_from(&own.owner);
    spec.owner_roles.clone_from(&own.owner_roles);
    spec.namespace.clone_from(&own.namespace);
    spec.request_id.clone_from(&own.request_id);
    if spec.lane.is_empty() {
        spec.lane.clone_from(&own.lane);
    }
    request::resolve_child(workflow, id, &mut spec)?;
    Ok(spec)
}

/// The identifier of the child that the unit waits for.
pub(crate) fn child_of(workflow: &Workflow, id: UnitId) -> Option<WorkflowId> {
    workflow.unit(id)?.child().cloned()
}
