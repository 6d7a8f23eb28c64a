//! Events of compensation: completed tasks are undone, the last one first.

use prost::Message;

use crate::{Millis, TaskError};

/// Compensations wait for somebody to ask for them.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CompensationAwaited {}

/// Compensations begin, or go on.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CompensationStarted {
    /// Why, for people.
    #[prost(string, tag = "1")]
    pub reason: String,
    /// Whether the workflow had ended, and somebody asked for it.
    #[prost(bool, tag = "2")]
    pub reopened: bool,
}

/// An attempt to undo a task began.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskCompensating {
    /// Task or item.
    #[prost(string, tag = "1")]
    pub task: String,
    /// Fencing token; the task's counter goes on.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// 1 for the first attempt.
    #[prost(uint32, tag = "3")]
    pub attempt: u32,
    /// When the attempt times out; 0 is never.
    #[prost(uint64, tag = "4")]
    pub until: Millis,
}

/// An attempt to undo a task failed and another one follows.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskCompensationRetrying {
    /// Task or item.
    #[prost(string, tag = "1")]
    pub task: String,
    /// The attempt that failed.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// Why.
    #[prost(message, optional, tag = "3")]
    pub error: Option<TaskError>,
    /// When the next attempt may start.
    #[prost(uint64, tag = "4")]
    pub retry_at: Millis,
}

/// A task is undone.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskCompensated {
    /// Task or item.
    #[prost(string, tag = "1")]
    pub task: String,
    /// The attempt.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
}

/// A task could not be undone.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskCompensationFailed {
    /// Task or item.
    #[prost(string, tag = "1")]
    pub task: String,
    /// The last attempt; 0 if it could not even start.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// Why.
    #[prost(message, optional, tag = "3")]
    pub error: Option<TaskError>,
}
