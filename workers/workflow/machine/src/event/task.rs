//! Events of a task. `task` is its identifier, or `task[3]` for an item; `epoch` names the attempt.

use bytes::Bytes;
use prost::{Enumeration, Message};

use crate::{Millis, TaskError};

/// An attempt, a sleep, a wait or a child began.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskStarted {
    /// Task or item.
    #[prost(string, tag = "1")]
    pub task: String,
    /// Fencing token: grows with every start of the task, and only a result that names it counts.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// 1 for the first attempt of a run; attempts that were lost do not count.
    #[prost(uint32, tag = "3")]
    pub attempt: u32,
    /// When the attempt times out, or the sleep is over; 0 is never.
    #[prost(uint64, tag = "4")]
    pub until: Millis,
    /// The child workflow, if it is one.
    #[prost(string, tag = "5")]
    pub child: String,
    /// Whether nobody makes an attempt: it sleeps, or waits for a signal or a child.
    #[prost(bool, tag = "6")]
    pub waits: bool,
}

/// A task has its result.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskCompleted {
    /// Task or item.
    #[prost(string, tag = "1")]
    pub task: String,
    /// The attempt; 0 for a task with items.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// JSON text by custom; anything else counts as a text. Empty if `signal` is set, and for a task with items,
    /// whose result is made of theirs.
    #[prost(bytes = "bytes", tag = "3")]
    pub result: Bytes,
    /// Sequence of the signal that the task waited for, whose payload is the result; 0 is none.
    #[prost(uint64, tag = "4")]
    pub signal: u64,
}

/// An attempt failed and another one follows.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskRetrying {
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

/// The wait before the next attempt is over: the task may be dispatched.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskScheduled {
    /// Task or item.
    #[prost(string, tag = "1")]
    pub task: String,
    /// Whether it is being undone.
    #[prost(bool, tag = "2")]
    pub compensation: bool,
}

/// Whoever made the attempt was lost: the task may be dispatched again.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskLost {
    /// Task or item.
    #[prost(string, tag = "1")]
    pub task: String,
    /// The attempt whose result no longer counts.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
}

/// A task failed for good.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskFailed {
    /// Task or item.
    #[prost(string, tag = "1")]
    pub task: String,
    /// The last attempt; 0 if the task could not even start.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// Why; the code DEADLINE_EXCEEDED means that it timed out.
    #[prost(message, optional, tag = "3")]
    pub error: Option<TaskError>,
}

/// A task will not run.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskSkipped {
    /// Task or item.
    #[prost(string, tag = "1")]
    pub task: String,
    /// Why.
    #[prost(enumeration = "SkipReason", tag = "2")]
    pub reason: i32,
}

/// Why a task will not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum SkipReason {
    /// Its condition was false. Tasks that depend on it run, and read `null` as its result.
    Condition = 0,
    /// A task that it depends on failed, or was itself skipped for this reason.
    Dependency = 1,
    /// Another task failed, and the policy is to fail fast.
    FailFast = 2,
}

/// A task was ended.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskCancelled {
    /// Task or item.
    #[prost(string, tag = "1")]
    pub task: String,
}

/// The items of a `for_each` are known: `task[0]`, `task[1]` and so on.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskExpanded {
    /// The task.
    #[prost(string, tag = "1")]
    pub task: String,
    /// JSON text of each item, in order.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub items: Vec<Bytes>,
}

/// An attempt said how far it is.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskProgressed {
    /// Task or item.
    #[prost(string, tag = "1")]
    pub task: String,
    /// The attempt.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// 0 to 100.
    #[prost(uint32, tag = "3")]
    pub percent: u32,
    /// For people.
    #[prost(string, tag = "4")]
    pub message: String,
}

/// A running attempt was steered or interrupted.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskSignalled {
    /// Task or item.
    #[prost(string, tag = "1")]
    pub task: String,
    /// The attempt.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// How.
    #[prost(enumeration = "crate::SignalKind", tag = "3")]
    pub kind: i32,
    /// What the signal carries.
    #[prost(bytes = "bytes", tag = "4")]
    pub payload: Bytes,
    /// When an interrupted attempt is given up; 0 for a signal that does not end it.
    #[prost(uint64, tag = "5")]
    pub stop_at: Millis,
}
