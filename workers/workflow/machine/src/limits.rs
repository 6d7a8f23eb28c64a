//! What is bounded, by how much, and why.

/// Tasks of a workflow. More is one workflow too many: children take the rest.
pub const MAX_TASKS: usize = 10_000;

/// Items of one `for_each`, as [`MAX_TASKS`].
pub const MAX_ITEMS: usize = 10_000;

/// Characters of a workflow's name.
pub const MAX_NAME_CHARS: usize = 100;

/// Characters of a task's identifier.
pub const MAX_TASK_ID_CHARS: usize = 100;

/// Workflows inside of each other in one submission.
pub const MAX_CHILD_DEPTH: usize = 8;

/// Signals that are kept for a wait that has not begun.
pub const MAX_KEPT_SIGNALS: usize = 1_024;

/// Bytes of all signals that are kept, names and payloads.
pub const MAX_KEPT_SIGNAL_BYTES: usize = 1024 * 1024;

/// Bytes of an error's message, a progress message or a reason; what is longer is cut.
pub const MAX_TEXT_BYTES: usize = 4 * 1024;

/// Bytes of a `when` condition.
pub const MAX_CONDITION_BYTES: usize = 4 * 1024;

/// Parentheses and negations inside of each other in a condition: each costs stack.
pub const MAX_CONDITION_DEPTH: usize = 64;

/// Attempts that a task may lose because whoever ran it was lost. Such attempts are made again whatever the retry
/// policy says; a task that kills its workers has to stop somewhere.
pub const MAX_LOST_ATTEMPTS: u8 = 10;

/// How long attempts that are asked to stop may take, in milliseconds, before they are given up.
pub const STOP_GRACE_MS: u64 = 30_000;

/// The lane of tasks whose workflow names none either.
pub const DEFAULT_LANE: &str = "default";
