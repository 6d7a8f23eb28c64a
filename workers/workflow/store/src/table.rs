//! Summaries in memory, by ID and in the order of lists: all of the store in memory, and what is alive of the one on disk.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::Arc,
};

use crate::{Cursor, Filter, Status, Summary, WorkflowId};

/// How many workflows have each status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters(pub(crate) [u64; Status::ALL.len()]);

impl Counters {
    pub(crate) fn of(&self, filter: &Filter) -> u64 {
        let wanted = Status::ALL
            .iter()
            .filter(|status| filter.statuses.is_empty() || filter.statuses.contains(**status));
        wanted.map(|status| self.0[*status as usize - 1]).sum()
    }

    pub(crate) fn add(&mut self, status: Status) {
        self.0[status as usize - 1] += 1;
    }

    /// Saturates, so that a wrong counter shows a wrong number and stops nothing.
    pub(crate) fn remove(&mut self, status: Status) {
        let counter = &mut self.0[status as usize - 1];
        *counter = counter.saturating_sub(1);
    }
}

#[derive(Default)]
pub(crate) struct Table {
    by_id: HashMap<WorkflowId, Arc<Summary>>,
    in_order: BTreeMap<Cursor, Arc<Summary>>,
}

impl Table {
    pub(crate) fn get(&self, id: &WorkflowId) -> Option<&Arc<Summary>> {
        self.by_id.get(id)
    }

    pub(crate) fn put(&mut self, summary: Arc<Summary>) {
        self.in_order.insert(Cursor::of(&summary), summary.clone());
        self.by_id.insert(summary.id.clone(), summary);
    }

    pub(crate) fn remove(&mut self, id: &WorkflowId) -> Option<Arc<Summary>> {
        let summary = self.by_id.remove(id)?;
        self.in_order.remove(&Cursor::of(&summary));
        Some(summary)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Summary>> {
        self.by_id.values()
    }

    /// What `filter` matches, newest first, behind `after`.
    pub(crate) fn newest<'a>(
        &'a self,
        filter: &'a Filter,
        after: Option<&Cursor>,
    ) -> impl Iterator<Item = &'a Arc<Summary>> {
        let end = after.map_or(Bound::Unbounded, Bound::Excluded);
        let found = self.in_order.range((Bound::Unbounded, end)).rev();
        found.map(|(_, summary)| summary).filter(|summary| filter.matches(summary))
    }

    /// Everything, oldest first, behind `after`.
    pub(crate) fn oldest(&self, after: Option<&Cursor>) -> impl Iterator<Item = &Arc<Summary>> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.in_order.range((start, Bound::Unbounded)).map(|(_, summary)| summary)
    }
}
