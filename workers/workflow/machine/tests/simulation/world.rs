//! A world that misbehaves, and one that does not any more.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use workflow_machine::{
    Action, Event, EventKind, Input, Millis, Outcome, SignalKind, Status, Step, TaskDetail, TaskError,
    TimerKey, Work, Workflow, WorkflowDetail,
};

use crate::{checker::Checker, random::Random, specs};

/// How often what was seen, over all schedules: a simulation that never meets a case proves nothing about it.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    events: BTreeMap<&'static str, u64>,
    refusals: u64,
    crashes: u64,
}

impl Seen {
    /// Fails if a kind of event never happened.
    pub(crate) fn everything(&self) {
        const KINDS: usize = 28;
        assert_eq!(self.events.len(), KINDS, "kinds of events that were seen: {:?}", self.events.keys());
        for (kind, count) in &self.events {
            assert!(*count >= 10, "{kind} was seen {count} times only");
        }
        assert!(self.refusals > 1_000 && self.crashes > 1_000);
    }
}

struct World<'a> {
    random: Random,
    now: Millis,
    workflow: Workflow,
    history: Vec<Event>,
    checker: Checker,
    ready: Vec<String>,
    running: Vec<(String, u64)>,
    children: Vec<(String, u64)>,
    timers: BTreeMap<TimerKey, Millis>,
    /// Attempts and children that were begun, and neither answered nor told to stop.
    owed: BTreeSet<(String, u64)>,
    /// Keys of attempts, and keys whose work was done.
    keys: BTreeMap<(String, u64), String>,
    done: BTreeSet<String>,
    /// Reports that were made: they come again.
    old: Vec<Input>,
    /// Whether people leave it alone: long lives are seen only then.
    calm: bool,
    /// What watchers know.
    told: Option<(Status, WorkflowDetail)>,
    told_of: BTreeMap<String, TaskDetail>,
    seen: &'a mut Seen,
}

/// Runs the schedule of a seed.
pub(crate) fn run(seed: u64, seen: &mut Seen) {
    let mut random = Random::new(seed);
    let spec = specs::spec(&mut random);
    let now = 1_700_000_000_000;
    let (workflow, step) = Workflow::submit("wf".into(), spec.clone(), now).unwrap();
    let calm = random.one_in(2);
    let mut world = World {
        random,
        calm,
        now,
        workflow,
        history: Vec::new(),
        checker: Checker::new(spec),
        ready: Vec::new(),
        running: Vec::new(),
        children: Vec::new(),
        timers: BTreeMap::new(),
        owed: BTreeSet::new(),
        keys: BTreeMap::new(),
        done: BTreeSet::new(),
        old: Vec::new(),
        told: None,
        told_of: BTreeMap::new(),
        seen,
    };
    world.keep(step);
    for _ in 0..world.random.below(120) {
        world.misbehave();
    }
    world.behave();
    world.replay();
}

impl World<'_> {
    fn step(&mut self, input: Input) -> bool {
        let before = self.workflow.clone();
        match self.workflow.step(input.clone(), self.now) {
            Ok(step) => {
                if let Input::Completed { task, epoch, .. }
                | Input::Failed { task, epoch, .. }
                | Input::LeaseExpired { task, epoch }
                | Input::ChildFinished { task, epoch, .. } = &input
                {
                    self.owed.remove(&(task.clone(), *epoch));
                }
                if let Input::Completed { task, epoch, .. } = &input {
                    self.done.insert(self.keys[&(task.clone(), *epoch)].clone());
                }
                if let Input::Timer { key } = &input {
                    // It fired for what was waited for.
                    self.timers.remove(key);
                }
                self.keep(step);
                true
            }
            Err(_) => {
                self.seen.refusals += 1;
                assert_eq!(before, self.workflow, "a refusal changed the state: {input:?}");
                false
            }
        }
    }

    fn keep(&mut self, step: Step) {
        let events = step.events.len();
        for event in &step.events {
            self.checker.event(event);
            *self.seen.events.entry(name(event)).or_default() += 1;
            let bytes = event.encode_to_vec();
            assert_eq!(Event::decode(&bytes[..]).unwrap(), *event, "the encoding loses something");
        }
        for event in &step.events {
            if let Some(change) = event.workflow_change() {
                self.told = Some(change);
            }
            if let Some((task, detail)) = event.task_change() {
                self.told_of.insert(task.to_owned(), detail);
            }
            if let Some(EventKind::Reopened(_)) = event.kind {
                self.told_of.clear();
            }
        }
        let is = (self.workflow.status(), self.workflow.detail());
        // A cancel lets compensations go on.
        let goes_on = matches!(is.1, WorkflowDetail::Compensating);
        assert!(self.told == Some(is) || goes_on, "watchers were told {:?}, and it is {is:?}", self.told);
        for (task, told) in &self.told_of {
            let is = self.workflow.task(task).unwrap().detail;
            let unsaid = matches!(
                (told, is),
                (TaskDetail::Completed | TaskDetail::CompensationFailed, TaskDetail::Compensating)
            );
            // Somebody forced the end of a compensation: what it was at is done as before.
            let given_up = matches!(told, TaskDetail::Compensating | TaskDetail::CompensationFailed)
                && is == TaskDetail::Completed;
            assert!(*told == is || unsaid || given_up, "watchers of {task} were told {told}, and it is {is}");
        }
        self.history.extend(step.events);
        self.checker.state(&self.workflow);
        let ends = |event: &&Event| name(event).starts_with("Workflow") && !name(event).ends_with("ing");
        let ends = self.history[self.history.len() - events..].iter().filter(ends);
        let ends = ends.filter(|event| name(event) != "WorkflowStarted").count();
        let finished = step.actions.iter().filter(|action| matches!(action, Action::Finished { .. })).count();
        assert_eq!(
            (finished, finished > 0),
            (ends, self.checker.has_ended() && events > 0),
            "an end is announced"
        );
        if self.random.one_in(4) {
            self.replay();
        }
        for action in step.actions {
            self.perform(action, false);
        }
    }

    fn replay(&mut self) {
        assert_eq!(Workflow::replay(&self.history).unwrap(), self.workflow, "replay differs");
    }

    fn perform(&mut self, action: Action, again: bool) {
        match action {
            Action::Ready { task, .. } => self.ready.push(task),
            Action::Run(run) => {
                let key = (run.task, run.epoch);
                assert!(
                    again || !self.done.contains(&run.idempotency_key),
                    "{} is done",
                    run.idempotency_key
                );
                self.keys.insert(key.clone(), run.idempotency_key);
                assert!(again || !self.running.contains(&key), "{key:?} runs twice");
                self.owed.insert(key.clone());
                self.running.push(key);
            }
            Action::Stop { task, epoch, grace_ms } => {
                self.owed.remove(&(task.clone(), epoch));
                if grace_ms == 0 && self.random.one_in(2) {
                    self.running.retain(|key| *key != (task.clone(), epoch));
                }
            }
            Action::SetTimer { key, at } => {
                self.timers.insert(key, at);
            }
            Action::ClearTimer { key } => {
                self.timers.remove(&key);
            }
            Action::StartChild { task, epoch, .. } => {
                self.owed.insert((task.clone(), epoch));
                self.children.push((task, epoch));
            }
            Action::CancelChild { task, id, .. } => {
                let epoch = id.as_str().rsplit('~').next().unwrap().parse().unwrap();
                self.owed.remove(&(task, epoch));
            }
            Action::Finished { .. } => {
                assert!(self.timers.is_empty(), "timers are left: {:?}", self.timers);
                assert!(self.owed.is_empty(), "nobody told {:?} to stop", self.owed);
            }
            Action::Signal { .. } => {}
        }
    }

    /// The process dies: what it had not written down is gone.
    fn crash(&mut self) {
        self.seen.crashes += 1;
        self.ready.clear();
        self.running.clear();
        self.children.clear();
        self.timers.clear();
        self.owed.clear();
        self.replay();
        self.workflow = Workflow::replay(&self.history).unwrap();
        let outstanding = self.workflow.outstanding();
        for action in &outstanding {
            self.perform(action.clone(), true);
        }
        for action in outstanding {
            // Nobody runs it any more: that can be said, or the time be waited for.
            if let Action::Stop { task, epoch, .. } = action
                && self.random.one_in(2)
            {
                self.step(Input::LeaseExpired { task, epoch });
            }
        }
    }

    fn report(&mut self, task: &str, epoch: u64) -> Input {
        let task = task.to_owned();
        match self.random.below(12) {
            0 | 1 => Input::Failed { task, epoch, error: TaskError::retryable("UNAVAILABLE", "again") },
            2 if self.random.one_in(2) => {
                Input::Failed { task, epoch, error: TaskError::permanent("BROKEN", "no") }
            }
            3 if self.random.one_in(2) => {
                Input::Failed { task, epoch, error: TaskError::retryable("INVALID", "no") }
            }
            4 => Input::LeaseExpired { task, epoch },
            5 => Input::Progress {
                task,
                epoch,
                percent: self.random.below(120) as u32,
                message: "on it".to_owned(),
            },
            _ => Input::Completed { task, epoch, result: r#"{"list":[1,2],"x":"y"}"#.into() },
        }
    }

    fn child_report(&mut self, task: &str, epoch: u64) -> Input {
        let status = match self.random.below(4) {
            0 => Status::Failed,
            1 => Status::Cancelled,
            _ => Status::Completed,
        };
        let outcome = Outcome { status, result: "\"child\"".into(), error: None };
        Input::ChildFinished { task: task.to_owned(), epoch, outcome }
    }

    fn misbehave(&mut self) {
        self.now += self.random.below(1_500);
        match self.random.below(if self.calm { 85 } else { 100 }) {
            0..25 => self.dispatch_one(),
            25..50 => {
                if let Some((task, epoch)) = self.random.pick(&self.running).cloned() {
                    let report = self.report(&task, epoch);
                    self.old.push(report.clone());
                    self.step(report);
                }
            }
            50..56 => {
                if let Some(old) = self.random.pick(&self.old).cloned() {
                    self.step(old);
                }
            }
            56..66 => {
                if let Some(key) = self.random.pick(&self.timers.keys().cloned().collect::<Vec<_>>()).cloned()
                {
                    self.fire(&key);
                }
            }
            66..71 => {
                if let Some((task, epoch)) = self.random.pick(&self.children).cloned() {
                    let report = self.child_report(&task, epoch);
                    self.old.push(report.clone());
                    self.step(report);
                }
            }
            71..76 => {
                let name = format!("s{}", self.random.below(3));
                self.step(Input::Signal { name, payload: "{\"list\":[7]}".into() });
            }
            76..82 => self.crash(),
            82..85 => {
                let task = self.any_task();
                let kind = [SignalKind::Steer, SignalKind::Interrupt, SignalKind::Collect]
                    [self.random.below(3) as usize];
                let graceful = self.random.one_in(2);
                let payload = "null".into();
                self.step(Input::SignalTask { task, kind, payload, graceful, timeout_ms: 500 });
            }
            85..88 => {
                self.step(Input::Pause { reason: "because".to_owned() });
            }
            88..92 => {
                self.step(Input::Resume);
            }
            92..94 => {
                let force = self.random.one_in(2);
                self.step(Input::Cancel { force, reason: "enough".to_owned() });
            }
            94..97 => {
                let from = self.random.one_in(2).then(|| self.any_task());
                self.step(Input::Retry { from, reason: "once more".to_owned() });
            }
            97..99 => {
                self.step(Input::Compensate { reason: "undo".to_owned() });
            }
            _ => {
                let task = self.any_task();
                let epoch = self.random.below(4);
                let report = self.report(&task, epoch);
                // From nowhere: counts only if it names the current attempt by chance.
                if !self.running.contains(&(task, epoch)) {
                    self.step(report);
                }
            }
        }
    }

    fn any_task(&mut self) -> String {
        let tasks: Vec<String> = self.workflow.tasks().map(|(id, _)| id.to_owned()).collect();
        let task = self.random.pick(&tasks).cloned().unwrap();
        if self.random.one_in(4) { format!("{task}[{}]", self.random.below(3)) } else { task }
    }

    fn dispatch_one(&mut self) {
        if !self.ready.is_empty() {
            let place = self.random.below(self.ready.len() as u64) as usize;
            let task = self.ready.swap_remove(place);
            self.step(Input::Dispatch { task });
        }
    }

    fn fire(&mut self, key: &TimerKey) {
        let Some(at) = self.timers.get(key).copied() else { return };
        if !self.random.one_in(8) {
            self.now = self.now.max(at);
        }
        if self.step(Input::Timer { key: key.clone() })
            && !self.random.one_in(4)
            && self.timers.get(key) == Some(&at)
        {
            self.timers.remove(key);
        }
    }

    /// Everybody does what they should: the workflow has to end.
    fn behave(&mut self) {
        for _ in 0..5_000 {
            if self.workflow.status().is_terminal() {
                return;
            }
            if self.workflow.is_paused() {
                self.step(Input::Resume);
            } else if !self.ready.is_empty() {
                self.dispatch_one();
            } else if let Some((task, epoch)) = self.running.pop() {
                self.step(Input::Completed { task, epoch, result: "{\"list\":[1]}".into() });
            } else if let Some((task, epoch)) = self.children.pop() {
                let outcome = Outcome { status: Status::Completed, result: "1".into(), error: None };
                self.step(Input::ChildFinished { task, epoch, outcome });
            } else if let Some(name) = self.awaited() {
                self.step(Input::Signal { name, payload: "1".into() });
            } else if let Some((key, at)) = self.timers.iter().min_by_key(|(_, at)| **at) {
                let (key, at) = (key.clone(), *at);
                self.now = self.now.max(at);
                self.timers.remove(&key);
                self.step(Input::Timer { key });
            } else if !self.step(Input::Compensate { reason: "at last".to_owned() }) {
                break;
            }
        }
        panic!("the workflow does not end: {:#?}", self.workflow);
    }

    /// The name of a signal that a task waits for.
    fn awaited(&self) -> Option<String> {
        let waits = |id: &str| {
            let items = self.workflow.items(id).any(|item| item.detail == TaskDetail::Waiting);
            items || self.workflow.task(id).unwrap().detail == TaskDetail::Waiting
        };
        self.workflow.spec().tasks.iter().find_map(|task| match &task.work {
            Some(Work::WaitSignal(wait)) if waits(&task.id) => Some(wait.name.clone()),
            _ => None,
        })
    }
}

/// The name of an event's kind.
fn name(event: &Event) -> &'static str {
    use workflow_machine::EventKind as Kind;
    match event.kind.as_ref().unwrap() {
        Kind::Submitted(_) => "Submitted",
        Kind::WorkflowStarted(_) => "WorkflowStarted",
        Kind::TaskStarted(_) => "TaskStarted",
        Kind::TaskCompleted(_) => "TaskCompleted",
        Kind::TaskRetrying(_) => "TaskRetrying",
        Kind::TaskScheduled(_) => "TaskScheduled",
        Kind::TaskLost(_) => "TaskLost",
        Kind::TaskFailed(_) => "TaskFailed",
        Kind::TaskSkipped(_) => "TaskSkipped",
        Kind::TaskCancelled(_) => "TaskCancelled",
        Kind::TaskExpanded(_) => "TaskExpanded",
        Kind::TaskProgressed(_) => "TaskProgressed",
        Kind::TaskSignalled(_) => "TaskSignalled",
        Kind::SignalReceived(_) => "SignalReceived",
        Kind::Paused(_) => "Paused",
        Kind::Resumed(_) => "Resumed",
        Kind::CancelRequested(_) => "CancelRequested",
        Kind::WorkflowFailing(_) => "WorkflowFailing",
        Kind::CompensationAwaited(_) => "CompensationAwaited",
        Kind::CompensationStarted(_) => "CompensationStarted",
        Kind::TaskCompensating(_) => "TaskCompensating",
        Kind::TaskCompensationRetrying(_) => "TaskCompensationRetrying",
        Kind::TaskCompensated(_) => "TaskCompensated",
        Kind::TaskCompensationFailed(_) => "TaskCompensationFailed",
        Kind::WorkflowCompleted(_) => "WorkflowCompleted",
        Kind::WorkflowFailed(_) => "WorkflowFailed",
        Kind::WorkflowCancelled(_) => "WorkflowCancelled",
        Kind::Reopened(_) => "Reopened",
    }
}
