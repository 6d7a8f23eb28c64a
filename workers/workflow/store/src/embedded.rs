//! The store on disk: one directory, one process, no service beside it.

mod database;
mod directory;
mod journal;
mod keys;
mod logs;
mod query;
mod record;
mod runs;
mod staged;

use std::{
    ops::Bound,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
    thread,
};

use bytes::{Bytes, BytesMut};

use self::{
    database::{Database, View},
    directory::Directory,
    keys::Keyspace,
    logs::Extents,
    staged::{CHUNK_BYTES, Staged},
};
use crate::{
    BlobPart, Commit, Count, Cursor, Events, Filter, Fired, Item, Logs, Millis, Page, Remembered, Space,
    Store, StoreError, Summary, WorkflowId,
    store::MAX_COUNTED,
    table::{Counters, Table},
};

/// What bounds the store on disk.
#[derive(Clone, Debug)]
pub struct EmbeddedSettings {
    /// Memory for blocks that were read. 64 MiB: the pages of a list and the histories that people look at again.
    pub cache_bytes: u64,
    /// Memory for writes of one kind before they become a file. 16 MiB: ten kinds, of which four are busy.
    pub write_buffer_bytes: u64,
    /// Disk for writes that are in no file yet, at least 64 MiB. 128 MiB: all of it is read again after a crash, in about a second.
    pub journal_bytes: u64,
    /// Free space below which [`Store::space`] says [`Space::Low`]. 512 MiB: what is under way can end.
    pub low_bytes: u64,
    /// Free space below which commits are refused. 128 MiB: the database can still tidy up, which frees space.
    pub reserve_bytes: u64,
    /// Bytes of log lines that are kept per workflow.
    pub log_bytes: usize,
}

impl Default for EmbeddedSettings {
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
            write_buffer_bytes: 16 << 20,
            journal_bytes: 128 << 20,
            low_bytes: 512 << 20,
            reserve_bytes: 128 << 20,
            log_bytes: crate::DEFAULT_LOG_BYTES,
        }
    }
}

/// Keeps everything in a directory.
pub struct EmbeddedStore {
    database: Database,
    writer: Mutex<Writer>,
    resident: RwLock<Resident>,
    directory: Directory,
}

/// What is in memory and shown to readers.
#[derive(Default)]
struct Resident {
    /// Workflows that have not ended.
    live: Table,
    counters: Counters,
    /// The number of the commit that left it so.
    version: u64,
}

/// What only commits need.
struct Writer {
    extents: Extents,
    expired: Vec<u8>,
    failed: Option<String>,
}

impl EmbeddedStore {
    /// Opens the store in `path`, which is made if it is not there.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process has it, [`StoreError::Format`] if another version wrote it,
    /// [`StoreError::Corrupt`] if it is damaged, and [`StoreError::Io`] if the disk fails.
    pub fn open(path: impl Into<PathBuf>, settings: &EmbeddedSettings) -> Result<Self, StoreError> {
        let directory = Directory::open(&path.into(), settings.low_bytes, settings.reserve_bytes)?;
        let replayed = journal::check(&directory.database())?;
        let database = Database::open(directory.database(), settings, replayed)?;
        let mut resident = Resident::default();
        {
            let view = database.view();
            if let Some(counters) = view.get(Keyspace::Misc, keys::COUNTERS)? {
                let read =
                    record::read_counters(&counters).ok_or_else(|| corrupt(&directory, "the counters"))?;
                (resident.counters, resident.version) = read;
            }
            for pair in view.scan(Keyspace::Live, (Bound::Unbounded, Bound::Unbounded)) {
                let summary =
                    record::read_summary(&pair?.1).ok_or_else(|| corrupt(&directory, "a summary"))?;
                resident.live.put(Arc::new(summary));
            }
        }
        let writer = Writer { extents: Extents::new(settings.log_bytes), expired: Vec::new(), failed: None };
        Ok(Self { database, writer: Mutex::new(writer), resident: RwLock::new(resident), directory })
    }

    fn resident(&self) -> RwLockReadGuard<'_, Resident> {
        self.resident.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is in memory and what is on the disk, as one commit left them both. A commit changes the disk first; between
    /// that and its change of the memory there are some microseconds, for which this waits.
    fn consistent(&self) -> Result<(RwLockReadGuard<'_, Resident>, View), StoreError> {
        loop {
            let resident = self.resident();
            let view = self.database.view();
            let counters = view.get(Keyspace::Misc, keys::COUNTERS)?;
            let version = counters
                .and_then(|counters| record::read_counters(&counters))
                .map_or(0, |(_, version)| version);
            if version == resident.version {
                return Ok((resident, view));
            }
            drop(resident);
            thread::yield_now();
        }
    }
}

impl Store for EmbeddedStore {
    fn commit(&self, commits: &[Commit]) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(failed) = &writer.failed {
            return Err(StoreError::Stopped(failed.clone()));
        }
        self.directory.check_space()?;
        let view = self.database.view();
        let resident = self.resident();
        let mut staged =
            Staged::new(&view, &resident.live, &writer.extents, resident.counters, writer.expired.clone());
        staged.stage(commits)?;
        let Staged { mut changes, workflows, counters, logs, expired, .. } = staged;
        if changes.is_empty() {
            // A search that found nothing need not be made again.
            drop(resident);
            drop(view);
            writer.expired = expired;
            return Ok(());
        }
        let version = resident.version + 1;
        drop(resident);
        drop(view);
        changes.insert(
            (Keyspace::Misc, keys::COUNTERS.to_vec()),
            Some(record::write_counters(counters, version)),
        );
        let written =
            self.database.write(changes).inspect_err(|error| writer.failed = Some(error.to_string()))?;

        let mut resident = self.resident.write().unwrap_or_else(PoisonError::into_inner);
        for (id, change) in &workflows {
            resident.live.remove(id);
            match &change.now {
                Some(now) if !now.status.is_terminal() => resident.live.put(now.clone()),
                _ => writer.extents.forget(id),
            }
        }
        resident.counters = counters;
        resident.version = version;
        drop(resident);
        writer.extents.merge(logs);
        writer.expired = expired;
        self.database.flush(written).inspect_err(|error| writer.failed = Some(error.to_string()))
    }

    fn summary(&self, id: &WorkflowId) -> Result<Option<Summary>, StoreError> {
        if let Some(summary) = self.resident().live.get(id) {
            return Ok(Some(Summary::clone(summary)));
        }
        let (resident, view) = self.consistent()?;
        match resident.live.get(id) {
            Some(summary) => Ok(Some(Summary::clone(summary))),
            None => {
                drop(resident);
                query::ended_workflow(&view, id)
            }
        }
    }

    fn events(&self, id: &WorkflowId, after: u64, limit: usize) -> Result<Events, StoreError> {
        let view = self.database.view();
        let mut items = Vec::new();
        let (from, end) = (keys::of_workflow(id), keys::behind(&keys::of_workflow(id)));
        let all = (Bound::Included(from.clone()), Bound::Excluded(end.clone()));
        let Some((oldest, _)) = view.scan(Keyspace::Events, all).next().transpose()? else {
            return Ok(Events { oldest: 0, items });
        };
        // The run that the first of them lies in begins with it, or before.
        let next = keys::numbered(id, after.saturating_add(1));
        let before = (Bound::Included(from), Bound::Included(next.clone()));
        let first = view.scan(Keyspace::Events, before).next_back().transpose()?.map(|(key, _)| key.to_vec());
        let wanted = (Bound::Included(first.unwrap_or(next)), Bound::Excluded(end));
        for pair in view.scan(Keyspace::Events, wanted) {
            let (key, run) = pair?;
            let run =
                runs::read(keys::last_number(&key), run).ok_or_else(|| corrupt(&self.directory, "events"))?;
            items.extend(run.into_iter().filter(|event| event.seq > after));
            if items.len() >= limit {
                items.truncate(limit);
                break;
            }
        }
        Ok(Events { oldest: keys::last_number(&oldest), items })
    }

    fn live(&self) -> Result<Vec<Summary>, StoreError> {
        Ok(self.resident().live.all().map(|summary| Summary::clone(summary)).collect())
    }

    fn list(&self, filter: &Filter, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let (resident, view) = self.consistent()?;
        let alive = resident.live.newest(filter, after).take(limit + 1);
        let mut found: Vec<_> = alive.map(|summary| Summary::clone(summary)).collect();
        drop(resident);
        if asks_for_ended(filter) {
            found.extend(query::list(&view, filter, after, limit + 1)?);
            found.sort_by_cached_key(|summary| std::cmp::Reverse(Cursor::of(summary)));
        }
        Ok(Page::of(found, limit))
    }

    fn count(&self, filter: &Filter) -> Result<Count, StoreError> {
        if filter.is_status_only() {
            return Ok(Count::Exact(self.resident().counters.of(filter)));
        }
        if let Some(owner) = filter.is_status_of_owner().filter(|owner| keys::has_counters(owner)) {
            return Ok(Count::Exact(query::owned(&self.database.view(), owner)?.of(filter)));
        }
        let (resident, view) = self.consistent()?;
        if let Some(wanted) = filter.first_attribute() {
            let alive = resident.live.newest(&wanted, None).count();
            if alive + query::with_attribute(&view, &wanted)? > MAX_COUNTED {
                return Ok(Count::MoreThan(MAX_COUNTED as u64));
            }
        }
        let alive = resident.live.newest(filter, None).count() as u64;
        drop(resident);
        let ended = if asks_for_ended(filter) { query::count(&view, filter)? } else { 0 };
        Ok(Count::Exact(alive + ended))
    }

    fn ended(&self, before_ms: Millis, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        Ok(Page::of(query::ended(&self.database.view(), before_ms, after, limit + 1)?, limit))
    }

    fn idempotent(&self, scope: &[u8], key: &str, now_ms: Millis) -> Result<Option<Remembered>, StoreError> {
        let found = self.database.view().get(Keyspace::Idempotency, &keys::idempotency(scope, key))?;
        let Some(found) = found else { return Ok(None) };
        let remembered = record::read_remembered(&found)
            .ok_or_else(|| corrupt(&self.directory, "an idempotency record"))?;
        Ok(Some(remembered).filter(|remembered| now_ms < remembered.expires_ms))
    }

    fn logs(&self, id: &WorkflowId, after: u64, limit: usize) -> Result<Logs, StoreError> {
        let view = self.database.view();
        let (oldest, newest) = ends(&view, id)?;
        Ok(Logs { oldest, newest, items: lines(&view, id, after, limit)? })
    }

    fn blob(
        &self,
        id: &WorkflowId,
        name: &str,
        offset: u64,
        limit: usize,
    ) -> Result<Option<BlobPart>, StoreError> {
        let view = self.database.view();
        let Some(head) = view.get(Keyspace::Blobs, &keys::chunk(id, name, 0))? else { return Ok(None) };
        let total = keys::last_number(&head);
        let end = offset.saturating_add(limit as u64).min(total);
        let mut data = BytesMut::new();
        let mut at = offset;
        while at < end {
            let number = u32::try_from(at / CHUNK_BYTES as u64).unwrap_or(u32::MAX - 1) + 1;
            let chunk = view.get(Keyspace::Blobs, &keys::chunk(id, name, number))?;
            let start = (at % CHUNK_BYTES as u64) as usize;
            let stop = CHUNK_BYTES.min(start + (end - at) as usize);
            let piece = chunk.as_ref().and_then(|chunk| chunk.get(start..stop));
            data.extend_from_slice(piece.ok_or_else(|| corrupt(&self.directory, "a blob"))?);
            at += (stop - start) as u64;
        }
        Ok(Some(BlobPart { total, data: data.freeze() }))
    }

    fn schedules(&self) -> Result<Vec<(String, Bytes)>, StoreError> {
        named(&self.database.view(), b'c')
    }

    fn fired(&self, schedule: &str, limit: usize) -> Result<Vec<Fired>, StoreError> {
        let view = self.database.view();
        let prefix = keys::marks(schedule);
        let marks = view
            .scan(Keyspace::Misc, (Bound::Included(prefix.clone()), Bound::Excluded(keys::behind(&prefix))));
        let marks = marks.rev().take(limit);
        marks.map(|pair| pair.map(|(key, data)| Fired { at_ms: keys::last_number(&key), data })).collect()
    }

    fn settings(&self) -> Result<Vec<(String, Bytes)>, StoreError> {
        named(&self.database.view(), b's')
    }

    fn space(&self) -> Space {
        self.directory.space()
    }

    fn disk_bytes(&self) -> u64 {
        self.database.disk_bytes()
    }
}

fn asks_for_ended(filter: &Filter) -> bool {
    filter.statuses.is_empty()
        || crate::Status::ALL
            .into_iter()
            .any(|status| status.is_terminal() && filter.statuses.contains(status))
}

/// The numbers of the first and the last log line of a workflow; zeros if it has none.
fn ends(view: &View, id: &WorkflowId) -> Result<(u64, u64), StoreError> {
    let prefix = keys::of_workflow(id);
    let range = (Bound::Included(prefix.clone()), Bound::Excluded(keys::behind(&prefix)));
    let mut found = view.scan(Keyspace::Logs, range);
    let Some(first) = found.next().transpose()? else { return Ok((0, 0)) };
    let first = keys::last_number(&first.0);
    Ok((first, found.next_back().transpose()?.map_or(first, |(key, _)| keys::last_number(&key))))
}

fn lines(view: &View, id: &WorkflowId, after: u64, limit: usize) -> Result<Vec<Item>, StoreError> {
    let start = keys::numbered(id, after);
    let end = keys::behind(&keys::of_workflow(id));
    let found = view.scan(Keyspace::Logs, (Bound::Excluded(start), Bound::Excluded(end))).take(limit);
    found.map(|pair| pair.map(|(key, data)| Item { seq: keys::last_number(&key), data })).collect()
}

/// Everything in `misc` of one kind, with its name.
fn named(view: &View, kind: u8) -> Result<Vec<(String, Bytes)>, StoreError> {
    let found = view.scan(Keyspace::Misc, (Bound::Included(vec![kind]), Bound::Excluded(vec![kind + 1])));
    found
        .map(|pair| pair.map(|(key, value)| (String::from_utf8_lossy(&key[1..]).into_owned(), value)))
        .collect()
}

fn corrupt(directory: &Directory, what: &str) -> StoreError {
    StoreError::Corrupt { path: directory.database(), what: format!("{what} cannot be read") }
}
