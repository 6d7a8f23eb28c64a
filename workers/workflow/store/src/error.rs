//! Why a store could not do what it was asked for.

use std::{io, path::PathBuf};

use thiserror::Error;

use crate::{Millis, WorkflowId};

/// Why a store failed. Only [`Rejected`](Self::Rejected) and [`Full`](Self::Full) leave it able to take further commits.
#[derive(Debug, Error)]
pub enum StoreError {
    /// One commit of the group cannot be applied; nothing of the group was.
    #[error("commit {commit} of the group: {reason}")]
    Rejected {
        /// Its place in the group.
        commit: usize,
        /// What is wrong with it.
        reason: Rejection,
    },
    /// Too little space is left on the disk; nothing of the group was written, and the same group may be tried again.
    #[error("{} has {free_bytes} bytes left, of which {reserve_bytes} are kept back: free some space, or purge workflows", .path.display())]
    Full {
        /// The data directory.
        path: PathBuf,
        /// What is left.
        free_bytes: u64,
        /// What the setting `reserve_bytes` keeps back.
        reserve_bytes: u64,
    },
    /// Another process has the data directory open.
    #[error("{} is in use by process {pid}: stop it, or choose another data directory", .path.display())]
    InUse {
        /// The data directory.
        path: PathBuf,
        /// The process, as it wrote down itself; `?` if that cannot be read.
        pid: String,
    },
    /// The data directory was written by a version that this one does not know.
    #[error("{} has format {found}, and this version reads format {expected} only", .path.display())]
    Format {
        /// The format file.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What it should say.
        expected: u32,
    },
    /// A file cannot be what was written, and not because a write was cut short.
    #[error("{} is corrupt: {what}", .path.display())]
    Corrupt {
        /// The file, or the data directory where the database does not say which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Reading, writing or syncing failed. After a failed commit nobody knows what is on the disk: start anew.
    #[error("{what} in {}", .path.display())]
    Io {
        /// What was done.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A commit failed before, so nothing is accepted any more.
    #[error("the store stopped when a commit failed: {0}")]
    Stopped(String),
}

impl StoreError {
    /// Whether the store can take commits after this error.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        !matches!(self, Self::Rejected { .. } | Self::Full { .. })
    }
}

/// What is wrong with one commit.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Rejection {
    /// It creates a workflow whose ID is taken.
    #[error("workflow {0} exists")]
    Exists(WorkflowId),
    /// It updates a workflow that does not exist.
    #[error("workflow {0} does not exist")]
    Missing(WorkflowId),
    /// It names something with more bytes than a key takes.
    #[error("the ID of a schedule, the name of a setting or an idempotency key has more than 64 KB")]
    TooLong,
    /// It marks a firing that has its mark.
    #[error("schedule {schedule} has fired for {at_ms}")]
    Fired {
        /// The schedule.
        schedule: String,
        /// The time it fired for.
        at_ms: Millis,
    },
}
