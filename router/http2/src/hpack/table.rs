//! The dynamic table (RFC 7541 section 2.3.2): a ring of fields, the oldest evicted when a new one needs the room.
//!
//! Names and values lie end to end in one buffer, in order of insertion. What is evicted leaves a hole at its front, which
//! is closed only when the end reaches the table's size, so that a field never wraps around and can be lent in one piece.
//! Nothing is allocated before the first insertion. The memory is bounded by the table's size: octets by the buffer's
//! limit, marks by twice the 32 octets that the RFC charges for each field.

use crate::facts::Facts;
use std::collections::VecDeque;

/// What RFC 7541 section 4.1 adds to the octets of every entry when it counts the size of the table.
pub(super) const ENTRY_OVERHEAD: usize = 32;

/// The first allocation of the buffer: the names and values of a few fields.
const FIRST_CAPACITY: usize = 256;

/// A field of a table, name and value in one piece.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// The name, then the value.
    pub(super) joined: &'a [u8],
    /// How many octets of it are the name.
    pub(super) name_len: usize,
    pub(super) facts: Facts,
}

impl<'a> Entry<'a> {
    pub(super) fn name(self) -> &'a [u8] {
        &self.joined[..self.name_len]
    }

    pub(super) fn value(self) -> &'a [u8] {
        &self.joined[self.name_len..]
    }
}

/// Where an entry lies. Positions count all octets ever inserted, so that closing the hole changes no mark.
#[derive(Clone, Copy, Debug)]
struct Mark {
    start: u64,
    name_len: u32,
    value_len: u32,
    facts: Facts,
}

impl Mark {
    fn len(self) -> usize {
        self.name_len as usize + self.value_len as usize
    }
}

#[derive(Debug)]
pub(super) struct Table {
    bytes: Vec<u8>,
    /// The position of the first octet of `bytes`.
    base: u64,
    /// Oldest first.
    marks: VecDeque<Mark>,
    /// As RFC 7541 section 4.1 counts it.
    size: usize,
    max_size: usize,
    changes: u64,
}

impl Table {
    pub(super) fn new(max_size: usize) -> Self {
        Self { bytes: Vec::new(), base: 0, marks: VecDeque::new(), size: 0, max_size, changes: 0 }
    }

    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        self.marks.len()
    }

    /// How often it has changed: as long as that stays the same, so does every index.
    #[inline]
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    pub(super) fn max_size(&self) -> usize {
        self.max_size
    }

    /// The entry of that age, 0 being the one inserted last.
    #[inline]
    pub(super) fn get(&self, age: usize) -> Option<Entry<'_>> {
        let mark = self.marks.get(self.marks.len().checked_sub(age + 1)?)?;
        let start = (mark.start - self.base) as usize;
        let joined = &self.bytes[start..start + mark.len()];
        Some(Entry { joined, name_len: mark.name_len as usize, facts: mark.facts })
    }

    /// Inserts an entry and evicts what no longer fits. An entry larger than the table empties it (RFC 7541 section 4.4).
    /// Returns whether the entry is in the table.
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8], facts: Facts) -> bool {
        self.changes += 1;
        let len = name.len() + value.len();
        let size = len + ENTRY_OVERHEAD;
        self.evict_to(self.max_size.saturating_sub(size));
        let (Ok(name_len), Ok(value_len)) = (u32::try_from(name.len()), u32::try_from(value.len())) else {
            return false;
        };
        if size > self.max_size {
            return false;
        }
        self.make_room(len);
        let start = self.base + self.bytes.len() as u64;
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.marks.push_back(Mark { start, name_len, value_len, facts });
        self.size += size;
        true
    }

    /// Changes the maximum size, evicts what no longer fits and gives the memory back.
    pub(super) fn set_max_size(&mut self, max_size: usize) {
        self.changes += 1;
        self.evict_to(max_size);
        if max_size < self.max_size {
            self.close_hole();
            self.bytes.shrink_to(max_size);
            self.marks.shrink_to(max_size / ENTRY_OVERHEAD);
        }
        self.max_size = max_size;
    }

    fn evict_to(&mut self, size: usize) {
        while self.size > size
            && let Some(oldest) = self.marks.pop_front()
        {
            self.size -= oldest.len() + ENTRY_OVERHEAD;
        }
    }

    /// Makes room for `len` octets at the end of the buffer without letting it grow beyond the table's size. There is
    /// room: after eviction the entries, which are counted with their overhead, leave at least that much.
    fn make_room(&mut self, len: usize) {
        if self.bytes.len() + len > self.max_size {
            self.close_hole();
        }
        let needed = self.bytes.len() + len;
        if needed > self.bytes.capacity() {
            let capacity = needed.max(self.bytes.capacity() * 2).max(FIRST_CAPACITY).min(self.max_size);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
    }

    fn close_hole(&mut self) {
        let hole = self.marks.front().map_or(self.bytes.len(), |oldest| (oldest.start - self.base) as usize);
        self.bytes.drain(..hole);
        self.base += hole as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    /// The table as the RFC describes it, newest first.
    fn expected(inserted: &[(Vec<u8>, Vec<u8>)], max_size: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut size = 0;
        let fits = |(name, value): &&(Vec<u8>, Vec<u8>)| {
            size += name.len() + value.len() + ENTRY_OVERHEAD;
            size <= max_size
        };
        inserted.iter().rev().take_while(fits).cloned().collect()
    }

    #[test]
    fn churn_keeps_the_newest_entries_and_the_memory_within_the_size() {
        let mut rng = StdRng::seed_from_u64(1);
        for max_size in [0, 32, 33, 100, 500, 4096] {
            let mut table = Table::new(max_size);
            let mut inserted = Vec::new();
            for step in 0..1000_u32 {
                let magnitude = rng.random_range(0..13);
                let len = rng.random_range(0..=max_size.min(1 << magnitude));
                let value = step.to_le_bytes().repeat(len / 4 + 1)[..len].to_vec();
                let name = vec![b'n'; rng.random_range(0..8)];
                assert_eq!(
                    table.insert(&name, &value, Facts::UNKNOWN),
                    name.len() + len + ENTRY_OVERHEAD <= max_size
                );
                inserted.push((name, value));
                let entries: Vec<_> = (0..table.len())
                    .map(|age| table.get(age).unwrap())
                    .map(|entry| (entry.name().to_vec(), entry.value().to_vec()))
                    .collect();
                assert_eq!(entries, expected(&inserted, max_size));
                assert!(table.get(table.len()).is_none());
                assert!(table.size <= max_size && table.bytes.capacity() <= max_size);
                assert!(
                    table.marks.capacity() * size_of::<Mark>() <= 2 * max_size.max(4 * size_of::<Mark>())
                );
            }
        }
    }

    #[test]
    fn an_unused_table_holds_no_memory_and_an_emptied_one_gives_it_back() {
        let mut table = Table::new(4096);
        assert_eq!((table.bytes.capacity(), table.marks.capacity()), (0, 0));
        table.insert(b"name", b"value", Facts::UNKNOWN);
        assert_eq!((table.size, table.bytes.capacity()), (41, FIRST_CAPACITY));
        table.set_max_size(0);
        assert_eq!((table.size, table.bytes.capacity(), table.marks.capacity()), (0, 0, 0));
    }
}
