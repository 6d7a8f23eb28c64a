//! What is still to be done for a workflow that was read from its history.

use crate::{
    Action, FailurePolicy, TimerKey, Work, Workflow,
    limits::STOP_GRACE_MS,
    request,
    step::{child_of, child_spec, ready, run},
    unit::{State, Undo, Unit, UnitId},
    workflow::Phase,
};

impl Workflow {
    /// Everything that is still to be done, attempts that had started included, in no particular order.
    ///
    /// `Run` and `StartChild` name attempts and children that may be under way, or over: whoever performs them has to
    /// expect that. A `Stop` is for an attempt that may run somewhere; if it is known that it does not, report
    /// [`Input::LeaseExpired`](crate::Input::LeaseExpired), otherwise it is given up at its time.
    pub fn outstanding(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.phase.is_terminal() {
            return actions;
        }
        if self.deadline > 0 && self.phase == Phase::Open {
            actions.push(Action::SetTimer { key: TimerKey::Workflow, at: self.deadline });
        }
        if self.grace_until > 0 && self.active > 0 {
            actions.push(Action::SetTimer { key: TimerKey::Grace, at: self.grace_until });
        }
        for (unit, task) in self.units.iter().zip(0..) {
            self.outstanding_of(UnitId::task(task), unit, &mut actions);
            for (item, number) in unit.items().into_iter().flat_map(|items| items.units.iter().zip(0..)) {
                self.outstanding_of(UnitId::of(task, number), item, &mut actions);
            }
        }
        actions
    }

    fn outstanding_of(&self, id: UnitId, unit: &Unit, actions: &mut Vec<Action>) {
        let task = self.plan.task(id.task);
        let timer = |actions: &mut Vec<Action>| {
            if unit.until > 0 {
                let key = TimerKey::Task { task: self.name(id), epoch: unit.epoch };
                actions.push(Action::SetTimer { key, at: unit.until });
            }
        };
        match (unit.undo, unit.state) {
            (Undo::Ready, _) => actions.push(ready(self, id, true)),
            (Undo::Running, _) => {
                timer(actions);
                let work = task.compensate.as_ref().and_then(|compensate| compensate.work.as_ref());
                self.outstanding_run(id, work, true, actions);
            }
            (Undo::Retrying, _) | (Undo::Not, State::Retrying) => timer(actions),
            // A task with items is looked at by itself; it is not ready once it has them.
            (Undo::Not, State::Ready) if !self.paused && self.phase == Phase::Open => {
                actions.push(ready(self, id, false));
            }
            (Undo::Not, State::Running) => {
                timer(actions);
                let stops = unit.interrupted || self.phase != Phase::Open && self.grace_until > 0;
                if stops {
                    let grace_ms = if unit.interrupted { unit.until } else { self.grace_until };
                    let grace_ms = grace_ms.saturating_sub(self.updated_at).clamp(1, STOP_GRACE_MS);
                    actions.push(Action::Stop { task: self.name(id), epoch: unit.epoch, grace_ms });
                } else {
                    self.outstanding_run(id, task.work.as_ref(), false, actions);
                }
            }
            (Undo::Not, State::Waiting) => {
                timer(actions);
                let (Some(Work::Child(child)), Some(child_id)) = (&task.work, child_of(self, id)) else {
                    return;
                };
                let name = self.name(id);
                if let Ok(mut spec) = child_spec(self, id, child) {
                    spec.parent = Some(Box::new(self.parent_of(id, unit)));
                    let (task, id) = (name.clone(), child_id.clone());
                    actions.push(Action::StartChild { task, epoch: unit.epoch, id, spec });
                }
                if self.phase != Phase::Open && self.grace_until > 0 || self.is_cut(id) {
                    actions.push(Action::CancelChild { task: name, id: child_id, force: false });
                }
            }
            _ => {}
        }
    }

    /// Whether the unit is an item that was asked to stop because another one failed.
    fn is_cut(&self, id: UnitId) -> bool {
        let stops = self.plan.spec.failure_policy() == FailurePolicy::FailFastCancel;
        let task = self.unit(UnitId::task(id.task)).and_then(Unit::items);
        stops && id.item().is_some() && task.is_some_and(|items| items.failed.is_some())
    }

    fn parent_of(&self, id: UnitId, unit: &Unit) -> crate::Parent {
        crate::Parent { workflow: self.id.to_string(), task: self.name(id), epoch: unit.epoch }
    }

    fn outstanding_run(&self, id: UnitId, work: Option<&Work>, undo: bool, actions: &mut Vec<Action>) {
        match request::of_work(self, id, work, undo) {
            Ok(Some(request)) => actions.push(Action::Run(run(self, id, request, undo))),
            // It was resolved once; only other rules can be why it is not now. The attempt counts as lost.
            _ => {
                let epoch = self.unit(id).map_or(0, |unit| unit.epoch);
                actions.push(Action::Stop { task: self.name(id), epoch, grace_ms: 0 });
            }
        }
    }
}
