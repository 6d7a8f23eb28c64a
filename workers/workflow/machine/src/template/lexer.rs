//! Words of templates and conditions.

use super::SyntaxError;

/// A reader of one text, by byte, that knows where it is.
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    /// Reads from byte `at` of the text, which must be a character's start.
    pub(super) fn new(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    /// The byte at which it is.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// An error at a byte.
    pub(super) fn error_at(&self, at: usize, reason: impl Into<String>) -> SyntaxError {
        SyntaxError { at: self.text[..at].chars().count(), reason: reason.into() }
    }

    /// An error that names what is here instead of what was expected.
    pub(super) fn expected(&self, what: &str) -> SyntaxError {
        let found = match self.rest().chars().next() {
            Some(found) => format!("'{found}'"),
            None => "the end".to_owned(),
        };
        self.error_at(self.at, format!("expected {what}, found {found}"))
    }

    /// Passes over white space.
    pub(super) fn space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// Passes over `word` if it is here.
    pub(super) fn take(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    /// A name: letters, digits, `_`, `-` and `:`. Empty if there is none.
    pub(super) fn name(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':')))
            .unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// A text in quotes, if there is one here. `\` takes the next character as it is.
    pub(super) fn quoted(&mut self) -> Result<Option<String>, SyntaxError> {
        let start = self.at;
        let Some(quote) = self.rest().chars().next().filter(|c| matches!(c, '\'' | '"')) else {
            return Ok(None);
        };
        let mut value = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((offset, character)) = characters.next() {
            match character {
                '\\' => match characters.next() {
                    Some((_, escaped)) => value.push(escaped),
                    None => break,
                },
                _ if character == quote => {
                    self.at += offset + 1;
                    return Ok(Some(value));
                }
                _ => value.push(character),
            }
        }
        Err(self.error_at(start, format!("the text that begins here has no closing {quote}")))
    }

    /// A number as JSON writes it, if there is one here.
    pub(super) fn number(&mut self) -> Result<Option<serde_json::Number>, SyntaxError> {
        let rest = self.rest();
        if !rest.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
            return Ok(None);
        }
        let end = rest
            .find(|c: char| !(c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E')))
            .unwrap_or(rest.len());
        match serde_json::from_str(&rest[..end]) {
            Ok(number) => {
                self.at += end;
                Ok(Some(number))
            }
            Err(_) => Err(self.error_at(self.at, format!("{} is no number", &rest[..end]))),
        }
    }
}
