//! One workflow: what the engine keeps in memory while it lives.

use bytes::Bytes;

use crate::{
    Action, Corrupt, Event, Input, Invalid, Millis, Outcome, Refusal, SagaState, Spec, Status, TaskDetail,
    TaskError, Violation, WorkflowDetail, WorkflowId,
};

/// What follows from an input.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// What was decided; to be kept in one atomic write.
    pub events: Vec<Event>,
    /// What has to be done once the events are durable, in order.
    pub actions: Vec<Action>,
}

/// One workflow, from its submission on.
#[derive(Clone, Debug, PartialEq)]
pub struct Workflow {
    id: WorkflowId,
    spec: Spec,
}

/// A task, or an item of one, as others see it.
#[derive(Clone, Copy, Debug)]
pub struct TaskView<'a> {
    /// Its state.
    pub detail: TaskDetail,
    /// When it first started in this run.
    pub started_at: Option<Millis>,
    /// When it was over.
    pub finished_at: Option<Millis>,
    /// Attempts begun in this run.
    pub attempt: u32,
    /// The attempt that counts; 0 before the first one.
    pub epoch: u64,
    /// 0 to 100, as the attempt says.
    pub percent: u32,
    /// What the attempt said last.
    pub message: &'a str,
    /// Why it failed, or why the last attempt did.
    pub error: Option<&'a TaskError>,
    /// What it answered; empty if it is not COMPLETED.
    pub result: &'a Bytes,
    /// The child workflow of the attempt that counts.
    pub child: Option<&'a str>,
    /// Number of items, if the task has any.
    pub items: Option<usize>,
}

impl Workflow {
    /// Makes a workflow of a specification.
    ///
    /// # Errors
    /// Everything that is wrong with the specification.
    pub fn submit(id: WorkflowId, spec: Spec, now: Millis) -> Result<(Self, Step), Invalid> {
        let _ = (id, spec, now);
        Err(Invalid {
            violations: vec![Violation { field: String::new(), reason: "not there yet".to_owned() }],
        })
    }

    /// Takes an input, and says what follows from it.
    ///
    /// # Errors
    /// Why the input is not taken; the workflow is as it was.
    pub fn step(&mut self, input: Input, now: Millis) -> Result<Step, Refusal> {
        let _ = (input, now);
        Err(Refusal::Ending)
    }

    /// Reads a workflow from its history.
    ///
    /// # Errors
    /// The first event that does not fit.
    pub fn replay<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<Self, Corrupt> {
        let _ = events;
        Err(Corrupt { seq: 0, reason: "not there yet".to_owned() })
    }

    /// Everything that is still to be done, attempts that had started included.
    pub fn outstanding(&self) -> Vec<Action> {
        Vec::new()
    }

    /// Its identifier.
    pub fn id(&self) -> &WorkflowId {
        &self.id
    }

    /// What it is to do.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Its state on the wire.
    pub fn status(&self) -> Status {
        Status::Pending
    }

    /// What it is doing.
    pub fn detail(&self) -> WorkflowDetail {
        WorkflowDetail::Pending
    }

    /// How far it is, in the words of sagas.
    pub fn saga_state(&self) -> SagaState {
        SagaState::Created
    }

    /// Sequence of its last event.
    pub fn last_seq(&self) -> u64 {
        0
    }

    /// When it was submitted.
    pub fn created_at(&self) -> Millis {
        0
    }

    /// When its last event was.
    pub fn updated_at(&self) -> Millis {
        0
    }

    /// When the first task of this run started.
    pub fn started_at(&self) -> Option<Millis> {
        None
    }

    /// When it ended.
    pub fn finished_at(&self) -> Option<Millis> {
        None
    }

    /// 1, and one more for every time it was reopened by a retry.
    pub fn run(&self) -> u32 {
        1
    }

    /// Why it fails or failed.
    pub fn error(&self) -> Option<&TaskError> {
        None
    }

    /// How it ended; nothing while it lives. The result is that of the one task on which no other depends, or an object
    /// of the results of such tasks by identifier.
    pub fn outcome(&self) -> Option<Outcome> {
        None
    }

    /// The tasks, in the order of the specification.
    pub fn tasks(&self) -> impl Iterator<Item = (&str, TaskView<'_>)> {
        std::iter::empty()
    }

    /// A task, or an item of one (`task[3]`).
    pub fn task(&self, task: &str) -> Option<TaskView<'_>> {
        let _ = task;
        None
    }
}
