//! The engine: one loop that owns every live workflow, and the handle by which everything else talks to it.
//!
//! ```text
//!  API, executors ──commands──► loop (one thread) ── commits ──► committer (one thread, one sync for many)
//!                                 │ steps the state machine,        │ after the sync, in order:
//!                                 │ keeps lanes and timers          ├─ answers callers
//!                                 │                                 ├─ publishes events to watchers
//!                                 ◄──────── reports ────────────────┴─ has attempts made
//! ```
//!
//! Nothing is shown that a crash could still lose: the loop runs ahead of the disk, but answers, events, attempts and
//! reads of a workflow wait for the sync behind which they lie. One owner needs no locks, and makes lanes, priorities
//! and idempotency keys, which concern all workflows, facts of one place.
//!
//! | module | what |
//! |---|---|
//! | `command` | what the loop can be told, and the answers |
//! | `run` | the loop: commands, reports, timers, then what follows of them |
//! | `turn` | what one command leads to: writes that belong together, and what is done after them |
//! | `schedule` | workflows that are submitted again and again |
//! | `submit` | new workflows, idempotency keys |
//! | `live` | a workflow in memory |
//! | `lanes` | who waits for a slot, and who has one |
//! | `timers`, `clock` | when |
//! | `restore` | what was going on when the process ended |
//! | `summary` | what lists show of a workflow |
//! | `hub`, `watch` | who looks on |
//! | `reach` | whose workflows a handle reaches |
//! | `log_watch` | lines of logs, and who follows them |
//! | `purge` | what ended long ago goes, when somebody says so |
//! | `retention` | the same by itself |

mod clock;
mod command;
mod hub;
mod id;
mod lanes;
mod live;
mod log_watch;
mod purge;
mod reach;
mod restore;
mod retention;
mod run;
mod schedule;
mod settings;
#[cfg(test)]
mod simulation;
mod submit;
mod summary;
mod timers;
mod turn;
mod watch;

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

use tokio::sync::{Notify, mpsc, oneshot};
use workflow_machine::{Corrupt, Input, Millis, Workflow, WorkflowId};
use workflow_store::{Committer, CommitterSettings, Count, Cursor, Filter, Gauges, Page, Store, StoreError};

use crate::attempt::{Executor, Inbox};

pub use command::{EngineError, Key, Submitted, Taken, Told};
pub use lanes::{LaneSettings, LaneState};
pub use log_watch::{LogLines, LogWatch};
pub use reach::Reach;
pub use schedule::{NewSchedule, Overlap, SchedulePage, ScheduleState, Timing};
pub use settings::Settings;
pub use watch::{Gap, Watch};

pub(crate) use clock::wall;
pub(crate) use restore::event;
pub(crate) use submit::name_item;

use clock::Clock;
use command::Command;
use hub::Hub;
use retention::Retention;
use run::Loop;

/// Names of settings that [`Engine::keep_setting`] keeps, in the store.
pub const CONFIG: &str = "config.";

/// The setting among them that the engine itself reads: hours for which what ended is kept, 0 is for ever.
pub const RETENTION_HOURS: &str = "history.retention_hours";

/// A running engine. Cheap to clone; the engine ends with [`Engine::stop`], not with its handles.
#[derive(Clone)]
pub struct Engine {
    commands: mpsc::Sender<Command>,
    store: Arc<dyn Store>,
    hub: Arc<Hub>,
    shared: Arc<Shared>,
    committer: Arc<Gauges>,
    reach: Reach,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// What the loop shows without being asked.
#[derive(Debug, Default)]
pub struct Shared {
    /// Workflows in memory.
    pub live: AtomicU64,
    /// Tasks that wait for a slot.
    pub waiting: AtomicU64,
    /// Attempts that hold a slot.
    pub running: AtomicU64,
    /// Timers that are set.
    pub timers: AtomicU64,
    /// Workflows accepted since the start.
    pub submitted: AtomicU64,
    /// Events written since the start.
    pub events: AtomicU64,
    /// Reports that no longer counted.
    pub stale: AtomicU64,
    /// Submissions that were answered from an idempotency key.
    pub replayed: AtomicU64,
    /// Schedules.
    pub schedules: AtomicU64,
    /// Runs of schedules since the start.
    pub scheduled: AtomicU64,
    /// Times of schedules that were left out since the start.
    pub left_out: AtomicU64,
    /// Workflows deleted since the start, by retention and by hand.
    pub purged: AtomicU64,
    /// How long what ended is kept; 0 is for ever.
    pub retention_ms: AtomicU64,
    /// No task starts and no workflow is taken.
    pub paused: AtomicBool,
    /// The store failed: nothing is taken any more.
    pub failed: AtomicBool,
    failure: Notify,
    /// Streams are to end.
    streams_end: tokio::sync::watch::Sender<bool>,
}

impl Shared {
    /// The store failed; says whether that is new.
    fn fail(&self) -> bool {
        let new = !self.failed.swap(true, Relaxed);
        self.failure.notify_waiters();
        new
    }
}

/// Why an engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Store(#[from] StoreError),
    /// What is kept of a workflow is no history.
    #[error("workflow {id} cannot be restored; move its data directory away, or restore it from a backup")]
    Corrupt {
        /// Which.
        id: String,
        /// What does not fit.
        source: Corrupt,
    },
    /// An event is not in a form that this version reads.
    #[error("event {seq} of workflow {id} cannot be read: {source}")]
    Unreadable {
        /// Which workflow.
        id: String,
        /// Which event.
        seq: u64,
        /// Why.
        source: prost::DecodeError,
    },
    /// What is kept of a schedule is not in a form that this version reads.
    #[error("schedule {id} cannot be read: {source}")]
    Schedule {
        /// Which.
        id: String,
        /// Why.
        source: prost::DecodeError,
    },
    /// The system gives no thread.
    #[error("no thread for the engine")]
    Thread(#[from] io::Error),
}

impl Engine {
    /// Restores what was going on and starts. `executor` makes all attempts and reports into `reported`, see
    /// [`Reports::channel`](crate::attempt::Reports::channel).
    ///
    /// Blocks while it reads the store: some 10,000 live workflows a second.
    ///
    /// # Errors
    /// [`StartError`], when the store or something in it cannot be read.
    pub fn start(
        store: Arc<dyn Store>,
        settings: Settings,
        executor: Arc<dyn Executor>,
        reported: Inbox,
    ) -> Result<Self, StartError> {
        Self::start_by(wall, store, settings, executor, reported)
    }

    /// The same by another clock: Unix milliseconds, and it may jump.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub fn start_by(
        clock: fn() -> Millis,
        store: Arc<dyn Store>,
        settings: Settings,
        executor: Arc<dyn Executor>,
        reported: Inbox,
    ) -> Result<Self, StartError> {
        let (commands, inbox) = mpsc::channel(settings.max_queued_commands);
        let committer = Committer::start(store.clone(), CommitterSettings::default())?;
        let gauges = committer.gauges().clone();
        let hub = Arc::new(Hub::default());
        let shared = Arc::new(Shared::default());
        shared.retention_ms.store(settings.retention_ms, Relaxed);
        let mut engine = Loop::new(
            Clock::by(clock),
            store.clone(),
            committer,
            executor,
            hub.clone(),
            shared.clone(),
            settings,
        );
        engine.restore()?;
        // Whoever looks before anything happens sees what was restored.
        engine.show();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let retention = Retention::new(clock, &commands, store.clone(), shared.clone());
        let thread = thread::Builder::new().name("engine".to_owned()).spawn(move || {
            runtime.block_on(async {
                // It ends with the runtime, which waits for no more than a page that is being read.
                tokio::spawn(retention.run());
                engine.run(inbox, reported.0).await;
            });
        })?;
        let thread = Arc::new(Mutex::new(Some(thread)));
        Ok(Self { commands, store, hub, shared, committer: gauges, reach: Reach::All, thread })
    }

    /// A handle of the same engine that reaches these workflows: reading, telling, watching and listing find no others.
    #[must_use]
    pub fn within(&self, reach: Reach) -> Self {
        Self { reach, ..self.clone() }
    }

    /// Whose workflows this handle reaches. [`Engine::from_store`] is for its user to keep within.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Takes workflows, and answers when they are durable: one result each, in their order.
    ///
    /// With `atomic` either all are taken or none, and the error is that of the first that cannot be, but
    /// [`EngineError::Invalid`] is that of all, with fields such as `workflows[2].name`. Once begun it goes on though the
    /// future is dropped.
    ///
    /// # Errors
    /// What concerns all of them: the key was used for something else, the engine is paused, full or stopping.
    pub async fn submit(
        &self,
        submissions: Vec<crate::spec::Submission>,
        atomic: bool,
        key: Option<Key>,
    ) -> Result<Vec<Result<Submitted, EngineError>>, EngineError> {
        self.ask(|reply| Command::Submit { submissions, atomic, key, reply }).await
    }

    /// Tells a workflow something, and answers when what follows is durable.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Refused`], or that the engine is stopping.
    pub async fn tell(&self, id: &WorkflowId, input: Input) -> Result<Taken, EngineError> {
        let (id, reach) = (id.clone(), self.reach.clone());
        self.ask(|reply| Command::Tell { id, reach, input, reply }).await
    }

    /// The same, but once only however often it is asked to under the same key, also after a restart.
    ///
    /// # Errors
    /// As [`Engine::tell`], and [`EngineError::KeyReused`]. What is refused is not kept: it may be tried again.
    pub async fn tell_once(&self, id: &WorkflowId, input: Input, key: Key) -> Result<Told, EngineError> {
        let (id, reach) = (id.clone(), self.reach.clone());
        self.ask(|reply| Command::TellOnce { id, reach, input, key, reply }).await
    }

    /// Reads a workflow as it is on the disk, or will be at once: what was answered before is in it.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], or that the engine is stopping or its store cannot be read.
    pub async fn read<T: Send + 'static>(
        &self,
        id: &WorkflowId,
        read: impl FnOnce(&Workflow) -> T + Send + 'static,
    ) -> Result<T, EngineError> {
        let (reply, answer) = oneshot::channel();
        let read: command::Read = Box::new(move |found| match found {
            Some(workflow) => {
                let value = read(workflow);
                Box::new(move |outcome| {
                    let _ = reply.send(outcome.map(|()| Ok(value)));
                })
            }
            // Not in memory: the caller looks into the store, with the same closure.
            None => Box::new(move |outcome| {
                let _ = reply.send(outcome.map(|()| Err(read)));
            }),
        });
        let command = Command::Read { id: id.clone(), reach: self.reach.clone(), read };
        self.commands.send(command).await.map_err(|_| self.closed())?;
        let read = match answer.await.map_err(|_| self.closed())?? {
            Ok(value) => return Ok(value),
            Err(read) => read,
        };
        let (store, id, reach) = (self.store.clone(), id.clone(), self.reach.clone());
        let found = tokio::task::spawn_blocking(move || {
            // First of all, so that a workflow of somebody else takes no longer to be not found than one that is none.
            if !restore::is_within(&*store, &reach, &id)? {
                return Ok(None);
            }
            restore::workflow(&*store, &id).map(|found| found.map(|workflow| read(&workflow)))
        });
        match found.await {
            Ok(Ok(Some(value))) => Ok(value),
            Ok(Ok(None)) => Err(EngineError::NotFound),
            Ok(Err(error)) => Err(EngineError::Unreadable(Arc::new(error))),
            Err(_) => Err(self.closed()),
        }
    }

    /// A page of workflows, newest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn list(
        &self,
        filter: Filter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<(Page, Count), EngineError> {
        let Some(filter) = self.reach.narrow(filter) else { return Ok((Page::default(), Count::Exact(0))) };
        self.from_store(move |store| Ok((store.list(&filter, after.as_ref(), limit)?, store.count(&filter)?)))
            .await
    }

    /// Reads the store where that may take as long as the disk does.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn from_store<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || read(&*store)).await {
            Ok(read) => read.map_err(|error| EngineError::Unreadable(Arc::new(StartError::Store(error)))),
            Err(_) => Err(self.closed()),
        }
    }

    /// Follows a workflow's events behind `after`: first those that are kept, then each as it becomes durable.
    ///
    /// # Errors
    /// [`Gap`] if `after` lies behind the newest event, or before the oldest that is kept.
    pub async fn watch(&self, id: &WorkflowId, after: u64) -> Result<Watch, Gap> {
        Watch::begin(self.store.clone(), self.hub.clone(), &self.reach, id.clone(), after).await
    }

    /// Follows a workflow's log lines behind `after` (0: from the oldest that is kept).
    ///
    /// # Errors
    /// [`Gap::NotFound`], or that the store cannot be read.
    pub async fn watch_logs(&self, id: &WorkflowId, after: u64) -> Result<LogWatch, Gap> {
        LogWatch::begin(self.store.clone(), self.hub.clone(), &self.reach, id.clone(), after).await
    }

    /// Done when the engine takes nothing any more, because it stops or its loop has ended. Cancel safe.
    pub async fn stopped(&self) {
        self.commands.closed().await;
    }

    /// Has streams end that follow a workflow, now and from now on: who reads them comes back to the next process. All else
    /// goes on.
    pub fn end_streams(&self) {
        self.shared.streams_end.send_replace(true);
    }

    /// Done when streams are to end. Cancel safe.
    pub async fn streams_end(&self) {
        // The sender lives as long as the engine.
        let _ = self.shared.streams_end.subscribe().wait_for(|end| *end).await;
    }

    /// Whether the engine takes nothing any more.
    pub fn is_stopped(&self) -> bool {
        self.commands.is_closed()
    }

    /// Stops or lets go on: while paused no task starts and no workflow is taken; what runs goes on. Durable.
    ///
    /// # Errors
    /// That the engine is stopping.
    pub async fn set_paused(&self, paused: bool) -> Result<(), EngineError> {
        self.ask(|reply| Command::SetPaused { paused, reply }).await
    }

    /// Makes or changes a lane. Durable.
    ///
    /// # Errors
    /// That there are too many lanes, or that the engine is stopping.
    pub async fn set_lane(&self, name: &str, settings: LaneSettings) -> Result<(), EngineError> {
        let name = name.to_owned();
        self.ask(|reply| Command::SetLane { name, settings, reply }).await
    }

    /// Forgets a lane. Durable.
    ///
    /// # Errors
    /// [`EngineError::NoLane`], [`EngineError::LaneInUse`], or that the engine is stopping.
    pub async fn delete_lane(&self, name: &str) -> Result<(), EngineError> {
        let name = name.to_owned();
        self.ask(|reply| Command::DeleteLane { name, reply }).await
    }

    /// Keeps a setting that only its user understands, or forgets it; [`Store::settings`] has it under `config.<name>`. Durable.
    ///
    /// # Errors
    /// That the engine is stopping.
    pub async fn keep_setting(&self, name: &str, value: Option<bytes::Bytes>) -> Result<(), EngineError> {
        let name = format!("{CONFIG}{name}");
        self.ask(|reply| Command::KeepSetting { name, value, reply }).await
    }

    /// Lets what ended be kept so long from now on; 0 is for ever. Until the next start: [`Engine::keep_setting`] with
    /// [`RETENTION_HOURS`] makes it last.
    pub fn set_retention(&self, hours: u64) {
        self.shared.retention_ms.store(hours.saturating_mul(retention::HOUR_MS), Relaxed);
    }

    /// Every lane, by name.
    ///
    /// # Errors
    /// That the engine is stopping.
    pub async fn lanes(&self) -> Result<Vec<LaneState>, EngineError> {
        self.ask(|reply| Command::Lanes { reply }).await
    }

    /// Waits until the store has failed, after which nothing is taken any more. Cancel safe.
    pub async fn failed(&self) {
        let notified = self.shared.failure.notified();
        if !self.shared.failed.load(Relaxed) {
            notified.await;
        }
    }

    /// Workflows that somebody watches.
    pub fn watched(&self) -> usize {
        self.hub.len()
    }

    /// What the committer counts.
    pub fn committer(&self) -> &Gauges {
        &self.committer
    }

    /// What the loop counts.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Takes nothing any more, writes what was taken, and ends the loop. Blocks until the disk has it.
    ///
    /// Attempts in flight are left to the executor: they are made again after the next start.
    pub fn stop(&self) {
        // A full queue is emptied first; a loop that has ended needs no word.
        let _ = self.commands.blocking_send(Command::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of the loop was reported by the panic hook.
            let _ = thread.join();
        }
    }

    async fn ask<T>(&self, command: impl FnOnce(command::Reply<T>) -> Command) -> Result<T, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| self.closed())?;
        answer.await.map_err(|_| self.closed())?
    }

    fn closed(&self) -> EngineError {
        if self.shared.failed.load(Relaxed) { EngineError::Failed } else { EngineError::Stopping }
    }
}
