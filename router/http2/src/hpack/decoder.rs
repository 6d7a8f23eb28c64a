//! Octets to header lists: the receiving end of one direction.
//!
//! A complete block goes in. Fields are decoded straight into the caller's list, so that nothing is held in between: an
//! index costs one copy, a literal is unpacked where it will stay. What a block can cost is bounded by its own length (a
//! literal yields at most 8/5 of it) and by `max_list`: a field that is referenced but no longer fits is never copied,
//! and a list of such references ends at 1 MiB.

use super::run::Run;
use super::static_table::{self, DYNAMIC_START};
use super::table::{ENTRY_OVERHEAD, Entry, Table};
use super::{DEFAULT_TABLE_SIZE, Error, huffman, integer};
use crate::{Headers, facts::Facts};

/// Octets of referenced fields that may be dropped from one list. No list is that much too large by mistake, and
/// following 12,000 references in 16 KiB costs 0.3 ms.
const DROPPED_MAX: usize = 1 << 20;

/// What came of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// The list is incomplete: its fields would have exceeded the limit. The table is right all the same, so that the
    /// stream can be refused and the connection go on.
    pub over_limit: bool,
}

/// The decoder of one direction of a connection.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    run: Run,
    /// What a size update may ask for: our SETTINGS_HEADER_TABLE_SIZE.
    limit: usize,
    /// After the limit fell below the table's size: the next block has to begin by reducing it to this or less.
    reduce_to: Option<usize>,
}

impl Decoder {
    /// Makes a decoder with an empty table of at most `max_table_size` octets, as RFC 7541 section 4.1 counts them.
    ///
    /// On a fresh connection that is [`DEFAULT_TABLE_SIZE`], until the peer acknowledges our settings. A higher limit is
    /// accepted, but like the peer the table starts at the default and grows when the peer says so. Allocates nothing.
    pub fn new(max_table_size: usize) -> Self {
        Self {
            table: Table::new(max_table_size.min(DEFAULT_TABLE_SIZE)),
            run: Run::default(),
            limit: max_table_size,
            reduce_to: None,
        }
    }

    /// Changes the limit: call it with our SETTINGS_HEADER_TABLE_SIZE when the peer has acknowledged it.
    ///
    /// If the table is larger the peer has to begin its next block with a size update (RFC 7541 section 4.2); until then
    /// the table stays as the peer knows it.
    pub fn set_max_table_size(&mut self, size: usize) {
        self.limit = size;
        if size < self.reduce_to.unwrap_or(self.table.max_size()) {
            self.reduce_to = Some(size);
        }
    }

    /// Decodes a complete block (the fragments of HEADERS and CONTINUATION joined) into `out`, which is cleared first.
    ///
    /// Fields from the first one on that makes the list larger than `max_list` (see [`Headers::list_size`]) are decoded
    /// for their effect on the table and dropped.
    ///
    /// # Errors
    /// Each ends the connection, with COMPRESSION_ERROR or, for [`Error::ListFarTooLarge`], with ENHANCE_YOUR_CALM: the
    /// decoder must not be used again. `out` is empty then.
    pub fn decode(&mut self, block: &[u8], max_list: usize, out: &mut Headers) -> Result<Decoded, Error> {
        out.clear();
        let result = self.decode_fields(block, max_list, out);
        if result.is_err() {
            out.discard();
            out.clear();
        }
        result
    }

    fn decode_fields(&mut self, block: &[u8], max_list: usize, out: &mut Headers) -> Result<Decoded, Error> {
        let mut over_limit = false;
        let mut may_drop = DROPPED_MAX;
        let start = self.decode_size_updates(block)?;
        let mut rest = start;
        // Whether all fields so far were indices, which may be the beginning of the next block as well.
        let mut leading = true;
        if let Some((fields, octets)) = self.run.find(start, self.table.changes())
            && fields.list_size() <= max_list
        {
            out.push_range(fields, 0..fields.len());
            rest = &start[octets..];
            leading = false;
        }
        loop {
            let first = rest.first().copied();
            if leading && first.is_none_or(|first| first & 0x80 == 0) {
                leading = false;
                if !over_limit {
                    let octets = &start[..start.len() - rest.len()];
                    self.run.remember(octets, out, out.len(), self.table.changes());
                }
            }
            let Some(first) = first else { break };
            if first & 0x80 != 0 {
                let (index, tail) = integer::decode(rest, 7)?;
                rest = tail;
                let entry = self.entry(index)?;
                let size = entry.joined.len() + ENTRY_OVERHEAD;
                over_limit |= out.list_size() + size > max_list;
                if over_limit {
                    may_drop = may_drop.checked_sub(size).ok_or(Error::ListFarTooLarge)?;
                } else {
                    out.push_joined(entry.joined, entry.name_len, entry.facts);
                }
                continue;
            }
            let (prefix_bits, indexed, sensitive) = match first >> 4 {
                0b0100..=0b0111 => (6, true, false),
                0b0000 => (4, false, false),
                0b0001 => (4, false, true),
                _ => return Err(Error::MisplacedSizeUpdate),
            };
            // What reaches neither the list nor the table need not be copied: two octets can name all of the table.
            let copy_name = indexed || !over_limit;
            let (name_len, tail) = self.decode_literal(rest, prefix_bits, copy_name, out.tail())?;
            rest = tail;
            let (name, value) = out.uncommitted().split_at(name_len);
            let facts = Facts::of(name, value);
            if indexed {
                self.table.insert(name, value, facts);
            }
            over_limit |= out.list_size() + ENTRY_OVERHEAD > max_list;
            if over_limit {
                out.discard();
            } else {
                out.commit(name_len, sensitive, facts);
            }
        }
        Ok(Decoded { over_limit })
    }

    /// Applies the size updates that a block may begin with. Returns the rest of the block.
    fn decode_size_updates<'a>(&mut self, block: &'a [u8]) -> Result<&'a [u8], Error> {
        let mut rest = block;
        while let Some(&first) = rest.first()
            && first & 0xe0 == 0x20
        {
            let (size, tail) = integer::decode(rest, 5)?;
            rest = tail;
            if size > self.limit {
                return Err(Error::SizeUpdateTooLarge);
            }
            self.table.set_max_size(size);
            self.reduce_to = self.reduce_to.filter(|reduce_to| size > *reduce_to);
        }
        if self.reduce_to.is_some() && !rest.is_empty() {
            return Err(Error::MissingSizeUpdate);
        }
        Ok(rest)
    }

    /// Appends the name and the value of a literal to `out`. Returns the length of the name and the rest of the block.
    /// Without `copy_name` a name that is an index is checked only.
    fn decode_literal<'a>(
        &self,
        input: &'a [u8],
        prefix_bits: u32,
        copy_name: bool,
        out: &mut Vec<u8>,
    ) -> Result<(usize, &'a [u8]), Error> {
        let start = out.len();
        let (index, mut rest) = integer::decode(input, prefix_bits)?;
        if index == 0 {
            rest = decode_string(rest, out)?;
        } else {
            let entry = self.entry(index)?;
            if copy_name {
                out.extend_from_slice(entry.name());
            }
        }
        let name_len = out.len() - start;
        Ok((name_len, decode_string(rest, out)?))
    }

    /// The entry at an index of the joined address space (RFC 7541 section 2.3.3).
    #[inline]
    fn entry(&self, index: usize) -> Result<Entry<'_>, Error> {
        let entry = match index.checked_sub(DYNAMIC_START) {
            Some(age) => self.table.get(age),
            None => static_table::get(index),
        };
        entry.ok_or(Error::InvalidIndex)
    }
}

/// Appends a string literal (RFC 7541 section 5.2) to `out`. Returns the rest of the input.
fn decode_string<'a>(input: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], Error> {
    let coded = input.first().is_some_and(|first| first & 0x80 != 0);
    let (len, rest) = integer::decode(input, 7)?;
    let (string, rest) = rest.split_at_checked(len).ok_or(Error::Truncated)?;
    if coded {
        huffman::decode(string, out)?;
    } else {
        out.extend_from_slice(string);
    }
    Ok(rest)
}
