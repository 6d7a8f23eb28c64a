//! One life of the process: the loop, its committer and the handle, each moved by hand.
//!
//! The committer has a thread of its own, and yet everything comes out the same from the same seed: a plug, a commit without
//! writes whose continuation waits, stands in the queue before the loop makes a round, and another one behind what is to
//! be written. Between two plugs the committer does what it always does; while it waits at one, nothing moves.

use std::{
    cell::Cell,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use bytes::Bytes;
use rand::{SeedableRng, rngs::StdRng};
use tokio::sync::mpsc;
use workflow_machine::{Millis, SignalKind};
use workflow_store::{Commit, Committer, CommitterSettings};

use super::disk::Disk;
use crate::{
    attempt::{Attempt, AttemptId, Executor, Reported, Reports},
    engine::{
        Engine, LaneSettings, Reach, Settings, Shared, clock::Clock, command::Command, hub::Hub, id::Ids,
        run::Loop,
    },
};

thread_local! {
    static WALL: Cell<Millis> = const { Cell::new(0) };
    static PASSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Sets the wall clock.
pub(super) fn set_wall(at: Millis) {
    WALL.set(at);
}

/// Time passes, on all clocks.
pub(super) fn pass(time: Duration) {
    WALL.set(WALL.get() + time.as_millis() as Millis);
    PASSED.set(PASSED.get() + time);
}

/// The wall clock jumps.
pub(super) fn jump(by_ms: i64) {
    WALL.set(WALL.get().saturating_add_signed(by_ms));
}

/// What the executor was asked.
#[derive(Debug)]
pub(super) enum Asked {
    Run(AttemptId, String),
    Stop(AttemptId, u64),
}

#[derive(Default)]
struct Script(Mutex<Vec<Asked>>);

impl Executor for Script {
    fn run(&self, attempt: Attempt) {
        self.0.lock().unwrap().push(Asked::Run(attempt.id(), attempt.run.lane));
    }

    fn stop(&self, attempt: &AttemptId, grace_ms: u64) {
        self.0.lock().unwrap().push(Asked::Stop(attempt.clone(), grace_ms));
    }

    fn signal(&self, _: &AttemptId, _: SignalKind, _: Bytes) {}
}

/// Where the committer waits.
#[derive(Default)]
struct Plugs {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    reached: u64,
    pulled: u64,
}

impl Plugs {
    fn hold(&self, number: u64) {
        let mut state = self.state.lock().unwrap();
        state.reached = number;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |state| state.pulled < number).unwrap());
    }

    fn pull(&self, up_to: u64) {
        self.state.lock().unwrap().pulled = up_to;
        self.changed.notify_all();
    }

    fn wait_for(&self, number: u64) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_while(state, |state| state.reached < number).unwrap());
    }
}

pub(super) struct Process {
    /// `None` once it is dead.
    engine: Option<Loop>,
    pub(super) handle: Engine,
    pub(super) reports: Reports,
    inbox: mpsc::Receiver<Command>,
    reported: mpsc::Receiver<Reported>,
    script: Arc<Script>,
    plugs: Arc<Plugs>,
    /// Plugs that were set, and the one at which the committer waits.
    set: u64,
    at: u64,
}

impl Process {
    /// Starts from what the disk has. `seed` makes identifiers; a batch has at most `batch` commits.
    pub(super) fn start(disk: &Arc<Disk>, seed: u64, batch: usize) -> Self {
        // Clocks jump by more than a day, and keys are to count all the same.
        let settings = Settings {
            lane: LaneSettings { workers: 3, ..LaneSettings::DEFAULT },
            key_ttl_ms: 1_000 * 24 * 3_600_000,
            ..Settings::default()
        };
        let committing = CommitterSettings { max_batch_commits: batch, ..CommitterSettings::default() };
        let committer = Committer::start(disk.clone(), committing).unwrap();
        let (commands, inbox) = mpsc::channel(settings.max_queued_commands);
        let (reports, reported) = Reports::channel();
        let (hub, shared, script) =
            (Arc::new(Hub::default()), Arc::new(Shared::default()), Arc::new(Script::default()));
        let gauges = committer.gauges().clone();
        let mut engine = Loop::new(
            Clock::with(|| WALL.get(), || PASSED.get()),
            disk.clone(),
            committer,
            script.clone(),
            hub.clone(),
            shared.clone(),
            settings,
        );
        engine.ids = Ids::new(StdRng::seed_from_u64(seed));
        let handle = Engine {
            commands,
            store: disk.clone(),
            hub,
            shared,
            committer: gauges,
            reach: Reach::All,
            thread: Arc::default(),
        };
        let plugs = Arc::new(Plugs::default());
        let mut process = Self {
            engine: Some(engine),
            handle,
            reports,
            inbox,
            reported: reported.0,
            script,
            plugs,
            set: 0,
            at: 1,
        };
        process.plug();
        process.plugs.wait_for(1);
        process.engine().restore().unwrap();
        process
    }

    pub(super) fn engine(&mut self) -> &mut Loop {
        self.engine.as_mut().expect("it lives")
    }

    /// Lets the loop take what it was told, at most so many of each kind, and look at its timers.
    pub(super) fn round(&mut self, at_most: usize) {
        let commands: Vec<_> = std::iter::from_fn(|| self.inbox.try_recv().ok()).take(at_most).collect();
        let reports: Vec<_> = std::iter::from_fn(|| self.reported.try_recv().ok()).take(at_most).collect();
        self.engine().round(commands.into_iter(), reports.into_iter());
    }

    /// Lets the committer go on: to the next plug, or through `all` that it was given. Does nothing once the disk has failed.
    pub(super) fn sync(&mut self, all: bool) {
        if !self.plug() {
            self.plugs.pull(u64::MAX);
            while !self.engine().committer.is_idle() {
                std::thread::yield_now();
            }
            return;
        }
        self.at = if all { self.set } else { self.at + 1 };
        self.plugs.pull(self.at - 1);
        self.plugs.wait_for(self.at);
    }

    /// What the executor was asked since the last time.
    pub(super) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.script.0.lock().unwrap())
    }

    /// The process ends here and now; what the committer still does depends on the disk.
    pub(super) fn die(&mut self) {
        self.plugs.pull(u64::MAX);
        // Waits for the committer.
        self.engine = None;
        self.inbox.close();
        while self.inbox.try_recv().is_ok() {}
        self.reported.close();
        while self.reported.try_recv().is_ok() {}
    }

    fn plug(&mut self) -> bool {
        let (plugs, number) = (self.plugs.clone(), self.set + 1);
        let plugged = self.engine().committer.submit(Commit::default(), move |_| plugs.hold(number));
        self.set += u64::from(plugged.is_ok());
        plugged.is_ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Else a failed assertion would wait for the committer for ever.
        self.plugs.pull(u64::MAX);
    }
}
