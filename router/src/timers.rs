//! Deadlines of one event loop: a heap that knows where each owner's entry stands.
//!
//! An owner (a call or a connection, by its slab key) has at most one deadline. Setting and clearing cost
//! O(log n) and leave nothing behind, so calls of a millisecond under a deadline of minutes do not pile up
//! garbage. Bounded by the number of owners.

const NOWHERE: u32 = u32::MAX;

/// A min-heap of `(deadline in ms of the router clock, owner)`.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: Vec<(u64, usize)>,
    /// Owner -> index in `heap`, or `NOWHERE`.
    position: Vec<u32>,
}

impl Timers {
    /// Sets or moves the owner's deadline.
    pub(crate) fn set(&mut self, owner: usize, at_ms: u64) {
        if owner >= self.position.len() {
            self.position.resize(owner + 1, NOWHERE);
        }
        let index = match self.position[owner] {
            NOWHERE => {
                self.heap.push((at_ms, owner));
                self.heap.len() - 1
            }
            index => {
                let index = index as usize;
                if self.heap[index].0 == at_ms {
                    return;
                }
                self.heap[index].0 = at_ms;
                index
            }
        };
        self.settle(index);
    }

    /// Removes the owner's deadline, if it has one.
    pub(crate) fn clear(&mut self, owner: usize) {
        let Some(&index) = self.position.get(owner) else { return };
        if index == NOWHERE {
            return;
        }
        self.position[owner] = NOWHERE;
        let index = index as usize;
        self.heap.swap_remove(index);
        if index < self.heap.len() {
            self.settle(index);
        }
    }

    /// Whether the owner has a deadline.
    pub(crate) fn is_set(&self, owner: usize) -> bool {
        self.position.get(owner).is_some_and(|&index| index != NOWHERE)
    }

    /// Takes one owner whose deadline is at or before `now_ms`.
    pub(crate) fn pop_due(&mut self, now_ms: u64) -> Option<usize> {
        let &(at_ms, owner) = self.heap.first()?;
        if at_ms > now_ms {
            return None;
        }
        self.clear(owner);
        Some(owner)
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<u64> {
        self.heap.first().map(|&(at_ms, _)| at_ms)
    }

    /// How many deadlines are set.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Restores the heap around `index`, whose entry may be too early or too late for its place.
    fn settle(&mut self, mut index: usize) {
        let entry = self.heap[index];
        while index > 0 && self.heap[(index - 1) / 2].0 > entry.0 {
            self.place(index, self.heap[(index - 1) / 2]);
            index = (index - 1) / 2;
        }
        loop {
            let mut child = 2 * index + 1;
            if child >= self.heap.len() {
                break;
            }
            if child + 1 < self.heap.len() && self.heap[child + 1].0 < self.heap[child].0 {
                child += 1;
            }
            if self.heap[child].0 >= entry.0 {
                break;
            }
            self.place(index, self.heap[child]);
            index = child;
        }
        self.place(index, entry);
    }

    fn place(&mut self, index: usize, entry: (u64, usize)) {
        self.heap[index] = entry;
        self.position[entry.1] = u32::try_from(index).unwrap_or(NOWHERE - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::StdRng};
    use std::collections::BTreeMap;

    #[test]
    fn behaves_like_a_sorted_map_under_random_use() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut timers = Timers::default();
        let mut model: BTreeMap<usize, u64> = BTreeMap::new();
        for now in 0..20_000u64 {
            let owner = rng.random_range(0..200usize);
            match rng.random_range(0..3) {
                0 => {
                    timers.clear(owner);
                    model.remove(&owner);
                }
                _ => {
                    let at = now + rng.random_range(0..500);
                    timers.set(owner, at);
                    model.insert(owner, at);
                }
            }
            assert_eq!(timers.next(), model.values().min().copied());
            while let Some(owner) = timers.pop_due(now) {
                assert!(model.remove(&owner).is_some_and(|at| at <= now));
            }
            assert!(model.values().all(|&at| at > now));
            assert_eq!(timers.len(), model.len());
        }
    }
}
