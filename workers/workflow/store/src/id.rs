//! The name of a workflow: chosen by the caller, or a UUID of version 7 in its text form.

use std::{fmt, sync::Arc};

use thiserror::Error;

/// The longest workflow ID, in bytes. A UUID takes 36; the rest is for people who choose their own.
pub const MAX_ID_BYTES: usize = 128;

/// A workflow's ID: 1 to [`MAX_ID_BYTES`] bytes of visible ASCII. Cheap to clone; ordered by its bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkflowId(Arc<str>);

/// Says why a text is not a workflow ID.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidId {
    /// It has no bytes, or too many.
    #[error("a workflow ID has 1 to {MAX_ID_BYTES} bytes, not {0}")]
    Length(usize),
    /// It has a space, a control character or something beyond ASCII.
    #[error("a workflow ID has visible ASCII characters only, and byte {0} is none")]
    Character(usize),
}

impl WorkflowId {
    /// Takes an ID from its text.
    ///
    /// # Errors
    /// [`InvalidId`] if the text is too long, empty, or has other than visible ASCII characters.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        if text.is_empty() || text.len() > MAX_ID_BYTES {
            return Err(InvalidId::Length(text.len()));
        }
        match text.bytes().position(|byte| !byte.is_ascii_graphic()) {
            Some(at) => Err(InvalidId::Character(at)),
            None => Ok(Self(text.into())),
        }
    }

    /// The ID's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ID's bytes, none of which is zero.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for WorkflowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0)
    }
}

impl fmt::Display for WorkflowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for WorkflowId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_visible_ascii_of_bounded_length() {
        assert!(WorkflowId::new("0199-abc.D:7/x").is_ok());
        assert!(WorkflowId::new(&"a".repeat(MAX_ID_BYTES)).is_ok());
        assert_eq!(WorkflowId::new(""), Err(InvalidId::Length(0)));
        assert_eq!(WorkflowId::new(&"a".repeat(129)), Err(InvalidId::Length(129)));
        assert_eq!(WorkflowId::new("a b"), Err(InvalidId::Character(1)));
        assert_eq!(WorkflowId::new("ab\0"), Err(InvalidId::Character(2)));
        assert_eq!(WorkflowId::new("é"), Err(InvalidId::Character(0)));
    }
}
