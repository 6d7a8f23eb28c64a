//! What is wrong with a file, for people.

use std::fmt;

use crate::Place;

/// Problems that are listed: enough to work with, and a bound for files that are something else.
pub const MAX_PROBLEMS: usize = 100;

/// A file that is no workflow. Its text has one line per problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Invalid {
    /// The file's name, as it was given.
    pub file: String,
    /// At least one, at most [`MAX_PROBLEMS`], in the order of the file.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the key, `tasks[2].timeout`; empty for the file as a whole.
    pub field: String,
    /// Where it stands.
    pub place: Place,
    /// What is wrong and what to do.
    pub message: String,
}

impl Invalid {
    pub(crate) fn of(file: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| (problem.place.line, problem.place.column));
        problems.truncate(MAX_PROBLEMS);
        Self { file: file.to_owned(), problems }
    }

    pub(crate) fn one(file: &str, field: &str, place: Place, message: impl Into<String>) -> Self {
        Self::of(file, vec![Problem { field: field.to_owned(), place, message: message.into() }])
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { field, place, message }) in self.problems.iter().enumerate() {
            let (newline, colon) =
                (if index == 0 { "" } else { "\n" }, if field.is_empty() { "" } else { ": " });
            write!(f, "{newline}{field}{colon}{message} ({}:{}:{})", self.file, place.line, place.column)?;
        }
        Ok(())
    }
}
