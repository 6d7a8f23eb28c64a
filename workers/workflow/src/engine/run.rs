//! The loop: takes commands, reports and timers in turn, and owns everything that they change.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::{SeedableRng, rngs::StdRng};
use tokio::sync::mpsc;
use workflow_machine::{Input, Millis, Refusal, TaskDetail, Workflow, WorkflowId};
use workflow_store::{Committer, Space, Store, Write};

use super::{
    CONFIG, RETENTION_HOURS, Reach, Settings, Shared, StartError,
    clock::Clock,
    command::{Command, EngineError, Reply, Taken},
    hub::Hub,
    id::Ids,
    lanes::{LaneKey, Lanes},
    live::Live,
    restore,
    schedule::Schedules,
    submit::PendingKeys,
    timers::Timers,
    turn::{Effect, Turn},
};
use crate::attempt::{AttemptId, Executor, Kept, Report, Reported, Untaken};

/// Commands and reports that are taken between two looks at the timers.
const TAKEN_AT_ONCE: usize = 256;

/// The longest sleep: a jump of the wall clock is noticed within a second.
const LOOK: Duration = Duration::from_secs(1);

/// Names of settings in the store.
pub(super) const PAUSED: &str = "paused";
pub(super) const LANE: &str = "lane.";

pub(super) struct Loop {
    pub(super) store: Arc<dyn Store>,
    pub(super) committer: Committer,
    pub(super) executor: Arc<dyn Executor>,
    pub(super) hub: Arc<Hub>,
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    /// The time of this turn.
    pub(super) now: Millis,
    pub(super) ids: Ids,
    pub(super) live: HashMap<WorkflowId, Live>,
    pub(super) lanes: Lanes,
    /// The lane whose slot the next attempt gets.
    pub(super) dispatching: Option<LaneKey>,
    pub(super) timers: Timers,
    pub(super) schedules: Schedules,
    pub(super) keys: PendingKeys,
    pub(super) paused: bool,
    /// Turns handed to the committer, and the last one that it is done with.
    pub(super) commits: u64,
    pub(super) durable: Arc<AtomicU64>,
    /// Workflows that ended, with the turn in which they did; they leave memory when that is durable.
    pub(super) ended: VecDeque<(u64, WorkflowId)>,
    /// Workflows that are being deleted, with the turn that does it: the store still has them.
    pub(super) purging: VecDeque<(u64, WorkflowId)>,
    pub(super) counted: Counted,
}

/// What is shown once per round of the loop.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) submitted: u64,
    pub(super) events: u64,
    pub(super) stale: u64,
    pub(super) replayed: u64,
    pub(super) scheduled: u64,
    pub(super) left_out: u64,
}

impl Loop {
    pub(super) fn new(
        mut clock: Clock,
        store: Arc<dyn Store>,
        committer: Committer,
        executor: Arc<dyn Executor>,
        hub: Arc<Hub>,
        shared: Arc<Shared>,
        settings: Settings,
    ) -> Self {
        let now = clock.now();
        Self {
            store,
            committer,
            executor,
            hub,
            shared,
            clock,
            now,
            ids: Ids::new(StdRng::from_rng(&mut rand::rng())),
            live: HashMap::new(),
            lanes: Lanes::new(settings.lane.clone(), settings.max_lanes),
            dispatching: None,
            timers: Timers::default(),
            schedules: Schedules::default(),
            keys: PendingKeys::default(),
            paused: false,
            commits: 0,
            durable: Arc::default(),
            ended: VecDeque::new(),
            purging: VecDeque::new(),
            counted: Counted::default(),
            settings,
        }
    }

    /// Runs until it is told to stop, or everybody who could tell it is gone.
    pub(super) async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Command>,
        mut reported: mpsc::Receiver<Reported>,
    ) {
        let mut commands = Vec::with_capacity(TAKEN_AT_ONCE);
        let mut reports = Vec::with_capacity(TAKEN_AT_ONCE);
        let mut reporting = true;
        loop {
            let wait = self.wait();
            // All three are cancel safe: what is not taken stays in its queue.
            tokio::select! {
                taken = inbox.recv_many(&mut commands, TAKEN_AT_ONCE) => if taken == 0 { break },
                taken = reported.recv_many(&mut reports, TAKEN_AT_ONCE), if reporting => reporting = taken > 0,
                () = tokio::time::sleep(wait) => {}
            }
            if commands.iter().any(|command| matches!(command, Command::Stop)) {
                inbox.close();
            }
            self.round(commands.drain(..), reports.drain(..));
        }
        self.committer.stop();
    }

    /// What it was told, what is due by now, and what follows of both.
    pub(super) fn round(
        &mut self,
        commands: impl Iterator<Item = Command>,
        reports: impl Iterator<Item = Reported>,
    ) {
        self.now = self.clock.now();
        commands.for_each(|command| self.command(command));
        reports.for_each(|report| self.report(report));
        self.fire_timers();
        self.fire_schedules();
        self.let_go();
        self.show();
    }

    /// How long there is nothing to do, if nobody says anything.
    pub(super) fn wait(&mut self) -> Duration {
        let now = self.clock.now();
        let next =
            [self.timers.first(), self.lanes.due(now), self.schedules_due()].into_iter().flatten().min();
        next.map_or(LOOK, |at| Duration::from_millis(at.saturating_sub(now)).min(LOOK))
    }

    fn command(&mut self, command: Command) {
        let mut turn = Turn::default();
        match command {
            Command::Submit { submissions, atomic, key, reply } => {
                self.submit(&mut turn, submissions, atomic, key, reply);
            }
            Command::Tell { id, reach, input, reply } => {
                let reached = self.must_reach(&reach, &id);
                let taken = reached.and_then(|()| self.tell_any(&mut turn, &id, input));
                self.answer(&mut turn, reply, taken);
            }
            Command::TellOnce { id, reach, input, key, reply } => {
                let reached = self.must_reach(&reach, &id);
                let told = reached.and_then(|()| self.tell_once(&mut turn, &id, input, key));
                self.answer(&mut turn, reply, told);
            }
            Command::Read { id, reach, read } => {
                let live = self.live.get(&id).filter(|live| reach.covers(&live.workflow.spec().owner));
                let then = read(live.map(|live| &live.workflow));
                match live {
                    Some(live) if live.commit > self.durable.load(Ordering::Acquire) => {
                        turn.effects.push(Effect::Answer(then));
                    }
                    _ => then(Ok(())),
                }
            }
            Command::SetPaused { paused, reply } => {
                self.paused = paused;
                let value = paused.then(|| b"1".as_slice().into());
                turn.writes.push(Write::Setting { name: PAUSED.to_owned(), value });
                self.answer(&mut turn, reply, Ok(()));
            }
            Command::SetLane { name, settings, reply } => {
                let outcome = match self.lanes.has_room_for(&name) {
                    false => {
                        let max = self.settings.max_lanes;
                        Err(EngineError::Overloaded { what: "too many lanes", current: max, max })
                    }
                    true => {
                        let value = Some(prost::Message::encode_to_vec(&settings).into());
                        turn.writes.push(Write::Setting { name: format!("{LANE}{name}"), value });
                        self.lanes.set(&name, settings);
                        Ok(())
                    }
                };
                self.answer(&mut turn, reply, outcome);
            }
            Command::DeleteLane { name, reply } => {
                let outcome = self.lanes.remove(&name);
                if outcome.is_ok() {
                    turn.writes.push(Write::Setting { name: format!("{LANE}{name}"), value: None });
                }
                self.answer(&mut turn, reply, outcome);
            }
            Command::KeepSetting { name, value, reply } => {
                turn.writes.push(Write::Setting { name, value });
                self.answer(&mut turn, reply, Ok(()));
            }
            Command::Schedule(command) => self.schedule(&mut turn, command),
            Command::Purge { ids, before, reply } => {
                let purged = self.purge(&mut turn, ids, before);
                self.answer(&mut turn, reply, purged);
            }
            Command::Lanes { reply } => drop(reply.send(Ok(self.lanes.states()))),
            Command::Stop => {}
        }
        self.settle(&mut turn);
        self.commit(turn);
    }

    /// Sends the answer once the turn is durable.
    pub(super) fn answer<T: Send + 'static>(
        &self,
        turn: &mut Turn,
        reply: Reply<T>,
        outcome: Result<T, EngineError>,
    ) {
        turn.effects.push(Effect::Answer(Box::new(move |durable| {
            let _ = reply.send(durable.and(outcome));
        })));
    }

    /// Whether somebody may know of the workflow.
    fn must_reach(&self, reach: &Reach, id: &WorkflowId) -> Result<(), EngineError> {
        let within = match self.live.get(id) {
            Some(live) => reach.covers(&live.workflow.spec().owner),
            None => restore::is_within(&*self.store, reach, id).map_err(restore::unreadable)?,
        };
        if within { Ok(()) } else { Err(EngineError::NotFound) }
    }

    /// Tells a workflow something that may have left memory.
    pub(super) fn tell_any(
        &mut self,
        turn: &mut Turn,
        id: &WorkflowId,
        input: Input,
    ) -> Result<Taken, EngineError> {
        let mut fetched = false;
        if !self.live.contains_key(id) {
            // One that came back to life behind its deletion would be refused by the store.
            if self.purging.iter().any(|(_, purging)| purging == id) {
                return Err(EngineError::NotFound);
            }
            let Some(workflow) = self.load(id)? else { return Err(EngineError::NotFound) };
            let stored = super::submit::stored_id(id).ok_or(EngineError::NotFound)?;
            self.live.insert(id.clone(), Live::new(workflow, stored, true));
            fetched = true;
        }
        let told = self.tell(turn, id, input);
        if fetched && !matches!(told, Ok(true)) {
            // Nothing followed: it stays as it was.
            let live = self.live.remove(id);
            return match (told, live) {
                (Err(refusal), _) => Err(refusal.into()),
                (Ok(changed), Some(live)) => Ok(taken(&live.workflow, changed)),
                (Ok(_), None) => Err(EngineError::NotFound),
            };
        }
        let changed = told?;
        self.live.get(id).map(|live| taken(&live.workflow, changed)).ok_or(EngineError::NotFound)
    }

    /// Reads a workflow that is not in memory. Blocks the loop for as long as the disk takes, which is for requests that are
    /// rare: another run of a workflow that ended, and word to one that has.
    pub(super) fn load(&self, id: &WorkflowId) -> Result<Option<Workflow>, EngineError> {
        restore::workflow(&*self.store, id).map_err(|error| EngineError::Unreadable(Arc::new(error)))
    }

    fn report(&mut self, reported: Reported) {
        let Reported { attempt, report, answer } = reported;
        let mut turn = Turn::default();
        let (task, epoch) = (attempt.task.clone(), attempt.epoch);
        if matches!(report, Report::Log { .. } | Report::Progress { .. }) && self.store.space() == Space::Full
        {
            // What waits for a full disk fills the committer's queue, and who waits for room in it is the loop.
            if let Some(answer) = answer {
                let _ = answer.send(Err(Untaken::Closed));
            }
            return;
        }
        let input = match report {
            Report::Completed { result } => Input::Completed { task, epoch, result },
            Report::Failed { error } => Input::Failed { task, epoch, error },
            Report::Lost => Input::LeaseExpired { task, epoch },
            Report::Progress { percent, message } => Input::Progress { task, epoch, percent, message },
            Report::Log { at, level, message, fields } => {
                let taken = self.log(&mut turn, &attempt, at, level, message, fields);
                if let Some(answer) = answer {
                    let _ = answer.send(taken.map(|()| Kept::default()));
                }
                return self.commit(turn);
            }
        };
        let known = self.live.contains_key(&attempt.workflow);
        let taken = match self.tell(&mut turn, &attempt.workflow, input) {
            Ok(_) if known => Ok(Kept { will_retry: self.retries(&attempt) }),
            Ok(_) => Err(Untaken::NotRunning(attempt.workflow)),
            Err(refusal) => {
                if matches!(refusal, Refusal::Stale { .. }) {
                    self.counted.stale += 1;
                }
                Err(Untaken::Stale(refusal.to_string()))
            }
        };
        if let Some(answer) = answer {
            turn.effects.push(Effect::Answer(Box::new(move |durable| {
                let _ = answer.send(durable.map_err(|_| Untaken::Closed).and(taken));
            })));
        }
        self.settle(&mut turn);
        self.commit(turn);
    }

    /// Whether the attempt has failed and another one follows.
    fn retries(&self, attempt: &AttemptId) -> bool {
        let task = self.live.get(&attempt.workflow).and_then(|live| live.workflow.task(&attempt.task));
        task.is_some_and(|task| task.detail == TaskDetail::Retrying)
    }

    /// Tells workflows what time it is, and gives tasks the slots that a rate lets go by now.
    fn fire_timers(&mut self) {
        let mut turn = Turn::default();
        while let Some((id, key)) = self.timers.take(self.now) {
            if let Some(live) = self.live.get_mut(&id) {
                live.timers.remove(&key);
            }
            // Refused where nobody waits for it any more.
            let _ = self.tell(&mut turn, &id, Input::Timer { key });
        }
        self.expire_keys(&mut turn);
        self.settle(&mut turn);
        self.commit(turn);
    }

    /// Lets workflows and keys leave memory whose end is durable.
    fn let_go(&mut self) {
        let durable = self.durable.load(Ordering::Acquire);
        while let Some((_, id)) = self.ended.pop_front_if(|(commit, _)| *commit <= durable) {
            // One that was asked for another run meanwhile stays.
            if self
                .live
                .get(&id)
                .is_some_and(|live| live.commit <= durable && live.workflow.status().is_terminal())
            {
                self.live.remove(&id);
            }
        }
        while self.purging.pop_front_if(|(commit, _)| *commit <= durable).is_some() {}
        self.keys.let_go(durable);
    }

    pub(super) fn show(&mut self) {
        let counted = std::mem::take(&mut self.counted);
        let shared = &self.shared;
        let gauges = [
            (&shared.live, self.live.len()),
            (&shared.waiting, self.lanes.waiting()),
            (&shared.running, self.lanes.running()),
            (&shared.timers, self.timers.len()),
            (&shared.schedules, self.schedules.len()),
        ];
        for (gauge, value) in gauges {
            gauge.store(value as u64, Ordering::Relaxed);
        }
        let counters = [
            (&shared.submitted, counted.submitted),
            (&shared.events, counted.events),
            (&shared.stale, counted.stale),
            (&shared.replayed, counted.replayed),
            (&shared.scheduled, counted.scheduled),
            (&shared.left_out, counted.left_out),
        ];
        for (counter, more) in counters {
            counter.fetch_add(more, Ordering::Relaxed);
        }
        shared.paused.store(self.paused, Ordering::Relaxed);
    }
}

fn taken(workflow: &Workflow, changed: bool) -> Taken {
    Taken { status: workflow.status(), detail: workflow.detail(), seq: workflow.last_seq(), changed }
}

impl Loop {
    /// Restores what the store has. Called once, before [`Loop::run`].
    pub(super) fn restore_settings(&mut self) -> Result<(), StartError> {
        for (name, value) in self.store.settings()? {
            if name == PAUSED {
                self.paused = true;
            } else if name.strip_prefix(CONFIG) == Some(RETENTION_HOURS) {
                self.restore_retention(&value);
            } else if let Some(lane) = name.strip_prefix(LANE)
                && let Ok(settings) = prost::Message::decode(value)
            {
                self.lanes.set(lane, settings);
            }
        }
        Ok(())
    }
}
