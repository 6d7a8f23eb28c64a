//! Finds entries of the encoder's dynamic table by field and by name, in constant time.
//!
//! Two hash tables of chains, newest entry first. Nothing is ever removed: entries are numbered as they are inserted and
//! evicted in the same order, so a chain ends where its next number is older than the oldest entry left.

use std::collections::VecDeque;

use super::table::Table;

/// Slots of the hash tables when the first entry is inserted.
const FIRST_SLOTS: usize = 16;

/// The chains that an entry is on.
#[derive(Clone, Copy, Debug)]
struct Links {
    field_hash: u64,
    name_hash: u64,
    /// The number of the next older entry in the same slot, 0 = none.
    older_field: u64,
    older_name: u64,
}

/// The index of one table: `insert` and `trim` have to follow every insertion, `trim` every change of size.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// By hash modulo the length, a power of two: the number of the newest entry.
    fields: Vec<u64>,
    names: Vec<u64>,
    /// Of the entries in the table, oldest first.
    links: VecDeque<Links>,
    /// The number of the entry inserted last; the first one is 1.
    newest: u64,
}

impl Index {
    /// Returns the age of the entry with this name and value.
    #[inline]
    pub(super) fn find_field(&self, table: &Table, hash: u64, name: &[u8], value: &[u8]) -> Option<usize> {
        let mut number = *self.fields.get(slot(hash, self.fields.len()))?;
        loop {
            let (age, links) = self.links(number)?;
            if links.field_hash == hash
                && table.get(age).is_some_and(|entry| entry.name() == name && entry.value() == value)
            {
                return Some(age);
            }
            number = links.older_field;
        }
    }

    /// Returns the age of the newest entry with this name.
    #[inline]
    pub(super) fn find_name(&self, table: &Table, hash: u64, name: &[u8]) -> Option<usize> {
        let mut number = *self.names.get(slot(hash, self.names.len()))?;
        loop {
            let (age, links) = self.links(number)?;
            if links.name_hash == hash && table.get(age).is_some_and(|entry| entry.name() == name) {
                return Some(age);
            }
            number = links.older_name;
        }
    }

    /// Takes in the entry that was inserted into the table.
    pub(super) fn insert(&mut self, field_hash: u64, name_hash: u64) {
        self.newest += 1;
        self.links.push_back(Links { field_hash, name_hash, older_field: 0, older_name: 0 });
        if self.links.len() > self.fields.len() {
            self.rebuild((self.fields.len() * 2).max(FIRST_SLOTS));
        } else {
            self.link(self.links.len() - 1);
        }
    }

    /// Forgets what the table has evicted: all but its `len` newest entries.
    pub(super) fn trim(&mut self, len: usize) {
        self.links.drain(..self.links.len().saturating_sub(len));
        if len == 0 {
            *self = Self { newest: self.newest, ..Self::default() };
        }
    }

    fn rebuild(&mut self, slots: usize) {
        self.fields = vec![0; slots];
        self.names = vec![0; slots];
        for at in 0..self.links.len() {
            self.link(at);
        }
    }

    /// Puts the entry, the newest so far, at the head of its chains.
    fn link(&mut self, at: usize) {
        let number = self.newest - (self.links.len() - 1 - at) as u64;
        let slots = self.fields.len();
        let links = &mut self.links[at];
        let field = &mut self.fields[slot(links.field_hash, slots)];
        let name = &mut self.names[slot(links.name_hash, slots)];
        links.older_field = std::mem::replace(field, number);
        links.older_name = std::mem::replace(name, number);
    }

    /// The age and the chains of an entry, unless it has been evicted.
    #[inline]
    fn links(&self, number: u64) -> Option<(usize, &Links)> {
        // Number 0 is older than all: there are at most `newest` entries.
        let age = (self.newest - number) as usize;
        let at = self.links.len().checked_sub(age + 1)?;
        Some((age, self.links.get(at)?))
    }
}

#[inline]
fn slot(hash: u64, slots: usize) -> usize {
    hash as usize & slots.wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::super::table::Entry;
    use super::*;

    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    /// Hashes of few values, so that different fields collide.
    fn hash(octets: &[u8]) -> u64 {
        octets.iter().map(|octet| u64::from(*octet)).sum::<u64>() % 7
    }

    #[test]
    fn churn_with_collisions_finds_the_newest_match_and_nothing_evicted() {
        let mut rng = StdRng::seed_from_u64(2);
        let (mut table, mut index) = (Table::new(2000), Index::default());
        for step in 0..5000 {
            if step % 500 == 499 {
                // All, or some, are evicted without an insertion.
                let size = if rng.random() { 0 } else { 600 };
                table.set_max_size(size);
                index.trim(table.len());
                table.set_max_size(2000);
            }
            let name = [rng.random_range(b'a'..b'e')];
            let value = [rng.random_range(b'0'..=b'9'), rng.random_range(b'0'..=b'9')];
            let (name_hash, field_hash) = (hash(&name), hash(&value) + hash(&name));
            let newest = |wanted: &dyn Fn(Entry<'_>) -> bool| {
                (0..table.len()).find(|age| table.get(*age).is_some_and(wanted))
            };
            assert_eq!(index.find_name(&table, name_hash, &name), newest(&|entry| entry.name() == name));
            assert_eq!(
                index.find_field(&table, field_hash, &name, &value),
                newest(&|entry| entry.name() == name && entry.value() == value)
            );
            if rng.random() {
                table.insert(&name, &value, crate::facts::Facts::UNKNOWN);
                index.insert(field_hash, name_hash);
                index.trim(table.len());
            }
        }
        assert_eq!(index.links.len(), table.len());
        assert!(index.fields.len() <= 64, "2000 octets hold 57 entries: {} slots", index.fields.len());
    }
}
