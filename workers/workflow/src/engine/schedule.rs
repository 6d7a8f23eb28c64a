//! Schedules: workflows that are submitted again and again.
//!
//! ```text
//!            pause              resume: from now on
//!   waits ──────────► paused ──────────────────────► waits ── a time is due ──┬─► run: workflow, mark and state, one commit
//!     ▲                                                                       ├─► left out: the last run goes on (SKIP)
//!     └──────────────── the next time ◄───────────────────────────────────────┴─► left out: too late
//! ```
//!
//! A time is done with when the commit that says so is durable: a crash before has it fire after the next start, one
//! behind it does not. Which time is next follows from the definition and the last one that is done with, so a clock that
//! jumps, or a time zone whose rules change, makes no time fire twice. A schedule whose engine is down or paused misses
//! times; of those the last one is made up for, unless it is older than `catch_up_ms`.
//!
//! | module | what |
//! |---|---|
//! | `cron` | cron expressions, and what happens to them when clocks change |
//! | `times` | when a schedule is due |
//! | `kept` | what is kept of a schedule |
//! | `table` | all schedules, by name and by when they are due |
//! | `command` | what the loop can be told of schedules |
//! | `fire` | runs |

mod command;
mod cron;
mod fire;
mod kept;
mod table;
mod times;

use bytes::Bytes;
use workflow_machine::{Millis, Spec};

use super::{Engine, EngineError, Key, Submitted, command::Command};

pub(super) use command::ScheduleCommand;
pub use kept::Overlap;
pub(super) use table::Schedules;
pub use times::Timing;

/// A schedule that is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSchedule {
    /// What it is to be called; `None` for a name that the engine makes. With `:`, a time and a number it must be a
    /// workflow's identifier still.
    pub id: Option<String>,
    /// When.
    pub timing: Timing,
    /// What to do when the last run has not ended.
    pub overlap: Overlap,
    /// How late a run may be submitted; it is left out then.
    pub catch_up_ms: u64,
    /// What is submitted, by its owner, and what [`workflow_machine::Workflow::submit`] finds nothing wrong with.
    pub workflow: Spec,
    /// How the client put it; comes back as it is.
    pub shown: Bytes,
    /// No time fires until it is resumed.
    pub paused: bool,
    /// Why.
    pub note: String,
}

/// How a schedule stands.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleState {
    /// Its name.
    pub id: String,
    /// Who made it, and owns its runs; empty where nobody is asked.
    pub owner: String,
    /// See [`NewSchedule::shown`].
    pub shown: Bytes,
    /// No time fires.
    pub paused: bool,
    /// Why it is paused.
    pub note: String,
    /// Since when there is it.
    pub created_at: Millis,
    /// When the next run will be submitted.
    pub next_run_at: Option<Millis>,
    /// When the last run was submitted; 0 if none was.
    pub last_run_at: Millis,
    /// The last run; empty if there was none.
    pub last_workflow: String,
    /// Runs that were submitted.
    pub runs: u64,
    /// Times that were left out.
    pub skipped: u64,
}

/// A part of all schedules.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SchedulePage {
    /// By name.
    pub schedules: Vec<ScheduleState>,
    /// Whether more follow.
    pub more: bool,
    /// How many there are in all.
    pub total: usize,
}

impl Engine {
    /// Makes a schedule, and says whether it was made before under the same key; the answer is the same then.
    ///
    /// # Errors
    /// [`EngineError::ScheduleExists`], [`EngineError::KeyReused`], that there are too many, or that the engine is stopping.
    pub async fn create_schedule(
        &self,
        schedule: NewSchedule,
        key: Option<Key>,
    ) -> Result<(ScheduleState, bool), EngineError> {
        let schedule = Box::new(schedule);
        self.ask(|reply| Command::Schedule(ScheduleCommand::Create { schedule, key, reply })).await
    }

    /// How a schedule stands.
    ///
    /// # Errors
    /// [`EngineError::NoSchedule`], also if it is not reached; or that the engine is stopping.
    pub async fn schedule(&self, id: &str) -> Result<ScheduleState, EngineError> {
        let (id, of) = (id.to_owned(), self.reach().clone());
        self.ask(|reply| Command::Schedule(ScheduleCommand::Read { id, of, reply })).await
    }

    /// At most `limit` schedules behind the one called `after`, by name.
    ///
    /// # Errors
    /// That the engine is stopping.
    pub async fn schedules(&self, after: String, limit: usize) -> Result<SchedulePage, EngineError> {
        let of = self.reach().clone();
        self.ask(|reply| Command::Schedule(ScheduleCommand::List { of, after, limit, reply })).await
    }

    /// Has no time of a schedule fire from now on, and keeps why. What runs goes on.
    ///
    /// # Errors
    /// As [`Engine::schedule`].
    pub async fn pause_schedule(&self, id: &str, note: String) -> Result<ScheduleState, EngineError> {
        let (id, of) = (id.to_owned(), self.reach().clone());
        self.ask(|reply| Command::Schedule(ScheduleCommand::Pause { id, of, note, reply })).await
    }

    /// Has times fire again, from now on; of one that is not paused nothing changes.
    ///
    /// # Errors
    /// As [`Engine::schedule`].
    pub async fn resume_schedule(&self, id: &str) -> Result<ScheduleState, EngineError> {
        let (id, of) = (id.to_owned(), self.reach().clone());
        self.ask(|reply| Command::Schedule(ScheduleCommand::Resume { id, of, reply })).await
    }

    /// Submits a run now, whatever the clock and the overlap policy say.
    ///
    /// # Errors
    /// As [`Engine::schedule`] and [`Engine::submit`].
    pub async fn trigger_schedule(&self, id: &str, key: Option<Key>) -> Result<Submitted, EngineError> {
        let (id, of) = (id.to_owned(), self.reach().clone());
        self.ask(|reply| Command::Schedule(ScheduleCommand::Trigger { id, of, key, reply })).await
    }

    /// Ends a schedule. What runs goes on.
    ///
    /// # Errors
    /// As [`Engine::schedule`].
    pub async fn delete_schedule(&self, id: &str) -> Result<(), EngineError> {
        let (id, of) = (id.to_owned(), self.reach().clone());
        self.ask(|reply| Command::Schedule(ScheduleCommand::Delete { id, of, reply })).await
    }
}
