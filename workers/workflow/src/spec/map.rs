//! The limits of metadata.

use std::collections::BTreeMap;

use super::violations::{At, Violations};

/// Entries of one map.
const MAX_ENTRIES: usize = 64;
/// Bytes of a key.
const MAX_KEY_BYTES: usize = 128;
/// Bytes of a value: what is larger belongs into `input`.
const MAX_VALUE_BYTES: usize = 4 << 10;
/// Bytes of all keys and values of one map.
const MAX_TOTAL_BYTES: usize = 256 << 10;

/// Checks metadata against their limits.
pub(super) fn check(map: &BTreeMap<String, String>, violations: &mut Violations, at: At<'_>) {
    if map.len() > MAX_ENTRIES {
        violations.add(at, format!("{} entries, at most {MAX_ENTRIES}; put data into input", map.len()));
        return;
    }
    let mut total = 0;
    for (key, value) in map {
        total += key.len() + value.len();
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            let reason = format!("a key of {} bytes; keys have 1 to {MAX_KEY_BYTES}", key.len());
            violations.add(at.key(key), reason);
        }
        if value.len() > MAX_VALUE_BYTES {
            let reason = format!("{} bytes, at most {MAX_VALUE_BYTES}; put data into input", value.len());
            violations.add(at.key(key), reason);
        }
    }
    if total > MAX_TOTAL_BYTES {
        violations.add(at, format!("{total} bytes in all, at most {MAX_TOTAL_BYTES}; put data into input"));
    }
}
