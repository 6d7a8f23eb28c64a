//! All schedules: by name, and by when they are due.

use std::collections::{BTreeMap, BTreeSet};

use workflow_machine::Millis;

use super::{
    ScheduleState,
    kept::{Definition, State},
    times::Times,
};

/// A schedule in memory.
#[derive(Debug)]
pub(super) struct Scheduled {
    pub(super) definition: Definition,
    pub(super) state: State,
    /// `None` if this version cannot read when it is due.
    pub(super) times: Option<Times>,
    pub(super) pending: Option<Pending>,
}

/// The next time of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    /// The time.
    pub(super) at: Millis,
    /// When its run is to be submitted: that, and the delay; later, if there was no room.
    pub(super) due: Millis,
}

/// All schedules.
#[derive(Debug, Default)]
pub(in crate::engine) struct Schedules {
    by_id: BTreeMap<String, Scheduled>,
    due: BTreeSet<(Millis, String)>,
    /// Bytes of definitions.
    bytes: usize,
}

impl Scheduled {
    pub(super) fn new(id: &str, definition: Definition, state: State) -> Self {
        let timing = definition.timing.clone().unwrap_or_default();
        let times = Times::new(&timing, definition.created);
        if let Err(reason) = &times {
            tracing::error!(
                schedule = id,
                reason,
                "a schedule cannot be read by this version and does not fire"
            );
        }
        Self { definition, state, times: times.ok(), pending: None }
    }

    pub(super) fn show(&self, id: &str) -> ScheduleState {
        let state = &self.state;
        ScheduleState {
            id: id.to_owned(),
            owner: self.definition.owner.clone(),
            shown: self.definition.shown.clone(),
            paused: state.paused,
            note: state.note.clone(),
            created_at: self.definition.created,
            next_run_at: self.pending.map(|pending| pending.due),
            last_run_at: state.last_run_at,
            last_workflow: state.last_workflow.clone(),
            runs: state.runs,
            skipped: state.skipped,
        }
    }

    /// Finds the next time.
    pub(super) fn plan(&mut self, id: &str) {
        let times = self.times.as_ref().filter(|_| !self.state.paused);
        self.pending = times.and_then(|times| {
            let at = times.next(self.state.done)?;
            Some(Pending { at, due: times.due(id, at) })
        });
    }

    /// Memory that it takes, but for what every schedule takes.
    fn bytes(&self) -> usize {
        self.definition.workflow.len() + self.definition.shown.len()
    }
}

impl Schedules {
    pub(super) fn get(&self, id: &str) -> Option<&Scheduled> {
        self.by_id.get(id)
    }

    /// Takes in a schedule that is none of them yet.
    pub(super) fn insert(&mut self, id: String, mut scheduled: Scheduled) {
        scheduled.plan(&id);
        self.bytes += scheduled.bytes();
        self.due.extend(scheduled.pending.map(|pending| (pending.due, id.clone())));
        self.by_id.insert(id, scheduled);
    }

    pub(super) fn remove(&mut self, id: &str) {
        if let Some(scheduled) = self.by_id.remove(id) {
            self.bytes -= scheduled.bytes();
            if let Some(pending) = scheduled.pending {
                self.due.remove(&(pending.due, id.to_owned()));
            }
        }
    }

    /// Changes a schedule, and finds its next time anew.
    pub(super) fn change(&mut self, id: &str, change: impl FnOnce(&mut Scheduled)) {
        self.set(id, |scheduled| {
            change(scheduled);
            scheduled.plan(id);
        });
    }

    /// Has the pending time fire later.
    pub(super) fn postpone(&mut self, id: &str, due: Millis) {
        self.set(id, |scheduled| {
            if let Some(pending) = &mut scheduled.pending {
                pending.due = due;
            }
        });
    }

    fn set(&mut self, id: &str, change: impl FnOnce(&mut Scheduled)) {
        let Some(scheduled) = self.by_id.get_mut(id) else { return };
        let before = scheduled.pending;
        change(scheduled);
        let after = scheduled.pending;
        if before != after {
            before.map(|pending| self.due.remove(&(pending.due, id.to_owned())));
            self.due.extend(after.map(|pending| (pending.due, id.to_owned())));
        }
    }

    /// When the first one is due.
    pub(in crate::engine) fn first(&self) -> Option<Millis> {
        self.due.first().map(|(due, _)| *due)
    }

    /// The first one, if it is due by `now`.
    pub(super) fn due(&self, now: Millis) -> Option<String> {
        self.due.first().filter(|(due, _)| *due <= now).map(|(_, id)| id.clone())
    }

    /// Schedules by name, behind `after`.
    pub(super) fn behind(&self, after: &str) -> impl Iterator<Item = (&str, &Scheduled)> {
        let after = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        self.by_id.range::<str, _>(after).map(|(id, scheduled)| (id.as_str(), scheduled))
    }

    pub(in crate::engine) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Bytes of all definitions with this one.
    pub(super) fn bytes_with(&self, scheduled: &Scheduled) -> usize {
        self.bytes + scheduled.bytes()
    }
}
