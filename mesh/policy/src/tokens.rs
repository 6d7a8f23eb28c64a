//! Static tokens: a file that names who holds which.
//!
//! A token is looked up by its SHA-256 digest, so that the time a lookup takes says nothing about the tokens, and none of
//! them stays in memory.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest;
use serde::Deserialize;

use crate::{Error, Principal, Proof, error};

const WHAT: &str = "static tokens";
/// Thousands of tokens; who has more has an issuer of signed tokens.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// 128 bits in hexadecimal have 32 characters, in base64 22; what is shorter than 16 was made up by a person.
const MIN_TOKEN_BYTES: usize = 16;

type Digest = [u8; 32];

/// The principals of the static tokens.
#[derive(Debug, Default)]
pub(crate) struct Tokens(HashMap<Digest, Arc<Principal>>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    tokens: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    token: Option<String>,
    sha256: Option<String>,
    name: String,
    #[serde(default)]
    roles: Vec<String>,
}

impl Tokens {
    pub(crate) fn load(path: &Path) -> Result<Self, Error> {
        warn_if_open("static tokens", path);
        let text = error::read_text(WHAT, path, MAX_FILE_BYTES)?;
        let wrong = |problem| Error::Content { what: WHAT, origin: path.display().to_string(), problem };
        Self::parse(&text).map_err(wrong)
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        // The parser's own message would quote the line, and with it a token.
        let file: File = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            let message = error.message();
            let quoted = message.contains('"') || message.contains("string \"");
            let problem = if quoted { "a value of the wrong type" } else { message };
            format!("line {line}: {problem}; each [[tokens]] has token (or sha256), name and roles")
        })?;
        let mut tokens = HashMap::with_capacity(file.tokens.len());
        for (at, entry) in file.tokens.into_iter().enumerate() {
            let wrong = |problem: &str| format!("token {} ({:?}): {problem}", at + 1, entry.name);
            let digest = match (&entry.token, &entry.sha256) {
                (Some(token), None) if token.len() < MIN_TOKEN_BYTES => {
                    return Err(wrong(
                        "has fewer than 16 bytes and could be guessed; make one with `openssl rand -hex 32`",
                    ));
                }
                (Some(token), None) if !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                    return Err(wrong("holds characters that no header carries; use visible ASCII"));
                }
                (Some(token), None) => digest_of(token.as_bytes()),
                (None, Some(hex)) => {
                    from_hex(hex).ok_or_else(|| wrong("sha256 is not 64 hexadecimal digits"))?
                }
                _ => return Err(wrong("needs either token or sha256, and not both")),
            };
            let roles = entry.roles.iter().map(String::as_str);
            let principal = Principal::new(&entry.name, roles, Proof::Token).map_err(wrong)?;
            if tokens.insert(digest, Arc::new(principal)).is_some() {
                return Err(wrong("has the token of another entry"));
            }
        }
        Ok(Self(tokens))
    }

    pub(crate) fn find(&self, token: &[u8]) -> Option<&Arc<Principal>> {
        // Without static tokens no call pays for a digest.
        if self.0.is_empty() { None } else { self.0.get(&digest_of(token)) }
    }
}

fn digest_of(token: &[u8]) -> Digest {
    let mut bytes = Digest::default();
    bytes.copy_from_slice(digest::digest(&digest::SHA256, token).as_ref());
    bytes
}

fn from_hex(text: &str) -> Option<Digest> {
    let mut bytes = Digest::default();
    let text = text.as_bytes();
    if text.len() != 64 {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.chunks(2)) {
        for digit in digits {
            *byte = *byte << 4 | u8::try_from(char::from(*digit).to_digit(16)?).ok()?;
        }
    }
    Some(bytes)
}

/// Warns if a file of secrets can be read by users that are neither its owner nor in its group.
pub(crate) fn warn_if_open(what: &str, path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0) {
            tracing::warn!(file = %path.display(), what, "secrets can be read by every user: chmod o-rwx");
        }
    }
}
