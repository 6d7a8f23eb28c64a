//! Why settings, tokens, keys or a policy cannot be used.

use std::io;
use std::path::{Path, PathBuf};

/// Describes what is wrong with a setting or a file, and where. It never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting has a wrong value, or contradicts another.
    #[error("{setting}: {problem}")]
    Setting {
        /// Key of the router's file; the variable is `SWITCHBOARD_` and the key in upper case.
        setting: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A file cannot be read.
    #[error("cannot read the {what} from {}", path.display())]
    Read {
        /// What the file should hold, for example `policy`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// What was read is not what it should be.
    #[error("{what} {origin}: {problem}")]
    Content {
        /// What it should be, for example `policy`.
        what: &'static str,
        /// The file or URL.
        origin: String,
        /// What is wrong, with the line or the rule, and what would be right.
        problem: String,
    },
}

/// Reads a file of at most `max_bytes`.
pub(crate) fn read(what: &'static str, path: &Path, max_bytes: u64) -> Result<Vec<u8>, Error> {
    use std::io::Read as _;
    let failed = |source| Error::Read { what, path: path.to_owned(), source };
    let mut bytes = Vec::new();
    // One byte more tells a file that is too long from one that fits exactly.
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(max_bytes + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > max_bytes {
        let problem = format!("more than {max_bytes} bytes; is it the right file?");
        return Err(Error::Content { what, origin: path.display().to_string(), problem });
    }
    Ok(bytes)
}

/// Reads a file of text, as [`read`] does.
pub(crate) fn read_text(what: &'static str, path: &Path, max_bytes: u64) -> Result<String, Error> {
    String::from_utf8(read(what, path, max_bytes)?).map_err(|_| Error::Content {
        what,
        origin: path.display().to_string(),
        problem: "not UTF-8 text".to_owned(),
    })
}
