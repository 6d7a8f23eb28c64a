//! Events of a workflow as a whole.

use bytes::Bytes;
use prost::Message;

use crate::{Millis, Spec, TaskError};

/// The workflow exists.
#[derive(Clone, PartialEq, Message)]
pub struct Submitted {
    /// Its identifier.
    #[prost(string, tag = "1")]
    pub id: String,
    /// What it is to do.
    #[prost(message, optional, boxed, tag = "2")]
    pub spec: Option<Box<Spec>>,
}

/// The first task started.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WorkflowStarted {}

/// A signal came; it is kept until a task waits for it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SignalReceived {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// What it carries, JSON text or empty; the result of the task that takes it.
    #[prost(bytes = "bytes", tag = "2")]
    pub payload: Bytes,
}

/// No task starts until `Resumed`, or until the workflow fails or is cancelled. Attempts in flight, sleeps and timeouts go
/// on.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Paused {
    /// Why, for people.
    #[prost(string, tag = "1")]
    pub reason: String,
    /// Whether no task had started: on the wire the workflow is PENDING then.
    #[prost(bool, tag = "2")]
    pub pending: bool,
}

/// Tasks start again.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Resumed {
    /// Whether no task had started.
    #[prost(bool, tag = "1")]
    pub pending: bool,
}

/// The workflow will end as CANCELLED.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CancelRequested {
    /// Whether attempts in flight are given up at once.
    #[prost(bool, tag = "1")]
    pub force: bool,
    /// Why, for people.
    #[prost(string, tag = "2")]
    pub reason: String,
    /// When attempts that were asked to stop are given up.
    #[prost(uint64, tag = "3")]
    pub grace_until: Millis,
}

/// The workflow will end as FAILED: nothing new starts.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WorkflowFailing {
    /// Why: the error of the first task that failed for good, or that the workflow timed out.
    #[prost(message, optional, tag = "1")]
    pub error: Option<TaskError>,
    /// The task that failed; empty if the workflow timed out.
    #[prost(string, tag = "2")]
    pub task: String,
    /// When attempts in flight are given up; 0 if they may end by themselves.
    #[prost(uint64, tag = "3")]
    pub grace_until: Millis,
}

/// The end: every task is over and none failed.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WorkflowCompleted {}

/// The end: a task failed, or the workflow timed out.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WorkflowFailed {
    /// Why: the error of the first task that failed for good, or that the workflow timed out.
    #[prost(message, optional, tag = "1")]
    pub error: Option<TaskError>,
    /// The first task that failed; empty if the workflow timed out.
    #[prost(string, tag = "2")]
    pub task: String,
}

/// The end: somebody cancelled.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WorkflowCancelled {
    /// Why, for people.
    #[prost(string, tag = "1")]
    pub reason: String,
}

/// Another run of a workflow that had failed or was cancelled.
///
/// Tasks are named by their position in the specification.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Reopened {
    /// Tasks that begin from nothing.
    #[prost(uint32, repeated, tag = "1")]
    pub reset: Vec<u32>,
    /// Tasks with items of which those that completed stay, and the others begin from nothing.
    #[prost(uint32, repeated, tag = "2")]
    pub resumed: Vec<u32>,
    /// Why, for people.
    #[prost(string, tag = "3")]
    pub reason: String,
    /// When the workflow times out; 0 is never.
    #[prost(uint64, tag = "4")]
    pub deadline: Millis,
    /// Whether no task has ever started.
    #[prost(bool, tag = "5")]
    pub pending: bool,
}
