//! Makes attempts: calls through the router, HTTP requests, and work for workers that pull.
//!
//! ```text
//!  run(attempt) ─┬─ call, http ──► a task of the runtime, once there is room ──► report
//!                └─ function ────► a queue, until a worker polls ──► a lease ──► report, or the lease runs out
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`call`] | agents, tools and workers, through the router |
//! | [`http`] | HTTP requests, and where they may go |
//! | [`functions`] | queues, leases and streams of external workers |
//! | [`Metrics`] | what is counted |
//!
//! # Stop
//! A call and a request cannot be asked to hurry up, only be given up. With a grace they have [`Settings::linger`] to end by
//! themselves: whatever answers within it is known to have happened, and can be compensated. Then they are dropped, which
//! resets the stream, and are reported as CANCELLED. An external worker is told by its next heartbeat, and has the whole
//! grace.
//!
//! # Shutdown
//! [`Executors::drain`] leaves attempts in flight some time to end. What is still under way then is given up without a
//! report, so that the engine asks for it again after the next start.

pub mod call;
pub mod functions;
pub mod http;
mod in_flight;
mod metrics;
mod payload;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod voice;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;
use workflow_machine::{Request, SignalKind, TaskError, codes};

pub use self::call::Calls;
pub use self::functions::Functions;
pub use self::metrics::{Counter, Gauge, Metrics};

use self::http::Requests;
use self::in_flight::InFlight;
use self::voice::{Voice, WARN};
use crate::attempt::{Attempt, AttemptId, Executor, Report, Reports, Untaken};

/// Code of an attempt that was given up because it was no longer wanted.
const CANCELLED: &str = "CANCELLED";

/// What an operator may set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Calls and HTTP requests under way at once; others wait. Default 1,024: what a router and one process have room for,
    /// and above the sum of usual lanes, whose limits are what should hold attempts back.
    pub max_in_flight: usize,
    /// How long a call or request that is to stop may still take to end by itself. Default 1 s: most are over by then.
    pub linger: Duration,
    /// HTTP requests.
    pub http: http::Settings,
    /// External workers.
    pub functions: functions::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_in_flight: 1_024,
            linger: Duration::from_secs(1),
            http: http::Settings::default(),
            functions: functions::Settings::default(),
        }
    }
}

/// The executor of all kinds of work. A clone is the same executor.
#[derive(Clone, Debug)]
pub struct Executors {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    calls: Calls,
    requests: Requests,
    functions: Functions,
    reports: Reports,
    metrics: Arc<Metrics>,
    /// Room for calls and requests.
    room: Semaphore,
    in_flight: InFlight,
    linger: Duration,
    runtime: Handle,
}

impl Executors {
    /// Makes attempts on this runtime and reports them.
    ///
    /// # Errors
    /// [`http::Setup`] if there can be no HTTP client.
    pub fn new(
        settings: Settings,
        calls: Calls,
        reports: Reports,
        runtime: Handle,
    ) -> Result<Self, http::Setup> {
        let metrics = Arc::new(Metrics::default());
        let functions = Functions::new(settings.functions, reports.clone(), metrics.clone(), &runtime);
        let shared = Shared {
            calls,
            requests: Requests::new(settings.http)?,
            functions,
            reports,
            metrics,
            room: Semaphore::new(settings.max_in_flight.clamp(1, Semaphore::MAX_PERMITS)),
            in_flight: InFlight::default(),
            linger: settings.linger,
            runtime,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The queues, for the service that external workers call.
    pub fn functions(&self) -> &Functions {
        &self.shared.functions
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Begins nothing any more, ends the streams of external workers, and waits until calls and requests have ended and
    /// were reported; those that take longer than `limit` are given up without a report.
    ///
    /// Dropping the future leaves them under way.
    pub async fn drain(&self, limit: Duration) {
        self.shared.functions.close();
        self.shared.in_flight.close();
        if tokio::time::timeout(limit, self.shared.in_flight.is_empty()).await.is_err() {
            let given_up = self.shared.in_flight.abort_all();
            tracing::info!(given_up, "attempts are given up, and made again after the next start");
        }
    }
}

impl Executor for Executors {
    fn run(&self, attempt: Attempt) {
        if matches!(attempt.run.request, Request::Function(_)) {
            return self.shared.functions.add(attempt);
        }
        let id = attempt.id();
        let end = attempt.run.deadline.and_then(|deadline| {
            Instant::now().checked_add(Duration::from_millis(deadline.saturating_sub(attempt.now)))
        });
        let (stop, stopped) = oneshot::channel();
        let shared = self.shared.clone();
        self.shared.in_flight.begin(id.clone(), stop, || {
            self.shared.metrics.started.add(1);
            let making = Making { id, attempt, end, shared };
            self.shared.runtime.spawn(making.run(stopped)).abort_handle()
        });
    }

    fn stop(&self, attempt: &AttemptId, grace_ms: u64) {
        if self.shared.functions.stop(attempt, Duration::from_millis(grace_ms)) {
            return;
        }
        let known = self.shared.in_flight.stop(attempt, Duration::from_millis(grace_ms));
        // Without a grace nobody waits for a word.
        if !known && grace_ms > 0 {
            let (reports, id) = (self.shared.reports.clone(), attempt.clone());
            self.shared.runtime.spawn(async move { reports.send(id, Report::Lost).await });
        }
    }

    fn signal(&self, attempt: &AttemptId, kind: SignalKind, payload: Bytes) {
        match kind {
            // The machine turns it into `stop`.
            SignalKind::Interrupt => self.stop(attempt, 0),
            // Answered by what there is already: no contract has a way to ask for more.
            SignalKind::Collect => {}
            SignalKind::Steer if self.shared.functions.steer(attempt, payload) => {}
            SignalKind::Steer => {
                self.shared.metrics.dropped_signals.add(1);
                let voice = self.shared.voice(attempt.clone());
                voice.log(WARN, "the signal STEER reached nobody: only external workers take it", []);
            }
        }
    }
}

impl Shared {
    fn voice(&self, id: AttemptId) -> Voice {
        Voice::new(id, self.reports.clone(), self.metrics.clone())
    }
}

/// A call or request, from waiting for room to its report.
struct Making {
    id: AttemptId,
    attempt: Attempt,
    end: Option<Instant>,
    shared: Arc<Shared>,
}

impl Making {
    /// `stopped` gives the grace with which the attempt is to stop. Dropping the future gives it up without a report.
    async fn run(self, mut stopped: oneshot::Receiver<Duration>) {
        let shared = &self.shared;
        let _forget = shared.in_flight.forget_later(&self.id);
        let waits = shared.metrics.waiting.hold();
        let room = tokio::select! {
            room = shared.room.acquire() => room,
            Ok(_) = &mut stopped, if !stopped.is_terminated() => return self.report(Report::Lost).await,
        };
        drop(waits);
        let _in_flight = shared.metrics.in_flight.hold();
        let mut work = Box::pin(self.work());
        let outcome = tokio::select! {
            outcome = &mut work => outcome,
            Ok(grace) = &mut stopped, if !stopped.is_terminated() => {
                let lingered = tokio::time::timeout(grace.min(shared.linger), &mut work).await;
                lingered.unwrap_or_else(|_| {
                    shared.metrics.stopped.add(1);
                    Err(TaskError::permanent(CANCELLED, "given up: the attempt was asked to stop"))
                })
            }
        };
        drop(work);
        self.report(match outcome {
            Ok(result) => Report::Completed { result },
            Err(error) => Report::Failed { error },
        })
        .await;
        // Until here, so that no more results wait for the engine than there is room for attempts.
        drop(room);
    }

    async fn work(&self) -> Result<Bytes, TaskError> {
        if self.end.is_some_and(|end| end <= Instant::now()) {
            return Err(TaskError::retryable(
                codes::TIMED_OUT,
                "the task's timeout passed before it was begun",
            ));
        }
        match &self.attempt.run.request {
            Request::Call(call) => {
                let voice = self.shared.voice(self.id.clone());
                self.shared.calls.make(&self.attempt, call, self.end, &voice).await
            }
            Request::Http(http) => self.shared.requests.make(&self.attempt, http, self.end).await,
            Request::Function(_) => {
                Err(TaskError::permanent("INTERNAL", "work for external workers has queues"))
            }
        }
    }

    async fn report(&self, report: Report) {
        let metrics = &self.shared.metrics;
        let counter = match report {
            Report::Completed { .. } => &metrics.completed,
            Report::Failed { .. } => &metrics.failed,
            _ => &metrics.stopped,
        };
        match self.shared.reports.report(self.id.clone(), report).await {
            Ok(_) => counter.add(1),
            Err(Untaken::Stale(_) | Untaken::NotRunning(_)) => metrics.stale.add(1),
            Err(Untaken::Closed) => {}
        }
    }
}
