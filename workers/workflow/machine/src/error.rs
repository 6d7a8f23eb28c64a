//! What goes wrong in an attempt, as part of a workflow's history.

use prost::Message;

use crate::limits::MAX_TEXT_BYTES;

/// Why an attempt, a task or a workflow failed.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskError {
    /// Upper-case word, one of [`codes`] or the executor's; retry policies name it.
    #[prost(string, tag = "1")]
    pub code: String,
    /// For people: what, where, what to do.
    #[prost(string, tag = "2")]
    pub message: String,
    /// Whether another attempt can help.
    #[prost(bool, tag = "3")]
    pub retryable: bool,
    /// Shortest wait before another attempt that the other side asked for, in milliseconds; 0 is none.
    #[prost(uint64, tag = "4")]
    pub retry_after_ms: u64,
}

/// The codes that the machine gives itself.
pub mod codes {
    /// An attempt, or the workflow, took longer than its timeout. Retryable for attempts.
    pub const TIMED_OUT: &str = "DEADLINE_EXCEEDED";
    /// A template, a condition or the list of a `for_each` could not be resolved.
    pub const TEMPLATE: &str = "TEMPLATE";
    /// A child workflow failed or was cancelled. Retryable.
    pub const CHILD_FAILED: &str = "CHILD_FAILED";
    /// Whoever ran the task was lost too often; see [`MAX_LOST_ATTEMPTS`](crate::limits::MAX_LOST_ATTEMPTS).
    pub const LEASE_EXPIRED: &str = "LEASE_EXPIRED";
    /// The signal INTERRUPT ended the task.
    pub const INTERRUPTED: &str = "INTERRUPTED";
    /// An item of a `for_each` failed, and the task with it.
    pub const ITEM_FAILED: &str = "ITEM_FAILED";
}

impl TaskError {
    /// An error after which no attempt helps.
    pub fn permanent(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), ..Self::default() }.cut()
    }

    /// An error after which another attempt may help.
    pub fn retryable(code: &str, message: impl Into<String>) -> Self {
        Self { retryable: true, ..Self::permanent(code, message) }
    }

    /// The same with texts within their bounds.
    pub(crate) fn cut(mut self) -> Self {
        cut(&mut self.code, 128);
        cut(&mut self.message, MAX_TEXT_BYTES);
        self
    }
}

/// Shortens a text to `limit` bytes, at a character's end.
pub(crate) fn cut(text: &mut String, limit: usize) {
    if text.len() > limit {
        let mut end = limit;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
}
