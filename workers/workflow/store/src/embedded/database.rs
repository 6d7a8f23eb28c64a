//! The database below: fjall, one keyspace per [`Keyspace`], one batch and one `fdatasync` of its journal per group of commits.
//!
//! The journal's tail is checked by [`journal`](super::journal) before the database sees it.

use std::{
    collections::BTreeMap,
    io,
    ops::Bound,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use fjall::{KeyspaceCreateOptions, PersistMode, Readable, Snapshot};

use super::{EmbeddedSettings, directory::io_error, keys::Keyspace};
use crate::StoreError;

/// What a group of commits changes: new values, and `None` where a key goes.
pub(super) type Changes = BTreeMap<(Keyspace, Vec<u8>), Option<Bytes>>;

/// Keys from a bound to a bound.
pub(super) type Range = (Bound<Vec<u8>>, Bound<Vec<u8>>);

type Keyspaces = [fjall::Keyspace; Keyspace::ALL.len()];

pub(super) struct Database {
    database: fjall::Database,
    keyspaces: Arc<Keyspaces>,
    path: PathBuf,
}

/// The database as one group of commits left it.
pub(super) struct View {
    snapshot: Snapshot,
    keyspaces: Arc<Keyspaces>,
    path: PathBuf,
}

impl Database {
    pub(super) fn open(path: PathBuf, settings: &EmbeddedSettings) -> Result<Self, StoreError> {
        let open = || {
            let database = fjall::Database::builder(&path)
                .cache_size(settings.cache_bytes)
                .max_journaling_size(settings.journal_bytes.max(64 << 20))
                .manual_journal_persist(true)
                .open()?;
            let options = || KeyspaceCreateOptions::default().max_memtable_size(settings.write_buffer_bytes);
            let keyspaces = Keyspace::ALL.map(|keyspace| database.keyspace(keyspace.name(), options));
            Ok((database, keyspaces))
        };
        let (database, keyspaces) = open().map_err(|error| failed("opening the database", &path, error))?;
        let mut opened = Vec::with_capacity(Keyspace::ALL.len());
        for keyspace in keyspaces {
            opened.push(keyspace.map_err(|error| failed("opening the database", &path, error))?);
        }
        let keyspaces = Arc::new(opened.try_into().unwrap_or_else(|_| unreachable!("one for each")));
        Ok(Self { database, keyspaces, path })
    }

    /// Writes `changes`, all or nothing, and returns when they are on the disk. After an error the database takes no more.
    pub(super) fn write(&self, changes: Changes) -> Result<(), StoreError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for ((keyspace, key), value) in changes {
            let keyspace = &self.keyspaces[keyspace as usize];
            match value {
                Some(value) => batch.insert(keyspace, key, &value[..]),
                None => batch.remove(keyspace, key),
            }
        }
        batch.commit().map_err(|error| failed("writing the journal", &self.path, error))
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
