//! What tests drive workflows with: every step is checked against a replay of the history.

#![allow(dead_code, reason = "each test binary uses a part")]

use bytes::Bytes;
use workflow_machine::{
    Action, Call, Event, Input, Millis, Refusal, Run, Spec, Status, Step, TaskDetail, TaskError, TaskSpec,
    TimerKey, Work, Workflow,
};

/// The time at which workflows are submitted.
pub(crate) const START: Millis = 1_700_000_000_000;

/// A workflow of tasks.
pub(crate) fn spec(tasks: impl IntoIterator<Item = TaskSpec>) -> Spec {
    Spec { name: "test".to_owned(), tasks: tasks.into_iter().collect(), ..Spec::default() }
}

/// A task that calls a worker.
pub(crate) fn call(id: &str, dependencies: &[&str]) -> TaskSpec {
    let work = Work::Call(Call { target: "worker".to_owned(), ..Call::default() });
    task(id, dependencies, work)
}

/// A task that calls a worker with an input.
pub(crate) fn ask(id: &str, dependencies: &[&str], input: &'static str) -> TaskSpec {
    let work = Work::Call(Call { target: "worker".to_owned(), input: Bytes::from(input), ..Call::default() });
    task(id, dependencies, work)
}

/// A task.
pub(crate) fn task(id: &str, dependencies: &[&str], work: impl Into<Option<Work>>) -> TaskSpec {
    TaskSpec {
        id: id.to_owned(),
        dependencies: dependencies.iter().map(|&id| id.to_owned()).collect(),
        work: work.into(),
        ..TaskSpec::default()
    }
}

/// A workflow in somebody's hands.
pub(crate) struct Driver {
    pub(crate) workflow: Workflow,
    pub(crate) now: Millis,
    pub(crate) history: Vec<Event>,
    /// Actions of the last step.
    pub(crate) actions: Vec<Action>,
}

impl Driver {
    pub(crate) fn submit(spec: Spec) -> Self {
        let (workflow, step) = Workflow::submit("wf".into(), spec, START).unwrap();
        let mut driver = Self { workflow, now: START, history: Vec::new(), actions: Vec::new() };
        driver.keep(step);
        driver
    }

    /// Takes a step that must be taken.
    pub(crate) fn step(&mut self, input: Input) -> Vec<Action> {
        self.try_step(input.clone()).unwrap_or_else(|refusal| panic!("{input:?} was refused: {refusal}"))
    }

    /// Takes a step, which changes nothing if it is refused.
    pub(crate) fn try_step(&mut self, input: Input) -> Result<Vec<Action>, Refusal> {
        let before = self.workflow.clone();
        match self.workflow.step(input, self.now) {
            Ok(step) => {
                self.keep(step);
                Ok(self.actions.clone())
            }
            Err(refusal) => {
                assert_eq!(self.workflow, before, "a refusal changed the workflow");
                Err(refusal)
            }
        }
    }

    fn keep(&mut self, step: Step) {
        self.history.extend(step.events);
        self.actions = step.actions;
        assert_eq!(Workflow::replay(&self.history).unwrap(), self.workflow, "replay differs");
    }

    /// Gives a task its slot; what is to be run.
    pub(crate) fn dispatch(&mut self, task: &str) -> Run {
        let actions = self.step(Input::Dispatch { task: task.to_owned() });
        let run = actions.into_iter().find_map(|action| match action {
            Action::Run(run) => Some(*run),
            _ => None,
        });
        run.unwrap_or_else(|| panic!("{task} did not start: {:?}", self.workflow.task(task)))
    }

    /// Completes the running attempt of a task.
    pub(crate) fn complete(&mut self, task: &str, result: &str) -> Vec<Action> {
        let epoch = self.epoch(task);
        let result = Bytes::copy_from_slice(result.as_bytes());
        self.step(Input::Completed { task: task.to_owned(), epoch, result })
    }

    /// Dispatches and completes a task.
    pub(crate) fn run(&mut self, task: &str, result: &str) -> Vec<Action> {
        self.dispatch(task);
        self.complete(task, result)
    }

    /// Fails the running attempt of a task.
    pub(crate) fn fail(&mut self, task: &str, error: TaskError) -> Vec<Action> {
        let epoch = self.epoch(task);
        self.step(Input::Failed { task: task.to_owned(), epoch, error })
    }

    /// Lets the timer of a task's attempt fire, at its time.
    pub(crate) fn fire(&mut self, task: &str) -> Vec<Action> {
        let view = self.workflow.task(task).unwrap();
        self.now = self.now.max(view.until.unwrap());
        let key = TimerKey::Task { task: task.to_owned(), epoch: view.epoch };
        self.step(Input::Timer { key })
    }

    pub(crate) fn epoch(&self, task: &str) -> u64 {
        self.workflow.task(task).unwrap().epoch
    }

    pub(crate) fn detail(&self, task: &str) -> TaskDetail {
        self.workflow.task(task).unwrap_or_else(|| panic!("there is no task {task}")).detail
    }

    pub(crate) fn status(&self) -> Status {
        self.workflow.status()
    }

    pub(crate) fn result(&self, task: &str) -> String {
        String::from_utf8(self.workflow.task(task).unwrap().result.to_vec()).unwrap()
    }

    /// The tasks that the last step announced.
    pub(crate) fn announced(&self) -> Vec<String> {
        ready(&self.actions)
    }

    /// What one would do after a crash: the same workflow from its history, and what is outstanding.
    pub(crate) fn crash(&mut self) -> Vec<Action> {
        self.workflow = Workflow::replay(&self.history).unwrap();
        self.workflow.outstanding()
    }
}

/// The tasks that actions announce.
pub(crate) fn ready(actions: &[Action]) -> Vec<String> {
    let task = |action: &Action| match action {
        Action::Ready { task, .. } => Some(task.clone()),
        _ => None,
    };
    actions.iter().filter_map(task).collect()
}

/// An error that another attempt may help against.
pub(crate) fn transient() -> TaskError {
    TaskError::retryable("UNAVAILABLE", "try again")
}

/// An error for good.
pub(crate) fn permanent() -> TaskError {
    TaskError::permanent("BROKEN", "for good")
}

/// Whether an action ends the workflow.
pub(crate) fn finished(actions: &[Action]) -> Option<Status> {
    actions.iter().find_map(|action| match action {
        Action::Finished { status } => Some(*status),
        _ => None,
    })
}
