//! The trait behind which every store stands, and the shapes of its answers.

use bytes::Bytes;

use crate::{Commit, Count, Cursor, Filter, Millis, Page, StoreError, Summary, WorkflowId};

/// Where the engine keeps what has to survive it.
///
/// Reads see what [`commit`](Self::commit) has returned from, and nothing that a crash could still lose. Every method blocks, for
/// as long as the disk takes.
pub trait Store: Send + Sync + 'static {
    /// Makes all of `commits` durable with one sync, then visible; on an error nothing of them is visible. Called by one thread.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] names one commit that cannot be applied, and [`StoreError::Full`] asks for patience; after both the
    /// store goes on. After any other error it does not: whether the commits are on the disk is not known.
    fn commit(&self, commits: &[Commit]) -> Result<(), StoreError>;

    /// What is known of a workflow.
    ///
    /// # Errors
    /// When the disk fails, or what is on it cannot be read; so for all that follow.
    fn summary(&self, id: &WorkflowId) -> Result<Option<Summary>, StoreError>;

    /// At most `limit` events of a workflow with a number above `after`, in order.
    ///
    /// # Errors
    /// See [`summary`](Self::summary).
    fn events(&self, id: &WorkflowId, after: u64, limit: usize) -> Result<Events, StoreError>;

    /// Every workflow that has not ended, in no order. It is in memory: as many as are alive, some 300 bytes each.
    ///
    /// # Errors
    /// See [`summary`](Self::summary).
    fn live(&self) -> Result<Vec<Summary>, StoreError>;

    /// A page of at most `limit` workflows behind `after`, newest first.
    ///
    /// # Errors
    /// See [`summary`](Self::summary).
    fn list(&self, filter: &Filter, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError>;

    /// How many workflows match. By status alone it is a counter; otherwise the matching part of an index is walked.
    ///
    /// # Errors
    /// See [`summary`](Self::summary).
    fn count(&self, filter: &Filter) -> Result<Count, StoreError>;

    /// At most `limit` workflows that ended before `before_ms`, oldest first, behind `after`: what a purge goes through, page by page.
    ///
    /// # Errors
    /// See [`summary`](Self::summary).
    fn ended(&self, before_ms: Millis, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError>;

    /// What was answered under this key, unless that expired by `now_ms`.
    ///
    /// # Errors
    /// See [`summary`](Self::summary).
    fn idempotent(&self, scope: &[u8], key: &str, now_ms: Millis) -> Result<Option<Remembered>, StoreError>;

    /// At most `limit` log lines of a workflow with a number above `after`, in order.
    ///
    /// # Errors
    /// See [`summary`](Self::summary).
    fn logs(&self, id: &WorkflowId, after: u64, limit: usize) -> Result<Logs, StoreError>;

    /// A piece of a blob: at most `limit` bytes from `offset` on; `None` if there is no such blob.
    ///
    /// # Errors
    /// See [`summary`](Self::summary).
    fn blob(
        &self,
        id: &WorkflowId,
        name: &str,
        offset: u64,
        limit: usize,
    ) -> Result<Option<BlobPart>, StoreError>;

    /// Every schedule: its ID and specification, ordered by ID.
    ///
    /// # Errors
    /// See [`summary`](Self::summary).
    fn schedules(&self) -> Result<Vec<(String, Bytes)>, StoreError>;

    /// At most `limit` marks of a schedule, newest first.
    ///
    /// # Errors
    /// See [`summary`](Self::summary).
    fn fired(&self, schedule: &str, limit: usize) -> Result<Vec<Fired>, StoreError>;

    /// Every setting: its name and value, ordered by name.
    ///
    /// # Errors
    /// See [`summary`](Self::summary).
    fn settings(&self) -> Result<Vec<(String, Bytes)>, StoreError>;

    /// How much room there is. Cheap: it says what was measured within the last second.
    fn space(&self) -> Space;

    /// Bytes on the disk; zero where there is none.
    fn disk_bytes(&self) -> u64;
}

/// Events of one workflow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// The number of the oldest event that is kept; zero if there are none.
    pub oldest: u64,
    /// The events asked for.
    pub items: Vec<Item>,
}

/// Log lines of one workflow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logs {
    /// The number of the oldest line that is kept; zero if there are none.
    pub oldest: u64,
    /// The number of the newest line; zero if there are none.
    pub newest: u64,
    /// The lines asked for.
    pub items: Vec<Item>,
}

/// One event or log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its number.
    pub seq: u64,
    /// What was written.
    pub data: Bytes,
}

/// The answer that was given under an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// A digest of the payload, to tell the same submission from another one.
    pub hash: [u8; 32],
    /// What was answered.
    pub response: Bytes,
    /// From when on it counts as forgotten.
    pub expires_ms: Millis,
}

/// A piece of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobPart {
    /// How long the whole blob is.
    pub total: u64,
    /// The piece; empty behind the end.
    pub data: Bytes,
}

/// The mark that a schedule has fired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// The time it fired for.
    pub at_ms: Millis,
    /// What came of it.
    pub data: Bytes,
}

/// How much room a store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Enough.
    Ample,
    /// New workflows should be refused, so that those that are under way can end.
    Low,
    /// Commits are refused with [`StoreError::Full`].
    Full,
}

/// Marks that are kept per schedule: enough to see what happened lately, and to know what was missed.
pub(crate) const MARKS_PER_SCHEDULE: usize = 64;

/// Up to where workflows with an attribute are counted one by one.
pub(crate) const MAX_COUNTED: usize = 10_000;

/// Most bytes of log lines that are kept per workflow, unless set otherwise: some 10,000 lines.
pub const DEFAULT_LOG_BYTES: usize = 1 << 20;
