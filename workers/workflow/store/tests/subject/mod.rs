//! What the tests share: both stores behind one face, and workflows to put into them.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;
use workflow_store::{
    Commit, EmbeddedSettings, EmbeddedStore, MemoryStore, Status, Store, StoreError, Summary, WorkflowId,
    Write,
};

/// A store under test.
pub(crate) struct Subject {
    pub(crate) store: Arc<dyn Store>,
    directory: Option<TempDir>,
}

impl Subject {
    pub(crate) fn in_memory() -> Self {
        Self { store: Arc::new(MemoryStore::new()), directory: None }
    }

    pub(crate) fn on_disk() -> Self {
        let directory = directory();
        let store = Arc::new(EmbeddedStore::open(directory.path(), &settings()).unwrap());
        Self { store, directory: Some(directory) }
    }

    /// Closes and opens the store again, where it outlives that.
    pub(crate) fn reopen(&mut self) {
        if let Some(directory) = &self.directory {
            self.store = Arc::new(MemoryStore::new());
            self.store = Arc::new(EmbeddedStore::open(directory.path(), &settings()).unwrap());
        }
    }

    pub(crate) fn commit(&self, writes: Vec<Write>) {
        self.try_commit(writes).unwrap();
    }

    pub(crate) fn try_commit(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.store.commit(&[Commit::new(writes)])
    }
}

/// Runs a test on each kind of store.
pub(crate) fn on_each(test: impl Fn(Subject)) {
    test(Subject::in_memory());
    test(Subject::on_disk());
}

/// Small, so that tests do not need much room, and pass where the disk is nearly full.
pub(crate) fn settings() -> EmbeddedSettings {
    EmbeddedSettings { low_bytes: 2 << 20, reserve_bytes: 1 << 20, ..EmbeddedSettings::default() }
}

pub(crate) fn id(text: &str) -> WorkflowId {
    WorkflowId::new(text).unwrap()
}

pub(crate) fn workflow(name: &str, created_ms: u64) -> Summary {
    Summary::new(id(name), name, created_ms)
}

/// `summary` at its end.
pub(crate) fn ended(mut summary: Summary, status: Status, at_ms: u64) -> Summary {
    summary.status = status;
    summary.updated_ms = at_ms;
    summary.finished_ms = at_ms;
    summary
}

pub(crate) fn event(name: &str, seq: u64, data: &'static str) -> Write {
    Write::Event { id: id(name), seq, data: Bytes::from_static(data.as_bytes()) }
}

/// A directory in memory where there is one: what a process leaves behind when it is killed is the same there, and the many
/// syncs of these tests cost nothing.
pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}
