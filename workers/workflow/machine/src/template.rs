//! Templates and conditions: what a task reads of the tasks before it.
//!
//! ```text
//! text      = { anything | "{{" operand "}}" }
//! condition = and { "||" and }        and = comparison { "&&" comparison }
//! comparison = side [ ("==" | "!=" | "<" | "<=" | ">" | ">=") side ]
//! side      = "!" side | "(" condition ")" | literal | "{{" operand "}}"
//! operand   = literal | path          literal = number | 'text' | "text" | true | false | null
//! path      = "tasks" key ("result" {key} | "status")
//!           | "workflow" ("id" | "name" | "metadata" key | "input" {key})
//!           | "item" {key} | "index" | "result" {key}
//! key       = "." name | "[" number "]" | "[" 'text' "]"      name = letters, digits, "_", "-", ":"
//! ```
//!
//! A text that is one whole template keeps the type of its value; in a longer text strings go in as they are, and
//! everything else as JSON. What a path does not find is an error in a text and `null` in a condition.
//! In a condition `null`, `false`, `0` and the empty text are false. `==` compares by type and value (`5 == 5.0`, but
//! `'5' != 5`); `<` and its like take two numbers or two texts.

mod condition;
mod lexer;
mod path;
mod scope;
mod text;

pub(crate) use condition::{Condition, holds};
pub(crate) use path::{Path, Root};
pub(crate) use scope::{Scope, Unresolved};
pub(crate) use text::{references, resolve_json, resolve_list, resolve_text};

/// Where a template or a condition cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {}: {reason}", at + 1)]
pub struct SyntaxError {
    /// Characters before the place.
    pub at: usize,
    /// What is wrong there, and what is expected.
    pub reason: String,
}

/// Checks the syntax of a text with templates. Whether tasks and keys exist is not asked.
///
/// # Errors
/// The first place that cannot be read.
pub fn check_template(text: &str) -> Result<(), SyntaxError> {
    references(text).map(drop)
}

/// Checks the syntax of a `when` condition. Whether tasks and keys exist is not asked.
///
/// # Errors
/// The first place that cannot be read.
pub fn check_condition(text: &str) -> Result<(), SyntaxError> {
    Condition::parse(text).map(drop)
}
