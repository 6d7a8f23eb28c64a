//! The names that the encoder knows beforehand: those of the static table, and those with values that repeat never or
//! must not be shared. One look-up tells both.

use super::hash::hash;
use super::static_table::ENTRIES;

/// What the encoder does with a field that is in no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Indexing {
    /// Inserts it, so that the next one is an index: for values that repeat from call to call.
    Field,
    /// Sends it as a literal: for values that are new in every call and would evict all others.
    Name,
    /// Sends it as a never-indexed literal: for secrets. All clients' calls to an endpoint share one upstream connection
    /// and thereby one table; whoever sees sizes could otherwise guess another client's values (RFC 7541 section 7.1).
    Never,
}

/// Names whose values are as good as unique.
const UNIQUE: [&str; 21] = [
    "age",
    "baggage",
    "content-length",
    "content-range",
    "date",
    "etag",
    "expires",
    "grpc-message",
    "grpc-status-details-bin",
    "grpc-tags-bin",
    "grpc-timeout",
    "grpc-trace-bin",
    "if-modified-since",
    "if-none-match",
    "last-modified",
    "location",
    "retry-after",
    "set-cookie",
    "traceparent",
    "tracestate",
    "x-request-id",
];

/// Names whose values are secrets.
const SECRET: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-api-key"];

/// What is known of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    name: &'static [u8],
    /// Index of the first entry of the static table with this name; 0 = none.
    pub(crate) static_index: usize,
    pub(crate) indexing: Indexing,
}

/// Slots of the hash table: about a quarter is in use.
const SLOTS: usize = 256;

static KNOWN: [Option<Known>; SLOTS] = known();

/// Finds a name by its hash.
#[inline]
pub(crate) fn find(name_hash: u64, name: &[u8]) -> Option<&'static Known> {
    let mut slot = name_hash as usize % SLOTS;
    while let Some(known) = &KNOWN[slot] {
        if known.name == name {
            return Some(known);
        }
        slot = (slot + 1) % SLOTS;
    }
    None
}

const fn known() -> [Option<Known>; SLOTS] {
    let mut table = [None; SLOTS];
    let mut index = ENTRIES.len();
    // Backwards, so that of the entries of one name the first has the last word.
    while index > 0 {
        let entry = &ENTRIES[index - 1];
        insert(&mut table, entry.joined.split_at(entry.name_len).0, index);
        index -= 1;
    }
    let mut at = 0;
    while at < UNIQUE.len() {
        insert(&mut table, UNIQUE[at].as_bytes(), 0);
        at += 1;
    }
    at = 0;
    while at < SECRET.len() {
        insert(&mut table, SECRET[at].as_bytes(), 0);
        at += 1;
    }
    table
}

const fn insert(table: &mut [Option<Known>; SLOTS], name: &'static [u8], static_index: usize) {
    let mut slot = hash(name, 0) as usize % SLOTS;
    while let Some(known) = &mut table[slot] {
        if equal(known.name, name) {
            if static_index != 0 {
                known.static_index = static_index;
            }
            return;
        }
        slot = (slot + 1) % SLOTS;
    }
    let indexing = if contains(&UNIQUE, name) {
        Indexing::Name
    } else if contains(&SECRET, name) {
        Indexing::Never
    } else {
        Indexing::Field
    };
    table[slot] = Some(Known { name, static_index, indexing });
}

const fn contains(names: &[&str], name: &[u8]) -> bool {
    let mut at = 0;
    while at < names.len() {
        if equal(names[at].as_bytes(), name) {
            return true;
        }
        at += 1;
    }
    false
}

const fn equal(left: &[u8], right: &[u8]) -> bool {
    let mut at = 0;
    while at < left.len() && at < right.len() && left[at] == right[at] {
        at += 1;
    }
    at == left.len() && at == right.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str) -> Option<(usize, Indexing)> {
        find(hash(name.as_bytes(), 0), name.as_bytes()).map(|known| (known.static_index, known.indexing))
    }

    #[test]
    fn every_static_name_is_found_with_its_first_index() {
        for entry in &ENTRIES {
            let first = 1 + ENTRIES.iter().position(|other| other.name() == entry.name()).unwrap();
            let name = std::str::from_utf8(entry.name()).unwrap();
            assert_eq!(found(name).map(|(index, _)| index), Some(first), "{name}");
        }
    }

    #[test]
    fn names_carry_their_rule_whether_static_or_not() {
        assert_eq!(found(":path"), Some((4, Indexing::Field)));
        assert_eq!(found("content-length"), Some((28, Indexing::Name)));
        assert_eq!(found("traceparent"), Some((0, Indexing::Name)));
        assert_eq!(found("authorization"), Some((23, Indexing::Never)));
        assert_eq!(found("x-api-key"), Some((0, Indexing::Never)));
        for name in UNIQUE {
            assert_eq!(found(name).map(|(_, indexing)| indexing), Some(Indexing::Name), "{name}");
        }
        for name in SECRET {
            assert_eq!(found(name).map(|(_, indexing)| indexing), Some(Indexing::Never), "{name}");
        }
    }

    #[test]
    fn other_names_are_not_found() {
        for name in ["", "x-tenant", "te", "grpc-status", ":Path"] {
            assert_eq!(found(name), None, "{name}");
        }
    }
}
