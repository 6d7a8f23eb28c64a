//! What the octets of a field say: which rule of RFC 9113 it keeps or breaks, and how it is encoded.
//!
//! A field that repeats is sent as an index of a table. Its facts are worked out when it enters the table and stay with it
//! there, so that a header block of indices is neither checked nor hashed octet by octet.

use crate::hpack::known_names::{self, Indexing};
use crate::hpack::{hash::hash, static_table};

/// What a field is among those of a message (RFC 9113 sections 8.2 and 8.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It was not looked at.
    #[default]
    Unknown,
    Method,
    Scheme,
    Path,
    Authority,
    Status,
    /// A pseudo-header field that no message has.
    NoSuchPseudo,
    Regular,
    ContentLength,
    /// Connection-specific: HTTP/2 has none of these.
    ConnectionSpecific,
    /// `te` with another value than `trailers`.
    BadTe,
    BadName,
    BadValue,
    /// The value begins or ends with a blank.
    Blank,
}

impl Kind {
    /// Whether it is a pseudo-header field, of a message or of none.
    #[inline]
    pub(crate) fn is_pseudo(self) -> bool {
        matches!(
            self,
            Kind::Method | Kind::Scheme | Kind::Path | Kind::Authority | Kind::Status | Kind::NoSuchPseudo
        )
    }
}

/// The facts of one field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) kind: Kind,
    pub(crate) indexing: Indexing,
    /// Index of the first entry of the static table with its name, and of the entry that is the same field; 0 = none.
    pub(crate) static_name: u8,
    pub(crate) static_field: u8,
    /// The encoder's hash of name and value. Not set where nothing is looked up by it.
    pub(crate) hash: u64,
}

impl Facts {
    /// Nothing is known yet.
    pub(crate) const UNKNOWN: Facts =
        Facts { kind: Kind::Unknown, indexing: Indexing::Field, static_name: 0, static_field: 0, hash: 0 };

    /// Works out the facts of a field.
    pub(crate) fn of(name: &[u8], value: &[u8]) -> Self {
        let mut facts = Facts::of_sent(name, value);
        facts.kind = kind(name, value);
        facts
    }

    /// The same of a field that the caller made: how it is encoded, and no more.
    pub(crate) fn of_sent(name: &[u8], value: &[u8]) -> Self {
        let name_hash = hash(name, 0);
        let (static_name, indexing) = match known_names::find(name_hash, name) {
            Some(known) => (known.static_index, known.indexing),
            None => (0, Indexing::Field),
        };
        let (static_field, hash) = match indexing {
            Indexing::Field => (static_table::find(static_name, name, value), hash(value, name_hash)),
            _ => (0, 0),
        };
        // The static table has 61 entries.
        Facts {
            kind: Kind::Unknown,
            indexing,
            static_name: static_name as u8,
            static_field: static_field as u8,
            hash,
        }
    }
}

fn kind(name: &[u8], value: &[u8]) -> Kind {
    if let Err(kind) = check_value(value) {
        // gRPC libraries send a status message's outer blanks as they are: the call must not lose its status to them.
        if kind != Kind::Blank || name != b"grpc-message" {
            return kind;
        }
    }
    if name.first() == Some(&b':') {
        return match name {
            b":method" => Kind::Method,
            b":scheme" => Kind::Scheme,
            b":path" => Kind::Path,
            b":authority" => Kind::Authority,
            b":status" => Kind::Status,
            _ => Kind::NoSuchPseudo,
        };
    }
    match name {
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
            Kind::ConnectionSpecific
        }
        b"te" if !value.eq_ignore_ascii_case(b"trailers") => Kind::BadTe,
        b"content-length" => Kind::ContentLength,
        _ if is_name(name) => Kind::Regular,
        _ => Kind::BadName,
    }
}

/// RFC 9113 section 8.2.1. Without early exit, so that the loop runs on whole vectors.
fn is_name(name: &[u8]) -> bool {
    let bad = name
        .iter()
        .fold(false, |bad, b| bad | (*b <= 0x20) | b.is_ascii_uppercase() | (*b >= 0x7f) | (*b == b':'));
    !bad && !name.is_empty()
}

/// RFC 9113 section 8.2.1.
fn check_value(value: &[u8]) -> Result<(), Kind> {
    let blank = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
    if value.iter().fold(false, |bad, b| bad | (*b == 0) | (*b == b'\r') | (*b == b'\n')) {
        return Err(Kind::BadValue);
    }
    if blank(value.first()) || blank(value.last()) { Err(Kind::Blank) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_its_kind() {
        for (name, value, expected) in [
            (":method", "POST", Kind::Method),
            (":path", "", Kind::Path),
            (":path", " /", Kind::Blank),
            (":status", "2\n0", Kind::BadValue),
            (":other", "x", Kind::NoSuchPseudo),
            ("te", "Trailers", Kind::Regular),
            ("te", "gzip", Kind::BadTe),
            ("content-length", "x", Kind::ContentLength),
            ("upgrade", "h2c", Kind::ConnectionSpecific),
            ("X-Upper", "1", Kind::BadName),
            ("a b", "1", Kind::BadName),
            ("a:b", "1", Kind::BadName),
            ("", "1", Kind::BadName),
            ("x", "1\t", Kind::Blank),
            ("grpc-message", " as it is ", Kind::Regular),
            ("grpc-message", " a\r ", Kind::BadValue),
        ] {
            assert_eq!(Facts::of(name.as_bytes(), value.as_bytes()).kind, expected, "{name}: {value:?}");
        }
    }

    #[test]
    fn entries_of_the_static_table_are_found() {
        let facts = |name: &[u8], value: &[u8]| {
            let facts = Facts::of(name, value);
            (facts.static_name, facts.static_field, facts.indexing)
        };
        assert_eq!(facts(b":method", b"POST"), (2, 3, Indexing::Field));
        assert_eq!(facts(b":method", b"PUT"), (2, 0, Indexing::Field));
        assert_eq!(facts(b"authorization", b""), (23, 0, Indexing::Never));
        assert_eq!(facts(b"x-request-id", b"1"), (0, 0, Indexing::Name));
    }
}
