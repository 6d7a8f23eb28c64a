//! A store that fails is loud, and nothing is shown that it may not have.

use crate::support::*;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use workflow_store::{MemoryStore, Store, StoreError};
use workflow_worker::{engine::EngineError, spec::Submission};

/// Fails every commit from a moment on, as a disk whose fsync fails.
pub(crate) struct Failing {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) fails: Arc<AtomicBool>,
}

#[test]
fn after_a_failed_sync_nothing_is_answered_shown_or_begun() {
    test(async {
        let fails: Arc<AtomicBool> = Arc::default();
        let store = Arc::new(Failing { store: Arc::default(), fails: fails.clone() });
        let mut engine = Scripted::on(store).await;
        let id = engine.submit(workflow(vec![call("a", &[]), call("b", &["a"])])).await;
        let a = engine.attempt().await;
        let mut watch = engine.engine.watch(&id, 3).await.unwrap();
        fails.store(true, Relaxed);
        assert!(engine.complete(&a, "1").await.is_err());
        assert!(engine.nothing_asked(), "b does not begin");
        assert!(futures_util::FutureExt::now_or_never(watch.next()).is_none(), "no event is shown");
        let one = Submission { id: None, spec: workflow(vec![call("a", &[])]) };
        let refused = engine.engine.submit(vec![one], false, None).await;
        assert!(matches!(refused, Err(EngineError::Failed)), "{refused:?}");
        assert!(engine.engine.shared().failed.load(Relaxed));
    });
}

macro_rules! forward {
    ($($name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        $(fn $name(&self, $($arg: $type),*) -> $out { self.store.$name($($arg),*) })*
    };
}

impl Store for Failing {
    fn commit(&self, commits: &[workflow_store::Commit]) -> Result<(), StoreError> {
        match self.fails.load(Relaxed) {
            true => Err(StoreError::Io {
                what: "sync",
                path: "journal".into(),
                source: std::io::Error::other("fsync failed"),
            }),
            false => self.store.commit(commits),
        }
    }

    forward! {
        summary(id: &workflow_store::WorkflowId) -> Result<Option<workflow_store::Summary>, StoreError>;
        events(id: &workflow_store::WorkflowId, after: u64, limit: usize) -> Result<workflow_store::Events, StoreError>;
        live() -> Result<Vec<workflow_store::Summary>, StoreError>;
        list(filter: &workflow_store::Filter, after: Option<&workflow_store::Cursor>, limit: usize) -> Result<workflow_store::Page, StoreError>;
        count(filter: &workflow_store::Filter) -> Result<workflow_store::Count, StoreError>;
        ended(before_ms: u64, after: Option<&workflow_store::Cursor>, limit: usize) -> Result<workflow_store::Page, StoreError>;
        idempotent(scope: &[u8], key: &str, now_ms: u64) -> Result<Option<workflow_store::Remembered>, StoreError>;
        logs(id: &workflow_store::WorkflowId, after: u64, limit: usize) -> Result<workflow_store::Logs, StoreError>;
        blob(id: &workflow_store::WorkflowId, name: &str, offset: u64, limit: usize) -> Result<Option<workflow_store::BlobPart>, StoreError>;
        schedules() -> Result<Vec<(String, bytes::Bytes)>, StoreError>;
        fired(schedule: &str, limit: usize) -> Result<Vec<workflow_store::Fired>, StoreError>;
        settings() -> Result<Vec<(String, bytes::Bytes)>, StoreError>;
        space() -> workflow_store::Space;
        disk_bytes() -> u64;
    }
}
