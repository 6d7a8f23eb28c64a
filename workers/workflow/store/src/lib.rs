//! What the workflow engine keeps: one trait, [`Store`], a store on disk and a store in memory behind it, and the
//! [`Committer`], which turns many commits into few syncs.
//!
//! The engine hands over [`Commit`]s: domain writes (a workflow appeared, an event happened, a log line was written), each
//! commit whole or not at all. Payloads are opaque bytes; the store knows of a workflow only its [`Summary`], which is what
//! lists filter and sort by. Nothing here knows tasks, timers or the wire, and nothing that a caller sees tells which database
//! lies below: a SQL database fits behind the same trait.

mod commit;
mod committer;
mod embedded;
mod error;
mod filter;
mod gauges;
mod id;
mod memory;
mod store;
mod summary;
mod table;

pub use commit::{Commit, Write};
pub use committer::{Committer, CommitterSettings, Refused};
pub use embedded::{EmbeddedSettings, EmbeddedStore};
pub use error::{Rejection, StoreError};
pub use filter::{Count, Cursor, Filter, Page};
pub use gauges::{Gauges, Histogram};
pub use id::{InvalidId, MAX_ID_BYTES, WorkflowId};
pub use memory::MemoryStore;
pub use store::{BlobPart, DEFAULT_LOG_BYTES, Events, Fired, Item, Logs, Remembered, Space, Store};
pub use summary::{Parent, Status, Statuses, Summary, TaskCounts};

/// Milliseconds since the Unix epoch.
pub type Millis = u64;
