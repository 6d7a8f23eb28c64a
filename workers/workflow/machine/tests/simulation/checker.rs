//! The promises, held against every event.

use std::collections::{HashMap, HashSet};

use workflow_machine::{Event, EventKind, Spec, Workflow};

/// What the events so far say.
pub(crate) struct Checker {
    spec: Spec,
    seq: u64,
    at: u64,
    ended: bool,
    /// Whether it waits for somebody to ask for compensation.
    awaits: bool,
    cancelled: bool,
    /// Highest epoch that started, by task.
    epochs: HashMap<String, u64>,
    /// Attempts that ended, by task and epoch.
    settled: HashSet<(String, u64)>,
    /// Tasks (not items) on which others may build.
    satisfied: HashSet<String>,
    /// Tasks and items that are over.
    over: HashSet<String>,
    /// Attempts that run or wait.
    running: HashSet<String>,
    /// Completed tasks and items with a compensation, in order.
    done: Vec<String>,
}

impl Checker {
    pub(crate) fn new(spec: Spec) -> Self {
        Self {
            spec,
            seq: 0,
            at: 0,
            ended: false,
            awaits: false,
            cancelled: false,
            epochs: HashMap::new(),
            settled: HashSet::new(),
            satisfied: HashSet::new(),
            over: HashSet::new(),
            running: HashSet::new(),
            done: Vec::new(),
        }
    }

    /// Whether the workflow has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn event(&mut self, event: &Event) {
        assert_eq!(event.seq, self.seq + 1, "sequences have no gaps");
        assert!(event.at >= self.at, "time does not go back");
        (self.seq, self.at) = (event.seq, event.at);
        let kind = event.kind.as_ref().unwrap();
        let reopens = match kind {
            EventKind::Reopened(_) => !self.awaits,
            EventKind::CompensationStarted(started) => started.reopened,
            _ => false,
        };
        assert_eq!(self.ended, reopens, "nothing follows an end unless somebody asked for it: {event:?}");
        if let Some(task) = event.task()
            && !matches!(
                kind,
                EventKind::TaskCompensating(_)
                    | EventKind::TaskCompensated(_)
                    | EventKind::TaskCompensationRetrying(_)
                    | EventKind::TaskCompensationFailed(_)
                    | EventKind::TaskScheduled(_)
                    | EventKind::TaskProgressed(_)
            )
        {
            assert!(!self.over.contains(task), "what is over stays over: {event:?}");
        }
        match kind {
            EventKind::TaskStarted(started) => {
                assert!(!self.cancelled, "nothing starts after a cancel: {event:?}");
                self.starts(&started.task, started.epoch);
                let task = self.spec_of(&started.task);
                let attempts = task.retry.as_ref().map_or(1, |retry| retry.max_attempts.max(1));
                assert!(started.attempt >= 1 && started.attempt <= attempts, "too many attempts: {event:?}");
                for dependency in &task.dependencies {
                    assert!(self.satisfied.contains(dependency), "started before {dependency}: {event:?}");
                }
                self.running.insert(started.task.clone());
            }
            EventKind::TaskCompleted(completed) => {
                self.settles(&completed.task, completed.epoch);
                let has_items = completed.epoch == 0;
                if self.spec_of(&completed.task).compensate.is_some() && !has_items {
                    self.done.push(completed.task.clone());
                }
                self.ends(&completed.task, true);
            }
            EventKind::TaskRetrying(retrying) => self.settles(&retrying.task, retrying.epoch),
            EventKind::TaskLost(lost) => self.settles(&lost.task, lost.epoch),
            EventKind::TaskFailed(failed) => self.ends(&failed.task, false),
            EventKind::TaskSkipped(skipped) => self.ends(&skipped.task, skipped.reason == 0),
            EventKind::TaskCancelled(cancelled) => self.ends(&cancelled.task, false),
            EventKind::CancelRequested(_) => self.cancelled = true,
            EventKind::TaskCompensating(compensating) => {
                self.starts(&compensating.task, compensating.epoch);
                assert_eq!(self.done.last(), Some(&compensating.task), "the last one is undone first");
            }
            EventKind::TaskCompensationRetrying(retrying) => self.settles(&retrying.task, retrying.epoch),
            EventKind::TaskCompensated(compensated) => {
                self.settles(&compensated.task, compensated.epoch);
                assert_eq!(self.done.pop(), Some(compensated.task.clone()));
            }
            EventKind::WorkflowCompleted(_) => {
                assert!(!self.cancelled, "a cancel is final");
                self.end();
            }
            EventKind::WorkflowFailed(_) => {
                assert!(!self.cancelled, "a cancel is final");
                self.end();
            }
            EventKind::WorkflowCancelled(_) => {
                assert!(self.cancelled, "nobody cancelled");
                self.end();
            }
            EventKind::CompensationAwaited(_) => self.awaits = true,
            EventKind::CompensationStarted(_) => {
                self.ended = false;
                self.awaits = false;
            }
            EventKind::Reopened(reopened) => {
                self.ended = false;
                self.awaits = false;
                self.cancelled = false;
                for task in &reopened.reset {
                    let id = self.spec.tasks[*task as usize].id.clone();
                    let items = format!("{id}[");
                    self.over.retain(|over| *over != id && !over.starts_with(&items));
                    self.done.retain(|done| *done != id && !done.starts_with(&items));
                    self.satisfied.remove(&id);
                }
                for task in &reopened.resumed {
                    // Which items begin again is seen when they do.
                    let id = self.spec.tasks[*task as usize].id.clone();
                    let items = format!("{id}[");
                    self.over.retain(|over| *over != id && !over.starts_with(&items));
                }
            }
            _ => {}
        }
    }

    /// What the state says has to agree.
    pub(crate) fn state(&self, workflow: &Workflow) {
        assert_eq!(workflow.last_seq(), self.seq);
        assert_eq!(workflow.status().is_terminal(), self.ended);
        for task in &self.spec.tasks {
            let Some(for_each) = &task.for_each else { continue };
            let busy = |status: workflow_machine::TaskDetail| {
                use workflow_machine::TaskDetail::{Retrying, Running, Scheduled, Waiting};
                matches!(status, Scheduled | Running | Waiting | Retrying)
            };
            let busy = workflow.items(&task.id).filter(|item| busy(item.detail)).count();
            let most = for_each.max_parallel as usize;
            assert!(most == 0 || busy <= most, "{busy} items of {} at once", task.id);
        }
    }

    fn starts(&mut self, task: &str, epoch: u64) {
        let before = self.epochs.insert(task.to_owned(), epoch).unwrap_or(0);
        assert!(epoch > before, "epochs of {task} grow: {epoch} after {before}");
    }

    fn settles(&mut self, task: &str, epoch: u64) {
        if epoch == 0 {
            return;
        }
        assert_eq!(self.epochs.get(task), Some(&epoch), "{task}: only the current attempt counts");
        assert!(self.settled.insert((task.to_owned(), epoch)), "{task}: two results of attempt {epoch}");
        self.running.remove(task);
    }

    fn ends(&mut self, task: &str, satisfies: bool) {
        self.running.remove(task);
        self.over.insert(task.to_owned());
        if satisfies && !task.ends_with(']') {
            self.satisfied.insert(task.to_owned());
        }
    }

    fn end(&mut self) {
        self.awaits = false;
        assert!(self.running.is_empty(), "ended while {:?} ran", self.running);
        for task in &self.spec.tasks {
            assert!(self.over.contains(&task.id), "ended while {} was not over", task.id);
        }
        self.ended = true;
    }

    fn spec_of(&self, task: &str) -> &workflow_machine::TaskSpec {
        let id = task.split('[').next().unwrap();
        self.spec.tasks.iter().find(|task| task.id == id).unwrap()
    }
}
