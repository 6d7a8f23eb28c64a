//! The fields that the blocks of a connection begin with, while they are indices and stay the same: a warm gRPC request is
//! nothing else, or begins so. They are read and written in one piece.

use crate::Headers;

/// Fewer fields than that are decoded as soon as they are found here.
const MIN_FIELDS: usize = 4;
/// Longer ones are not remembered: fields of one octet each, which is what repeats.
const MAX_OCTETS: usize = 48;
/// Nor are lists with more octets of names and values.
const MAX_LIST: usize = 2_048;

/// The latest such fields.
#[derive(Debug, Default)]
pub(super) struct Run {
    octets: Vec<u8>,
    fields: Headers,
    /// The table as it was, by the count of its changes.
    changes: u64,
    /// Changes before the latest block: a table that changes with every block is not worth it.
    seen: u64,
}

impl Run {
    /// The fields that the block begins with, and the octets that they took; `None` if they are others.
    #[inline]
    pub(super) fn find(&self, block: &[u8], changes: u64) -> Option<(&Headers, usize)> {
        let same = self.changes == changes && !self.octets.is_empty() && block.starts_with(&self.octets);
        same.then_some((&self.fields, self.octets.len()))
    }

    /// The octets for the fields that the list begins with, and the number of these fields.
    #[inline]
    pub(super) fn find_octets(&self, list: &Headers, changes: u64) -> Option<(&[u8], usize)> {
        let same = self.changes == changes && !self.octets.is_empty() && self.fields.is_prefix_of(list);
        same.then_some((&self.octets[..], self.fields.len()))
    }

    /// Remembers that a block began with these octets, all indices, which stand for the fields at the beginning of `list`.
    pub(super) fn remember(&mut self, octets: &[u8], list: &Headers, fields: usize, changes: u64) {
        if std::mem::replace(&mut self.seen, changes) != changes
            || fields < MIN_FIELDS
            || octets.len() > MAX_OCTETS
            || list.list_size() > MAX_LIST
        {
            return;
        }
        self.changes = changes;
        self.octets.clear();
        self.octets.extend_from_slice(octets);
        self.fields.clear();
        self.fields.push_range(list, 0..fields);
    }
}
