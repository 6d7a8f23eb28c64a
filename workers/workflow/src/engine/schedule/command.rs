//! What the loop can be told of schedules.

use prost::Message;
use workflow_machine::Millis;
use workflow_store::Space;

use super::{
    NewSchedule, SchedulePage, ScheduleState,
    kept::{self, Definition, State},
    table::Scheduled,
};
use crate::engine::{
    EngineError, Key, Reach, Submitted, command::Reply, run::Loop, submit::Answered, turn::Turn,
};

/// What the loop can be told of schedules. `of` says whose are reached.
pub(in crate::engine) enum ScheduleCommand {
    Create { schedule: Box<NewSchedule>, key: Option<Key>, reply: Reply<(ScheduleState, bool)> },
    Read { id: String, of: Reach, reply: Reply<ScheduleState> },
    List { of: Reach, after: String, limit: usize, reply: Reply<SchedulePage> },
    Pause { id: String, of: Reach, note: String, reply: Reply<ScheduleState> },
    Resume { id: String, of: Reach, reply: Reply<ScheduleState> },
    Trigger { id: String, of: Reach, key: Option<Key>, reply: Reply<Submitted> },
    Delete { id: String, of: Reach, reply: Reply<()> },
}

impl Loop {
    pub(in crate::engine) fn schedule(&mut self, turn: &mut Turn, command: ScheduleCommand) {
        match command {
            ScheduleCommand::Create { schedule, key, reply } => {
                let created = self.create_schedule(turn, *schedule, key);
                self.answer(turn, reply, created);
            }
            ScheduleCommand::Read { id, of, reply } => {
                let found = self.scheduled(&id, &of).map(|scheduled| scheduled.show(&id));
                self.answer(turn, reply, found);
            }
            ScheduleCommand::List { of, after, limit, reply } => {
                let page = self.list_schedules(&of, &after, limit);
                self.answer(turn, reply, Ok(page));
            }
            ScheduleCommand::Pause { id, of, note, reply } => {
                let paused = self.change_schedule(turn, &id, &of, |state, _| {
                    (state.paused, state.note) = (true, note);
                });
                self.answer(turn, reply, paused);
            }
            ScheduleCommand::Resume { id, of, reply } => {
                let resumed = self.change_schedule(turn, &id, &of, |state, now| {
                    if std::mem::take(&mut state.paused) {
                        state.note.clear();
                        state.done = state.done.max(now);
                    }
                });
                self.answer(turn, reply, resumed);
            }
            ScheduleCommand::Trigger { id, of, key, reply } => {
                let submitted = self.trigger_schedule(turn, &id, &of, key);
                self.answer(turn, reply, submitted);
            }
            ScheduleCommand::Delete { id, of, reply } => {
                let found = self.scheduled(&id, &of).map(|_| ());
                if found.is_ok() {
                    self.schedules.remove(&id);
                    turn.writes.extend(kept::forget(&id));
                }
                self.answer(turn, reply, found);
            }
        }
    }

    /// A schedule, if it is reached.
    fn scheduled(&self, id: &str, of: &Reach) -> Result<&Scheduled, EngineError> {
        let found = self.schedules.get(id).filter(|found| of.covers(&found.definition.owner));
        found.ok_or(EngineError::NoSchedule)
    }

    fn create_schedule(
        &mut self,
        turn: &mut Turn,
        schedule: NewSchedule,
        key: Option<Key>,
    ) -> Result<(ScheduleState, bool), EngineError> {
        if let Some(key) = &key
            && let Some(response) = self.recall(key)?
        {
            // As it was then, whatever became of it.
            let Answered { ids, at, .. } = Answered::decode(response).unwrap_or_default();
            let id = ids.into_iter().next().unwrap_or_default();
            let mut made = make(&id, schedule, at);
            made.plan(&id);
            return Ok((made.show(&id), true));
        }
        if self.store.space() != Space::Ample {
            return Err(EngineError::DiskFull);
        }
        let id = schedule.id.clone().unwrap_or_else(|| self.ids.next(self.now).to_string());
        if self.schedules.get(&id).is_some() {
            return Err(EngineError::ScheduleExists(id));
        }
        let made = make(&id, schedule, self.now);
        let current = self.schedules.len() + 1;
        if current > self.settings.max_schedules {
            let max = self.settings.max_schedules;
            return Err(EngineError::Overloaded { what: "schedules", current, max });
        }
        let (current, max) = (self.schedules.bytes_with(&made), self.settings.max_schedule_bytes);
        if current > max {
            return Err(EngineError::Overloaded { what: "bytes of schedules", current, max });
        }
        turn.writes.push(made.definition.write(&id));
        turn.writes.push(made.state.write(&id));
        self.schedules.insert(id.clone(), made);
        if let Some(key) = key {
            let answered = Answered { ids: vec![id.clone()], at: self.now, ..Answered::default() };
            self.keep(turn, key, answered.encode_to_vec().into());
        }
        Ok((self.scheduled(&id, &Reach::All)?.show(&id), false))
    }

    fn list_schedules(&self, of: &Reach, after: &str, limit: usize) -> SchedulePage {
        let theirs = || self.schedules.behind(after).filter(|(_, found)| of.covers(&found.definition.owner));
        let schedules: Vec<_> = theirs().take(limit).map(|(id, found)| found.show(id)).collect();
        let total = match of {
            Reach::All => self.schedules.len(),
            _ => self.schedules.behind("").filter(|(_, found)| of.covers(&found.definition.owner)).count(),
        };
        SchedulePage { more: theirs().nth(limit).is_some(), schedules, total }
    }

    fn change_schedule(
        &mut self,
        turn: &mut Turn,
        id: &str,
        of: &Reach,
        change: impl FnOnce(&mut State, Millis),
    ) -> Result<ScheduleState, EngineError> {
        self.scheduled(id, of)?;
        let now = self.now;
        self.schedules.change(id, |scheduled| {
            change(&mut scheduled.state, now);
            scheduled.state.updated = now;
        });
        let changed = self.scheduled(id, of)?;
        turn.writes.push(changed.state.write(id));
        Ok(changed.show(id))
    }

    fn trigger_schedule(
        &mut self,
        turn: &mut Turn,
        id: &str,
        of: &Reach,
        key: Option<Key>,
    ) -> Result<Submitted, EngineError> {
        if let Some(key) = &key
            && let Some(response) = self.recall(key)?
        {
            let Answered { ids, at, .. } = Answered::decode(response).unwrap_or_default();
            let id = ids.into_iter().next().unwrap_or_default().into();
            return Ok(Submitted { id, replayed: true, at });
        }
        self.scheduled(id, of)?;
        let run = self.submit_run(turn, id, self.now)?;
        if let Some(key) = key {
            let answered = Answered { ids: vec![run.to_string()], at: self.now, ..Answered::default() };
            self.keep(turn, key, answered.encode_to_vec().into());
        }
        self.change_schedule(turn, id, of, |state, now| state.ran(&run, now))?;
        Ok(Submitted { id: run, replayed: false, at: self.now })
    }
}

/// A schedule made at `now`.
fn make(id: &str, new: NewSchedule, now: Millis) -> Scheduled {
    let definition = Definition {
        timing: Some(new.timing),
        owner: new.workflow.owner.clone(),
        workflow: new.workflow.encode_to_vec().into(),
        shown: new.shown,
        created: now,
        overlap: new.overlap.into(),
        catch_up_ms: new.catch_up_ms,
    };
    let state = State { paused: new.paused, note: new.note, done: now, updated: now, ..State::default() };
    Scheduled::new(id, definition, state)
}
