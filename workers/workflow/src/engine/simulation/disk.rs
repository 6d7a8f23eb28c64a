//! A disk that outlives the process, and on which a write fails when the schedule says so.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use bytes::Bytes;
use workflow_store::{
    BlobPart, Commit, Count, Cursor, Events, Filter, Fired, Logs, MemoryStore, Millis, Page, Remembered,
    Space, Store, StoreError, Summary, WorkflowId,
};

#[derive(Default)]
pub(super) struct Disk {
    /// What was synced.
    store: MemoryStore,
    fault: Mutex<Option<Fault>>,
    /// Why the store did not take a commit.
    refused: Mutex<Option<String>>,
    full: AtomicBool,
}

/// Writes fail from some moment on, as they do for a process that died.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    /// Groups of commits that are still written.
    pub(super) after: u64,
    /// Whether the group that fails is on the disk all the same.
    pub(super) kept: bool,
}

impl Disk {
    /// Has no room for anything, or has again.
    pub(super) fn fill(&self, full: bool) {
        self.full.store(full, Relaxed);
    }

    pub(super) fn break_down(&self, fault: Fault) {
        *self.fault.lock().unwrap() = Some(fault);
    }

    /// All workflows that it has.
    pub(super) fn ids(&self) -> Vec<WorkflowId> {
        let page = self.store.list(&Filter::default(), None, 1_000).unwrap();
        page.summaries.into_iter().map(|summary| summary.id).collect()
    }

    /// Fails if the store had to refuse a commit, which stops the engine.
    pub(super) fn check(&self) {
        assert_eq!(*self.refused.lock().unwrap(), None);
    }

    pub(super) fn mend(&self) {
        *self.fault.lock().unwrap() = None;
    }
}

macro_rules! forward {
    ($($name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        $(fn $name(&self, $($arg: $type),*) -> $out { self.store.$name($($arg),*) })*
    };
}

impl Store for Disk {
    fn commit(&self, commits: &[Commit]) -> Result<(), StoreError> {
        if self.full.load(Relaxed) {
            return Err(StoreError::Full { path: "data".into(), free_bytes: 0, reserve_bytes: 1 });
        }
        let mut fault = self.fault.lock().unwrap();
        let Some(fault) = fault.as_mut() else {
            let refused = |error: &StoreError| *self.refused.lock().unwrap() = Some(error.to_string());
            return self.store.commit(commits).inspect_err(refused);
        };
        if fault.after > 0 {
            fault.after -= 1;
            return self.store.commit(commits);
        }
        if std::mem::take(&mut fault.kept) {
            self.store.commit(commits)?;
        }
        let source = std::io::Error::other("as the schedule wants");
        Err(StoreError::Io { what: "syncing", path: "journal".into(), source })
    }

    fn space(&self) -> Space {
        if self.full.load(Relaxed) { Space::Full } else { Space::Ample }
    }

    fn live(&self) -> Result<Vec<Summary>, StoreError> {
        let mut live = self.store.live()?;
        // In memory they have no order, and a schedule is to come out the same every time.
        live.sort_by(|a, b| a.id.as_str().cmp(b.id.as_str()));
        Ok(live)
    }

    forward! {
        summary(id: &WorkflowId) -> Result<Option<Summary>, StoreError>;
        events(id: &WorkflowId, after: u64, limit: usize) -> Result<Events, StoreError>;
        list(filter: &Filter, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError>;
        count(filter: &Filter) -> Result<Count, StoreError>;
        ended(before_ms: Millis, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError>;
        idempotent(scope: &[u8], key: &str, now_ms: Millis) -> Result<Option<Remembered>, StoreError>;
        logs(id: &WorkflowId, after: u64, limit: usize) -> Result<Logs, StoreError>;
        blob(id: &WorkflowId, name: &str, offset: u64, limit: usize) -> Result<Option<BlobPart>, StoreError>;
        schedules() -> Result<Vec<(String, Bytes)>, StoreError>;
        fired(schedule: &str, limit: usize) -> Result<Vec<Fired>, StoreError>;
        settings() -> Result<Vec<(String, Bytes)>, StoreError>;
        disk_bytes() -> u64;
    }
}
