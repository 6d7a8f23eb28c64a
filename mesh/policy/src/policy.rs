//! The policy file: rules and limits, prepared once and never changed.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use switchboard_transport::PeerIdentity;

use crate::limit_settings::{LimitSettings, WrittenLimits};
use crate::rules::{Rule, Written};
use crate::{Error, Grants, Mode, Principal, error};

const WHAT: &str = "policy";
/// A thousand rules of a kilobyte.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Rules and limits. Immutable and cheap to share: a changed file makes a new one.
#[derive(Debug)]
pub struct Policy {
    pub(crate) mode: Mode,
    /// Absent if the file has none, so that the built-in rights of `caller` hold for everyone.
    pub(crate) rules: Option<Arc<[Rule]>>,
    limits: LimitSettings,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rules: Option<Vec<Written>>,
    #[serde(default)]
    limits: WrittenLimits,
}

impl Policy {
    /// Reads the file, if there is one; without one the built-in rules alone hold and nothing is limited.
    ///
    /// # Errors
    /// The file cannot be read, is no policy (the message names line or rule), or has rules while the mode is none.
    pub fn load(path: Option<&Path>, mode: Mode) -> Result<Self, Error> {
        let Some(path) = path else {
            return Ok(Self { mode, rules: None, limits: LimitSettings::default() });
        };
        let text = error::read_text(WHAT, path, MAX_FILE_BYTES)?;
        let wrong = |problem| Error::Content { what: WHAT, origin: path.display().to_string(), problem };
        Self::parse(&text, mode).map_err(wrong)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// As [`Policy::load`], without the file's name.
    pub fn parse(text: &str, mode: Mode) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            format!("line {line}: {}", error.message().lines().collect::<Vec<_>>().join(", "))
        })?;
        let rules = file.rules.map(Rule::prepare).transpose()?;
        if rules.is_some() && mode == Mode::None {
            return Err("has rules, but auth is none, so that nobody is known; set auth = any".to_owned());
        }
        Ok(Self { mode, rules: rules.map(Into::into), limits: file.limits.prepare()? })
    }

    /// What callers have to prove where this policy holds.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether the file has rules; without them the built-in ones alone hold.
    pub fn has_rules(&self) -> bool {
        self.rules.is_some()
    }

    /// The limits of the file. A policy with equal limits may go on with the [`Limits`](crate::Limits) of the old one.
    pub fn limits(&self) -> &LimitSettings {
        &self.limits
    }

    /// Finds what applies to a caller: to be made once per principal and kept as long as the policy.
    ///
    /// `principal` is `None` for a caller that proved nothing. `peer` is the certificate of its own connection, which
    /// gives the right to register the services that it was made for.
    pub fn grants(&self, principal: Option<&Principal>, peer: Option<&PeerIdentity>) -> Grants {
        Grants::new(self, principal, peer)
    }

    /// Says in words which rules speak of a call and which of them decides.
    pub fn explain(&self, principal: &Principal, id: &str, path: &str) -> String {
        self.grants(Some(principal), None).explain(id, path)
    }
}
