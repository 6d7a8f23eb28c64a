//! The terminal: puts a text there again and again, in place, without taking the whole screen.

use std::io::{self, IsTerminal, Write};

use ratatui::crossterm::terminal;

use super::draw::Size;
use crate::failure::Failure;

/// Standard output as a screen: the last text is drawn over, and stays when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Screen {
    /// Lines that stand above the cursor.
    lines: usize,
}

impl Screen {
    /// Whether there is a terminal that understands being drawn on.
    pub(super) fn is_there() -> bool {
        io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
    }

    /// How large it is now; 80 by 24 if it does not say. Colours unless `NO_COLOR` is set.
    pub(super) fn size() -> Size {
        let (columns, rows) = terminal::size().unwrap_or((80, 24));
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Size { columns: columns.into(), rows: rows.into(), colour }
    }

    /// Draws over what was drawn last.
    pub(super) fn show(&mut self, lines: &[String]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(over(self.lines, lines).as_bytes())
            .and_then(|()| stdout.flush())
            .map_err(Failure::Output)?;
        self.lines = lines.len();
        Ok(())
    }
}

/// Goes to the first of the lines before, replaces each, and erases what is below: no flicker, as nothing is empty
/// meanwhile.
fn over(before: usize, lines: &[String]) -> String {
    let mut text = String::new();
    if before > 0 {
        text.push_str(&format!("\x1b[{before}A\r"));
    }
    for line in lines {
        text.push_str(line);
        text.push_str("\x1b[K\n");
    }
    text.push_str("\x1b[J");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_replaces_the_one_before() {
        let lines = ["a".to_owned(), "b".to_owned()];
        assert_eq!(over(0, &lines), "a\x1b[K\nb\x1b[K\n\x1b[J");
        assert_eq!(over(2, &lines[..1]), "\x1b[2A\ra\x1b[K\n\x1b[J");
    }
}
