//! Finds leases that ran out, and stops whose grace is over.

use std::sync::{Arc, Weak};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Shared;
use crate::attempt::Report;

/// Sweeps until it is aborted, or the queues are gone.
pub(super) async fn run(shared: Weak<Shared>, earlier: Arc<Notify>) {
    loop {
        // Not there yet while it is being made, and then this is told.
        let next = match shared.upgrade() {
            Some(shared) => sweep(&shared).await,
            None => None,
        };
        match next {
            None => earlier.notified().await,
            Some(at) => {
                tokio::select! {
                    () = tokio::time::sleep_until(at) => {}
                    () = earlier.notified() => {}
                }
            }
        }
    }
}

/// Reports what is over, and says when something will be next.
async fn sweep(shared: &Shared) -> Option<Instant> {
    loop {
        let now = Instant::now();
        let expired = shared.table().expire(now);
        let Some(id) = expired else { return shared.table().next_end() };
        shared.metrics.expired.add(1);
        tracing::debug!(workflow = %id.workflow, task = %id.task, epoch = id.epoch, "lease ran out");
        // Without an engine there is nobody to tell.
        let _ = shared.reports.send(id, Report::Lost).await;
    }
}
