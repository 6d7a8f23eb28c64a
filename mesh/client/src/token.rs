//! The token that calls carry: given, or kept in a file that is read anew when it changes.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tonic::metadata::AsciiMetadataValue;

use crate::Error;

/// What routers take of a token at most.
const MAX_BYTES: u64 = 8 << 10;
/// Between two looks at the file: tokens live for minutes, and a call should not read one each.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);

/// A token (a static one or a JWT), sent with every call as `authorization: Bearer <token>`. Nothing prints it.
#[derive(Clone)]
pub struct Token(Arc<Source>);

enum Source {
    Fixed(AsciiMetadataValue),
    File { path: PathBuf, state: Mutex<State> },
}

struct State {
    header: AsciiMetadataValue,
    looked: Instant,
}

impl Token {
    /// Takes a token as it is.
    ///
    /// # Errors
    /// [`Error::Token`] if it is empty, too long, or holds what no header can carry.
    pub fn new(token: &str) -> Result<Self, Error> {
        let header = header(token).map_err(|problem| Error::Token { origin: "given".to_owned(), problem })?;
        Ok(Self(Arc::new(Source::Fixed(header))))
    }

    /// Takes a token from a file, and again whenever the file changes. Space and line breaks around it do not count.
    ///
    /// # Errors
    /// [`Error::Token`] if the file cannot be read now, or holds no token.
    pub fn file(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let header = read(&path)
            .map_err(|problem| Error::Token { origin: format!("of {}", path.display()), problem })?;
        let state = Mutex::new(State { header, looked: Instant::now() });
        Ok(Self(Arc::new(Source::File { path, state })))
    }

    /// The header's value for a call that begins now. Reads the file at most every three seconds; what cannot be read
    /// leaves the former token in force.
    pub(crate) fn header(&self) -> AsciiMetadataValue {
        let (path, state) = match &*self.0 {
            Source::Fixed(header) => return header.clone(),
            Source::File { path, state } => (path, state),
        };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= LOOK_INTERVAL {
            state.looked = Instant::now();
            match read(path) {
                Ok(header) => state.header = header,
                Err(problem) => {
                    tracing::warn!(path = %path.display(), problem, "the former token goes on being sent");
                }
            }
        }
        state.header.clone()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Source::Fixed(_) => f.write_str("Token(***)"),
            Source::File { path, .. } => write!(f, "Token(*** of {})", path.display()),
        }
    }
}

fn read(path: &PathBuf) -> Result<AsciiMetadataValue, String> {
    let cannot = |error: io::Error| format!("cannot be read: {error}");
    let mut text = String::new();
    let file = File::open(path).map_err(cannot)?;
    file.take(MAX_BYTES + 64).read_to_string(&mut text).map_err(cannot)?;
    header(text.trim())
}

fn header(token: &str) -> Result<AsciiMetadataValue, String> {
    if token.is_empty() {
        return Err("is empty".to_owned());
    }
    if token.len() as u64 > MAX_BYTES {
        return Err("has more than 8 KiB".to_owned());
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("holds spaces, line breaks or other characters that no token has".to_owned());
    }
    let mut value: AsciiMetadataValue =
        format!("Bearer {token}").parse().map_err(|_| "cannot stand in a header".to_owned())?;
    // Not into HTTP/2's tables, and not into anybody's debug output.
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::Token;

    #[test]
    fn a_token_is_sent_and_never_shown() {
        let token = Token::new("s3cret").unwrap();
        assert_eq!(token.header().to_str().unwrap(), "Bearer s3cret");
        assert!(!format!("{token:?} {:?}", token.header()).contains("s3cret"));
        for bad in ["", "a b", "a\nb", "tokän", &"x".repeat(9000)] {
            let error = Token::new(bad).unwrap_err().to_string();
            assert!(bad.is_empty() || !error.contains(bad), "{error}");
        }
    }
}
