//! Standard output: results, whole or chunk by chunk. What is said about them does not go here.

use std::io::Write;

use crate::failure::Failure;

/// Prints a text at once, so that a stream is seen as it comes, and ends its last line unless it is empty.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    write!(stdout, "{text}{newline}").and_then(|()| stdout.flush()).map_err(Failure::Output)
}

/// Prints one JSON value, indented.
pub(crate) fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(&format!("{value:#}"))
}
