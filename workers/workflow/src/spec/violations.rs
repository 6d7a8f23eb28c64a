//! What is wrong with a request, collected.

use std::fmt;

use workflow_machine::{Invalid, MAX_VIOLATIONS, Violation};

/// Of a key that errors repeat.
const MAX_SHOWN_KEY_CHARS: usize = 64;

/// Collects violations up to [`MAX_VIOLATIONS`].
#[derive(Debug, Default)]
pub(super) struct Violations(Vec<Violation>);

impl Violations {
    /// Adds one. `reason` says what is wrong and what to do.
    pub(super) fn add(&mut self, field: impl fmt::Display, reason: impl Into<String>) {
        if self.0.len() < MAX_VIOLATIONS {
            self.0.push(Violation { field: field.to_string(), reason: reason.into() });
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

/// Where a field stands: written only if something is wrong with it, for most requests have nothing wrong.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Request,
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> At<'a> {
    /// The request itself.
    pub(super) const REQUEST: Self = Self { parent: None, step: Step::Request };

    /// A field of this message.
    pub(super) fn field(&'a self, name: &'a str) -> Self {
        Self { parent: Some(self), step: Step::Field(name) }
    }

    /// An element of this list.
    pub(super) fn index(&'a self, index: usize) -> Self {
        Self { parent: Some(self), step: Step::Index(index) }
    }

    /// An entry of this map: `metadata["key"]`, long keys cut.
    pub(super) fn key(&'a self, key: &'a str) -> Self {
        Self { parent: Some(self), step: Step::Key(key) }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Request => Ok(()),
            Step::Field(name) => {
                let first = self.parent.is_none_or(|parent| matches!(parent.step, Step::Request));
                write!(f, "{}{name}", if first { "" } else { "." })
            }
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) => match key.char_indices().nth(MAX_SHOWN_KEY_CHARS) {
                Some((end, _)) => write!(f, "[{:?}…]", &key[..end]),
                None => write!(f, "[{key:?}]"),
            },
        }
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
