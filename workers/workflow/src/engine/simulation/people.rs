//! Who calls the engine: what they asked for, what they were told, and what they may rely on.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    task::{Context, Waker},
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use workflow_machine::{EventKind, Input, Spec, WorkflowId};

use super::histories::Histories;
use crate::{
    attempt::{AttemptId, Kept, Report, Reports, Untaken},
    engine::{Engine, EngineError, Key, Submitted, Taken, Told},
    spec::Submission,
};

/// A submission under a key, sent until it is acknowledged, and sometimes once more.
struct Wanted {
    submissions: Vec<Submission>,
    acknowledged: Option<Vec<WorkflowId>>,
}

/// Word for a workflow under a key.
struct Word {
    id: WorkflowId,
    name: String,
    taken: bool,
}

/// What a call is about.
enum What {
    Submit(usize),
    Signal(usize),
    Tell(WorkflowId),
    Report { attempt: AttemptId, ends: bool, result: Option<Bytes> },
    Read { id: WorkflowId, at_least: u64 },
    Other,
}

enum Answer {
    Submitted(Result<Vec<Result<Submitted, EngineError>>, EngineError>),
    Told(Result<Told, EngineError>),
    Taken(Result<Taken, EngineError>),
    Reported(Result<Kept, Untaken>),
    Read(Result<u64, EngineError>),
    Other(Result<(), EngineError>),
}

#[derive(Default)]
pub(super) struct People {
    wanted: Vec<Wanted>,
    words: Vec<Word>,
    calls: Vec<(What, BoxFuture<'static, Answer>)>,
    /// The highest sequence that an answer named.
    promised: BTreeMap<String, u64>,
    /// Attempts of which a report was taken that ended them, and the result, if it was one.
    taken: HashMap<AttemptId, Option<Bytes>>,
    /// Results that were reported, taken or not.
    results: HashMap<AttemptId, HashSet<Bytes>>,
    /// Counts for what the schedules are worth.
    pub(super) replayed: u64,
    pub(super) stale: u64,
}

impl People {
    /// Wants workflows: one, or some that are taken together or not at all.
    pub(super) fn want(&mut self, specs: Vec<Spec>) -> usize {
        let number = self.wanted.len();
        let named = specs.len() > 1;
        let submission = |(index, spec)| Submission {
            id: named.then(|| WorkflowId::from(format!("batch-{number}-{index}"))),
            spec,
        };
        let submissions = specs.into_iter().enumerate().map(submission).collect();
        self.wanted.push(Wanted { submissions, acknowledged: None });
        number
    }

    pub(super) fn wanted(&self) -> usize {
        self.wanted.len()
    }

    /// Those that nobody has acknowledged.
    pub(super) fn unacknowledged(&self) -> Vec<usize> {
        let open = self.wanted.iter().enumerate().filter(|(_, wanted)| wanted.acknowledged.is_none());
        open.map(|(number, _)| number).collect()
    }

    pub(super) fn submit(&mut self, engine: &Engine, number: usize) {
        let submissions = self.wanted[number].submissions.clone();
        let key = Key { scope: "me".into(), key: format!("k{number}"), hash: [number as u8; 32] };
        let engine = engine.clone();
        let call = async move { Answer::Submitted(engine.submit(submissions, true, Some(key)).await) };
        self.call(What::Submit(number), call.boxed());
    }

    /// Sends a signal under a key of its own.
    pub(super) fn signal(&mut self, engine: &Engine, id: WorkflowId, name: String) {
        self.words.push(Word { id, name, taken: false });
        self.signal_again(engine, self.words.len() - 1);
    }

    pub(super) fn signals(&self) -> usize {
        self.words.len()
    }

    pub(super) fn signal_again(&mut self, engine: &Engine, number: usize) {
        let Word { id, name, .. } = &self.words[number];
        let input = Input::Signal { name: name.clone(), payload: payload(number) };
        let key = Key { scope: "me".into(), key: format!("s{number}"), hash: [number as u8; 32] };
        let (engine, id) = (engine.clone(), id.clone());
        let call = async move { Answer::Told(engine.tell_once(&id, input, key).await) };
        self.call(What::Signal(number), call.boxed());
    }

    pub(super) fn tell(&mut self, engine: &Engine, id: WorkflowId, input: Input) {
        let (engine, to) = (engine.clone(), id.clone());
        self.call(What::Tell(id), async move { Answer::Taken(engine.tell(&to, input).await) }.boxed());
    }

    /// What was answered before is in what is read.
    pub(super) fn read(&mut self, engine: &Engine, id: WorkflowId) {
        let at_least = self.promised.get(id.as_str()).copied().unwrap_or(0);
        let (engine, of) = (engine.clone(), id.clone());
        let read = async move { Answer::Read(engine.read(&of, |workflow| workflow.last_seq()).await) };
        self.call(What::Read { id, at_least }, read.boxed());
    }

    pub(super) fn pause_engine(&mut self, engine: &Engine, paused: bool) {
        let engine = engine.clone();
        self.call(What::Other, async move { Answer::Other(engine.set_paused(paused).await) }.boxed());
    }

    pub(super) fn report(&mut self, reports: &Reports, attempt: AttemptId, report: Report) {
        let result = match &report {
            Report::Completed { result } => Some(result.clone()),
            _ => None,
        };
        if let Some(result) = &result {
            self.results.entry(attempt.clone()).or_default().insert(result.clone());
        }
        let ends = matches!(report, Report::Completed { .. } | Report::Failed { .. } | Report::Lost);
        let (reports, id) = (reports.clone(), attempt.clone());
        let what = What::Report { attempt, ends, result };
        self.call(what, async move { Answer::Reported(reports.report(id, report).await) }.boxed());
    }

    /// Whether a report was taken that ended the attempt.
    pub(super) fn has_ended(&self, attempt: &AttemptId) -> bool {
        self.taken.contains_key(attempt)
    }

    /// Looks at every call that is under way.
    pub(super) fn listen(&mut self, histories: &Histories) {
        for (what, mut call) in std::mem::take(&mut self.calls) {
            match call.poll_unpin(&mut Context::from_waker(Waker::noop())) {
                std::task::Poll::Ready(answer) => self.answered(what, answer, histories),
                std::task::Poll::Pending => self.calls.push((what, call)),
            }
        }
    }

    /// Nobody waits any more; what was answered until now counts.
    pub(super) fn hang_up(&mut self, histories: &Histories) {
        self.listen(histories);
        self.calls.clear();
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.len()
    }

    fn call(&mut self, what: What, mut call: BoxFuture<'static, Answer>) {
        // Now it is in the engine's queue.
        if call.poll_unpin(&mut Context::from_waker(Waker::noop())).is_pending() {
            self.calls.push((what, call));
        }
    }

    fn promise(&mut self, id: &WorkflowId, seq: u64) {
        let promised = self.promised.entry(id.to_string()).or_default();
        *promised = seq.max(*promised);
    }

    fn answered(&mut self, what: What, answer: Answer, histories: &Histories) {
        match (what, answer) {
            (What::Submit(number), Answer::Submitted(Ok(taken))) => {
                self.replayed += u64::from(taken.iter().flatten().any(|taken| taken.replayed));
                let ids: Vec<_> = taken.into_iter().map(|taken| taken.unwrap().id).collect();
                ids.iter().for_each(|id| self.promise(id, 1));
                let wanted = &mut self.wanted[number];
                assert_eq!(ids.len(), wanted.submissions.len());
                let before = wanted.acknowledged.get_or_insert_with(|| ids.clone());
                assert_eq!(*before, ids, "a key has the same answer always");
            }
            (What::Signal(number), Answer::Told(Ok(told))) => {
                let word = &mut self.words[number];
                word.taken = true;
                let id = word.id.clone();
                self.promise(&id, told.seq);
            }
            (What::Tell(id), Answer::Taken(Ok(taken))) => self.promise(&id, taken.seq),
            (What::Report { attempt, ends, result }, Answer::Reported(Ok(_))) if ends => {
                let before = self.taken.insert(attempt.clone(), result);
                assert!(before.is_none(), "{attempt:?}: two reports were taken");
            }
            (What::Report { .. }, Answer::Reported(Err(Untaken::Stale(_)))) => self.stale += 1,
            (What::Report { .. }, Answer::Reported(_)) => {}
            (What::Read { id, at_least }, Answer::Read(Ok(seq))) => {
                assert!(seq >= at_least, "{id} was read at {seq}, and an answer had named {at_least}");
                self.promise(&id, seq);
            }
            (What::Read { id, .. }, Answer::Read(Err(EngineError::NotFound))) => {
                assert!(!histories.by_id.contains_key(id.as_str()), "{id} is there and was not found");
            }
            (_, Answer::Submitted(Err(error)))
            | (_, Answer::Told(Err(error)))
            | (_, Answer::Taken(Err(error)))
            | (_, Answer::Read(Err(error)))
            | (_, Answer::Other(Err(error))) => match error {
                EngineError::Refused(_)
                | EngineError::NotFound
                | EngineError::Paused
                | EngineError::Stopping
                | EngineError::Failed => {}
                other => panic!("{other:?}"),
            },
            _ => {}
        }
    }

    /// What was acknowledged is on the disk.
    pub(super) fn check(&self, histories: &Histories, purged: &HashSet<String>) {
        for (id, seq) in &self.promised {
            match histories.by_id.get(id) {
                Some(history) => {
                    assert!(history.summary.last_seq >= *seq, "{id}: an answer named sequence {seq}")
                }
                None => assert!(purged.contains(id), "{id} was acknowledged and is gone"),
            }
        }
        for (attempt, result) in &self.taken {
            let Some(history) = histories.by_id.get(attempt.workflow.as_str()) else { continue };
            let (mut kept, mut ended) = (false, false);
            for event in &history.events {
                let named = event.task() == Some(&attempt.task);
                match event.kind.as_ref().unwrap() {
                    EventKind::TaskCompleted(it) if named && it.epoch == attempt.epoch => {
                        kept |= result.as_ref().is_none_or(|result| *result == it.result);
                    }
                    EventKind::TaskCompensated(it) if named => kept |= it.epoch == attempt.epoch,
                    EventKind::TaskRetrying(it) if named => ended |= it.epoch == attempt.epoch,
                    EventKind::TaskFailed(it) if named => ended |= it.epoch == attempt.epoch,
                    EventKind::TaskLost(it) if named => ended |= it.epoch == attempt.epoch,
                    EventKind::TaskCompensationRetrying(it) if named => ended |= it.epoch == attempt.epoch,
                    EventKind::TaskCompensationFailed(_) | EventKind::TaskCancelled(_) if named => {
                        ended = true
                    }
                    _ => {}
                }
            }
            assert!(kept || (ended && result.is_none()), "{attempt:?}: a report that was taken is lost");
        }
        for history in histories.by_id.values() {
            for event in &history.events {
                let Some(EventKind::TaskCompleted(completed)) = &event.kind else { continue };
                let attempt = AttemptId {
                    workflow: history.id(),
                    task: completed.task.clone(),
                    epoch: completed.epoch,
                };
                if let Some(results) = self.results.get(&attempt) {
                    assert!(results.contains(&completed.result), "{attempt:?}: nobody reported this result");
                }
            }
        }
        for (number, word) in self.words.iter().enumerate() {
            let Some(history) = histories.by_id.get(word.id.as_str()) else { continue };
            let came = history.events.iter().filter(|event| match &event.kind {
                Some(EventKind::SignalReceived(it)) => it.payload == payload(number),
                _ => false,
            });
            let came = came.count();
            assert!(
                came <= 1 && (came == 1 || !word.taken),
                "signal {number} of {} came {came} times",
                word.id
            );
        }
    }

    /// A key has made one workflow, and nobody else has made any.
    pub(super) fn check_all(&self, histories: &Histories, purged: &HashSet<String>) {
        let acknowledged: Vec<_> =
            self.wanted.iter().flat_map(|wanted| wanted.acknowledged.iter().flatten()).collect();
        let different: HashSet<_> = acknowledged.iter().map(|id| id.as_str()).collect();
        assert_eq!(acknowledged.len(), different.len(), "a workflow has one key");
        for (id, history) in &histories.by_id {
            let child = history.summary.parent.is_some();
            assert!(child || different.contains(id.as_str()), "nobody knows of {id}");
        }
        for id in different {
            assert!(histories.by_id.contains_key(id) || purged.contains(id), "{id} is lost");
        }
    }
}

fn payload(number: usize) -> Bytes {
    format!("{{\"signal\":{number},\"list\":[7]}}").into()
}
