//! The store in memory: for tests, and for engines whose workflows may end with the process.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use bytes::Bytes;

use crate::{
    BlobPart, Commit, Count, Cursor, Events, Filter, Fired, Item, Logs, Millis, Page, Rejection, Remembered,
    Space, Store, StoreError, Summary, WorkflowId, Write,
    store::{MARKS_PER_SCHEDULE, MAX_COUNTED},
    table::{Counters, Table},
};

/// Keeps everything in memory and nothing beyond it.
#[derive(Default)]
pub struct MemoryStore {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    summaries: Table,
    counters: Counters,
    histories: HashMap<WorkflowId, History>,
    remembered: HashMap<(Bytes, String), Remembered>,
    expiring: BTreeSet<(Millis, Bytes, String)>,
    schedules: BTreeMap<String, Bytes>,
    fired: HashMap<String, BTreeMap<Millis, Bytes>>,
    settings: BTreeMap<String, Bytes>,
}

/// What belongs to one workflow.
#[derive(Default)]
struct History {
    events: BTreeMap<u64, Bytes>,
    logs: BTreeMap<u64, Bytes>,
    log_bytes: usize,
    blobs: HashMap<String, Bytes>,
}

impl MemoryStore {
    /// Makes an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        // Nothing between a write lock and its end can panic, so there is no half of a commit to be afraid of.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn commit(&self, commits: &[Commit]) -> Result<(), StoreError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.check(commits)?;
        for write in commits.iter().flat_map(|commit| &commit.writes) {
            state.apply(write);
        }
        Ok(())
    }

    fn summary(&self, id: &WorkflowId) -> Result<Option<Summary>, StoreError> {
        Ok(self.state().summaries.get(id).map(|summary| Summary::clone(summary)))
    }

    fn events(&self, id: &WorkflowId, after: u64, limit: usize) -> Result<Events, StoreError> {
        let state = self.state();
        let Some(history) = state.histories.get(id) else { return Ok(Events::default()) };
        Ok(Events { oldest: first(&history.events), items: behind(&history.events, after, limit) })
    }

    fn live(&self) -> Result<Vec<Summary>, StoreError> {
        let state = self.state();
        let alive = state.summaries.all().filter(|summary| !summary.status.is_terminal());
        Ok(alive.map(|summary| Summary::clone(summary)).collect())
    }

    fn list(&self, filter: &Filter, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let state = self.state();
        let found = state.summaries.newest(filter, after).take(limit + 1);
        Ok(Page::of(found.map(|summary| Summary::clone(summary)).collect(), limit))
    }

    fn count(&self, filter: &Filter) -> Result<Count, StoreError> {
        let state = self.state();
        if filter.is_status_only() {
            return Ok(Count::Exact(state.counters.of(filter)));
        }
        if let Some(wanted) = filter.first_attribute()
            && state.summaries.newest(&wanted, None).nth(MAX_COUNTED).is_some()
        {
            return Ok(Count::MoreThan(MAX_COUNTED as u64));
        }
        Ok(Count::Exact(state.summaries.newest(filter, None).count() as u64))
    }

    fn ended(&self, before_ms: Millis, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let state = self.state();
        let filter = Filter { finished_before_ms: Some(before_ms), ..Filter::default() };
        let found = state.summaries.oldest(after).filter(|summary| filter.matches(summary)).take(limit + 1);
        Ok(Page::of(found.map(|summary| Summary::clone(summary)).collect(), limit))
    }

    fn idempotent(&self, scope: &[u8], key: &str, now_ms: Millis) -> Result<Option<Remembered>, StoreError> {
        let place = (Bytes::copy_from_slice(scope), key.to_owned());
        Ok(self.state().remembered.get(&place).filter(|remembered| now_ms < remembered.expires_ms).cloned())
    }

    fn logs(&self, id: &WorkflowId, after: u64, limit: usize) -> Result<Logs, StoreError> {
        let state = self.state();
        let Some(History { logs, .. }) = state.histories.get(id) else { return Ok(Logs::default()) };
        let newest = logs.last_key_value().map_or(0, |(seq, _)| *seq);
        Ok(Logs { oldest: first(logs), newest, items: behind(logs, after, limit) })
    }

    fn blob(
        &self,
        id: &WorkflowId,
        name: &str,
        offset: u64,
        limit: usize,
    ) -> Result<Option<BlobPart>, StoreError> {
        let state = self.state();
        let Some(blob) = state.histories.get(id).and_then(|history| history.blobs.get(name)) else {
            return Ok(None);
        };
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(blob.len());
        let end = start.saturating_add(limit).min(blob.len());
        Ok(Some(BlobPart { total: blob.len() as u64, data: blob.slice(start..end) }))
    }

    fn schedules(&self) -> Result<Vec<(String, Bytes)>, StoreError> {
        Ok(self.state().schedules.iter().map(|(id, data)| (id.clone(), data.clone())).collect())
    }

    fn fired(&self, schedule: &str, limit: usize) -> Result<Vec<Fired>, StoreError> {
        let state = self.state();
        let marks = state.fired.get(schedule).into_iter().flatten().rev().take(limit);
        Ok(marks.map(|(at_ms, data)| Fired { at_ms: *at_ms, data: data.clone() }).collect())
    }

    fn settings(&self) -> Result<Vec<(String, Bytes)>, StoreError> {
        Ok(self.state().settings.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    fn space(&self) -> Space {
        Space::Ample
    }

    fn disk_bytes(&self) -> u64 {
        0
    }
}

impl State {
    /// Finds the first commit that cannot be applied behind those before it, and changes nothing.
    fn check(&self, commits: &[Commit]) -> Result<(), StoreError> {
        let mut exists: HashMap<&WorkflowId, bool> = HashMap::new();
        let mut marks: BTreeSet<(&str, Millis)> = BTreeSet::new();
        for (commit, Commit { writes }) in commits.iter().enumerate() {
            for write in writes {
                let known = |id: &WorkflowId| {
                    exists.get(id).copied().unwrap_or_else(|| self.summaries.get(id).is_some())
                };
                let reason = match write {
                    Write::Create(Summary { id, .. }) if known(id) => Rejection::Exists(id.clone()),
                    Write::Update(Summary { id, .. })
                    | Write::Event { id, .. }
                    | Write::Log { id, .. }
                    | Write::Blob { id, .. }
                        if !known(id) =>
                    {
                        Rejection::Missing(id.clone())
                    }
                    Write::Fired { schedule, at_ms, .. }
                        if self.fired.get(schedule).is_some_and(|marks| marks.contains_key(at_ms))
                            || !marks.insert((schedule, *at_ms)) =>
                    {
                        Rejection::Fired { schedule: schedule.clone(), at_ms: *at_ms }
                    }
                    Write::Create(summary) => {
                        exists.insert(&summary.id, true);
                        continue;
                    }
                    Write::Purge(id) => {
                        exists.insert(id, false);
                        continue;
                    }
                    _ => continue,
                };
                return Err(StoreError::Rejected { commit, reason });
            }
        }
        Ok(())
    }

    fn apply(&mut self, write: &Write) {
        match write {
            Write::Create(summary) | Write::Update(summary) => {
                if let Some(former) = self.summaries.remove(&summary.id) {
                    self.counters.remove(former.status);
                }
                self.counters.add(summary.status);
                self.summaries.put(Arc::new(summary.clone()));
            }
            Write::Event { id, seq, data } => {
                self.histories.entry(id.clone()).or_default().events.insert(*seq, data.clone());
            }
            Write::Idempotent { scope, key, remembered } => self.remember(scope, key, remembered),
            Write::Expire { now_ms, limit } => {
                for _ in 0..*limit {
                    let Some(oldest) = self.expiring.first().filter(|oldest| oldest.0 <= *now_ms) else {
                        break;
                    };
                    let (expires_ms, scope, key) = oldest.clone();
                    self.remembered.remove(&(scope.clone(), key.clone()));
                    self.expiring.remove(&(expires_ms, scope, key));
                }
            }
            Write::Log { id, seq, data } => self.histories.entry(id.clone()).or_default().log(*seq, data),
            Write::Blob { id, name, data } => {
                self.histories.entry(id.clone()).or_default().blobs.insert(name.clone(), data.clone());
            }
            Write::Schedule { id, data: Some(data) } => {
                self.schedules.insert(id.clone(), data.clone());
            }
            Write::Schedule { id, data: None } => {
                self.schedules.remove(id);
                self.fired.remove(id);
            }
            Write::Fired { schedule, at_ms, data } => {
                let marks = self.fired.entry(schedule.clone()).or_default();
                marks.insert(*at_ms, data.clone());
                while marks.len() > MARKS_PER_SCHEDULE {
                    marks.pop_first();
                }
            }
            Write::Setting { name, value: Some(value) } => {
                self.settings.insert(name.clone(), value.clone());
            }
            Write::Setting { name, value: None } => {
                self.settings.remove(name);
            }
            Write::Purge(id) => {
                if let Some(former) = self.summaries.remove(id) {
                    self.counters.remove(former.status);
                }
                self.histories.remove(id);
            }
        }
    }

    fn remember(&mut self, scope: &Bytes, key: &str, remembered: &Remembered) {
        let place = (scope.clone(), key.to_owned());
        if let Some(former) = self.remembered.insert(place, remembered.clone()) {
            self.expiring.remove(&(former.expires_ms, scope.clone(), key.to_owned()));
        }
        self.expiring.insert((remembered.expires_ms, scope.clone(), key.to_owned()));
    }
}

impl History {
    fn log(&mut self, seq: u64, data: &Bytes) {
        self.log_bytes += data.len();
        if let Some(former) = self.logs.insert(seq, data.clone()) {
            self.log_bytes -= former.len();
        }
        while self.log_bytes > crate::DEFAULT_LOG_BYTES && self.logs.len() > 1 {
            if let Some((_, oldest)) = self.logs.pop_first() {
                self.log_bytes -= oldest.len();
            }
        }
    }
}

fn first(items: &BTreeMap<u64, Bytes>) -> u64 {
    items.first_key_value().map_or(0, |(seq, _)| *seq)
}

fn behind(items: &BTreeMap<u64, Bytes>, after: u64, limit: usize) -> Vec<Item> {
    let found = items.range((Bound::Excluded(after), Bound::Unbounded)).take(limit);
    found.map(|(seq, data)| Item { seq: *seq, data: data.clone() }).collect()
}
