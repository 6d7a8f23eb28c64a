//! Requests of workers, read and bounded. Everything that is wrong is told at once.

use bytes::Bytes;
use serde::de::IgnoredAny;
use switchboard_proto::goclaw::v1 as wire;
use tonic::Status;
use workflow_machine::{Invalid, MAX_VIOLATIONS, TaskError, Violation, WorkflowId};

use crate::attempt::AttemptId;
use crate::engine::wall;
use crate::executor::functions::Beat;
use crate::spec;

/// Characters of names: of workers and queues.
const MAX_NAME_CHARS: usize = 100;
/// Queues of one stream.
const MAX_QUEUES: usize = 100;
/// Tasks that a worker has at once.
const MAX_IN_FLIGHT: i32 = 1_000;
/// Tasks of one heartbeat: all that a worker may have.
const MAX_BEATS: usize = 1_000;
/// Lines of one Log.
const MAX_LINES: usize = 100;
/// Bytes of a result; larger ones belong into a store, with their name as the result.
const MAX_RESULT_BYTES: usize = 16 << 20;
/// Bytes of the names of a lease, which the engine made.
const MAX_LEASE_BYTES: usize = 4_096;
/// Code of a failure without one.
const UNKNOWN: &str = "UNKNOWN";

/// A line of a task's log.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) at: u64,
    pub(super) level: u8,
    pub(super) message: String,
    pub(super) fields: Vec<(String, String)>,
}

/// Collects what is wrong with a request.
#[derive(Debug, Default)]
pub(super) struct Checked {
    violations: Vec<Violation>,
}

impl Checked {
    /// # Errors
    /// All that was found wrong.
    pub(super) fn done(self) -> Result<(), Status> {
        match self.violations.is_empty() {
            true => Ok(()),
            false => Err(spec::status(&Invalid { violations: self.violations })),
        }
    }

    pub(super) fn worker_id(&mut self, id: &str) {
        if !is_name(id) {
            self.add(
                "worker_id",
                "1 to 100 characters that name this process, for example host and process ID",
            );
        }
    }

    pub(super) fn queues(&mut self, queues: &[String]) {
        if queues.is_empty() || queues.len() > MAX_QUEUES {
            self.add("queues", "1 to 100 names of queues, as tasks have them in target");
        }
        for (index, queue) in queues.iter().enumerate().take(MAX_QUEUES) {
            if !is_name(queue) {
                self.add(format!("queues[{index}]"), "a queue's name has 1 to 100 characters");
            }
        }
    }

    pub(super) fn max_in_flight(&mut self, count: i32) -> usize {
        if !(0..=MAX_IN_FLIGHT).contains(&count) {
            self.add("max_in_flight", "1 to 1000; 0 is 1");
        }
        usize::try_from(count).unwrap_or(1).max(1)
    }

    pub(super) fn lease(&mut self, lease: Option<wire::TaskLease>, at: &str) -> AttemptId {
        let lease = lease.unwrap_or_default();
        let epoch = u64::try_from(lease.epoch).unwrap_or(0);
        let fits = |text: &str| (1..=MAX_LEASE_BYTES).contains(&text.len());
        if epoch == 0 || !fits(&lease.workflow_id) || !fits(&lease.task_id) {
            self.add(at, "missing or incomplete; send the lease as PollTasks gave it");
        }
        AttemptId { workflow: WorkflowId::new(&lease.workflow_id), task: lease.task_id, epoch }
    }

    pub(super) fn beats(&mut self, tasks: Vec<wire::TaskHeartbeat>) -> Vec<Beat> {
        if tasks.len() > MAX_BEATS {
            self.add("tasks", format!("{} tasks; at most {MAX_BEATS} in one heartbeat", tasks.len()));
            return Vec::new();
        }
        let beat = |(index, task): (usize, wire::TaskHeartbeat)| {
            let at = format!("tasks[{index}]");
            if !(0..=100).contains(&task.progress_percent) {
                self.add(format!("{at}.progress_percent"), "0 to 100");
            }
            let percent = u32::try_from(task.progress_percent).unwrap_or(0);
            Beat { id: self.lease(task.lease, &format!("{at}.lease")), percent, message: task.message }
        };
        tasks.into_iter().enumerate().map(beat).collect()
    }

    pub(super) fn json(&mut self, text: Vec<u8>, field: &str) -> Bytes {
        if text.is_empty() {
            return Bytes::from_static(b"null");
        }
        if text.len() > MAX_RESULT_BYTES {
            self.add(field, format!("{} bytes; at most {MAX_RESULT_BYTES}: keep it elsewhere", text.len()));
        } else if let Err(error) = serde_json::from_slice::<IgnoredAny>(&text) {
            self.add(field, format!("not JSON: {error}; a text needs quotes"));
        }
        text.into()
    }

    pub(super) fn error(&mut self, request: wire::FailRequest) -> TaskError {
        let retry_after_ms = u64::try_from(request.retry_after_ms).unwrap_or_else(|_| {
            self.add("retry_after_ms", "0 or more milliseconds");
            0
        });
        let code = if request.code.is_empty() { UNKNOWN } else { request.code.as_str() };
        let error = TaskError::permanent(code, request.message);
        TaskError { retryable: !request.non_retryable, retry_after_ms, ..error }
    }

    pub(super) fn lines(&mut self, entries: Vec<wire::LogEntry>) -> Vec<Line> {
        if entries.len() > MAX_LINES {
            self.add("entries", format!("{} entries; at most {MAX_LINES} in one call", entries.len()));
            return Vec::new();
        }
        entries.into_iter().map(line).collect()
    }

    fn add(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        if self.violations.len() >= MAX_VIOLATIONS {
            return;
        }
        self.violations.push(Violation { field: field.into(), reason: reason.into() });
    }
}

fn is_name(name: &str) -> bool {
    // Bytes first: no need to count the characters of a book.
    name.len() <= 4 * MAX_NAME_CHARS && (1..=MAX_NAME_CHARS).contains(&name.chars().count())
}

fn line(entry: wire::LogEntry) -> Line {
    let level = match entry.level() {
        wire::LogLevel::Unspecified => wire::LogLevel::Info,
        level => level,
    };
    let at = entry.timestamp.and_then(|at| {
        let seconds = u64::try_from(at.seconds).ok()?;
        seconds.checked_mul(1_000)?.checked_add(u64::try_from(at.nanos).ok()? / 1_000_000)
    });
    let mut fields: Vec<_> = entry.fields.into_iter().collect();
    fields.sort_unstable();
    Line { at: at.unwrap_or_else(wall), level: level as u8, message: entry.message, fields }
}
