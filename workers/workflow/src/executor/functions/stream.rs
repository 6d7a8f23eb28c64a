//! A worker's stream of tasks, as its owner reads it.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Shared;
use super::poll::Found;
use crate::attempt::Attempt;

/// Tasks for one worker, as they become ready and it has credit. Dropping it gives nothing back: leases go on.
#[derive(Debug)]
pub struct Tasks {
    shared: Arc<Shared>,
    number: u64,
    wake: Arc<Notify>,
}

/// Why there is no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PollRefused {
    /// There are as many as there may be.
    #[error("{0} streams poll already, and no more are taken; poll several queues by one stream")]
    TooMany(usize),
    /// The engine is stopping.
    #[error("the engine is stopping")]
    Closed,
}

impl Tasks {
    pub(super) fn open(
        shared: Arc<Shared>,
        worker: &str,
        mut queues: Vec<String>,
        max_in_flight: usize,
    ) -> Result<Self, PollRefused> {
        queues.sort_unstable();
        queues.dedup();
        let wake = Arc::new(Notify::new());
        let number = {
            let mut table = shared.table();
            if table.closed {
                return Err(PollRefused::Closed);
            }
            if table.streams.len() >= shared.settings.max_streams {
                return Err(PollRefused::TooMany(shared.settings.max_streams));
            }
            table.open(worker, queues, max_in_flight.max(1), wake.clone())
        };
        Ok(Self { shared, number, wake })
    }

    /// Waits for the next task, whose lease begins now; `None` when the engine is stopping. Cancel-safe.
    pub async fn next(&mut self) -> Option<Arc<Attempt>> {
        loop {
            let until = Instant::now() + self.shared.settings.lease;
            let found = self.shared.table().take(self.number, until);
            match found {
                Found::Task(attempt) => return Some(attempt),
                Found::Nothing => self.wake.notified().await,
                Found::End => return None,
            }
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.shared.table().close_stream(self.number);
    }
}
