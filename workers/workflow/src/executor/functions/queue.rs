//! One queue: what waits in it, and which streams wait for it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::attempt::AttemptId;

/// Place in a queue: higher priorities first, then what came first.
pub(super) type Place = (Reverse<i32>, u64);

/// A queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// What waits.
    pub(super) waiting: BTreeMap<Place, AttemptId>,
    /// Streams that found nothing and have credit, by the ticket that they drew; who waits longest is woken first.
    pub(super) parked: BTreeMap<u64, u64>,
    /// Attempts of it that workers have.
    pub(super) leased: usize,
    /// Streams that poll it.
    pub(super) streams: usize,
}

impl Queue {
    /// Whether it can be forgotten.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.leased == 0 && self.streams == 0
    }
}
