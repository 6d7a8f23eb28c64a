//! Header lists to octets: the sending end of one direction.
//!
//! What is in a table goes out as an index. What is not goes out as a literal, Huffman-coded where that is shorter and the
//! value may repeat, and what becomes of it in the table depends on its name (see `known_names`):
//!
//! - most fields are inserted, `:path` among them: a mesh has few distinct methods. Unless the values of their name turn out
//!   not to repeat (see `repeats`);
//! - names with a new value in every call are not, lest they evict what repeats. Only the first of such a name is
//!   inserted, so that the name at least is an index from then on;
//! - secrets (`authorization`, `cookie` ...) never are, and go out as never-indexed whether or not they came that way:
//!   calls of different clients share the connection. Everything that came as never-indexed stays so;
//! - nor are fields that would take more than a quarter of the table.

use super::hash::hash;
use super::index::Index;
use super::known_names::Indexing;
use super::repeats::Repeats;
use super::run::Run;
use super::static_table::DYNAMIC_START;
use super::table::{ENTRY_OVERHEAD, Table};
use super::{DEFAULT_TABLE_SIZE, huffman, integer};
use crate::{
    Field, Headers,
    facts::{Facts, Kind},
};

/// A field may take one part in this many of the table. With larger ones few would fit, and each would evict many.
const MAX_SHARE: usize = 4;

/// The same for a field that is inserted for the sake of its name: its value is dead weight.
const MAX_NAME_SHARE: usize = 16;

/// Values that are new in every call go out uncoded up to this length: a `traceparent` has 55.
const UNCODED_MAX: usize = 64;

/// The three kinds of literals (RFC 7541 section 6.2).
#[derive(Clone, Copy)]
enum Literal {
    Inserted,
    NotIndexed,
    NeverIndexed,
}

/// The encoder of one direction of a connection.
#[derive(Debug)]
pub struct Encoder {
    table: Table,
    index: Index,
    repeats: Repeats,
    /// Two, as two kinds of clients may take turns; and which of them was found or made last.
    runs: [Run; 2],
    latest: usize,
    /// Our own cap of the table.
    cap: usize,
    /// The size to use from the next block on, and the smallest one since the last: both may have to be announced.
    next_size: usize,
    smallest_size: usize,
}

impl Encoder {
    /// Makes an encoder with an empty table of at most `max_table_size` octets, as RFC 7541 section 4.1 counts them, and no
    /// more than the peer's default of [`DEFAULT_TABLE_SIZE`]. Allocates nothing.
    pub fn new(max_table_size: usize) -> Self {
        let size = max_table_size.min(DEFAULT_TABLE_SIZE);
        Self {
            table: Table::new(DEFAULT_TABLE_SIZE),
            index: Index::default(),
            repeats: Repeats::default(),
            runs: [Run::default(), Run::default()],
            latest: 0,
            cap: max_table_size,
            next_size: size,
            smallest_size: size,
        }
    }

    /// Takes over the peer's SETTINGS_HEADER_TABLE_SIZE. The smaller of it and our own cap is used from the next block on.
    pub fn set_peer_max_table_size(&mut self, size: usize) {
        self.next_size = size.min(self.cap);
        self.smallest_size = self.smallest_size.min(self.next_size);
    }

    /// Begins a block: appends the size updates that are due (RFC 7541 section 4.2). To be called once per block.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        if self.smallest_size < self.table.max_size() && self.smallest_size < self.next_size {
            self.resize(self.smallest_size, out);
        }
        if self.next_size != self.table.max_size() {
            self.resize(self.next_size, out);
        }
        self.smallest_size = self.next_size;
    }

    fn resize(&mut self, size: usize, out: &mut Vec<u8>) {
        integer::encode(size, 5, 0x20, out);
        self.table.set_max_size(size);
        self.index.trim(self.table.len());
    }

    /// Appends one field to the block. The name has to be in lower case.
    pub fn encode(&mut self, field: Field<'_>, out: &mut Vec<u8>) {
        let facts = match field.facts.kind {
            Kind::Unknown => Facts::of_sent(field.name, field.value),
            _ => field.facts,
        };
        let static_name = usize::from(facts.static_name);
        match if field.sensitive { Indexing::Never } else { facts.indexing } {
            Indexing::Field => {
                if facts.static_field != 0 {
                    return integer::encode(usize::from(facts.static_field), 7, 0x80, out);
                }
                if let Some(age) = self.index.find_field(&self.table, facts.hash, field.name, field.value) {
                    self.repeats.hit(field.name);
                    return integer::encode(DYNAMIC_START + age, 7, 0x80, out);
                }
                if !self.repeats.is_worth_it(field.name) {
                    return self.encode_unique(static_name, field, out);
                }
                let name_index = self.name_index(static_name, field.name);
                if self.fits(field, MAX_SHARE) {
                    self.insert(name_index, field, out);
                } else {
                    literal(Literal::NotIndexed, name_index, field, out);
                }
            }
            Indexing::Name => self.encode_unique(static_name, field, out),
            Indexing::Never => {
                let name_index = self.name_index(static_name, field.name);
                literal(Literal::NeverIndexed, name_index, field, out);
            }
        }
    }

    /// Appends the fields of a list, those in one piece that the latest lists began with.
    pub fn encode_list(&mut self, list: &Headers, out: &mut Vec<u8>) {
        if list.is_empty() {
            return;
        }
        let changes = self.table.changes();
        for at in [self.latest, 1 - self.latest] {
            if let Some((octets, fields)) = self.runs[at].find_octets(list, changes) {
                out.extend_from_slice(octets);
                self.latest = at;
                list.iter_from(fields).for_each(|field| self.encode(field, out));
                return;
            }
        }
        let start = out.len();
        let (mut fields, mut end) = (0, start);
        for (at, field) in list.iter().enumerate() {
            let before = out.len();
            self.encode(field, out);
            // An index, as all before it.
            if fields == at && out[before] & 0x80 != 0 {
                (fields, end) = (at + 1, out.len());
            }
        }
        self.latest = 1 - self.latest;
        self.runs[self.latest].remember(&out[start..end], list, fields, self.table.changes());
    }

    /// Appends a field whose value is new. It is inserted only for the sake of its name.
    fn encode_unique(&mut self, static_name: usize, field: Field<'_>, out: &mut Vec<u8>) {
        let name_index = self.name_index(static_name, field.name);
        if name_index == 0 && self.fits(field, MAX_NAME_SHARE) {
            self.insert(name_index, field, out);
        } else {
            unique(name_index, field, out);
        }
    }

    /// The index of an entry with this name, 0 = none.
    fn name_index(&self, static_name: usize, name: &[u8]) -> usize {
        if static_name != 0 {
            return static_name;
        }
        self.index.find_name(&self.table, hash(name, 0), name).map_or(0, |age| DYNAMIC_START + age)
    }

    fn fits(&self, field: Field<'_>, share: usize) -> bool {
        field.name.len() + field.value.len() + ENTRY_OVERHEAD <= self.table.max_size() / share
    }

    fn insert(&mut self, name_index: usize, field: Field<'_>, out: &mut Vec<u8>) {
        literal(Literal::Inserted, name_index, field, out);
        let name_hash = hash(field.name, 0);
        // It fits, so that it is in now.
        self.table.insert(field.name, field.value, Facts::UNKNOWN);
        self.index.insert(hash(field.value, name_hash), name_hash);
        self.index.trim(self.table.len());
    }
}

/// A literal whose value is new in every call. A short one goes out as it is: coding it would save a quarter of some thirty
/// octets, and cost both ends more than all the rest of the block.
fn unique(name_index: usize, field: Field<'_>, out: &mut Vec<u8>) {
    if field.value.len() > UNCODED_MAX {
        return literal(Literal::NotIndexed, name_index, field, out);
    }
    integer::encode(name_index, 4, 0x00, out);
    if name_index == 0 {
        string(field.name, out);
    }
    integer::encode(field.value.len(), 7, 0, out);
    out.extend_from_slice(field.value);
}

fn literal(kind: Literal, name_index: usize, field: Field<'_>, out: &mut Vec<u8>) {
    match kind {
        Literal::Inserted => integer::encode(name_index, 6, 0x40, out),
        Literal::NotIndexed => integer::encode(name_index, 4, 0x00, out),
        Literal::NeverIndexed => integer::encode(name_index, 4, 0x10, out),
    }
    if name_index == 0 {
        string(field.name, out);
    }
    string(field.value, out);
}

/// Appends a string literal (RFC 7541 section 5.2).
fn string(octets: &[u8], out: &mut Vec<u8>) {
    let coded_len = huffman::encoded_len(octets);
    if coded_len < octets.len() {
        integer::encode(coded_len, 7, 0x80, out);
        huffman::encode(octets, out);
    } else {
        integer::encode(octets.len(), 7, 0, out);
        out.extend_from_slice(octets);
    }
}
