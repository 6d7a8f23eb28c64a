//! Decides when an accepted read becomes the published snapshot: at once, 50 ms after the last one, or, if nothing
//! usable is left in it, 5 s later. It reads nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::snapshot::{Stale, View, now};
use crate::error::Error;

/// A deployment changes many instances within milliseconds; its readers rebuild their tables once.
const COALESCE: Duration = Duration::from_millis(50);
/// A registry that lost its state gets this long to be told again; a wipe is no outage.
const HOLD_EMPTY: Duration = Duration::from_secs(5);

pub(super) struct Publisher<V> {
    sender: watch::Sender<Arc<V>>,
    pending: Option<Pending<V>>,
    published_at: Option<Instant>,
}

struct Pending<V> {
    view: V,
    due: Instant,
    /// Held back because it is empty, not to coalesce.
    held: bool,
}

impl<V: View> Publisher<V> {
    pub(super) fn new(sender: watch::Sender<Arc<V>>) -> Self {
        Self { sender, pending: None, published_at: None }
    }

    /// Completes once nobody listens any more. Cancel safe.
    pub(super) async fn abandoned(&self) {
        self.sender.closed().await;
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.sender.borrow().index() > 0
    }

    /// When [`Publisher::publish_pending`] must be called.
    pub(super) fn due(&self) -> Option<Instant> {
        self.pending.as_ref().map(|pending| pending.due)
    }

    /// Tells whether a value is what was last accepted, published or not.
    pub(super) fn knows(&self, value: &V::Value) -> bool {
        match &self.pending {
            Some(pending) => pending.view.is(value),
            None => self.sender.borrow().is(value),
        }
    }

    /// Takes the value of a successful read.
    pub(super) fn offer(&mut self, value: V::Value, index: u64) {
        let now = Instant::now();
        let (published, usable, loaded) = {
            let current = self.sender.borrow();
            (current.is(&value), current.is_usable(), current.index() > 0)
        };
        if published && loaded {
            // Also ends a hold: what had vanished is back.
            self.pending = None;
            self.refresh(index);
            return;
        }
        let view = V::of(value, index);
        if usable && !view.is_usable() {
            let held_until = self.pending.as_ref().filter(|pending| pending.held).map(|pending| pending.due);
            self.pending = Some(Pending { view, due: held_until.unwrap_or(now + HOLD_EMPTY), held: true });
            self.set_stale(Stale::Emptied);
            return;
        }
        let due = self.published_at.map_or(now, |at| at + COALESCE);
        self.pending = Some(Pending { view, due, held: false });
        if due <= now {
            self.publish_pending();
        }
    }

    /// Publishes what is held back.
    pub(super) fn publish_pending(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.published_at = Some(Instant::now());
            self.sender.send_replace(Arc::new(pending.view));
        }
    }

    /// Publishes an empty set that is held back; a mere coalescing goes on.
    pub(super) fn release_hold(&mut self) {
        if self.pending.as_ref().is_some_and(|pending| pending.held) {
            self.publish_pending();
        }
    }

    /// Notes that the registry confirmed what is known. Wakes readers only if it had been in doubt.
    pub(super) fn refresh(&mut self, index: u64) {
        if self.pending.is_some() {
            return;
        }
        self.sender.send_if_modified(|current| {
            let view = Arc::make_mut(current);
            let (at_index, read_at, stale) = view.age();
            (*at_index, *read_at) = (index, now());
            stale.take().is_some()
        });
    }

    /// Notes that a read failed. Gives whether the one before had not; only then are readers woken.
    pub(super) fn mark_stale(&mut self, error: &Error) -> bool {
        let text = error.to_string();
        let reason = match error {
            Error::Hidden { .. } => Stale::Hidden(text),
            _ => Stale::Failed(text),
        };
        let same = |stale: &Stale| std::mem::discriminant(stale) == std::mem::discriminant(&reason);
        let first = !self.sender.borrow().stale().is_some_and(same);
        self.set_stale(reason);
        first
    }

    fn set_stale(&self, reason: Stale) {
        self.sender.send_if_modified(|current| {
            let view = Arc::make_mut(current);
            let (_, _, stale) = view.age();
            let new = match &*stale {
                None | Some(Stale::NeverRead) => true,
                Some(old) => matches!(old, Stale::Hidden(_)) != matches!(reason, Stale::Hidden(_)),
            };
            *stale = Some(reason);
            new
        });
    }
}
