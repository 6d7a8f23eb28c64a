//! What a workflow is to do, as it was submitted: the shape in which it is also kept for ever.
//!
//! These are protobuf messages because the event `Submitted` carries them. Fields may be added with new tags; a tag is
//! never used again for something else, and zero is always "not set". A reader takes work of a kind that it does not know for none: a new
//! kind of work needs a new format version of the store, so that older programs refuse to start.

mod retry;
mod work;

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::{Enumeration, Message};

pub use retry::RetryPolicy;
pub use work::{Call, CallKind, Child, Function, Http, Noop, Sleep, WaitSignal, Work};

/// A workflow: tasks and what holds for all of them.
#[derive(Clone, PartialEq, Message)]
pub struct Spec {
    /// What people call it; 1 to 100 characters.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The tasks, in the order in which they were written; at least one.
    #[prost(message, repeated, tag = "2")]
    pub tasks: Vec<TaskSpec>,
    /// Free text by key; templates read it as `{{workflow.metadata.key}}`.
    #[prost(btree_map = "string, string", tag = "3")]
    pub metadata: BTreeMap<String, String>,
    /// JSON text, or empty; templates read it as `{{workflow.input.path}}`.
    #[prost(bytes = "bytes", tag = "4")]
    pub input: Bytes,
    /// What the workflow can be found by. The machine only carries it.
    #[prost(btree_map = "string, string", tag = "5")]
    pub attributes: BTreeMap<String, String>,
    /// Priority of tasks that name none; higher goes first.
    #[prost(sint32, tag = "6")]
    pub priority: i32,
    /// Lane of tasks that name none; empty is [`DEFAULT_LANE`](crate::limits::DEFAULT_LANE).
    #[prost(string, tag = "7")]
    pub lane: String,
    /// How long a run may take, from submission (or from the retry that reopened it), in milliseconds; 0 is for ever.
    #[prost(uint64, tag = "8")]
    pub timeout_ms: u64,
    /// What the failure of a task does to the others.
    #[prost(enumeration = "FailurePolicy", tag = "9")]
    pub failure_policy: i32,
    /// When completed tasks that have a compensation are undone.
    #[prost(enumeration = "CompensationPolicy", tag = "10")]
    pub compensation: i32,
    /// The task that started this workflow, if one did.
    #[prost(message, optional, boxed, tag = "11")]
    pub parent: Option<Box<Parent>>,
    /// Principal that submitted it. The machine only carries it.
    #[prost(string, tag = "12")]
    pub owner: String,
    /// Namespace it belongs to. The machine only carries it.
    #[prost(string, tag = "13")]
    pub namespace: String,
    /// Request that submitted it, for logs. The machine only carries it.
    #[prost(string, tag = "14")]
    pub request_id: String,
    /// Roles that the principal had when it submitted it. The machine only carries them.
    #[prost(string, repeated, tag = "15")]
    pub owner_roles: Vec<String>,
}

/// One task: a node of the graph.
#[derive(Clone, PartialEq, Message)]
pub struct TaskSpec {
    /// Unique in the workflow; 1 to 100 of `[A-Za-z0-9._:-]`.
    #[prost(string, tag = "1")]
    pub id: String,
    /// What people call it; may be empty.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Identifiers of the tasks that have to be over before.
    #[prost(string, repeated, tag = "3")]
    pub dependencies: Vec<String>,
    /// Free text by key. The machine only carries it.
    #[prost(btree_map = "string, string", tag = "4")]
    pub metadata: BTreeMap<String, String>,
    /// What is done; nothing is [`Work::Noop`].
    #[prost(oneof = "Work", tags = "16, 17, 18, 19, 20, 21, 22")]
    pub work: Option<Work>,
    /// Lane whose slot the task needs; empty is the workflow's.
    #[prost(string, tag = "5")]
    pub lane: String,
    /// Priority within the lane; nothing is the workflow's.
    #[prost(sint32, optional, tag = "6")]
    pub priority: Option<i32>,
    /// How long one attempt may take, in milliseconds; 0 is for ever.
    #[prost(uint64, tag = "7")]
    pub timeout_ms: u64,
    /// When a failed attempt is made again; nothing is never.
    #[prost(message, optional, boxed, tag = "8")]
    pub retry: Option<Box<RetryPolicy>>,
    /// Condition, looked at when the dependencies are over: false skips the task. Empty is true.
    #[prost(string, tag = "9")]
    pub when: String,
    /// Runs the work once for each item of a list.
    #[prost(message, optional, boxed, tag = "10")]
    pub for_each: Option<Box<ForEach>>,
    /// What undoes the task.
    #[prost(message, optional, boxed, tag = "11")]
    pub compensate: Option<Box<Compensate>>,
}

/// Runs a task's work once for each item of a list, as `task[0]`, `task[1]` and so on.
///
/// The result of the task is the JSON array of the items' results, in the list's order. The first item that fails for
/// good fails the task: items that have not begun are skipped, those in flight end first. With
/// [`FailurePolicy::Continue`] every item runs, and the task fails then.
#[derive(Clone, PartialEq, Message)]
pub struct ForEach {
    /// Template whose value is a JSON array, or JSON text of one. At most
    /// [`MAX_ITEMS`](crate::limits::MAX_ITEMS) items.
    #[prost(string, tag = "1")]
    pub items: String,
    /// How many items may be ready or running at once; 0 is all.
    #[prost(uint32, tag = "2")]
    pub max_parallel: u32,
}

/// What undoes a completed task, or a completed item of one.
///
/// Its templates may also read `{{result}}`, what the task or item answered.
#[derive(Clone, PartialEq, Message)]
pub struct Compensate {
    /// [`Work::Noop`], [`Work::Call`], [`Work::Http`] or [`Work::Function`].
    #[prost(oneof = "Work", tags = "16, 17, 18, 19, 20, 21, 22")]
    pub work: Option<Work>,
    /// When it is tried again; nothing is [`RetryPolicy::compensation`].
    #[prost(message, optional, tag = "1")]
    pub retry: Option<RetryPolicy>,
    /// How long one attempt may take, in milliseconds; 0 is the task's.
    #[prost(uint64, tag = "2")]
    pub timeout_ms: u64,
}

/// Where a child workflow comes from.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Parent {
    /// Identifier of the workflow.
    #[prost(string, tag = "1")]
    pub workflow: String,
    /// Task, or item of a task.
    #[prost(string, tag = "2")]
    pub task: String,
    /// The attempt's epoch; [`Input::ChildFinished`](crate::Input::ChildFinished) has to name it.
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
}

/// What the failure of a task does to the others. A task fails when no attempt is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum FailurePolicy {
    /// Nothing new starts, attempts in flight end by themselves, the rest is skipped.
    FailFastDrain = 0,
    /// Nothing new starts, attempts in flight are asked to stop, the rest is skipped.
    FailFastCancel = 1,
    /// Only tasks that depend on the failed one are skipped. The workflow fails in the end all the same.
    Continue = 2,
}

/// When completed tasks that have a compensation are undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum CompensationPolicy {
    /// When the workflow fails or is cancelled gracefully, before it ends.
    Auto = 0,
    /// When somebody asks for it: a workflow that fails waits for [`Input::Compensate`](crate::Input::Compensate).
    Manual = 1,
    /// Only if somebody asks for it after the workflow has ended.
    Skip = 2,
}
