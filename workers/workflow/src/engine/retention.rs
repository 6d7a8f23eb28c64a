//! What ended goes by itself when it is old enough, in small commits with rests between them.
//!
//! ```text
//!  look ──► a page of what ended before now - retention ──► the loop deletes those that are still ended ──► rest ─┐
//!   ▲                     ▲                                                                                     │
//!   └── nothing is left ──┴─────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The pages are read beside the loop; it spends about a millisecond on each. A rest is as long as its page took, so half
//! of the disk at least is left to those who wait for it.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};
use workflow_machine::Millis;
use workflow_store::{Cursor, Store};

use super::{Shared, command::Command, run::Loop};

pub(super) const HOUR_MS: Millis = 3_600_000;

/// Workflows that one commit deletes: a few milliseconds of the committer.
const PURGED_AT_ONCE: usize = 64;

/// The longest time between two looks.
const LOOK: Duration = Duration::from_secs(60);

/// Deletes what is old enough. It does not keep the engine running.
pub(super) struct Retention {
    clock: fn() -> Millis,
    commands: mpsc::WeakSender<Command>,
    store: Arc<dyn Store>,
    shared: Arc<Shared>,
}

/// The engine takes nothing any more.
struct Closed;

impl Retention {
    pub(super) fn new(
        clock: fn() -> Millis,
        commands: &mpsc::Sender<Command>,
        store: Arc<dyn Store>,
        shared: Arc<Shared>,
    ) -> Self {
        Self { clock, commands: commands.downgrade(), store, shared }
    }

    /// Runs until the engine takes nothing any more.
    pub(super) async fn run(self) {
        loop {
            let retention_ms = self.shared.retention_ms.load(Relaxed);
            // What is kept for a short time only is looked for more often.
            let look = Duration::from_millis(retention_ms / 64).clamp(Duration::from_secs(1), LOOK);
            tokio::time::sleep(look).await;
            match self.purge().await {
                Ok(0) => {}
                Ok(purged) => {
                    tracing::info!(purged, "workflows that ended longer ago than the retention are deleted");
                }
                Err(Closed) => return,
            }
        }
    }

    /// Deletes everything that is old enough, and says how many there were.
    async fn purge(&self) -> Result<usize, Closed> {
        let (mut purged, mut after) = (0, None);
        loop {
            let began = Instant::now();
            // Asked anew for each page: who turns it off does not wait for the last one.
            let retention_ms = self.shared.retention_ms.load(Relaxed);
            if retention_ms == 0 {
                return Ok(purged);
            }
            let before = (self.clock)().saturating_sub(retention_ms);
            let (more, next) = self.page(before, after).await?;
            purged += more;
            after = next;
            if after.is_none() {
                return Ok(purged);
            }
            tokio::time::sleep(began.elapsed()).await;
        }
    }

    /// Deletes one page; gives where the next one begins.
    async fn page(&self, before: Millis, after: Option<Cursor>) -> Result<(usize, Option<Cursor>), Closed> {
        let store = self.store.clone();
        let page =
            tokio::task::spawn_blocking(move || store.ended(before, after.as_ref(), PURGED_AT_ONCE)).await;
        let page = match page {
            Ok(Ok(page)) => page,
            Ok(Err(error)) => {
                tracing::warn!(%error, "what is older than the retention is not found: the store cannot be read");
                return Ok((0, None));
            }
            Err(_) => return Err(Closed),
        };
        let ids: Vec<_> = page.summaries.into_iter().map(|summary| summary.id).collect();
        if ids.is_empty() {
            return Ok((0, page.next));
        }
        let (reply, answer) = oneshot::channel();
        let commands = self.commands.upgrade().ok_or(Closed)?;
        commands.send(Command::Purge { ids, before, reply }).await.map_err(|_| Closed)?;
        drop(commands);
        match answer.await {
            Ok(Ok(purged)) => Ok((purged, page.next)),
            // The log has it; the next look tries again.
            Ok(Err(_)) => Ok((0, None)),
            Err(_) => Err(Closed),
        }
    }
}

impl Loop {
    /// Takes over what an operator had set.
    pub(super) fn restore_retention(&self, value: &[u8]) {
        let hours = std::str::from_utf8(value).ok().and_then(|hours| hours.parse::<u64>().ok());
        match hours {
            Some(hours) => self.shared.retention_ms.store(hours.saturating_mul(HOUR_MS), Relaxed),
            // What somebody wanted to keep is not deleted because nobody knows for how long.
            None => {
                self.shared.retention_ms.store(0, Relaxed);
                tracing::warn!(
                    "the retention that was set cannot be read: nothing is deleted until it is set again"
                );
            }
        }
    }
}
