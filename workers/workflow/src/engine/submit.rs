//! New workflows, and idempotency keys: the same request sent again gets the same answer, also when both come at once, and
//! after a restart.

use std::collections::{HashMap, VecDeque, hash_map::Entry};

use bytes::Bytes;
use prost::Message;
use workflow_machine::{Input, Invalid, MAX_VIOLATIONS, Millis, Spec, Violation, Work, Workflow, WorkflowId};
use workflow_store::{Remembered, Space, WorkflowId as StoreId, Write};

use super::{
    command::{EngineError, Key, Reply, Submitted, Told},
    restore,
    run::Loop,
    turn::Turn,
};
use crate::spec::Submission;

/// The lane of work for external workers that names none: what waits for a worker that has yet to come must not hold
/// the slots of calls.
const FUNCTION_LANE: &str = "functions";

/// What is kept under a key: the identifiers of what was taken; empty ones stand for what was not.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Answered {
    #[prost(string, repeated, tag = "1")]
    pub(super) ids: Vec<String>,
    /// Positions of those whose identifier was taken by others.
    #[prost(uint32, repeated, tag = "2")]
    pub(super) taken: Vec<u32>,
    /// When it was answered.
    #[prost(uint64, tag = "3")]
    pub(super) at: Millis,
    /// Of something that a workflow was told: the sequence that it had then.
    #[prost(uint64, tag = "4")]
    pub(super) seq: u64,
}

/// Keys whose submission is not durable yet. The others are in the store.
#[derive(Debug, Default)]
pub(super) struct PendingKeys {
    by_key: HashMap<(Bytes, String), Pending>,
    order: VecDeque<(u64, (Bytes, String))>,
    /// Keys since the store last forgot expired ones.
    since_expiry: usize,
    /// When it is asked to, if no keys come.
    next_expiry: Millis,
}

/// After so many new keys the store forgets twice as many that have expired, in the same commit: they go faster than they
/// come.
const KEYS_PER_EXPIRY: usize = 512;

/// After this time it forgets as many though no keys come: a day's worth of a busy engine within the next day. It writes
/// nothing where none has expired.
const EXPIRY_EVERY_MS: Millis = 1_000;

#[derive(Debug)]
struct Pending {
    hash: [u8; 32],
    response: Bytes,
    commit: u64,
}

impl PendingKeys {
    /// Forgets keys that are in the store.
    pub(super) fn let_go(&mut self, durable: u64) {
        while let Some((commit, key)) = self.order.pop_front_if(|(commit, _)| *commit <= durable) {
            if let Entry::Occupied(pending) = self.by_key.entry(key)
                && pending.get().commit == commit
            {
                pending.remove();
            }
        }
    }
}

type Answer = Vec<Result<Submitted, EngineError>>;

impl Loop {
    pub(super) fn submit(
        &mut self,
        turn: &mut Turn,
        submissions: Vec<Submission>,
        atomic: bool,
        key: Option<Key>,
        reply: Reply<Answer>,
    ) {
        let outcome = match self.replay(&submissions, key.as_ref()) {
            Ok(Some(answer)) => {
                self.counted.replayed += 1;
                Ok(answer)
            }
            Ok(None) => self.take(turn, submissions, atomic, key),
            Err(error) => Err(error),
        };
        if let Err(error) = &outcome
            && rests_on_nothing(error)
        {
            let _ = reply.send(outcome);
            return;
        }
        self.answer(turn, reply, outcome);
    }

    /// What was answered under the key.
    fn replay(&self, submissions: &[Submission], key: Option<&Key>) -> Result<Option<Answer>, EngineError> {
        let Some(key) = key else { return Ok(None) };
        let Some(response) = self.recall(key)? else { return Ok(None) };
        let answered = Answered::decode(response).unwrap_or_default();
        let at = answered.at;
        let answer = |(index, id): (usize, String)| {
            if !id.is_empty() {
                return Ok(Submitted { id: WorkflowId::from(id), replayed: true, at });
            }
            let Some(submission) = submissions.get(index) else { return Err(EngineError::NotFound) };
            match &submission.id {
                Some(id) if answered.taken.contains(&(index as u32)) => Err(EngineError::Exists(id.clone())),
                // The same specification is wrong in the same way.
                _ => match Workflow::submit(WorkflowId::new("none"), submission.spec.clone(), self.now) {
                    Err(invalid) => Err(EngineError::Invalid(invalid)),
                    Ok(_) => Err(EngineError::NotFound),
                },
            }
        };
        Ok(Some(answered.ids.into_iter().enumerate().map(answer).collect()))
    }

    fn take(
        &mut self,
        turn: &mut Turn,
        submissions: Vec<Submission>,
        atomic: bool,
        key: Option<Key>,
    ) -> Result<Answer, EngineError> {
        self.has_room(&submissions)?;
        let mut ready = Vec::with_capacity(submissions.len());
        let mut violations = Vec::new();
        for (index, submission) in submissions.into_iter().enumerate() {
            match self.make(submission, &ready) {
                Err(EngineError::Invalid(invalid)) if atomic => name_item(&mut violations, index, invalid),
                Err(error) if atomic => return Err(error),
                made => ready.push(made),
            }
        }
        if !violations.is_empty() {
            return Err(EngineError::Invalid(Invalid { violations }));
        }
        let mut answer = Vec::with_capacity(ready.len());
        for made in ready {
            answer.push(made.map(|(workflow, step)| {
                let id = workflow.id().clone();
                self.counted.submitted += 1;
                self.begin(turn, workflow, step);
                Submitted { id, replayed: false, at: self.now }
            }));
        }
        if let Some(key) = key {
            self.remember(turn, key, &answer);
        }
        Ok(answer)
    }

    fn remember(&mut self, turn: &mut Turn, key: Key, answer: &Answer) {
        let id = |taken: &Result<Submitted, EngineError>| {
            taken.as_ref().map(|submitted| submitted.id.to_string()).unwrap_or_default()
        };
        let taken = answer.iter().enumerate();
        let taken = taken.filter(|(_, taken)| matches!(taken, Err(EngineError::Exists(_))));
        let answered = Answered {
            ids: answer.iter().map(id).collect(),
            taken: taken.map(|(index, _)| index as u32).collect(),
            at: self.now,
            seq: 0,
        };
        self.keep(turn, key, answered.encode_to_vec().into());
    }

    /// What is kept under the key.
    pub(super) fn recall(&self, key: &Key) -> Result<Option<Bytes>, EngineError> {
        let (hash, response) = match self.keys.by_key.get(&(key.scope.clone(), key.key.clone())) {
            Some(pending) => (pending.hash, pending.response.clone()),
            None => match self.store.idempotent(&key.scope, &key.key, self.now) {
                Ok(Some(remembered)) => (remembered.hash, remembered.response),
                Ok(None) => return Ok(None),
                Err(error) => return Err(restore::unreadable(error)),
            },
        };
        if hash != key.hash {
            return Err(EngineError::KeyReused);
        }
        Ok(Some(response))
    }

    /// Keeps the response under the key.
    pub(super) fn keep(&mut self, turn: &mut Turn, key: Key, response: Bytes) {
        let commit = self.commits + 1;
        let expires_ms = self.now + self.settings.key_ttl_ms;
        turn.writes.push(Write::Idempotent {
            scope: key.scope.clone(),
            key: key.key.clone(),
            remembered: Remembered { hash: key.hash, response: response.clone(), expires_ms },
        });
        self.keys.since_expiry += 1;
        if self.keys.since_expiry >= KEYS_PER_EXPIRY {
            self.expire(turn);
        }
        let name = (key.scope, key.key);
        self.keys.order.push_back((commit, name.clone()));
        self.keys.by_key.insert(name, Pending { hash: key.hash, response, commit });
    }

    /// Has the store forget keys though no new ones come.
    pub(super) fn expire_keys(&mut self, turn: &mut Turn) {
        if self.now >= self.keys.next_expiry {
            self.expire(turn);
        }
    }

    fn expire(&mut self, turn: &mut Turn) {
        self.keys.since_expiry = 0;
        self.keys.next_expiry = self.now + EXPIRY_EVERY_MS;
        turn.writes.push(Write::Expire { now_ms: self.now, limit: 2 * KEYS_PER_EXPIRY });
    }

    /// Tells a workflow something once, however often it is asked to under the same key.
    pub(super) fn tell_once(
        &mut self,
        turn: &mut Turn,
        id: &WorkflowId,
        input: Input,
        key: Key,
    ) -> Result<Told, EngineError> {
        if let Some(response) = self.recall(&key)? {
            let answered = Answered::decode(response).unwrap_or_default();
            return Ok(Told { seq: answered.seq, replayed: true });
        }
        let seq = self.tell_any(turn, id, input)?.seq;
        let answered = Answered { seq, at: self.now, ..Answered::default() };
        self.keep(turn, key, answered.encode_to_vec().into());
        Ok(Told { seq, replayed: false })
    }

    /// Whether anything is taken at all.
    pub(super) fn has_room(&self, submissions: &[Submission]) -> Result<(), EngineError> {
        if self.shared.failed.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(EngineError::Failed);
        }
        if self.paused {
            return Err(EngineError::Paused);
        }
        if self.store.space() != Space::Ample {
            return Err(EngineError::DiskFull);
        }
        let (current, max) = (self.live.len() + submissions.len(), self.settings.max_live);
        if current > max {
            return Err(EngineError::Overloaded { what: "workflows in memory", current, max });
        }
        for submission in submissions {
            let spec = &submission.spec;
            let lanes =
                spec.tasks.iter().map(|task| if task.lane.is_empty() { &spec.lane } else { &task.lane });
            for lane in lanes {
                let lane = if lane.is_empty() { workflow_machine::limits::DEFAULT_LANE } else { lane };
                if let Some((current, max)) = self.lanes.overfull(lane) {
                    return Err(EngineError::Overloaded {
                        what: "tasks that wait in their lane",
                        current,
                        max,
                    });
                }
            }
        }
        Ok(())
    }

    /// Makes one workflow, without taking it in.
    pub(super) fn make(
        &mut self,
        submission: Submission,
        beside: &[Result<(Workflow, workflow_machine::Step), EngineError>],
    ) -> Result<(Workflow, workflow_machine::Step), EngineError> {
        let Submission { id, mut spec } = submission;
        let id = match id {
            None => self.ids.next(self.now),
            Some(id) => {
                let stored = stored_id(&id).ok_or(EngineError::NotFound)?;
                let known = match self.live.contains_key(&id) {
                    true => true,
                    false => self.store.summary(&stored).map_err(restore::unreadable)?.is_some(),
                };
                if known || beside.iter().flatten().any(|(workflow, _)| *workflow.id() == id) {
                    return Err(EngineError::Exists(id));
                }
                id
            }
        };
        set_function_lane(&mut spec);
        Workflow::submit(id, spec, self.now).map_err(EngineError::Invalid)
    }
}

/// Whether a refusal says nothing of what may not be durable yet. On a full disk others wait for room, and on one that
/// failed for ever: such a refusal does not wait with them.
fn rests_on_nothing(error: &EngineError) -> bool {
    use EngineError::{DiskFull, Failed, Overloaded, Paused};
    matches!(error, Failed | Paused | DiskFull | Overloaded { .. })
}

/// Adds what is wrong with an item of a batch, so that every bad item is named: by all that is wrong with it while there is
/// room, then by one thing.
pub(crate) fn name_item(violations: &mut Vec<Violation>, index: usize, invalid: Invalid) {
    let room = MAX_VIOLATIONS.saturating_sub(violations.len()).max(1);
    violations.extend(invalid.violations.into_iter().take(room).map(|violation| Violation {
        field: format!("workflows[{index}].{}", violation.field),
        reason: violation.reason,
    }));
}

fn set_function_lane(spec: &mut Spec) {
    if !spec.lane.is_empty() {
        return;
    }
    for task in &mut spec.tasks {
        match &mut task.work {
            Some(Work::Function(_)) if task.lane.is_empty() => task.lane = FUNCTION_LANE.to_owned(),
            Some(Work::Child(child)) => child.spec.iter_mut().for_each(|spec| set_function_lane(spec)),
            _ => {}
        }
    }
}

/// The identifier as the store has it; `None` if no workflow can have it.
pub(super) fn stored_id(id: &WorkflowId) -> Option<StoreId> {
    StoreId::new(id.as_str()).ok()
}
