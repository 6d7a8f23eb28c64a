//! Names of workflows and of what belongs to them, and the unit of time.

use std::{fmt, sync::Arc};

/// A point in time: milliseconds since the Unix epoch.
///
/// The machine never asks for it, it comes with every step.
pub type Millis = u64;

/// The identifier of a workflow: chosen by the engine, or by [`WorkflowId::child`] for the workflow of a task.
///
/// A clone is a reference count.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkflowId(Arc<str>);

impl WorkflowId {
    /// Takes any text as an identifier.
    pub fn new(id: impl AsRef<str>) -> Self {
        Self(Arc::from(id.as_ref()))
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The identifier of the workflow that attempt `epoch` of `task` starts: `<parent>~<task>~<epoch>`, and
    /// `<parent>~<task>~<item>~<epoch>` for an item `task[item]`.
    ///
    /// The same attempt always names the same child, so that starting it twice can be noticed. Identifiers of tasks
    /// have no `~`, and a URL may hold it as it is.
    pub fn child(&self, task: &str, epoch: u64) -> Self {
        match task.strip_suffix(']').and_then(|task| task.split_once('[')) {
            Some((task, item)) => Self::new(format!("{self}~{task}~{item}~{epoch}")),
            None => Self::new(format!("{self}~{task}~{epoch}")),
        }
    }

    /// The key by which whoever does a task's work recognizes that it was asked before: `<workflow>/<task>`, and
    /// `<workflow>/<task>/compensate` to undo it.
    ///
    /// It is the same for every attempt, and after a retry of the workflow too: the task may have done its work when it
    /// failed. Only a task that completed, and is to be done again all the same (because it was undone, or by request), has
    /// another `generation`, and with it another key: `<workflow>/<task>#2`.
    pub fn idempotency_key(&self, task: &str, generation: u32, compensation: bool) -> String {
        let mut key = format!("{self}/{task}");
        if generation > 0 {
            key.push_str(&format!("#{}", u64::from(generation) + 1));
        }
        if compensation {
            key.push_str("/compensate");
        }
        key
    }
}

impl fmt::Display for WorkflowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WorkflowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for WorkflowId {
    fn from(id: &str) -> Self {
        Self::new(id)
    }
}

impl From<String> for WorkflowId {
    fn from(id: String) -> Self {
        Self(Arc::from(id))
    }
}
