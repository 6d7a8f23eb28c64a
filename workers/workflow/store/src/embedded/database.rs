//! The database below: fjall, one keyspace per [`Keyspace`], one batch and one `fdatasync` of its journal per group of commits.
//!
//! The journal's tail is checked by [`journal`](super::journal) before the database sees it.
//!
//! When a write buffer is full, the database would tell its worker threads so, with every commit again, over a bounded queue that
//! the same threads write to. Under load they can all wait for room in it, and never flush again (fjall issues 257 and 323, open in
//! 3.1). So its own bound is out of reach, and [`Buffers`] says when a buffer is flushed: once per buffer, and the next time
//! only when that is done.

use std::{
    collections::BTreeMap,
    io,
    ops::Bound,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use fjall::{KeyspaceCreateOptions, PersistMode, Readable, Snapshot};

use super::{EmbeddedSettings, directory::io_error, keys::Keyspace};
use crate::StoreError;

/// What a group of commits changes: new values, and `None` where a key goes.
pub(super) type Changes = BTreeMap<(Keyspace, Vec<u8>), Option<Bytes>>;

/// Keys from a bound to a bound.
pub(super) type Range = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// One thread for flushes, and one for compactions, which the database wants apart.
const WORKER_THREADS: usize = 2;

/// What a key and its value cost in a write buffer besides their bytes.
const ENTRY_BYTES: u64 = 64;

/// How many times its size a write buffer may have while its predecessor is flushed; then commits wait.
const MAX_OVERRUN: u64 = 4;

/// How long commits wait for a flush. A buffer takes a second on a slow disk; what takes this long will not end.
const MAX_WAIT: Duration = Duration::from_secs(60);

type Keyspaces = [fjall::Keyspace; Keyspace::ALL.len()];

pub(super) struct Database {
    database: fjall::Database,
    keyspaces: Arc<Keyspaces>,
    buffers: Mutex<Buffers>,
    path: PathBuf,
}

/// What has been written into each write buffer, and since it was begun.
struct Buffers {
    /// Where a buffer is to be flushed.
    full_bytes: u64,
    /// Where it is to be flushed since others have been written: what is in a buffer keeps journals from being deleted.
    stale_bytes: u64,
    used: [Used; Keyspace::ALL.len()],
}

/// How many bytes went into each write buffer.
pub(super) struct Written([u64; Keyspace::ALL.len()]);

#[derive(Clone, Copy, Default)]
struct Used {
    own: u64,
    all: u64,
}

/// The database as one group of commits left it.
pub(super) struct View {
    snapshot: Snapshot,
    keyspaces: Arc<Keyspaces>,
    path: PathBuf,
}

impl Database {
    /// Opens the database, whose journals hold `replayed` bytes.
    pub(super) fn open(
        path: PathBuf,
        settings: &EmbeddedSettings,
        replayed: u64,
    ) -> Result<Self, StoreError> {
        let open = || {
            let database = fjall::Database::builder(&path)
                .cache_size(settings.cache_bytes)
                .worker_threads(WORKER_THREADS)
                .max_journaling_size(u64::MAX)
                .manual_journal_persist(true)
                .open()?;
            let options = || KeyspaceCreateOptions::default().max_memtable_size(u64::MAX);
            let keyspaces = Keyspace::ALL.map(|keyspace| database.keyspace(keyspace.name(), options));
            Ok((database, keyspaces))
        };
        let (database, keyspaces) = open().map_err(|error| failed("opening the database", &path, error))?;
        let mut opened = Vec::with_capacity(Keyspace::ALL.len());
        for keyspace in keyspaces {
            opened.push(keyspace.map_err(|error| failed("opening the database", &path, error))?);
        }
        let keyspaces: Keyspaces = opened.try_into().unwrap_or_else(|_| unreachable!("one for each"));
        // What was read from journals is in the buffers, whose accounts begin at nothing. Much of it is flushed now; little may
        // stay, so that it is cheap to open a small store.
        if replayed > settings.write_buffer_bytes {
            for keyspace in &keyspaces {
                keyspace.rotate_memtable().map_err(|error| failed("flushing", &path, error))?;
            }
        }
        let buffers = Mutex::new(Buffers {
            full_bytes: settings.write_buffer_bytes,
            stale_bytes: settings.journal_bytes / 2,
            used: Default::default(),
        });
        Ok(Self { database, keyspaces: Arc::new(keyspaces), buffers, path })
    }

    /// Writes `changes`, all or nothing, and returns when they are on the disk. After an error the database takes no more.
    /// [`flush`](Self::flush) has to follow.
    pub(super) fn write(&self, changes: Changes) -> Result<Written, StoreError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        let mut written = [0; Keyspace::ALL.len()];
        for ((keyspace, key), value) in changes {
            written[keyspace as usize] +=
                (key.len() + value.as_ref().map_or(0, Bytes::len)) as u64 + ENTRY_BYTES;
            let keyspace = &self.keyspaces[keyspace as usize];
            match value {
                Some(value) => batch.insert(keyspace, key, &value[..]),
                None => batch.remove(keyspace, key),
            }
        }
        batch.commit().map_err(|error| failed("writing the journal", &self.path, error))?;
        Ok(Written(written))
    }

    /// Begins to flush the buffers that are full or stale. Waits only where the disk cannot keep up.
    pub(super) fn flush(&self, Written(written): Written) -> Result<(), StoreError> {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let all: u64 = written.iter().sum();
        let Buffers { full_bytes, stale_bytes, .. } = *buffers;
        for ((used, written), keyspace) in buffers.used.iter_mut().zip(written).zip(&*self.keyspaces) {
            used.own += written;
            if used.own > 0 {
                used.all += all;
            }
            if used.own < full_bytes && used.all < stale_bytes {
                continue;
            }
            let waits = Instant::now();
            while used.own >= MAX_OVERRUN * full_bytes && keyspace.sealed_memtable_count() > 0 {
                if waits.elapsed() > MAX_WAIT {
                    let error = io::Error::new(io::ErrorKind::TimedOut, "the disk does not keep up");
                    return Err(io_error("flushing a write buffer", &self.path)(error));
                }
                thread::sleep(Duration::from_millis(1));
            }
            if keyspace.sealed_memtable_count() == 0 {
                keyspace.rotate_memtable().map_err(|error| failed("flushing", &self.path, error))?;
                *used = Used::default();
            }
        }
        Ok(())
    }

    pub(super) fn view(&self) -> View {
        View {
            snapshot: self.database.snapshot(),
            keyspaces: self.keyspaces.clone(),
            path: self.path.clone(),
        }
    }

    pub(super) fn disk_bytes(&self) -> u64 {
        self.database.disk_space().unwrap_or(0)
    }
}

impl View {
    pub(super) fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.snapshot.get(&self.keyspaces[keyspace as usize], key);
        let value = value.map_err(|error| failed("reading", &self.path, error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    /// Keys and values in order, from either end.
    pub(super) fn scan(
        &self,
        keyspace: Keyspace,
        range: Range,
    ) -> impl DoubleEndedIterator<Item = Result<(Bytes, Bytes), StoreError>> {
        self.snapshot.range(&self.keyspaces[keyspace as usize], range).map(|guard| {
            let (key, value) = guard.into_inner().map_err(|error| failed("reading", &self.path, error))?;
            Ok((Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value)))
        })
    }
}

/// Tells a disk that fails from data that is damaged. The database logs which file it was, and does not return it.
fn failed(what: &'static str, path: &Path, error: fjall::Error) -> StoreError {
    let corrupt = |what: String| StoreError::Corrupt { path: path.to_owned(), what };
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error))
            // A file that is too short, or not there: that is what damage looks like.
            if !matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound) =>
        {
            io_error(what, path)(error)
        }
        fjall::Error::Poisoned => io_error(what, path)(io::Error::other("an earlier write failed")),
        error => corrupt(format!("{what}: {error}")),
    }
}
