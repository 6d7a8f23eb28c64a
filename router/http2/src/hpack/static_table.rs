//! The static table (RFC 7541 appendix A).

use super::table::Entry;
use crate::facts::Facts;
use std::sync::LazyLock;

/// The index of the first entry of the dynamic table: the static ones come before.
pub(super) const DYNAMIC_START: usize = ENTRIES.len() + 1;

/// What is known of each entry, by its place in [`ENTRIES`].
static FACTS: LazyLock<[Facts; ENTRIES.len()]> =
    LazyLock::new(|| ENTRIES.each_ref().map(|entry| Facts::of(entry.name(), entry.value())));

/// The entry at an index, with its facts.
pub(super) fn get(index: usize) -> Option<Entry<'static>> {
    let at = index.checked_sub(1)?;
    let entry = *ENTRIES.get(at)?;
    Some(Entry { facts: FACTS[at], ..entry })
}

/// The index of the entry with this name and value; `first` is the first one with the name, 0 = none.
pub(crate) fn find(first: usize, name: &[u8], value: &[u8]) -> usize {
    let Some(entries) = first.checked_sub(1).and_then(|at| ENTRIES.get(at..)) else { return 0 };
    let same_name = entries.iter().take_while(|entry| entry.name() == name);
    same_name.map(|entry| entry.value()).position(|of_entry| of_entry == value).map_or(0, |at| first + at)
}

macro_rules! entries {
    ($($name:literal $value:literal,)*) => {
        [$(Entry { joined: concat!($name, $value).as_bytes(), name_len: $name.len(), facts: Facts::UNKNOWN },)*]
    };
}

/// The entries; the one at 0 has index 1. Those of one name stand next to each other.
pub(super) static ENTRIES: [Entry<'static>; 61] = entries![
    ":authority" "",
    ":method" "GET",
    ":method" "POST",
    ":path" "/",
    ":path" "/index.html",
    ":scheme" "http",
    ":scheme" "https",
    ":status" "200",
    ":status" "204",
    ":status" "206",
    ":status" "304",
    ":status" "400",
    ":status" "404",
    ":status" "500",
    "accept-charset" "",
    "accept-encoding" "gzip, deflate",
    "accept-language" "",
    "accept-ranges" "",
    "accept" "",
    "access-control-allow-origin" "",
    "age" "",
    "allow" "",
    "authorization" "",
    "cache-control" "",
    "content-disposition" "",
    "content-encoding" "",
    "content-language" "",
    "content-length" "",
    "content-location" "",
    "content-range" "",
    "content-type" "",
    "cookie" "",
    "date" "",
    "etag" "",
    "expect" "",
    "expires" "",
    "from" "",
    "host" "",
    "if-match" "",
    "if-modified-since" "",
    "if-none-match" "",
    "if-range" "",
    "if-unmodified-since" "",
    "last-modified" "",
    "link" "",
    "location" "",
    "max-forwards" "",
    "proxy-authenticate" "",
    "proxy-authorization" "",
    "range" "",
    "referer" "",
    "refresh" "",
    "retry-after" "",
    "server" "",
    "set-cookie" "",
    "strict-transport-security" "",
    "transfer-encoding" "",
    "user-agent" "",
    "vary" "",
    "via" "",
    "www-authenticate" "",
];
