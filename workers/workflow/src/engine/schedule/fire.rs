//! Runs: what happens when a schedule's time has come.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use jiff::Timestamp;
use prost::Message;
use workflow_machine::{Input, Millis, Spec, WorkflowId};
use workflow_store::Write;

use super::{
    kept::{self, Definition, Overlap, State},
    table::Scheduled,
};
use crate::{
    engine::{EngineError, StartError, run::Loop, turn::Turn},
    spec::Submission,
};

/// Times that fire between two looks at what else there is to do.
const FIRED_AT_ONCE: usize = 256;

/// Until a run for which there was no room is tried again.
const NO_ROOM_MS: u64 = 1_000;

/// Missed times that are counted at once, so that a month of minutes costs nothing.
const COUNTED: usize = 1_000;

/// Names that are tried for a run, if somebody else's workflow has the first.
const NAMES: usize = 8;

/// The attribute by which runs are found among workflows.
pub(crate) const SCHEDULE_ATTRIBUTE: &str = "schedule";

impl State {
    pub(super) fn ran(&mut self, run: &WorkflowId, now: Millis) {
        self.runs += 1;
        self.last_run_at = now;
        self.last_workflow = run.to_string();
    }
}

/// What is done about a time that is due.
#[derive(Debug)]
enum Outcome {
    Run(WorkflowId),
    LeftOut(&'static str),
}

impl Loop {
    /// Does what is due. A paused engine lets its schedules wait.
    pub(in crate::engine) fn fire_schedules(&mut self) {
        for _ in 0..FIRED_AT_ONCE {
            if self.paused || self.shared.failed.load(Relaxed) {
                return;
            }
            let Some(id) = self.schedules.due(self.now) else { return };
            let mut turn = Turn::default();
            self.fire(&mut turn, &id);
            self.settle(&mut turn);
            self.commit(turn);
        }
    }

    /// When the first schedule is due, if it may fire.
    pub(in crate::engine) fn schedules_due(&self) -> Option<Millis> {
        self.schedules.first().filter(|_| !self.paused && !self.shared.failed.load(Relaxed))
    }

    fn fire(&mut self, turn: &mut Turn, id: &str) {
        let now = self.now;
        let Some(scheduled) = self.schedules.get(id) else { return };
        let Some((pending, times)) = scheduled.pending.zip(scheduled.times.as_ref()) else { return };
        let at = times.latest(id, pending.at, now);
        let missed = times.between(pending.at, at, COUNTED);
        let late_ms = now.saturating_sub(times.due(id, at));
        let overlap = scheduled.definition.overlap();
        let going_on = self.going_on(scheduled);
        let outcome = if late_ms > scheduled.definition.catch_up_ms {
            Outcome::LeftOut("its time has passed")
        } else if going_on.is_some() && overlap == Overlap::Skip {
            Outcome::LeftOut("the last run has not ended")
        } else {
            match self.submit_run(turn, id, at) {
                Ok(run) => {
                    if let Some(last) = going_on.filter(|_| overlap == Overlap::CancelOther) {
                        let reason = format!("the next run of schedule {id} has begun");
                        // Refused if it is being cancelled already.
                        let _ = self.tell(turn, &last, Input::Cancel { force: false, reason });
                    }
                    Outcome::Run(run)
                }
                Err(error @ (EngineError::Invalid(_) | EngineError::Exists(_))) => {
                    tracing::error!(schedule = id, %error, "a run cannot be submitted");
                    Outcome::LeftOut("it cannot be submitted")
                }
                // No room, or the store cannot be read: it is tried again while it is not too late.
                Err(error) => {
                    tracing::warn!(schedule = id, %error, "a run must wait");
                    return self.schedules.postpone(id, now + NO_ROOM_MS);
                }
            }
        };
        let mut skipped = missed as u64;
        match &outcome {
            Outcome::Run(run) => {
                let data = Bytes::copy_from_slice(run.as_str().as_bytes());
                turn.writes.push(Write::Fired { schedule: id.to_owned(), at_ms: at, data });
                self.counted.scheduled += 1;
            }
            Outcome::LeftOut(why) => {
                tracing::info!(schedule = id, at = %timestamp(at), why, "a time is left out");
                skipped += 1;
            }
        }
        self.counted.left_out += skipped;
        self.schedules.change(id, |scheduled| {
            let state = &mut scheduled.state;
            (state.done, state.updated) = (at, now);
            state.skipped += skipped;
            if let Outcome::Run(run) = &outcome {
                state.ran(run, now);
            }
        });
        turn.writes.extend(self.schedules.get(id).map(|scheduled| scheduled.state.write(id)));
    }

    /// The last run, if it has not ended.
    fn going_on(&self, scheduled: &Scheduled) -> Option<WorkflowId> {
        let id = WorkflowId::new(&scheduled.state.last_workflow);
        let live = self.live.get(&id)?;
        (!live.workflow.status().is_terminal()).then_some(id)
    }

    /// Submits the run of a time.
    pub(super) fn submit_run(
        &mut self,
        turn: &mut Turn,
        id: &str,
        at: Millis,
    ) -> Result<WorkflowId, EngineError> {
        let Some(scheduled) = self.schedules.get(id) else { return Err(EngineError::NoSchedule) };
        let mut spec = Spec::decode(scheduled.definition.workflow.clone()).unwrap_or_default();
        spec.attributes.entry(SCHEDULE_ATTRIBUTE.to_owned()).or_insert_with(|| id.to_owned());
        let first = format!("{id}:{}", timestamp(at));
        let mut submission = Submission { id: Some(WorkflowId::new(&first)), spec };
        self.has_room(std::slice::from_ref(&submission))?;
        for number in 2..2 + NAMES {
            match self.make(submission.clone(), &[]) {
                Err(EngineError::Exists(_)) => {
                    submission.id = Some(WorkflowId::from(format!("{first}:{number}")));
                }
                Err(error) => return Err(error),
                Ok((workflow, step)) => {
                    let run = workflow.id().clone();
                    self.counted.submitted += 1;
                    self.begin(turn, workflow, step);
                    return Ok(run);
                }
            }
        }
        Err(EngineError::Exists(WorkflowId::from(first)))
    }

    /// Takes in every schedule. Called once, before [`Loop::run`].
    pub(in crate::engine) fn restore_schedules(&mut self) -> Result<(), StartError> {
        let mut kept = self.store.schedules()?;
        let unreadable = |id: &str, source| StartError::Schedule { id: id.to_owned(), source };
        let mut states = std::collections::HashMap::new();
        kept.retain(|(name, data)| match kept::of_state(name) {
            Some(id) => {
                states.insert(id.to_owned(), data.clone());
                false
            }
            None => true,
        });
        for (id, data) in kept {
            let definition = Definition::decode(data).map_err(|source| unreadable(&id, source))?;
            let state = states.remove(&id).unwrap_or_default();
            let state = State::decode(state).map_err(|source| unreadable(&id, source))?;
            self.clock.at_least(state.updated);
            let scheduled = Scheduled::new(&id, definition, state);
            self.schedules.insert(id, scheduled);
        }
        Ok(())
    }
}

/// The time as identifiers have it: `2026-11-22T08:00:00Z`.
fn timestamp(at: Millis) -> String {
    let at = i64::try_from(at).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    at.unwrap_or(Timestamp::MAX).to_string()
}
