//! Where things lie: the keyspaces, and the keys in them.
//!
//! Numbers in keys are big-endian, so that bytes sort like numbers. An ID ends where a zero byte follows, which no ID has.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | live | id | summary |
//! | ended | created, id | summary |
//! | pointers | id of an ended workflow | created |
//! | index | term, created, id | status, detail, saga, length of the term |
//! | events | id 0 seq | the events of a commit from that one on, see `runs` |
//! | logs | id 0 seq | line |
//! | blobs | id 0 name-length name chunk | chunk 0: total length; from 1: up to 256 KiB each |
//! | idempotency | scope-length scope key | hash, expiry, response |
//! | expiry | expiry, key of the record | nothing |
//! | misc | `n` | counters and version |
//! | misc | `o` owner | counters of that owner, while it has workflows |
//! | misc | `c` schedule | specification |
//! | misc | `f` schedule-length schedule time | mark |
//! | misc | `s` name | setting |

use crate::{Cursor, Millis, Status, Summary, WorkflowId};

/// A keyspace: a sorted map of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(super) enum Keyspace {
    Live,
    Ended,
    Pointers,
    Index,
    Events,
    Idempotency,
    Expiry,
    Logs,
    Blobs,
    Misc,
}

impl Keyspace {
    pub(super) const ALL: [Self; 10] = [
        Self::Live,
        Self::Ended,
        Self::Pointers,
        Self::Index,
        Self::Events,
        Self::Idempotency,
        Self::Expiry,
        Self::Logs,
        Self::Blobs,
        Self::Misc,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Ended => "ended",
            Self::Pointers => "pointers",
            Self::Index => "index",
            Self::Events => "events",
            Self::Idempotency => "idempotency",
            Self::Expiry => "expiry",
            Self::Logs => "logs",
            Self::Blobs => "blobs",
            Self::Misc => "misc",
        }
    }
}

/// What the database takes as a key.
pub(super) const MAX_KEY_BYTES: usize = u16::MAX as usize;

/// Longer names and values are found by how they begin, so that two of them and the rest fit into a key. Nobody has such names.
const MAX_PART_BYTES: usize = 16 << 10;

/// The key of the counters in `misc`.
pub(super) const COUNTERS: &[u8] = b"n";

/// Where `cursor` stands in a list: created, then ID.
pub(super) fn place(cursor: &Cursor) -> Vec<u8> {
    [&cursor.created_ms.to_be_bytes()[..], cursor.id.as_bytes()].concat()
}

/// Reads what [`place`] wrote.
pub(super) fn read_place(place: &[u8]) -> Option<Cursor> {
    let (created, id) = place.split_first_chunk()?;
    let id = WorkflowId::new(std::str::from_utf8(id).ok()?).ok()?;
    Some(Cursor { created_ms: u64::from_be_bytes(*created), id })
}

/// What begins the keys of everything that `id` has in `events`, `logs` and `blobs`.
pub(super) fn of_workflow(id: &WorkflowId) -> Vec<u8> {
    [id.as_bytes(), &[0]].concat()
}

/// The key of an event or a log line.
pub(super) fn numbered(id: &WorkflowId, seq: u64) -> Vec<u8> {
    [id.as_bytes(), &[0], &seq.to_be_bytes()].concat()
}

/// What begins the keys of a blob's chunks.
pub(super) fn blob(id: &WorkflowId, name: &str) -> Vec<u8> {
    let mut key = of_workflow(id);
    prefixed(&mut key, name.as_bytes());
    key
}

/// The key of one chunk of a blob.
pub(super) fn chunk(id: &WorkflowId, name: &str, number: u32) -> Vec<u8> {
    let mut key = blob(id, name);
    key.extend(number.to_be_bytes());
    key
}

/// The key of an idempotency record.
pub(super) fn idempotency(scope: &[u8], key: &str) -> Vec<u8> {
    let mut found = Vec::with_capacity(2 + scope.len() + key.len());
    prefixed(&mut found, scope);
    found.extend(key.as_bytes());
    found
}

/// The key of an idempotency record's expiry.
pub(super) fn expiry(expires_ms: Millis, record: &[u8]) -> Vec<u8> {
    [&expires_ms.to_be_bytes()[..], record].concat()
}

/// Whether an owner has counters of its own: nobody has none, and names that are found by how they begin would share them.
pub(super) fn has_counters(owner: &str) -> bool {
    (1..=MAX_PART_BYTES).contains(&owner.len())
}

/// The key of an owner's counters.
pub(super) fn counters_of(owner: &str) -> Vec<u8> {
    [b"o", owner.as_bytes()].concat()
}

/// The key of a schedule.
pub(super) fn schedule(id: &str) -> Vec<u8> {
    [b"c", id.as_bytes()].concat()
}

/// What begins the keys of a schedule's marks.
pub(super) fn marks(schedule: &str) -> Vec<u8> {
    let mut key = vec![b'f'];
    prefixed(&mut key, schedule.as_bytes());
    key
}

/// The key of one mark.
pub(super) fn mark(schedule: &str, at_ms: Millis) -> Vec<u8> {
    let mut key = marks(schedule);
    key.extend(at_ms.to_be_bytes());
    key
}

/// The key of a setting.
pub(super) fn setting(name: &str) -> Vec<u8> {
    [b"s", name.as_bytes()].concat()
}

/// The number at a key's end.
pub(super) fn last_number(key: &[u8]) -> u64 {
    key.last_chunk().map_or(0, |number| u64::from_be_bytes(*number))
}

/// The terms that an ended workflow is found by.
pub(super) fn terms(summary: &Summary) -> Vec<Vec<u8>> {
    let mut terms = vec![status_term(summary.status), name_term(&summary.name)];
    if !summary.owner.is_empty() {
        terms.push(owner_term(&summary.owner));
    }
    if let Some(parent) = &summary.parent {
        terms.push(parent_term(&parent.workflow));
    }
    if summary.saga {
        terms.push(saga_term());
    }
    terms.extend(summary.attributes.iter().map(|(name, value)| attribute_term(name, value)));
    terms
}

pub(super) fn status_term(status: Status) -> Vec<u8> {
    vec![b'S', status as u8]
}

/// Not length-prefixed as the others are: names are looked up by how they begin.
pub(super) fn name_term(name: &str) -> Vec<u8> {
    let name = &name.as_bytes()[..name.len().min(MAX_PART_BYTES)];
    [b"N", name, &[0]].concat()
}

/// What begins the terms of names that begin with `prefix`.
pub(super) fn name_prefix(prefix: &str) -> Vec<u8> {
    [b"N", prefix.as_bytes()].concat()
}

pub(super) fn owner_term(owner: &str) -> Vec<u8> {
    let mut term = vec![b'O'];
    prefixed(&mut term, owner.as_bytes());
    term
}

pub(super) fn parent_term(parent: &WorkflowId) -> Vec<u8> {
    let mut term = vec![b'P'];
    prefixed(&mut term, parent.as_bytes());
    term
}

pub(super) fn saga_term() -> Vec<u8> {
    vec![b'G']
}

pub(super) fn attribute_term(name: &str, value: &str) -> Vec<u8> {
    let mut term = vec![b'A'];
    prefixed(&mut term, name.as_bytes());
    prefixed(&mut term, value.as_bytes());
    term
}

/// Appends `bytes` behind their length.
fn prefixed(key: &mut Vec<u8>, bytes: &[u8]) {
    let length = bytes.len().min(MAX_PART_BYTES);
    key.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
    key.extend(&bytes[..length]);
}

/// The first key behind all that begin with `prefix`.
pub(super) fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}
