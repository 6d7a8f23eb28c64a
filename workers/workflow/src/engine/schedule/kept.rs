//! What is kept of a schedule: its definition under its name, and its state, which changes with each run, under
//! `<name>/state`, so that a run does not write the whole workflow again. No name has a slash.

use bytes::Bytes;
use prost::{Enumeration, Message};
use workflow_machine::Millis;
use workflow_store::Write;

use super::Timing;

const STATE: &str = "/state";

/// What to do when it is time and the last run has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum Overlap {
    /// Leave the time out.
    Skip = 0,
    /// Submit all the same.
    Allow = 1,
    /// Cancel the last run, which may take its time to end, and submit.
    CancelOther = 2,
}

/// What a schedule was made with.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Definition {
    #[prost(message, optional, tag = "1")]
    pub(super) timing: Option<Timing>,
    /// A [`workflow_machine::Spec`]; bytes, because it is needed for runs only.
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) workflow: Bytes,
    /// How the client put it.
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) shown: Bytes,
    #[prost(uint64, tag = "4")]
    pub(super) created: Millis,
    #[prost(string, tag = "5")]
    pub(super) owner: String,
    #[prost(enumeration = "Overlap", tag = "6")]
    pub(super) overlap: i32,
    #[prost(uint64, tag = "7")]
    pub(super) catch_up_ms: u64,
}

/// What became of a schedule.
#[derive(Clone, PartialEq, Message)]
pub(super) struct State {
    #[prost(bool, tag = "1")]
    pub(super) paused: bool,
    #[prost(string, tag = "2")]
    pub(super) note: String,
    /// Times up to here are done with.
    #[prost(uint64, tag = "3")]
    pub(super) done: Millis,
    /// When this was written.
    #[prost(uint64, tag = "4")]
    pub(super) updated: Millis,
    #[prost(uint64, tag = "5")]
    pub(super) last_run_at: Millis,
    #[prost(string, tag = "6")]
    pub(super) last_workflow: String,
    #[prost(uint64, tag = "7")]
    pub(super) runs: u64,
    #[prost(uint64, tag = "8")]
    pub(super) skipped: u64,
}

impl Definition {
    pub(super) fn write(&self, id: &str) -> Write {
        Write::Schedule { id: id.to_owned(), data: Some(self.encode_to_vec().into()) }
    }
}

impl State {
    pub(super) fn write(&self, id: &str) -> Write {
        Write::Schedule { id: format!("{id}{STATE}"), data: Some(self.encode_to_vec().into()) }
    }
}

/// Forgets a schedule, with its marks.
pub(super) fn forget(id: &str) -> [Write; 2] {
    [id.to_owned(), format!("{id}{STATE}")].map(|id| Write::Schedule { id, data: None })
}

/// The schedule whose state has this name in the store; `None` if it is a definition's.
pub(super) fn of_state(name: &str) -> Option<&str> {
    name.strip_suffix(STATE)
}
