//! A group of commits on its way to the disk: what it changes, on top of what is there.
//!
//! Nothing is written before the whole group is known to apply, so a commit that is rejected leaves no trace. Each key is
//! written once per group, whatever the commits do to it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, btree_map, hash_map::Entry},
    ops::Bound,
    sync::Arc,
};

use bytes::Bytes;

use super::{
    database::{Changes, View},
    keys::{self, Keyspace},
    logs::{Extent, Extents},
    query,
    record::{self, Posting},
    runs::Run,
};
use crate::{
    Commit, Cursor, Millis, Rejection, StoreError, Summary, WorkflowId, Write,
    store::MARKS_PER_SCHEDULE,
    table::{Counters, Table},
};

/// Blobs are cut into pieces of this size, so that one can be read piece by piece.
pub(super) const CHUNK_BYTES: usize = 256 << 10;

pub(super) struct Staged<'a> {
    view: &'a View,
    live: &'a Table,
    extents: &'a Extents,
    pub(super) changes: Changes,
    pub(super) workflows: HashMap<WorkflowId, Change>,
    /// Events that are in `changes` once the group is whole.
    runs: HashMap<WorkflowId, Run>,
    pub(super) counters: Counters,
    pub(super) logs: HashMap<WorkflowId, Extent>,
    /// Up to where expired records are gone; the next search begins there and passes no tombstones.
    pub(super) expired: Vec<u8>,
    /// A key is longer than the database takes.
    is_too_long: bool,
}

/// What happens to a workflow within a group.
pub(super) struct Change {
    before: Option<Arc<Summary>>,
    pub(super) now: Option<Arc<Summary>>,
}

/// Why a write was not staged: the caller knows which commit it belongs to.
pub(super) enum Refusal {
    Rejected(Rejection),
    Failed(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl<'a> Staged<'a> {
    pub(super) fn new(
        view: &'a View,
        live: &'a Table,
        extents: &'a Extents,
        counters: Counters,
        expired: Vec<u8>,
    ) -> Self {
        Self {
            view,
            live,
            extents,
            changes: Changes::new(),
            workflows: HashMap::new(),
            runs: HashMap::new(),
            counters,
            logs: HashMap::new(),
            expired,
            is_too_long: false,
        }
    }

    /// Stages a group; an error means that nothing of it may be written.
    pub(super) fn stage(&mut self, commits: &[Commit]) -> Result<(), StoreError> {
        for (commit, Commit { writes }) in commits.iter().enumerate() {
            for write in writes {
                self.write(write).map_err(|refusal| match refusal {
                    Refusal::Rejected(reason) => StoreError::Rejected { commit, reason },
                    Refusal::Failed(error) => error,
                })?;
                if self.is_too_long {
                    return Err(StoreError::Rejected { commit, reason: Rejection::TooLong });
                }
            }
        }
        for (id, run) in std::mem::take(&mut self.runs) {
            self.put_run(&id, run);
        }
        self.write_summaries()?;
        Ok(())
    }

    fn write(&mut self, write: &Write) -> Result<(), Refusal> {
        match write {
            Write::Create(summary) => match self.current(&summary.id)? {
                Some(_) => return Err(Refusal::Rejected(Rejection::Exists(summary.id.clone()))),
                now => *now = Some(Arc::new(summary.clone())),
            },
            Write::Update(summary) => match self.current(&summary.id)? {
                None => return Err(Refusal::Rejected(Rejection::Missing(summary.id.clone()))),
                now => *now = Some(Arc::new(summary.clone())),
            },
            Write::Event { id, seq, data } => {
                self.must_exist(id)?;
                let former = match self.runs.get_mut(id) {
                    Some(run) if run.takes(*seq) => {
                        run.push(data);
                        None
                    }
                    _ => self.runs.insert(id.clone(), Run::of(*seq, data)),
                };
                if let Some(former) = former {
                    self.put_run(id, former);
                }
            }
            Write::Idempotent { scope, key, remembered } => {
                let record = keys::idempotency(scope, key);
                if let Some(former) = self.get(Keyspace::Idempotency, &record)?
                    && let Some(former) = record::read_remembered(&former)
                {
                    self.delete(Keyspace::Expiry, keys::expiry(former.expires_ms, &record));
                }
                let expiry = keys::expiry(remembered.expires_ms, &record);
                if expiry < self.expired {
                    self.expired.clone_from(&expiry);
                }
                self.put(Keyspace::Expiry, expiry, Bytes::new());
                self.put(Keyspace::Idempotency, record, record::write_remembered(remembered));
            }
            Write::Expire { now_ms, limit } => self.expire(*now_ms, *limit)?,
            Write::Log { id, seq, data } => {
                self.must_exist(id)?;
                self.log(id, *seq, data)?;
            }
            Write::Blob { id, name, data } => {
                self.must_exist(id)?;
                self.delete_all(Keyspace::Blobs, &keys::blob(id, name))?;
                let total = (data.len() as u64).to_be_bytes();
                self.put(Keyspace::Blobs, keys::chunk(id, name, 0), Bytes::copy_from_slice(&total));
                for (number, start) in (1..).zip((0..data.len()).step_by(CHUNK_BYTES)) {
                    let piece = data.slice(start..data.len().min(start + CHUNK_BYTES));
                    self.put(Keyspace::Blobs, keys::chunk(id, name, number), piece);
                }
            }
            Write::Schedule { id, data: Some(data) } => {
                self.put(Keyspace::Misc, keys::schedule(id), data.clone())
            }
            Write::Schedule { id, data: None } => {
                self.delete(Keyspace::Misc, keys::schedule(id));
                self.delete_all(Keyspace::Misc, &keys::marks(id))?;
            }
            Write::Fired { schedule, at_ms, data } => self.fire(schedule, *at_ms, data)?,
            Write::Setting { name, value: Some(value) } => {
                self.put(Keyspace::Misc, keys::setting(name), value.clone());
            }
            Write::Setting { name, value: None } => self.delete(Keyspace::Misc, keys::setting(name)),
            Write::Purge(id) => {
                if self.current(id)?.take().is_some() {
                    self.runs.remove(id);
                    for keyspace in [Keyspace::Events, Keyspace::Logs, Keyspace::Blobs] {
                        self.delete_all(keyspace, &keys::of_workflow(id))?;
                    }
                    self.logs.insert(id.clone(), Extent::default());
                }
            }
        }
        Ok(())
    }

    /// The workflow as the group has left it so far, to be changed.
    fn current(&mut self, id: &WorkflowId) -> Result<&mut Option<Arc<Summary>>, StoreError> {
        let change = match self.workflows.entry(id.clone()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let before = match self.live.get(id) {
                    Some(summary) => Some(summary.clone()),
                    None => query::ended_workflow(self.view, id)?.map(Arc::new),
                };
                entry.insert(Change { now: before.clone(), before })
            }
        };
        Ok(&mut change.now)
    }

    fn must_exist(&mut self, id: &WorkflowId) -> Result<(), Refusal> {
        // What is alive is known without looking it up once more, and that is nearly everything.
        let exists = match self.workflows.get(id) {
            Some(change) => change.now.is_some(),
            None => self.live.get(id).is_some() || self.current(id)?.is_some(),
        };
        if exists { Ok(()) } else { Err(Refusal::Rejected(Rejection::Missing(id.clone()))) }
    }

    /// Turns what became of the workflows into summaries, index entries and counters.
    fn write_summaries(&mut self) -> Result<(), StoreError> {
        let workflows = std::mem::take(&mut self.workflows);
        self.count_owned(&workflows)?;
        for (id, change) in &workflows {
            if change.before == change.now {
                continue;
            }
            if let Some(before) = &change.before {
                self.counters.remove(before.status);
                if before.status.is_terminal() {
                    self.delete(Keyspace::Ended, keys::place(&Cursor::of(before)));
                    self.delete(Keyspace::Pointers, id.as_bytes().to_vec());
                    for term in keys::terms(before) {
                        self.delete(Keyspace::Index, [&term[..], &keys::place(&Cursor::of(before))].concat());
                    }
                } else if change.now.as_ref().is_none_or(|now| now.status.is_terminal()) {
                    self.delete(Keyspace::Live, id.as_bytes().to_vec());
                }
            }
            let Some(now) = &change.now else { continue };
            self.counters.add(now.status);
            let summary = record::write_summary(now);
            if now.status.is_terminal() {
                let place = keys::place(&Cursor::of(now));
                for term in keys::terms(now) {
                    let posting = Posting::of(now, term.len()).write();
                    self.put(Keyspace::Index, [&term[..], &place].concat(), posting);
                }
                let created = Bytes::copy_from_slice(&now.created_ms.to_be_bytes());
                self.put(Keyspace::Pointers, id.as_bytes().to_vec(), created);
                self.put(Keyspace::Ended, place, summary);
            } else {
                self.put(Keyspace::Live, id.as_bytes().to_vec(), summary);
            }
        }
        self.workflows = workflows;
        Ok(())
    }

    /// Counts for the owners of workflows that changed hands or status.
    fn count_owned(&mut self, workflows: &HashMap<WorkflowId, Change>) -> Result<(), StoreError> {
        let mut owned: BTreeMap<&str, Counters> = BTreeMap::new();
        for Change { before, now } in workflows.values() {
            if let (Some(before), Some(now)) = (before, now)
                && (before.status, &before.owner) == (now.status, &now.owner)
            {
                continue;
            }
            for (summary, adds) in [(before, false), (now, true)] {
                let summary = summary.as_ref().filter(|summary| keys::has_counters(&summary.owner));
                let Some(summary) = summary else { continue };
                let counters = match owned.entry(&summary.owner) {
                    btree_map::Entry::Occupied(entry) => entry.into_mut(),
                    btree_map::Entry::Vacant(entry) => entry.insert(query::owned(self.view, &summary.owner)?),
                };
                if adds { counters.add(summary.status) } else { counters.remove(summary.status) }
            }
        }
        for (owner, counters) in owned {
            let key = keys::counters_of(owner);
            match counters == Counters::default() {
                true => self.delete(Keyspace::Misc, key),
                false => self.put(Keyspace::Misc, key, record::write_counters(counters, 0)),
            }
        }
        Ok(())
    }

    fn expire(&mut self, now_ms: Millis, limit: usize) -> Result<(), StoreError> {
        let (start, end) = (self.expired.clone(), now_ms.saturating_add(1).to_be_bytes().to_vec());
        if start >= end {
            return Ok(());
        }
        let staged = self.changes.range((Keyspace::Expiry, start.clone())..(Keyspace::Expiry, end.clone()));
        let mut expired: BTreeSet<_> = staged
            .filter(|(_, value)| value.is_some())
            .map(|((_, key), _)| key.clone())
            .take(limit)
            .collect();
        let mut found = 0;
        for pair in self.view.scan(Keyspace::Expiry, (Bound::Included(start), Bound::Excluded(end.clone()))) {
            if found == limit {
                break;
            }
            let (expiry, _) = pair?;
            // What the group has changed is not as the disk has it.
            if !self.changes.contains_key(&(Keyspace::Expiry, expiry.to_vec())) {
                expired.insert(expiry.to_vec());
                found += 1;
            }
        }
        let is_all = expired.len() < limit;
        for expiry in expired.into_iter().take(limit) {
            self.delete(Keyspace::Idempotency, expiry[8..].to_vec());
            self.delete(Keyspace::Expiry, expiry.clone());
            self.expired = expiry;
        }
        if is_all {
            self.expired = end;
        }
        Ok(())
    }

    fn log(&mut self, id: &WorkflowId, seq: u64, data: &Bytes) -> Result<(), StoreError> {
        if !self.logs.contains_key(id) {
            let extent = match self.extents.get(id) {
                Some(extent) => extent.clone(),
                None => self.extents.load(self.view, id)?,
            };
            self.logs.insert(id.clone(), extent);
        }
        self.put(Keyspace::Logs, keys::numbered(id, seq), data.clone());
        let surplus = match self.logs.get_mut(id) {
            Some(extent) => self.extents.append(extent, seq, data.len()),
            None => None,
        };
        if let Some(last) = surplus {
            for key in self.keys(Keyspace::Logs, &keys::of_workflow(id))? {
                if keys::last_number(&key) > last {
                    break;
                }
                self.delete(Keyspace::Logs, key);
            }
        }
        Ok(())
    }

    fn fire(&mut self, schedule: &str, at_ms: Millis, data: &Bytes) -> Result<(), Refusal> {
        let mark = keys::mark(schedule, at_ms);
        if self.get(Keyspace::Misc, &mark)?.is_some() {
            return Err(Refusal::Rejected(Rejection::Fired { schedule: schedule.to_owned(), at_ms }));
        }
        self.put(Keyspace::Misc, mark, data.clone());
        let marks = self.keys(Keyspace::Misc, &keys::marks(schedule))?;
        let surplus = marks.len().saturating_sub(MARKS_PER_SCHEDULE);
        marks.into_iter().take(surplus).for_each(|mark| self.delete(Keyspace::Misc, mark));
        Ok(())
    }

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.changes.get(&(keyspace, key.to_vec())) {
            Some(value) => Ok(value.clone()),
            None => self.view.get(keyspace, key),
        }
    }

    fn put(&mut self, keyspace: Keyspace, key: Vec<u8>, value: Bytes) {
        self.is_too_long |= key.len() > keys::MAX_KEY_BYTES;
        self.changes.insert((keyspace, key), Some(value));
    }

    fn put_run(&mut self, id: &WorkflowId, run: Run) {
        self.put(Keyspace::Events, keys::numbered(id, run.first), run.write());
    }

    fn delete(&mut self, keyspace: Keyspace, key: Vec<u8>) {
        self.changes.insert((keyspace, key), None);
    }

    fn delete_all(&mut self, keyspace: Keyspace, prefix: &[u8]) -> Result<(), StoreError> {
        for key in self.keys(keyspace, prefix)? {
            self.delete(keyspace, key);
        }
        Ok(())
    }

    /// The keys that begin with `prefix`, on the disk and in the group, in order.
    fn keys(&self, keyspace: Keyspace, prefix: &[u8]) -> Result<BTreeSet<Vec<u8>>, StoreError> {
        let (start, end) = (prefix.to_vec(), keys::behind(prefix));
        let mut found = BTreeSet::new();
        let range = (Bound::Included(start.clone()), Bound::Excluded(end.clone()));
        for pair in self.view.scan(keyspace, range) {
            found.insert(pair?.0.to_vec());
        }
        for ((_, key), value) in self.changes.range((keyspace, start)..(keyspace, end)) {
            match value {
                Some(_) => found.insert(key.clone()),
                None => found.remove(key),
            };
        }
        Ok(found)
    }
}
