//! Work for external workers: queues that they poll, leases, and what they say.
//!
//! ```text
//!             poll, credit left            complete, fail
//!  waiting ──────────────────────► leased ────────────────► reported, forgotten
//!     │                             │  ▲ │
//!     │ stop                heartbeat└──┘ └ no heartbeat for a lease, or the grace of a stop over
//!     ▼                                   ▼
//!  reported as lost                  reported as lost
//! ```
//!
//! A queue is there as long as something waits in it or somebody polls it. Within a queue higher priorities go first, then
//! what came first. A worker has at most `max_in_flight` leases over all of its streams; each answer is the credit for
//! another task. Tasks leave the queue when the stream is read, so a stream that ends has taken nothing along that its
//! worker was not sent; what it was sent stays leased, and may be answered without a stream.
//!
//! Nothing here is durable, and nothing needs to be: after a restart the engine asks for every attempt again, under the
//! same epoch. A worker that still has one from before says so by its heartbeat, and keeps it if nobody else has it yet; two that have it
//! both answer, and the engine takes the first.

mod answered;
mod poll;
mod queue;
mod stream;
mod sweep;
mod table;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use workflow_machine::TaskError;

pub use self::stream::{PollRefused, Tasks};

use self::table::{Added, Stopped, Table};
use super::{Metrics, voice};
use crate::attempt::{Attempt, AttemptId, Kept, Report, Reports, Untaken};

/// What an operator may set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a worker keeps an attempt without a heartbeat. Default 30 s: a worker that is replaced within it by its
    /// supervisor costs no attempt, and one that is gone holds up its tasks no longer.
    pub lease: Duration,
    /// Attempts that wait in one queue. Default 10,000, above all lanes; one more fails with RESOURCE_EXHAUSTED.
    pub max_waiting: usize,
    /// Bytes of all attempts in all queues, inputs and parameters. Default 256 MiB.
    pub max_bytes: usize,
    /// Streams of PollTasks at once. Default 10,000.
    pub max_streams: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            max_waiting: 10_000,
            max_bytes: 256 << 20,
            max_streams: 10_000,
        }
    }
}

/// What a worker says of an attempt that it makes.
#[derive(Clone, Debug)]
pub struct Beat {
    /// The attempt.
    pub id: AttemptId,
    /// 0 to 100.
    pub percent: u32,
    /// For people.
    pub message: String,
}

/// What a worker is told of an attempt that it makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// The attempt counts no more, or somebody else has it: drop the work.
    pub stale: bool,
    /// Stop soon.
    pub cancel_requested: bool,
    /// Payloads of STEER that came since the last heartbeat, oldest first.
    pub signals: Vec<Bytes>,
}

/// What a queue holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueStats {
    /// Its name.
    pub queue: String,
    /// Attempts that wait for a worker.
    pub waiting: usize,
    /// Attempts that a worker has.
    pub leased: usize,
    /// Streams that poll it.
    pub streams: usize,
}

/// The queues of external workers. A clone is the same queues.
#[derive(Clone, Debug)]
pub struct Functions {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    table: Mutex<Table>,
    settings: Settings,
    reports: Reports,
    metrics: Arc<Metrics>,
    runtime: Handle,
    /// Told when something runs out earlier than what the sweep waits for.
    earlier: Arc<Notify>,
    sweep: AbortHandle,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.sweep.abort();
    }
}

impl Functions {
    /// Makes empty queues whose leases run out on this runtime.
    pub(crate) fn new(settings: Settings, reports: Reports, metrics: Arc<Metrics>, runtime: &Handle) -> Self {
        let earlier = Arc::new(Notify::new());
        let shared = Arc::new_cyclic(|shared| Shared {
            table: Mutex::default(),
            settings,
            reports,
            metrics,
            runtime: runtime.clone(),
            earlier: earlier.clone(),
            sweep: runtime.spawn(sweep::run(shared.clone(), earlier)).abort_handle(),
        });
        Self { shared }
    }

    /// How long a lease lasts.
    pub fn lease(&self) -> Duration {
        self.shared.settings.lease
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Puts an attempt into its queue, unless it is there or leased. Reports its failure if there is no room.
    pub(crate) fn add(&self, attempt: Attempt) {
        let id = attempt.id();
        let added = self.shared.table().add(attempt, &self.shared.settings);
        match added {
            Added::Queued => self.shared.metrics.started.add(1),
            Added::Known => {}
            Added::Full => {
                self.shared.metrics.refused.add(1);
                let words = "no room in the queue: its workers are gone, or slower than what is submitted";
                let error = TaskError::retryable("RESOURCE_EXHAUSTED", words);
                self.shared.tell(id, Report::Failed { error: TaskError { retry_after_ms: 1_000, ..error } });
            }
        }
    }

    /// Asks whoever makes the attempt to stop, or forgets it if the grace is nothing. Says whether it is known here.
    pub(crate) fn stop(&self, id: &AttemptId, grace: Duration) -> bool {
        let stopped = self.shared.table().stop(id, grace);
        match stopped {
            Stopped::Unknown => return false,
            Stopped::Asked => {}
            Stopped::Waited if grace.is_zero() => self.shared.metrics.stopped.add(1),
            // Nobody has begun it, so there is nothing to wait for.
            Stopped::Waited => {
                self.shared.metrics.stopped.add(1);
                self.shared.tell(id.clone(), Report::Lost);
            }
            Stopped::Forgotten => self.shared.metrics.stopped.add(1),
        }
        true
    }

    /// Keeps a signal for the next heartbeat. Says whether the attempt is known here.
    pub(crate) fn steer(&self, id: &AttemptId, payload: Bytes) -> bool {
        let Some(dropped) = self.shared.table().steer(id, payload) else { return false };
        self.shared.metrics.dropped_signals.add(u64::from(dropped));
        true
    }

    /// Opens a stream of tasks for a worker, at most `max_in_flight` of them unanswered.
    ///
    /// # Errors
    /// [`PollRefused`] if there are too many streams, or the engine is stopping.
    pub fn poll(
        &self,
        worker: &str,
        queues: Vec<String>,
        max_in_flight: usize,
    ) -> Result<Tasks, PollRefused> {
        Tasks::open(self.shared.clone(), worker, queues, max_in_flight)
    }

    /// Extends leases, and says what the worker has to know, in the order of `beats`.
    ///
    /// Asks the engine about attempts that nobody has here, and waits for its answer.
    pub async fn heartbeat(&self, worker: &str, beats: Vec<Beat>) -> Vec<Pulse> {
        let until = Instant::now() + self.shared.settings.lease;
        // Only those that are asked about wait, and all of them at once.
        join_all(beats.into_iter().map(|beat| self.beat(worker, beat, until))).await
    }

    /// Reports a success. `Ok` when the engine has kept it, also if it had before.
    ///
    /// Dropping the future leaves the report on its way.
    ///
    /// # Errors
    /// [`Untaken`] if it does not count, or the engine takes nothing.
    pub async fn complete(&self, id: AttemptId, result: Bytes) -> Result<(), Untaken> {
        self.answer(id, Report::Completed { result }).await.map(|_| ())
    }

    /// Reports a failure, and says whether another attempt follows. `Ok` when the engine has kept it, also if it had
    /// before.
    ///
    /// Dropping the future leaves the report on its way.
    ///
    /// # Errors
    /// As [`Functions::complete`].
    pub async fn fail(&self, id: AttemptId, error: TaskError) -> Result<Kept, Untaken> {
        self.answer(id, Report::Failed { error }).await
    }

    /// Passes a line on to the log of a task, with its time in Unix ms, its level as in `goclaw.v1.LogLevel`, and its
    /// fields. Says whether it went on its way; it does not while the engine is behind.
    pub fn log(
        &self,
        id: AttemptId,
        at: u64,
        level: u8,
        message: String,
        fields: Vec<(String, String)>,
    ) -> bool {
        let went = self.shared.reports.offer(id, voice::line(at, level, message, fields));
        self.shared.metrics.dropped_logs.add(u64::from(!went));
        went
    }

    /// Whether an attempt waits or is leased.
    pub fn knows(&self, id: &AttemptId) -> bool {
        self.shared.table().knows(id)
    }

    /// The worker that has this attempt; `None` if it waits, or is not known.
    pub fn worker(&self, id: &AttemptId) -> Option<String> {
        self.shared.table().worker(id).map(str::to_owned)
    }

    /// What the queues hold, by name.
    pub fn stats(&self) -> Vec<QueueStats> {
        self.shared.table().stats()
    }

    /// Hands out nothing any more, takes nothing more, and ends all streams. Answers are still passed on.
    pub(crate) fn close(&self) {
        self.shared.table().close();
    }

    async fn beat(&self, worker: &str, beat: Beat, until: Instant) -> Pulse {
        let beaten = self.shared.table().beat(worker, &beat, until);
        let progress = Report::Progress { percent: beat.percent.min(100), message: beat.message };
        match beaten {
            Some((pulse, news)) => {
                if news {
                    // One that gets lost is made up for by the next that says something new.
                    self.shared.reports.offer(beat.id, progress);
                }
                pulse
            }
            // After a restart, before the engine has asked for the attempt.
            None => {
                let counts = self.shared.reports.report(beat.id, progress).await;
                let stale = matches!(counts, Err(Untaken::Stale(_) | Untaken::NotRunning(_)));
                Pulse { stale, ..Pulse::default() }
            }
        }
    }

    async fn answer(&self, id: AttemptId, report: Report) -> Result<Kept, Untaken> {
        // The report goes on when the caller does not wait: the worker may ask again, and is to find it done.
        let answering = self.shared.runtime.spawn(answered::pass_on(self.shared.clone(), id, report));
        answering.await.unwrap_or(Err(Untaken::Closed))
    }
}

impl Shared {
    /// Locks the table. When it is let go, what it holds is counted, and the sweep learns of an earlier end.
    fn table(&self) -> Locked<'_> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let next_end = table.next_end();
        Locked { table, next_end, metrics: &self.metrics, earlier: &self.earlier }
    }

    /// Reports from where nobody can wait.
    fn tell(&self, id: AttemptId, report: Report) {
        let reports = self.reports.clone();
        self.runtime.spawn(async move { reports.send(id, report).await });
    }
}

struct Locked<'a> {
    table: MutexGuard<'a, Table>,
    next_end: Option<Instant>,
    metrics: &'a Metrics,
    earlier: &'a Notify,
}

impl std::ops::Deref for Locked<'_> {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.table
    }
}

impl std::ops::DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Table {
        &mut self.table
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let (waiting, leased, streams) = self.table.counts();
        self.metrics.queued.set(waiting);
        self.metrics.leased.set(leased);
        self.metrics.polls.set(streams);
        let next_end = self.table.next_end();
        if next_end.is_some_and(|next| self.next_end.is_none_or(|before| next < before)) {
            self.earlier.notify_one();
        }
    }
}
