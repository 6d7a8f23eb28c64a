//! What one command leads to: steps of workflows until nothing follows any more, the writes that belong together, and
//! what is done once they are durable.

use std::collections::VecDeque;

use prost::Message;
use workflow_machine::{
    Action, Event, Input, Outcome, Parent, Refusal, Request, Spec, Status, Step, TaskError, Workflow,
    WorkflowId,
};
use workflow_store::{Commit, Write};

use super::{
    command::{EngineError, Then},
    live::Live,
    run::Loop,
    submit::stored_id,
};
use crate::attempt::{Attempt, AttemptId};

/// What one command leads to.
#[derive(Default)]
pub(super) struct Turn {
    pub(super) writes: Vec<Write>,
    pub(super) effects: Vec<Effect>,
    /// Workflows that changed, each once.
    touched: Vec<WorkflowId>,
    /// What follows in other workflows.
    follows: VecDeque<Follow>,
}

/// What is done once the writes are durable, in order, on the committer's thread.
pub(super) enum Effect {
    Answer(Then),
    Publish(WorkflowId, Vec<Event>),
    PublishLog(WorkflowId, u64),
    Run(Box<Attempt>),
    Stop(AttemptId, u64),
    Signal(AttemptId, workflow_machine::SignalKind, bytes::Bytes),
}

enum Follow {
    Tell(WorkflowId, Input),
    StartChild { parent: WorkflowId, task: String, epoch: u64, id: WorkflowId, spec: Box<Spec> },
}

impl Loop {
    /// Tells a live workflow something, and follows up what comes of it.
    pub(super) fn tell(&mut self, turn: &mut Turn, id: &WorkflowId, input: Input) -> Result<bool, Refusal> {
        let now = self.now;
        let Some(live) = self.live.get_mut(id) else { return Ok(false) };
        let step = live.workflow.step(input, now)?;
        let changed = !step.events.is_empty();
        self.follow(turn, id, step);
        Ok(changed)
    }

    /// Takes a workflow in that was just submitted.
    pub(super) fn begin(&mut self, turn: &mut Turn, workflow: Workflow, step: Step) {
        let id = workflow.id().clone();
        let Some(stored) = stored_id(&id) else { return };
        self.live.insert(id.clone(), Live::new(workflow, stored, false));
        self.follow(turn, &id, step);
    }

    /// Has everything done that follows of the commands so far, tasks that get a slot included.
    pub(super) fn settle(&mut self, turn: &mut Turn) {
        loop {
            while let Some(follow) = turn.follows.pop_front() {
                match follow {
                    // Refused where it came too late, which is no one's fault.
                    Follow::Tell(id, input) => drop(self.tell(turn, &id, input)),
                    Follow::StartChild { parent, task, epoch, id, spec } => {
                        self.start_child(turn, &parent, task, epoch, id, *spec);
                    }
                }
            }
            if self.paused {
                return;
            }
            let Some((lane, waiting)) = self.lanes.next(self.now) else { return };
            self.dispatching = Some(lane);
            // Refused if it waits no more: it was cancelled, or was ready twice.
            let _ = self.tell(turn, &waiting.workflow, Input::Dispatch { task: waiting.task });
            self.dispatching = None;
        }
    }

    /// Keeps a step's events and has its actions performed.
    pub(super) fn follow(&mut self, turn: &mut Turn, id: &WorkflowId, step: Step) {
        let Some(live) = self.live.get_mut(id) else { return };
        if !step.events.is_empty() && !std::mem::replace(&mut live.touched, true) {
            turn.touched.push(id.clone());
        }
        for event in &step.events {
            if let Some((lane, failed)) = live.release(event) {
                self.lanes.end(lane, failed);
            }
            let data = event.encode_to_vec().into();
            turn.writes.push(Write::Event { id: live.id.clone(), seq: event.seq, data });
        }
        self.counted.events += step.events.len() as u64;
        if !step.events.is_empty() {
            turn.effects.push(Effect::Publish(id.clone(), step.events));
        }
        for action in step.actions {
            self.perform(turn, id, action);
        }
    }

    /// Performs an action: what concerns only the loop at once, the rest when the events are durable.
    pub(super) fn perform(&mut self, turn: &mut Turn, id: &WorkflowId, action: Action) {
        let now = self.now;
        let Some(live) = self.live.get_mut(id) else { return };
        match action {
            Action::Ready { task, lane, priority, .. } => {
                self.lanes.wait(&lane, priority, id.clone(), task, now);
            }
            Action::Run(run) => {
                // What is made again after a restart got its slot before.
                let lane = self.dispatching.unwrap_or_else(|| self.lanes.of(&run.lane));
                live.hold(run.task.clone(), lane);
                self.lanes.begin(lane, now);
                let spec = live.workflow.spec();
                // Nobody but a worker that pulls gets to see it.
                let metadata = match run.request {
                    Request::Function(_) => {
                        live.workflow.task_spec(&run.task).map(|task| task.metadata.clone())
                    }
                    _ => None,
                };
                turn.effects.push(Effect::Run(Box::new(Attempt {
                    workflow: id.clone(),
                    run: *run,
                    request_id: spec.request_id.clone(),
                    owner: spec.owner.clone(),
                    owner_roles: spec.owner_roles.clone(),
                    now,
                    workflow_name: spec.name.clone(),
                    metadata: metadata.unwrap_or_default(),
                })));
            }
            Action::Stop { task, epoch, grace_ms } => {
                let attempt = AttemptId { workflow: id.clone(), task, epoch };
                turn.effects.push(Effect::Stop(attempt, grace_ms));
            }
            Action::SetTimer { key, at } => {
                let due = self.timers.set(at, id.clone(), key.clone());
                if let Some(before) = live.timers.insert(key, due) {
                    self.timers.clear(before);
                }
            }
            Action::ClearTimer { key } => {
                if let Some(due) = live.timers.remove(&key) {
                    self.timers.clear(due);
                }
            }
            Action::StartChild { task, epoch, id: child, spec } => {
                let parent = id.clone();
                turn.follows.push_back(Follow::StartChild { parent, task, epoch, id: child, spec });
            }
            Action::CancelChild { id: child, force, .. } => {
                let reason = format!("its parent {id} was cancelled");
                turn.follows.push_back(Follow::Tell(child, Input::Cancel { force, reason }));
            }
            Action::Signal { task, epoch, kind, payload } => {
                let attempt = AttemptId { workflow: id.clone(), task, epoch };
                turn.effects.push(Effect::Signal(attempt, kind, payload));
            }
            Action::Finished { .. } => {
                for (_, due) in live.timers.drain() {
                    self.timers.clear(due);
                }
                for lane in live.release_all() {
                    self.lanes.end(lane, false);
                }
                if let Some(parent) = live.workflow.spec().parent.clone() {
                    let (id, input) = finished(*parent, &live.workflow);
                    turn.follows.push_back(Follow::Tell(id, input));
                }
            }
        }
    }

    /// Submits a child, or finds the one that was submitted before a crash.
    fn start_child(
        &mut self,
        turn: &mut Turn,
        parent: &WorkflowId,
        task: String,
        epoch: u64,
        id: WorkflowId,
        spec: Spec,
    ) {
        let failed = |code: &str, why: String| Input::Failed {
            task: task.clone(),
            epoch,
            error: TaskError::permanent(code, why),
        };
        if self.live.contains_key(&id) {
            return;
        }
        let input = match self.load(&id) {
            // It has ended, and the parent did not hear of it.
            Ok(Some(child)) => {
                let outcome = outcome(&child);
                Some(Input::ChildFinished { task, epoch, outcome })
            }
            Ok(None) => match Workflow::submit(id, spec, self.now) {
                Ok((child, step)) => {
                    self.counted.submitted += 1;
                    self.begin(turn, child, step);
                    None
                }
                Err(invalid) => Some(failed("INVALID_ARGUMENT", invalid.to_string())),
            },
            Err(error) => Some(failed("UNAVAILABLE", error.to_string())),
        };
        if let Some(input) = input {
            let _ = self.tell(turn, parent, input);
        }
    }

    /// Hands the turn over to the committer. What it leads to is done in the order of the turns.
    pub(super) fn commit(&mut self, mut turn: Turn) {
        if turn.touched.is_empty() && turn.writes.is_empty() && turn.effects.is_empty() {
            return;
        }
        self.commits += 1;
        let number = self.commits;
        // Before its events: the store takes none of a workflow that it does not know.
        let mut summaries = Vec::with_capacity(turn.touched.len());
        for id in &turn.touched {
            let Some(live) = self.live.get_mut(id) else { continue };
            live.commit = number;
            live.touched = false;
            let summary = live.summary(self.now);
            let created = std::mem::replace(&mut live.created, true);
            summaries.push(if created { Write::Update(summary) } else { Write::Create(summary) });
            if live.workflow.status().is_terminal() {
                self.ended.push_back((number, id.clone()));
            }
        }
        summaries.append(&mut turn.writes);
        let (hub, executor) = (self.hub.clone(), self.executor.clone());
        let (durable, shared) = (self.durable.clone(), self.shared.clone());
        let effects = turn.effects;
        let submitted = self.committer.submit(Commit::new(summaries), move |outcome| {
            let outcome = match outcome {
                Ok(()) => Ok(()),
                Err(error) => {
                    if shared.fail() {
                        tracing::error!(error = %switchboard_transport::chain(&*error), "the store failed: nothing is taken until a restart");
                    }
                    Err(EngineError::Failed)
                }
            };
            durable.store(number, std::sync::atomic::Ordering::Release);
            for effect in effects {
                match (effect, &outcome) {
                    (Effect::Answer(then), outcome) => then(outcome.clone()),
                    // Nothing is shown or begun that may not be there after a restart.
                    (_, Err(_)) => {}
                    (Effect::Publish(id, events), Ok(())) => hub.publish(&id, events),
                    (Effect::PublishLog(id, line), Ok(())) => hub.publish_log(&id, line),
                    (Effect::Run(attempt), Ok(())) => executor.run(*attempt),
                    (Effect::Stop(attempt, grace_ms), Ok(())) => executor.stop(&attempt, grace_ms),
                    (Effect::Signal(attempt, kind, payload), Ok(())) => executor.signal(&attempt, kind, payload),
                }
            }
        });
        if submitted.is_err() {
            self.shared.fail();
        }
    }
}

/// What a parent is told of its child's end.
fn finished(parent: Parent, child: &Workflow) -> (WorkflowId, Input) {
    let outcome = outcome(child);
    let input = Input::ChildFinished { task: parent.task, epoch: parent.epoch, outcome };
    (WorkflowId::from(parent.workflow), input)
}

fn outcome(child: &Workflow) -> Outcome {
    child.outcome().unwrap_or(Outcome {
        status: Status::Cancelled,
        result: bytes::Bytes::new(),
        error: Some(TaskError::permanent("CHILD_FAILED", "the child has not ended")),
    })
}
