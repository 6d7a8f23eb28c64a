//! What is remembered per key of a limit, in bounded memory for any number of keys.
//!
//! A key is a keyed hash of 64 bits, so that a cell has one size however long a name is. Each shard holds a fixed number of
//! cells of their own. When it is full, what is idle is swept out; what finds no place even then shares one of a
//! fixed number of cells, so that a flood of new names is limited together and cannot grow anything.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;

use crate::clock::Clock;

/// Some 5 MB per dimension at the worst; more callers than one router serves at once.
pub const MAX_KEYS: usize = 100_000;
/// Far more than there are worker threads, so that two of them seldom meet.
const SHARDS: usize = 64;
const KEYS_PER_SHARD: usize = MAX_KEYS / SHARDS;
/// A thousand buckets for all that finds no place of its own.
const SHARED_PER_SHARD: usize = 16;
/// Sweeping a full shard takes some microseconds; a flood of new keys must not cause one each.
const SWEEP_GAP: Nanos = Nanos::new(1_000_000_000);

/// The state of one key.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    /// Theoretical arrival time of the rate limiter; once it is past, the cell is as good as new.
    arrival: Option<Nanos>,
    in_flight: u32,
}

impl Cell {
    fn is_idle(&self, now: Nanos) -> bool {
        self.in_flight == 0 && self.arrival.is_none_or(|arrival| arrival <= now)
    }
}

#[derive(Debug, Default)]
struct Shard {
    own: HashMap<u64, Cell>,
    shared: [Cell; SHARED_PER_SHARD],
    swept: Option<Nanos>,
}

impl Shard {
    fn sweep(&mut self, now: Nanos) {
        self.swept = Some(now);
        self.own.retain(|_, cell| !cell.is_idle(now));
        if self.own.len() < self.own.capacity() / 4 {
            self.own.shrink_to(self.own.len() * 2);
        }
    }
}

/// The place of a key: its own cell, or one that it shares.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    key: u64,
    shared: bool,
}

/// The cells of one dimension.
#[derive(Debug)]
pub(crate) struct Cells {
    shards: Box<[Mutex<Shard>]>,
    clock: Clock,
}

impl Cells {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), clock }
    }

    /// Counts a call in flight, unless `most` are.
    pub(crate) fn enter(&self, key: u64, most: u32) -> Option<Slot> {
        self.with(key, |cell, slot| {
            let free = cell.in_flight < most;
            cell.in_flight += u32::from(free);
            free.then_some(slot)
        })
    }

    /// Takes back what [`Cells::enter`] counted.
    pub(crate) fn leave(&self, slot: Slot) {
        let mut shard = self.shard(slot.key);
        let cell = match slot.shared {
            true => Some(&mut shard.shared[shared_place(slot.key)]),
            // A cell with a call in flight is never swept.
            false => shard.own.get_mut(&slot.key),
        };
        if let Some(cell) = cell {
            cell.in_flight = cell.in_flight.saturating_sub(1);
        }
    }

    /// Forgets what is idle.
    pub(crate) fn sweep(&self) {
        let now = self.clock.since_start();
        for shard in &self.shards {
            lock(shard).sweep(now);
        }
    }

    /// Counts the keys that have a cell of their own.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).own.len()).sum()
    }

    fn with<R>(&self, key: u64, act: impl FnOnce(&mut Cell, Slot) -> R) -> R {
        let mut shard = self.shard(key);
        if let Some(cell) = shard.own.get_mut(&key) {
            return act(cell, Slot { key, shared: false });
        }
        if shard.own.len() >= KEYS_PER_SHARD {
            let now = self.clock.since_start();
            if shard.swept.is_none_or(|swept| now >= swept + SWEEP_GAP) {
                shard.sweep(now);
            }
        }
        if shard.own.len() >= KEYS_PER_SHARD {
            return act(&mut shard.shared[shared_place(key)], Slot { key, shared: true });
        }
        act(shard.own.entry(key).or_default(), Slot { key, shared: false })
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, Shard> {
        lock(&self.shards[place(key, SHARDS)])
    }
}

/// The cells as a rate limiter of governor sees them.
#[derive(Debug)]
pub(crate) struct Store(pub(crate) Arc<Cells>);

impl StateStore for Store {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.with(*key, |cell, _| {
            let (outcome, arrival) = decide(cell.arrival)?;
            cell.arrival = Some(arrival);
            Ok(outcome)
        })
    }
}

/// A panic elsewhere leaves numbers, which cannot be half written.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place below `places` of the low bits.
fn place(key: u64, places: usize) -> usize {
    usize::try_from(key % places as u64).unwrap_or(0)
}

/// Other bits than those that chose the shard.
fn shared_place(key: u64) -> usize {
    place(key >> 32, SHARED_PER_SHARD)
}
