//! Client IDs and the Consul services behind them: `echo-agent` is `agent-echo`. Text only; it looks nothing up.

use std::fmt;
use std::str::FromStr;

/// A DNS label, because Consul serves the service's name by DNS too.
const MAX_BYTES: usize = 63;
/// As long as a tag of a container image may be shown in one line of a terminal; Consul itself allows 512.
const MAX_VERSION_BYTES: usize = 64;

/// Names what a backend is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Plans and acts: `AgentService`.
    Agent,
    /// Does one thing when asked: `ToolService`.
    Tool,
    /// Works on long tasks: `TaskWorker`.
    Worker,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 3] = [Kind::Agent, Kind::Tool, Kind::Worker];

    /// Gives `agent`, `tool` or `worker`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Agent => "agent",
            Kind::Tool => "tool",
            Kind::Worker => "worker",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(IdError::NoKind)
    }
}

/// Describes why a text is no client ID, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing is left once the kind is taken away.
    #[error("the ID is empty: expected <name>-agent, <name>-tool or <name>-worker")]
    Empty,
    /// The ID, kind included, does not fit a DNS label.
    #[error("the ID has {bytes} bytes: at most {MAX_BYTES} are allowed")]
    TooLong {
        /// Its length with its kind.
        bytes: usize,
    },
    /// Names are lower case, so that no two IDs differ in case only.
    #[error("the ID holds the upper case letter {letter:?}: only a-z, 0-9 and - are allowed")]
    UpperCase {
        /// The first such letter.
        letter: char,
    },
    /// Any other character that is not allowed.
    #[error("the ID holds {character:?}: only a-z, 0-9 and - are allowed")]
    BadCharacter {
        /// The first such character.
        character: char,
    },
    /// A name that begins or ends with a hyphen is no DNS label.
    #[error("the name begins or ends with a hyphen: it must begin and end with a-z or 0-9")]
    Hyphen,
    /// No kind is in the ID and none is known from the method.
    #[error("the ID names no kind: it must end in -agent, -tool or -worker")]
    NoKind,
    /// What follows the `@` is no version.
    #[error(
        "the version after @ is not usable: 1 to {MAX_VERSION_BYTES} of A-Z, a-z, 0-9, '.', '_' and - are allowed"
    )]
    BadVersion,
}

/// Identifies a backend as clients do: a name, a kind, and if wanted the version of its instances.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId {
    /// `echo` of `echo-agent`.
    pub name: String,
    /// `agent` of `echo-agent`.
    pub kind: Kind,
    /// `v2` of `echo-agent@v2`: only instances whose meta `version` is equal.
    pub version: Option<String>,
}

impl ClientId {
    /// Reads `<name>-<kind>` or `<name>-<kind>@<version>`.
    ///
    /// The kind is a suffix only: `agent-echo-agent` has the name `agent-echo`. An ID without kind has
    /// `default_kind`, which the method called gives: `echo` asked of `AgentService` is `echo-agent`.
    ///
    /// # Errors
    /// Each error says what is allowed. The text is never part of it, since it comes from a stranger.
    pub fn parse(text: &str, default_kind: Option<Kind>) -> Result<Self, IdError> {
        let (id, version) = match text.split_once('@') {
            Some((id, version)) => (id, Some(checked_version(version)?)),
            None => (text, None),
        };
        // Before anything else, so that no other check runs over a megabyte.
        if id.len() > MAX_BYTES {
            return Err(IdError::TooLong { bytes: id.len() });
        }
        for character in id.chars() {
            match character {
                'a'..='z' | '0'..='9' | '-' => {}
                letter if letter.is_uppercase() => return Err(IdError::UpperCase { letter }),
                character => return Err(IdError::BadCharacter { character }),
            }
        }
        let suffixed = Kind::ALL.into_iter().find_map(|kind| {
            let name = id.strip_suffix(kind.as_str())?.strip_suffix('-')?;
            Some((name, kind))
        });
        let (name, kind) = match (suffixed, default_kind) {
            (Some(found), _) => found,
            (None, Some(kind)) => (id, kind),
            (None, None) if id.is_empty() => return Err(IdError::Empty),
            (None, None) => return Err(IdError::NoKind),
        };
        if name.is_empty() {
            return Err(IdError::Empty);
        }
        if name.starts_with('-') || name.ends_with('-') {
            return Err(IdError::Hyphen);
        }
        let bytes = name.len() + 1 + kind.as_str().len();
        if bytes > MAX_BYTES {
            return Err(IdError::TooLong { bytes });
        }
        Ok(Self { name: name.to_owned(), kind, version })
    }

    /// Reads the name of a Consul service, `<kind>-<name>`; `None` if it is not of the mesh.
    pub fn from_service(service: &str) -> Option<Self> {
        let (kind, name) = service.split_once('-')?;
        let kind: Kind = kind.parse().ok()?;
        // One set of rules: the name is read as the ID it would be asked for by.
        Self::parse(&format!("{name}-{kind}"), None).ok()
    }

    /// Gives the name of the Consul service: `agent-echo`. The version is not part of it.
    pub fn service(&self) -> String {
        format!("{}-{}", self.kind, self.name)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.name, self.kind)?;
        match &self.version {
            Some(version) => write!(f, "@{version}"),
            None => Ok(()),
        }
    }
}

fn checked_version(version: &str) -> Result<String, IdError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if version.is_empty() || version.len() > MAX_VERSION_BYTES || !version.bytes().all(allowed) {
        return Err(IdError::BadVersion);
    }
    Ok(version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_services_map_both_ways() {
        let cases = [
            ("echo-agent", "agent-echo"),
            ("weather-tool", "tool-weather"),
            ("itinerary-worker", "worker-itinerary"),
            ("agent-echo-agent", "agent-agent-echo"),
            ("tool-agent", "agent-tool"),
            ("a-b-c-tool", "tool-a-b-c"),
            ("7-worker", "worker-7"),
        ];
        for (id, service) in cases {
            let parsed = ClientId::parse(id, None).unwrap();
            assert_eq!(parsed.service(), service);
            assert_eq!(parsed.to_string(), id);
            assert_eq!(ClientId::from_service(service), Some(parsed));
        }
    }

    #[test]
    fn the_method_gives_the_kind_that_an_id_lacks() {
        let id = ClientId::parse("echo", Some(Kind::Agent)).unwrap();
        assert_eq!((id.to_string().as_str(), id.service().as_str()), ("echo-agent", "agent-echo"));
        let suffixed = ClientId::parse("weather-tool", Some(Kind::Agent)).unwrap();
        assert_eq!(suffixed.kind, Kind::Tool);
    }

    #[test]
    fn a_version_follows_the_at_sign() {
        let id = ClientId::parse("echo-agent@v2.1", None).unwrap();
        assert_eq!(id.version.as_deref(), Some("v2.1"));
        assert_eq!((id.to_string().as_str(), id.service().as_str()), ("echo-agent@v2.1", "agent-echo"));
        for bad in ["echo-agent@", "echo-agent@a@b", "echo-agent@a b", "echo-agent@\n"] {
            assert_eq!(ClientId::parse(bad, None), Err(IdError::BadVersion), "{bad:?}");
        }
    }

    #[test]
    fn each_fault_has_its_own_error() {
        let long = format!("{}-agent", "a".repeat(58));
        let cases = [
            ("", None, IdError::Empty),
            ("", Some(Kind::Tool), IdError::Empty),
            ("-agent", None, IdError::Empty),
            ("echo", None, IdError::NoKind),
            ("agent", None, IdError::NoKind),
            ("Echo-agent", None, IdError::UpperCase { letter: 'E' }),
            ("Écho-agent", None, IdError::UpperCase { letter: 'É' }),
            ("echo_agent", None, IdError::BadCharacter { character: '_' }),
            ("echo/../x-agent", None, IdError::BadCharacter { character: '/' }),
            ("echo\0-agent", None, IdError::BadCharacter { character: '\0' }),
            ("-echo-agent", None, IdError::Hyphen),
            ("echo--agent", None, IdError::Hyphen),
            (long.as_str(), None, IdError::TooLong { bytes: 64 }),
        ];
        for (text, default, error) in cases {
            assert_eq!(ClientId::parse(text, default), Err(error), "{text:?}");
        }
        assert_eq!(
            ClientId::parse(&"a".repeat(60), Some(Kind::Agent)),
            Err(IdError::TooLong { bytes: 66 }),
            "the kind counts"
        );
        assert!(ClientId::parse(&format!("{}-agent", "a".repeat(57)), None).is_ok());
    }

    #[test]
    fn foreign_services_are_not_of_the_mesh() {
        for foreign in ["consul", "agent", "agent-", "agent-Echo", "mcp-router", "robot-x", ""] {
            assert_eq!(ClientId::from_service(foreign), None, "{foreign:?}");
        }
    }
}
