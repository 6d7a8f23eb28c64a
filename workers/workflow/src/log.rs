//! A line of a workflow's log, as it is kept.

use std::collections::BTreeMap;

use prost::Message;
use workflow_machine::Millis;

/// A line of a workflow's log.
#[derive(Clone, PartialEq, Message)]
pub struct Line {
    /// Unix ms.
    #[prost(uint64, tag = "1")]
    pub at: Millis,
    /// As in `goclaw.v1.LogLevel`: 1 debug, 2 info, 3 warn, 4 error.
    #[prost(uint32, tag = "2")]
    pub level: u32,
    /// Task, or item of one; empty for the workflow.
    #[prost(string, tag = "3")]
    pub task: String,
    /// The text.
    #[prost(string, tag = "4")]
    pub message: String,
    /// Names and values that go with it.
    #[prost(btree_map = "string, string", tag = "5")]
    pub fields: BTreeMap<String, String>,
}
