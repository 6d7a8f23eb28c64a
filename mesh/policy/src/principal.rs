//! The verified identity of a caller.

use std::fmt::Write as _;
use std::sync::Arc;

/// Names are shown in logs and metadata; a SPIFFE ID or an e-mail address fits.
pub const MAX_NAME_BYTES: usize = 256;
/// More roles than anyone has; each is matched with every rule.
pub const MAX_ROLES: usize = 64;
/// As long as a DNS name or a group's name in a directory.
pub const MAX_ROLE_BYTES: usize = 128;

/// Who calls, as far as it was proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Its one name: a certificate's first URI, DNS name or common name; a token's `sub`; a static token's name.
    pub name: Arc<str>,
    /// Its roles, in the order in which they were stated.
    pub roles: Vec<Arc<str>>,
    /// What proved it.
    pub proof: Proof,
}

/// What proved a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proof {
    /// A client certificate.
    Certificate,
    /// A signed token (JWT).
    Jwt,
    /// A token of the static file.
    Token,
    /// The router's word, over a connection on which the router proved itself.
    Router,
    /// A certificate and a token, both.
    Both,
}

impl Proof {
    /// Gives the word for logs and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Proof::Certificate => "certificate",
            Proof::Jwt => "jwt",
            Proof::Token => "token",
            Proof::Router => "router",
            Proof::Both => "both",
        }
    }
}

impl Principal {
    /// Makes a principal of names that were proved, and checks their bounds: at most [`MAX_NAME_BYTES`], at most
    /// [`MAX_ROLES`] roles of at most [`MAX_ROLE_BYTES`], nothing empty, no control characters.
    ///
    /// # Errors
    /// A bound is broken; the sentence says which, without the text.
    pub fn new<'a>(
        name: &str,
        roles: impl IntoIterator<Item = &'a str>,
        proof: Proof,
    ) -> Result<Self, &'static str> {
        check(name, MAX_NAME_BYTES).map_err(|problem| match problem {
            Problem::Empty => "the name is empty",
            Problem::Long => "the name has more than 256 bytes",
            Problem::Control => "the name holds control characters",
        })?;
        let mut kept: Vec<Arc<str>> = Vec::new();
        for role in roles {
            check(role, MAX_ROLE_BYTES).map_err(|problem| match problem {
                Problem::Empty => "a role is empty",
                Problem::Long => "a role has more than 128 bytes",
                Problem::Control => "a role holds control characters",
            })?;
            if !kept.iter().any(|known| **known == *role) {
                if kept.len() == MAX_ROLES {
                    return Err("there are more than 64 roles");
                }
                kept.push(role.into());
            }
        }
        Ok(Self { name: name.into(), roles: kept, proof })
    }

    /// Whether it has this role.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|known| **known == *role)
    }

    /// Gives the name as the value of `x-switchboard-principal`: visible ASCII, all else percent-encoded.
    pub fn name_header(&self) -> String {
        let mut header = String::with_capacity(self.name.len());
        encode(&self.name, &mut header);
        header
    }

    /// Gives the roles as the value of `x-switchboard-roles`: encoded as the name is, with commas between them.
    pub fn roles_header(&self) -> String {
        let mut header = String::new();
        for role in &self.roles {
            if !header.is_empty() {
                header.push(',');
            }
            encode(role, &mut header);
        }
        header
    }

    /// Reads both headers back. Only for a connection on which the router proved itself.
    ///
    /// # Errors
    /// An encoding is wrong or a bound of [`Principal::new`] is broken.
    pub fn from_headers(name: &[u8], roles: Option<&[u8]>) -> Result<Self, &'static str> {
        let name = decode(name)?;
        let roles = roles.unwrap_or_default().split(|byte| *byte == b',').filter(|role| !role.is_empty());
        let roles = roles.take(MAX_ROLES + 1).map(decode).collect::<Result<Vec<_>, _>>()?;
        Self::new(&name, roles.iter().map(String::as_str), Proof::Router)
    }
}

enum Problem {
    Empty,
    Long,
    Control,
}

fn check(text: &str, max_bytes: usize) -> Result<(), Problem> {
    match text {
        "" => Err(Problem::Empty),
        _ if text.len() > max_bytes => Err(Problem::Long),
        _ if text.chars().any(char::is_control) => Err(Problem::Control),
        _ => Ok(()),
    }
}

/// Appends `text`, with `%XX` for what is not visible ASCII and for `%` and `,`.
fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'%' | b',' => _ = write!(into, "%{byte:02X}"),
            0x21..=0x7e => into.push(char::from(byte)),
            _ => _ = write!(into, "%{byte:02X}"),
        }
    }
}

fn decode(header: &[u8]) -> Result<String, &'static str> {
    const WRONG: &str = "the percent-encoding is wrong";
    let mut bytes = Vec::with_capacity(header.len());
    let mut rest = header;
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let [high, low, after @ ..] = after else { return Err(WRONG) };
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (Some(high), Some(low)) = (digit(*high), digit(*low)) else { return Err(WRONG) };
        bytes.push(high << 4 | low);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| WRONG)
}
