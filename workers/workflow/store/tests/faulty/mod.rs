//! A store in memory that waits, fails or is full when a test says so.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex},
};

use bytes::Bytes;
use workflow_store::{
    BlobPart, Commit, Count, Cursor, Events, Filter, Fired, Logs, MemoryStore, Millis, Page, Remembered,
    Space, Store, StoreError, Summary, WorkflowId,
};

/// What a commit comes to, if not what it would come to.
pub(crate) enum Outcome {
    Fail,
    Full,
}

#[derive(Default)]
pub(crate) struct Faulty {
    store: MemoryStore,
    outcomes: Mutex<VecDeque<Outcome>>,
    groups: Mutex<Vec<usize>>,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

/// Holds the next commit until it is released or dropped.
pub(crate) struct Hold(Arc<Gate>);

impl Faulty {
    /// How many commits each group had that was committed.
    pub(crate) fn groups(&self) -> Vec<usize> {
        self.groups.lock().unwrap().clone()
    }

    pub(crate) fn next(&self, outcome: Outcome) {
        self.outcomes.lock().unwrap().push_back(outcome);
    }

    pub(crate) fn hold(&self) -> Hold {
        self.gate.state.lock().unwrap().0 = true;
        Hold(self.gate.clone())
    }
}

impl Hold {
    /// Returns once a commit is held.
    pub(crate) fn wait_for_commit(&self) {
        let state = self.0.state.lock().unwrap();
        drop(self.0.changed.wait_while(state, |(_, waits)| !*waits).unwrap());
    }

    pub(crate) fn release(self) {
        drop(self);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().0 = false;
        self.0.changed.notify_all();
    }
}

impl Store for Faulty {
    fn commit(&self, commits: &[Commit]) -> Result<(), StoreError> {
        let mut state = self.gate.state.lock().unwrap();
        state.1 = true;
        self.gate.changed.notify_all();
        drop(self.gate.changed.wait_while(state, |(held, _)| *held).unwrap());
        match self.outcomes.lock().unwrap().pop_front() {
            None => {}
            Some(Outcome::Fail) => {
                let source = std::io::Error::other("as the test wants");
                return Err(StoreError::Io { what: "syncing", path: PathBuf::new(), source });
            }
            Some(Outcome::Full) => {
                return Err(StoreError::Full { path: PathBuf::new(), free_bytes: 0, reserve_bytes: 1 });
            }
        }
        self.store.commit(commits)?;
        self.groups.lock().unwrap().push(commits.len());
        Ok(())
    }

    fn summary(&self, id: &WorkflowId) -> Result<Option<Summary>, StoreError> {
        self.store.summary(id)
    }

    fn events(&self, id: &WorkflowId, after: u64, limit: usize) -> Result<Events, StoreError> {
        self.store.events(id, after, limit)
    }

    fn live(&self) -> Result<Vec<Summary>, StoreError> {
        self.store.live()
    }

    fn list(&self, filter: &Filter, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        self.store.list(filter, after, limit)
    }

    fn count(&self, filter: &Filter) -> Result<Count, StoreError> {
        self.store.count(filter)
    }

    fn ended(&self, before_ms: Millis, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        self.store.ended(before_ms, after, limit)
    }

    fn idempotent(&self, scope: &[u8], key: &str, now_ms: Millis) -> Result<Option<Remembered>, StoreError> {
        self.store.idempotent(scope, key, now_ms)
    }

    fn logs(&self, id: &WorkflowId, after: u64, limit: usize) -> Result<Logs, StoreError> {
        self.store.logs(id, after, limit)
    }

    fn blob(
        &self,
        id: &WorkflowId,
        name: &str,
        offset: u64,
        limit: usize,
    ) -> Result<Option<BlobPart>, StoreError> {
        self.store.blob(id, name, offset, limit)
    }

    fn schedules(&self) -> Result<Vec<(String, Bytes)>, StoreError> {
        self.store.schedules()
    }

    fn fired(&self, schedule: &str, limit: usize) -> Result<Vec<Fired>, StoreError> {
        self.store.fired(schedule, limit)
    }

    fn settings(&self) -> Result<Vec<(String, Bytes)>, StoreError> {
        self.store.settings()
    }

    fn space(&self) -> Space {
        Space::Ample
    }

    fn disk_bytes(&self) -> u64 {
        0
    }
}
