//! What passes between the engine, which decides that an attempt is to be made, and the executor, which makes it.
//!
//! ```text
//!  engine ── Attempt, stop, signal ──► Executor (calls, HTTP, external workers)
//!  engine ◄──────── Report ─────────── through Reports
//! ```
//!
//! An attempt may be made more than once: after a crash it is asked for again, with the same idempotency key. Only a
//! report with the epoch that counts is taken, and only one.

use std::collections::BTreeMap;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use workflow_machine::{Millis, Run, SignalKind, TaskError, WorkflowId};

/// An attempt that is to be made.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The workflow.
    pub workflow: WorkflowId,
    /// What is asked, and under which epoch.
    pub run: Run,
    /// Request that submitted the workflow; goes with calls as `x-request-id`.
    pub request_id: String,
    /// Principal that submitted the workflow; empty if callers are not known.
    pub owner: String,
    /// Roles that it had then.
    pub owner_roles: Vec<String>,
    /// Unix ms when the engine asked, on the engine's clock; `run.deadline` is on the same.
    pub now: Millis,
    /// What people call the workflow.
    pub workflow_name: String,
    /// The task's metadata, for workers that pull; nobody else reads it.
    pub metadata: BTreeMap<String, String>,
}

impl Attempt {
    /// Its name.
    pub fn id(&self) -> AttemptId {
        AttemptId { workflow: self.workflow.clone(), task: self.run.task.clone(), epoch: self.run.epoch }
    }
}

/// Names an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttemptId {
    /// The workflow.
    pub workflow: WorkflowId,
    /// Task, or item of one.
    pub task: String,
    /// The attempt.
    pub epoch: u64,
}

/// Makes attempts.
///
/// No method blocks or fails: what goes wrong is reported as the attempt's failure. All are called on the committer's
/// thread, in the order of what the engine decided.
pub trait Executor: Send + Sync + 'static {
    /// Begins an attempt. One that is under way already (same workflow, task and epoch) goes on as it is.
    fn run(&self, attempt: Attempt);

    /// Asks an attempt to stop; what it reports within `grace_ms` still counts, then it is given up. 0: at once. One that
    /// nobody makes is reported as [`Report::Lost`].
    fn stop(&self, attempt: &AttemptId, grace_ms: u64);

    /// Hands a signal to an attempt. [`SignalKind::Interrupt`] comes as `stop` instead.
    fn signal(&self, attempt: &AttemptId, kind: SignalKind, payload: Bytes);
}

/// What became of an attempt.
#[derive(Debug)]
pub enum Report {
    /// It succeeded.
    Completed {
        /// JSON text by custom; anything else counts as a text.
        result: Bytes,
    },
    /// It failed.
    Failed {
        /// Why, and whether another one can help.
        error: TaskError,
    },
    /// Whoever made it is gone: nothing is known of its outcome.
    Lost,
    /// It lives.
    Progress {
        /// 0 to 100.
        percent: u32,
        /// For people.
        message: String,
    },
    /// It says something for the log.
    Log {
        /// Unix ms.
        at: Millis,
        /// As in `goclaw.v1.LogLevel`: 1 debug, 2 info, 3 warn, 4 error.
        level: u8,
        /// The line.
        message: String,
        /// Names and values that go with it.
        fields: Vec<(String, String)>,
    },
}

/// What follows from a report that the engine has kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The attempt failed, and another one follows.
    pub will_retry: bool,
}

/// Why a report was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untaken {
    /// The attempt does not count any more; whoever makes it may stop.
    #[error("the attempt no longer counts: {0}")]
    Stale(String),
    /// There is no such workflow, or it has ended.
    #[error("workflow {0} is not running")]
    NotRunning(WorkflowId),
    /// The engine is stopping, or its store failed.
    #[error("the engine takes no reports: it is stopping, or its store failed")]
    Closed,
}

/// A report with whoever waits for its answer.
#[derive(Debug)]
pub(crate) struct Reported {
    pub(crate) attempt: AttemptId,
    pub(crate) report: Report,
    /// Answered when what followed is durable; `None` if nobody wants to know.
    pub(crate) answer: Option<oneshot::Sender<Result<Kept, Untaken>>>,
}

/// The way back into the engine. Cheap to clone; bounded, so a report waits while the engine is behind.
#[derive(Clone, Debug)]
pub struct Reports {
    sender: mpsc::Sender<Reported>,
}

/// Where an engine finds what is reported.
#[derive(Debug)]
pub struct Inbox(pub(crate) mpsc::Receiver<Reported>);

/// Reports that wait for the engine: as many as attempts of all lanes can make at once under default settings.
pub(crate) const MAX_REPORTS: usize = 4_096;

impl Reports {
    /// A way into an engine that is yet to start.
    pub fn channel() -> (Self, Inbox) {
        let (sender, receiver) = mpsc::channel(MAX_REPORTS);
        (Self { sender }, Inbox(receiver))
    }

    /// Reports and waits until the engine has kept what follows from it, so that the sender may forget it.
    ///
    /// Dropping the future before it is done leaves open whether the report was taken.
    ///
    /// # Errors
    /// [`Untaken`] says why it does not count.
    pub async fn report(&self, attempt: AttemptId, report: Report) -> Result<Kept, Untaken> {
        let (answer, kept) = oneshot::channel();
        let reported = Reported { attempt, report, answer: Some(answer) };
        self.sender.send(reported).await.map_err(|_| Untaken::Closed)?;
        kept.await.unwrap_or(Err(Untaken::Closed))
    }

    /// Reports without waiting for the answer; only for room in the queue.
    ///
    /// # Errors
    /// [`Untaken::Closed`] if there is no engine any more.
    pub async fn send(&self, attempt: AttemptId, report: Report) -> Result<(), Untaken> {
        let reported = Reported { attempt, report, answer: None };
        self.sender.send(reported).await.map_err(|_| Untaken::Closed)
    }

    /// Reports only if there is plenty of room: for what may get lost, progress and lines of the log. Says whether it did.
    ///
    /// A quarter of the queue is kept for what must not get lost, so that a task that talks much holds up nobody.
    pub fn offer(&self, attempt: AttemptId, report: Report) -> bool {
        let room = self.sender.capacity() > self.sender.max_capacity() / 4;
        room && self.sender.try_send(Reported { attempt, report, answer: None }).is_ok()
    }
}
