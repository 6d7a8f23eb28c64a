//! What ended long ago goes, with its history: page by page, so that neither the loop nor a commit is held up by millions.

use std::sync::atomic::Ordering::Relaxed;

use workflow_machine::{Millis, WorkflowId};
use workflow_store::{Count, Cursor, Filter, WorkflowId as StoreId, Write};

use super::{
    Engine,
    command::{Command, EngineError},
    restore,
    run::Loop,
    turn::Turn,
};

/// Workflows that one commit deletes: some thousand writes.
const PURGED_AT_ONCE: usize = 128;

impl Engine {
    /// Deletes workflows that ended before `before`, at most `limit` of them, the oldest first, and says how many. Dropping the
    /// future stops it between two pages.
    ///
    /// # Errors
    /// If the store cannot be read, or the engine is stopping; what was deleted until then stays so.
    pub async fn purge(&self, before: Millis, limit: usize) -> Result<usize, EngineError> {
        let mut after: Option<Cursor> = None;
        let mut purged = 0;
        while purged < limit {
            let (from, page) = (after.take(), PURGED_AT_ONCE.min(limit - purged));
            let page = self.from_store(move |store| store.ended(before, from.as_ref(), page)).await?;
            let ids = page.summaries.into_iter().map(|summary| summary.id).collect();
            purged += self.ask(|reply| Command::Purge { ids, before, reply }).await?;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(purged)
    }

    /// How many workflows [`Engine::purge`] would delete.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn purgeable(&self, before: Millis) -> Result<u64, EngineError> {
        let filter = Filter { finished_before_ms: Some(before), ..Filter::default() };
        match self.from_store(move |store| store.count(&filter)).await? {
            Count::Exact(count) | Count::MoreThan(count) => Ok(count),
        }
    }
}

impl Loop {
    /// Deletes those that ended before `before`, and were not asked for another run meanwhile.
    pub(super) fn purge(
        &mut self,
        turn: &mut Turn,
        ids: Vec<StoreId>,
        before: Millis,
    ) -> Result<usize, EngineError> {
        let mut purged = 0;
        for id in ids {
            let name = WorkflowId::new(id.as_str());
            if self.live.contains_key(&name) {
                continue;
            }
            let summary = self.store.summary(&id).map_err(restore::unreadable)?;
            if summary.is_some_and(|summary| summary.status.is_terminal() && summary.finished_ms < before) {
                turn.writes.push(Write::Purge(id));
                self.purging.push_back((self.commits + 1, name));
                purged += 1;
            }
        }
        self.shared.purged.fetch_add(purged as u64, Relaxed);
        Ok(purged)
    }
}
