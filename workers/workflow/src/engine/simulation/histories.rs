//! What the disk has, held against the promises.

use std::collections::{BTreeMap, HashMap};

use prost::Message;
use workflow_machine::{Event, EventKind, Millis, Spec, Work, Workflow, WorkflowId};
use workflow_store::{Filter, Status, Store, Summary, WorkflowId as StoreId};

use super::{checker::Checker, disk::Disk};
use crate::attempt::AttemptId;

/// Every workflow that the disk has, or had.
#[derive(Default)]
pub(super) struct Histories {
    pub(super) by_id: BTreeMap<String, History>,
}

pub(super) struct History {
    pub(super) events: Vec<Event>,
    pub(super) summary: Summary,
    checker: Checker,
    spec: Spec,
    /// Log lines, by number.
    lines: BTreeMap<u64, bytes::Bytes>,
    /// When tasks that sleep began to.
    asleep: HashMap<(String, u64), Millis>,
    /// Somebody asked for it to be deleted.
    pub(super) may_go: bool,
}

impl History {
    pub(super) fn id(&self) -> WorkflowId {
        WorkflowId::from(self.summary.id.as_str())
    }

    pub(super) fn has_ended(&self) -> bool {
        assert_eq!(self.checker.has_ended(), self.summary.status.is_terminal());
        self.checker.has_ended()
    }

    pub(super) fn tasks(&self) -> Vec<String> {
        self.spec.tasks.iter().map(|task| task.id.clone()).collect()
    }

    /// Whether the attempt was begun, as far as the disk knows.
    pub(super) fn has_begun(&self, attempt: &AttemptId) -> bool {
        self.events.iter().rev().any(|event| match event.kind.as_ref().unwrap() {
            EventKind::TaskStarted(it) => it.task == attempt.task && it.epoch == attempt.epoch,
            EventKind::TaskCompensating(it) => it.task == attempt.task && it.epoch == attempt.epoch,
            _ => false,
        })
    }

    fn read(&mut self, disk: &Disk) {
        let stored = self.summary.id.clone();
        for item in disk.events(&stored, self.events.len() as u64, usize::MAX).unwrap().items {
            let event = Event::decode(&item.data[..]).unwrap();
            assert_eq!(item.seq, event.seq);
            self.checker.event(&event);
            self.slept(&event);
            self.events.push(event);
        }
        assert_eq!(self.summary.last_seq, self.events.len() as u64, "summary and events are of one commit");
        for item in disk.logs(&stored, 0, usize::MAX).unwrap().items {
            let line = self.lines.entry(item.seq).or_insert_with(|| item.data.clone());
            assert_eq!(*line, item.data, "line {} of a log was written over", item.seq);
        }
    }

    /// A sleep lasts as long as it should, whatever the wall clock does.
    fn slept(&mut self, event: &Event) {
        match event.kind.as_ref().unwrap() {
            EventKind::TaskStarted(it) => {
                self.asleep.insert((it.task.clone(), it.epoch), event.at);
            }
            EventKind::TaskCompleted(it) => {
                let name = it.task.split('[').next().unwrap();
                let task = self.spec.tasks.iter().find(|task| task.id == name).unwrap();
                let began = self.asleep.remove(&(it.task.clone(), it.epoch));
                if let (Some(Work::Sleep(sleep)), Some(began)) = (&task.work, began) {
                    assert!(event.at - began >= sleep.duration_ms, "{it:?} woke early");
                }
            }
            _ => {}
        }
    }
}

impl Histories {
    /// Reads what the disk has and did not have before.
    pub(super) fn read(&mut self, disk: &Disk) {
        let page = disk.list(&Filter::default(), None, 10_000).unwrap();
        let there: HashMap<StoreId, Summary> =
            page.summaries.into_iter().map(|summary| (summary.id.clone(), summary)).collect();
        self.by_id.retain(|id, history| {
            let kept = there.contains_key(&history.summary.id);
            assert!(kept || (history.may_go && history.has_ended()), "workflow {id} is gone");
            kept
        });
        for (id, summary) in there {
            let history = self.by_id.entry(id.as_str().to_owned()).or_insert_with(|| {
                let first = disk.events(&id, 0, 1).unwrap().items.remove(0);
                let first = Event::decode(&first.data[..]).unwrap();
                let Some(EventKind::Submitted(submitted)) = first.kind else {
                    panic!("{first:?} is no beginning")
                };
                let spec = *submitted.spec.unwrap();
                History {
                    events: Vec::new(),
                    summary: summary.clone(),
                    checker: Checker::new(spec.clone()),
                    spec,
                    lines: BTreeMap::new(),
                    asleep: HashMap::new(),
                    may_go: false,
                }
            });
            history.summary = summary;
            history.read(disk);
        }
    }

    /// Replays every workflow: it is what `live` has in memory, and what the summary says.
    pub(super) fn replay<'a>(&mut self, live: impl Fn(&WorkflowId) -> Option<&'a Workflow>) {
        for history in self.by_id.values() {
            let replayed = Workflow::replay(&history.events).unwrap();
            history.checker.state(&replayed);
            let status = Status::ALL[replayed.status() as usize];
            assert_eq!((status, replayed.last_seq()), (history.summary.status, history.summary.last_seq));
            match live(&history.id()) {
                Some(live) => assert_eq!(*live, replayed, "memory and history differ"),
                None => assert!(history.has_ended(), "{} is not in memory", history.id()),
            }
        }
    }
}
