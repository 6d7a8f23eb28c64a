//! What is wrong with a request, collected.

use workflow_machine::{Invalid, MAX_VIOLATIONS, Violation};

/// Collects violations up to [`MAX_VIOLATIONS`].
#[derive(Debug, Default)]
pub(super) struct Violations(Vec<Violation>);

impl Violations {
    /// Adds one. `reason` says what is wrong and what to do.
    pub(super) fn add(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        if self.0.len() < MAX_VIOLATIONS {
            self.0.push(Violation { field: field.into(), reason: reason.into() });
        }
    }

    /// Adds what somebody else found, but for fields of which something was said already.
    pub(super) fn merge(&mut self, other: Invalid) {
        for violation in other.violations {
            if !self.0.iter().any(|known| same(&known.field, &violation.field)) {
                self.add(violation.field, violation.reason);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_invalid(self) -> Invalid {
        Invalid { violations: self.0 }
    }
}

/// Whether one of two paths is the other or a part of it.
fn same(one: &str, other: &str) -> bool {
    let (short, long) = if one.len() < other.len() { (one, other) } else { (other, one) };
    long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The path of an entry: `metadata["key"]`, long keys cut.
pub(super) fn key(map: &str, key: &str) -> String {
    /// Of a key that errors repeat.
    const MAX_SHOWN_CHARS: usize = 64;
    match key.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("{map}[{:?}…]", &key[..end]),
        None => format!("{map}[{key:?}]"),
    }
}

/// A value as errors repeat it: quoted, and cut.
pub(super) fn shown(text: &str) -> String {
    const MAX_SHOWN_CHARS: usize = 40;
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
