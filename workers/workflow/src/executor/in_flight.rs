//! Which calls and requests are under way, by the attempt's name.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

use crate::attempt::AttemptId;

/// The attempts under way.
#[derive(Default)]
pub(super) struct InFlight {
    table: Mutex<Table>,
    /// Told when the last one is over.
    emptied: Notify,
}

#[derive(Default)]
struct Table {
    attempts: HashMap<AttemptId, Entry>,
    closed: bool,
}

struct Entry {
    /// Kept by the first who asks the attempt to stop.
    stop: Option<oneshot::Sender<Duration>>,
    abort: AbortHandle,
}

impl InFlight {
    /// Begins an attempt by `spawn`, unless it is under way or nothing begins any more.
    pub(super) fn begin(
        &self,
        id: AttemptId,
        stop: oneshot::Sender<Duration>,
        spawn: impl FnOnce() -> AbortHandle,
    ) {
        let mut table = self.table();
        if table.closed || table.attempts.contains_key(&id) {
            return;
        }
        // The task forgets itself only when it has been polled, and waits for the lock then.
        let abort = spawn();
        table.attempts.insert(id, Entry { stop: Some(stop), abort });
    }

    /// Asks an attempt to stop within `grace`, or gives it up if that is nothing. Says whether it is under way.
    pub(super) fn stop(&self, id: &AttemptId, grace: Duration) -> bool {
        let mut table = self.table();
        let Some(entry) = table.attempts.get_mut(id) else { return false };
        if !grace.is_zero() {
            // The receiver is gone if it is reporting just now: that is as good as stopped.
            let _ = entry.stop.take().map(|stop| stop.send(grace));
            return true;
        }
        entry.abort.abort();
        table.attempts.remove(id);
        drop(table);
        self.told_if_empty();
        true
    }

    /// Forgets an attempt when the guard is dropped.
    pub(super) fn forget_later<'a>(&'a self, id: &'a AttemptId) -> Forget<'a> {
        Forget { in_flight: self, id }
    }

    /// Begins nothing any more.
    pub(super) fn close(&self) {
        self.table().closed = true;
    }

    /// Waits until nothing is under way.
    pub(super) async fn is_empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            // Enrolled before the look, so that no change is missed.
            emptied.as_mut().enable();
            if self.table().attempts.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// Gives all up, and says how many there were.
    pub(super) fn abort_all(&self) -> usize {
        let attempts = std::mem::take(&mut self.table().attempts);
        attempts.values().for_each(|entry| entry.abort.abort());
        self.told_if_empty();
        attempts.len()
    }

    fn told_if_empty(&self) {
        if self.table().attempts.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight").field("attempts", &self.table().attempts.len()).finish_non_exhaustive()
    }
}

/// Forgets one attempt on drop.
pub(super) struct Forget<'a> {
    in_flight: &'a InFlight,
    id: &'a AttemptId,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.in_flight.table().attempts.remove(self.id);
        self.in_flight.told_if_empty();
    }
}
