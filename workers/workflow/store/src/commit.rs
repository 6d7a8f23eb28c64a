//! What the engine hands over to be kept: commits, each whole or not at all.

use bytes::Bytes;

use crate::{Millis, Remembered, Summary, WorkflowId};

/// Writes that become durable and visible together, or not at all.
///
/// A commit without writes keeps nothing; in the [`Committer`](crate::Committer) it is a read that waits for what was
/// submitted before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The writes, applied in this order.
    pub writes: Vec<Write>,
}

impl Commit {
    /// A commit of these writes.
    #[must_use]
    pub fn new(writes: Vec<Write>) -> Self {
        Self { writes }
    }

    /// About how many bytes the commit takes in a journal; for bounds, not for accounts.
    #[must_use]
    pub fn size(&self) -> usize {
        self.writes.iter().map(Write::size).sum()
    }
}

/// One change. Everything that belongs to a workflow goes with it when it is purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// A workflow that did not exist; rejected with [`Rejection::Exists`](crate::Rejection::Exists) if it does.
    Create(Summary),
    /// What is to be shown of a workflow from now on; rejected with
    /// [`Rejection::Missing`](crate::Rejection::Missing) if there is none. A terminal workflow may come back to life.
    Update(Summary),
    /// One event of a workflow's history. Events, log lines and blobs of a workflow that does not exist are rejected with
    /// [`Rejection::Missing`](crate::Rejection::Missing), so that nothing is left of a workflow behind its purge.
    Event {
        /// The workflow.
        id: WorkflowId,
        /// Its number, from 1, without gaps.
        seq: u64,
        /// The event.
        data: Bytes,
    },
    /// The answer to a submission, for those who submit it again.
    Idempotent {
        /// Whose keys: namespace, principal and method, in a form that the engine chooses.
        scope: Bytes,
        /// The key that the caller sent.
        key: String,
        /// What to answer, and until when.
        remembered: Remembered,
    },
    /// Forgets idempotency records that expired before `now_ms`, at most `limit` of them.
    Expire {
        /// The time.
        now_ms: Millis,
        /// How many at most, which bounds the size of the commit.
        limit: usize,
    },
    /// One log line. The oldest lines of the workflow give way when it has too many bytes of them.
    Log {
        /// The workflow.
        id: WorkflowId,
        /// Its number, from 1, ascending within the workflow.
        seq: u64,
        /// The line.
        data: Bytes,
    },
    /// A part of a workflow that is too large for an event, under a name within the workflow; replaces what was there.
    Blob {
        /// The workflow.
        id: WorkflowId,
        /// The name: for a task's result, the task's ID.
        name: String,
        /// All of it.
        data: Bytes,
    },
    /// A schedule, or its end if `data` is `None`, which takes its marks along.
    Schedule {
        /// The schedule's ID.
        id: String,
        /// Its specification.
        data: Option<Bytes>,
    },
    /// The mark that a schedule has fired; rejected with [`Rejection::Fired`](crate::Rejection::Fired) if it is there.
    /// The newest 64 marks of a schedule are kept.
    Fired {
        /// The schedule's ID.
        schedule: String,
        /// The time that it fired for, not the time of day at which it did.
        at_ms: Millis,
        /// What came of it.
        data: Bytes,
    },
    /// A setting of the engine (paused, a lane, a change of configuration), or its end.
    Setting {
        /// The setting's name.
        name: String,
        /// Its value.
        value: Option<Bytes>,
    },
    /// The end of a workflow and of all that belongs to it. Of one that does not exist, nothing.
    Purge(WorkflowId),
}

impl Write {
    fn size(&self) -> usize {
        /// Keys, index entries and frames of one write, roughly.
        const OVERHEAD: usize = 100;
        OVERHEAD
            + match self {
                Self::Create(summary) | Self::Update(summary) => {
                    summary.name.len()
                        + summary.error.len()
                        + summary
                            .attributes
                            .iter()
                            .map(|(name, value)| 2 * (name.len() + value.len()))
                            .sum::<usize>()
                }
                Self::Event { data, .. }
                | Self::Log { data, .. }
                | Self::Blob { data, .. }
                | Self::Fired { data, .. } => data.len(),
                Self::Idempotent { remembered, .. } => remembered.response.len(),
                Self::Schedule { data, .. } | Self::Setting { value: data, .. } => {
                    data.as_ref().map_or(0, Bytes::len)
                }
                Self::Expire { limit, .. } => limit * OVERHEAD,
                // A workflow's events and index entries each take a tombstone; most have some dozens.
                Self::Purge(_) => 20 * OVERHEAD,
            }
    }
}
