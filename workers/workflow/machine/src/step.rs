//! The decisions: which facts follow from an input, and what has to be done about them.
//!
//! A decision reads the state, writes down a fact (which changes the state through `apply`) and reads on. Every refusal comes
//! before the first fact.

mod attempt;
mod begin;
mod cancel;
mod compensate;
mod end;
mod for_each;
mod retry;
mod signal;
mod timer;

use std::collections::VecDeque;

use crate::{
    Action, Event, EventKind, Input, Invalid, Millis, Paused, Refusal, Resumed, Spec, Step, Submitted,
    TimerKey, Workflow, WorkflowId,
    error::cut,
    limits,
    unit::{State, Undo, Unit, UnitId},
    validate,
    workflow::Phase,
};

pub(crate) use begin::{child_of, child_spec, ready, run};

impl Workflow {
    /// Makes a workflow of a specification. Tasks that need no slot have begun in the step already.
    ///
    /// # Errors
    /// Everything that is wrong with the specification.
    pub fn submit(id: WorkflowId, spec: Spec, now: Millis) -> Result<(Self, Step), Invalid> {
        // 0 means "not yet" in many places.
        let now = now.max(1);
        let plan = validate::plan(spec)?;
        let submitted = Submitted { id: id.to_string(), spec: Some(Box::new(plan.spec.clone())) };
        let mut workflow = Self::of_plan(id, plan.into(), now);
        let mut decision = Decision::new(&mut workflow, now);
        let kind = Some(EventKind::Submitted(submitted));
        decision.step.events.push(Event { seq: 1, at: now, ignorable: false, kind });
        let deadline = decision.workflow.deadline;
        if deadline > 0 {
            decision.step.actions.push(Action::SetTimer { key: TimerKey::Workflow, at: deadline });
        }
        decision.queue_ready();
        let step = decision.finish();
        Ok((workflow, step))
    }

    /// Takes an input, and says what follows from it. A step without events had nothing to decide.
    ///
    /// `now` is taken as the time of the last event if it is before that.
    ///
    /// # Errors
    /// Why the input is not taken; the workflow is as it was.
    pub fn step(&mut self, input: Input, now: Millis) -> Result<Step, Refusal> {
        let now = now.max(self.updated_at).max(1);
        let mut decision = Decision::new(self, now);
        match input {
            Input::Dispatch { task } => decision.dispatch(&task)?,
            Input::Completed { task, epoch, result } => decision.completed(&task, epoch, result)?,
            Input::Failed { task, epoch, error } => decision.failed(&task, epoch, error.cut())?,
            Input::LeaseExpired { task, epoch } => decision.lease_expired(&task, epoch)?,
            Input::Progress { task, epoch, percent, message } => {
                decision.progress(&task, epoch, percent, message)?;
            }
            Input::Timer { key } => decision.timer(&key)?,
            Input::Cancel { force, reason } => decision.cancel(force, reason)?,
            Input::Signal { name, payload } => decision.signal(name, payload)?,
            Input::SignalTask { task, kind, payload, graceful, timeout_ms } => {
                decision.signal_task(&task, kind, payload, graceful, timeout_ms)?;
            }
            Input::ChildFinished { task, epoch, outcome } => {
                decision.child_finished(&task, epoch, outcome)?
            }
            Input::Pause { reason } => decision.pause(reason)?,
            Input::Resume => decision.resume()?,
            Input::Retry { from, reason } => decision.retry(from.as_deref(), reason)?,
            Input::Compensate { reason } => decision.compensate(reason)?,
        }
        Ok(decision.finish())
    }
}

/// A step in the making.
struct Decision<'a> {
    workflow: &'a mut Workflow,
    now: Millis,
    step: Step,
    /// Units that became ready and were not looked at yet. A queue instead of recursion: chains are long.
    ready: VecDeque<UnitId>,
}

impl<'a> Decision<'a> {
    fn new(workflow: &'a mut Workflow, now: Millis) -> Self {
        Self { workflow, now, step: Step::default(), ready: VecDeque::new() }
    }

    /// Writes down a fact.
    fn emit(&mut self, kind: EventKind) {
        let event = Event { seq: self.workflow.seq + 1, at: self.now, ignorable: false, kind: Some(kind) };
        match self.workflow.apply(&event) {
            Ok(()) => self.step.events.push(event),
            // A fact that does not fit is a mistake in the decisions. It is not written down: history and state agree.
            Err(reason) => debug_assert!(false, "event {}: {reason}: {event:?}", event.seq),
        }
    }

    fn act(&mut self, action: Action) {
        self.step.actions.push(action);
    }

    /// Sees to everything that became possible, and returns the step.
    fn finish(mut self) -> Step {
        while let Some(id) = self.ready.pop_front() {
            self.begin(id);
        }
        self.settle();
        self.step
    }

    /// Looks at every task that is ready.
    fn queue_ready(&mut self) {
        for (unit, task) in self.workflow.units.iter().zip(0..) {
            if unit.state == State::Ready {
                self.ready.push_back(UnitId::task(task));
            }
            for (item, number) in unit.items().into_iter().flat_map(|items| items.units.iter().zip(0..)) {
                if item.state == State::Ready {
                    self.ready.push_back(UnitId::of(task, number));
                }
            }
        }
    }

    /// The unit that an input names.
    fn known(&self, task: &str) -> Result<UnitId, Refusal> {
        self.workflow.find(task).ok_or_else(|| Refusal::UnknownTask { task: task.to_owned() })
    }

    /// The unit. Identifiers come from the state, so it is there.
    fn unit(&self, id: UnitId) -> &Unit {
        // A unit that is not there is like one that has nothing to do.
        static NONE: std::sync::LazyLock<Unit> = std::sync::LazyLock::new(Unit::default);
        self.workflow.unit(id).unwrap_or(&NONE)
    }

    /// The unit that a report is about, if its attempt is the one that counts.
    fn current(&self, task: &str, epoch: u64) -> Result<UnitId, Refusal> {
        self.living()?;
        let id = self.known(task)?;
        let unit = self.unit(id);
        if unit.epoch == epoch && (unit.state.is_active() || unit.undo == Undo::Running) {
            return Ok(id);
        }
        Err(Refusal::Stale { task: task.to_owned(), epoch, current: unit.epoch, detail: unit.detail() })
    }

    /// That the workflow has not ended.
    fn living(&self) -> Result<(), Refusal> {
        if self.workflow.phase.is_terminal() {
            return Err(Refusal::AlreadyTerminal { status: self.workflow.status() });
        }
        Ok(())
    }

    /// Whether tasks may start.
    fn open(&self) -> bool {
        self.workflow.phase == Phase::Open && !self.workflow.paused
    }

    /// The key of the timer of the unit's attempt.
    fn key(&self, id: UnitId) -> TimerKey {
        TimerKey::Task { task: self.workflow.name(id), epoch: self.unit(id).epoch }
    }

    /// Clears the unit's timer, if it has one.
    fn clear_timer(&mut self, id: UnitId) {
        if self.unit(id).until > 0 {
            let key = self.key(id);
            self.act(Action::ClearTimer { key });
        }
    }

    /// Sets the unit's timer to what it waits for, if it waits for a time.
    fn set_timer(&mut self, id: UnitId) {
        let at = self.unit(id).until;
        if at > 0 {
            let key = self.key(id);
            self.act(Action::SetTimer { key, at });
        }
    }

    fn pause(&mut self, mut reason: String) -> Result<(), Refusal> {
        self.living()?;
        if self.workflow.phase != Phase::Open {
            return Err(Refusal::Ending);
        }
        if !self.workflow.paused {
            cut(&mut reason, limits::MAX_TEXT_BYTES);
            let pending = self.workflow.started_at == 0;
            self.emit(EventKind::Paused(Paused { reason, pending }));
        }
        Ok(())
    }

    fn resume(&mut self) -> Result<(), Refusal> {
        self.living()?;
        if self.workflow.paused {
            let pending = self.workflow.started_at == 0;
            self.emit(EventKind::Resumed(Resumed { pending }));
            self.queue_ready();
        }
        Ok(())
    }
}
