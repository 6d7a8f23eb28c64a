//! The settings of authentication and authorization, and which of them contradict one another.
//!
//! Backends read them from the environment ([`Settings::from_vars`]); the router fills them from its table.

use std::path::PathBuf;
use std::time::Duration;

use crate::Error;
use crate::claims::REGISTERED;
use crate::jwks_url::check_url;

/// Clocks of machines differ by seconds; half a minute is what most issuers assume.
pub const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);
/// More would keep revoked rights alive for no reason that a clock could give.
const MAX_LEEWAY: Duration = Duration::from_secs(600);
/// The claim that holds roles.
pub const DEFAULT_ROLES_CLAIM: &str = "roles";

/// What a caller has to prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Nothing: for development.
    #[default]
    None,
    /// Who it is, by a client certificate or a token.
    Any,
    /// Who it is, by a client certificate and a token.
    Both,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Mode; 3] = [Mode::None, Mode::Any, Mode::Both];

    /// Reads `none`, `any` or `both`.
    ///
    /// # Errors
    /// The text is something else; the sentence says what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let found = Mode::ALL.into_iter().find(|mode| mode.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is neither none, any nor both"))
    }

    /// Gives the text that [`Mode::parse`] reads.
    pub const fn as_str(self) -> &'static str {
        match self {
            Mode::None => "none",
            Mode::Any => "any",
            Mode::Both => "both",
        }
    }
}

/// Where the keys of signed tokens come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A JWKS, PEM public keys, or, named `*.secret`, one raw secret for HS256, HS384 and HS512.
    File(PathBuf),
    /// The URL of a JWKS: https, or http on loopback.
    Url(String),
}

impl KeySource {
    /// Reads what a person wrote: what begins with `http://` or `https://` is a URL, all else a file.
    pub fn parse(text: &str) -> Self {
        let url = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
        if url { Self::Url(text.to_owned()) } else { Self::File(PathBuf::from(text)) }
    }
}

/// Which signed tokens (JWT) are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtSettings {
    /// The keys that may sign.
    pub keys: KeySource,
    /// The value that `iss` must have; `None` takes any.
    pub issuer: Option<String>,
    /// The values of which `aud` must hold one. Never empty.
    pub audience: Vec<String>,
    /// By how much the issuer's clock may differ from ours.
    pub leeway: Duration,
    /// The claim that holds roles: an array of strings, or a string with spaces between them.
    pub roles_claim: String,
}

/// All that says who may call and what they may do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// What a caller has to prove.
    pub mode: Mode,
    /// File of static tokens.
    pub tokens: Option<PathBuf>,
    /// Signed tokens.
    pub jwt: Option<JwtSettings>,
    /// File of rules and limits.
    pub policy: Option<PathBuf>,
}

impl Settings {
    /// Reads `SWITCHBOARD_AUTH`, `_AUTH_TOKENS`, `_AUTH_JWT_KEYS`, `_AUTH_JWT_ISSUER`, `_AUTH_JWT_AUDIENCE` (several with
    /// commas), `_AUTH_JWT_LEEWAY`, `_AUTH_JWT_ROLES_CLAIM` and `_POLICY`.
    ///
    /// `get` gives the value of a variable; empty counts as absent. Whether the caller asks for client certificates
    /// it says to [`Settings::check`], which is still to be called.
    ///
    /// # Errors
    /// A value is wrong, or a setting of signed tokens is there without the keys.
    pub fn from_vars(get: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let get = |key: &str| {
            let value = get(&variable(key))?.trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        let wrong = |setting| move |problem| Error::Setting { setting, problem };
        let mode = get("auth").map_or(Ok(Mode::None), |text| Mode::parse(&text)).map_err(wrong("auth"))?;
        let issuer = get("auth_jwt_issuer");
        let audience = get("auth_jwt_audience");
        let leeway = get("auth_jwt_leeway");
        let roles_claim = get("auth_jwt_roles_claim");
        let jwt = match get("auth_jwt_keys") {
            Some(keys) => Some(JwtSettings {
                keys: KeySource::parse(&keys),
                issuer,
                audience: audience.as_deref().map(list).unwrap_or_default(),
                leeway: match leeway {
                    Some(text) => seconds(&text).map_err(wrong("auth_jwt_leeway"))?,
                    None => DEFAULT_LEEWAY,
                },
                roles_claim: roles_claim.unwrap_or_else(|| DEFAULT_ROLES_CLAIM.to_owned()),
            }),
            None => {
                let lonely = [
                    ("auth_jwt_issuer", issuer.is_some()),
                    ("auth_jwt_audience", audience.is_some()),
                    ("auth_jwt_leeway", leeway.is_some()),
                    ("auth_jwt_roles_claim", roles_claim.is_some()),
                ];
                if let Some((setting, _)) = lonely.into_iter().find(|(_, is_set)| *is_set) {
                    return Err(wrong(setting)("is set, but auth_jwt_keys is not".to_owned()));
                }
                None
            }
        };
        Ok(Self {
            mode,
            tokens: get("auth_tokens").map(PathBuf::from),
            jwt,
            policy: get("policy").map(PathBuf::from),
        })
    }

    /// Checks that the settings do not contradict one another.
    ///
    /// `certificates`: whether the listener asks for client certificates (`tls_client_ca` is set, or Consul is the source).
    ///
    /// # Errors
    /// What is asked of callers cannot be proved, or proofs are configured that nobody asks for.
    pub fn check(&self, certificates: bool) -> Result<(), Error> {
        let wrong = |setting, problem: &str| Err(Error::Setting { setting, problem: problem.to_owned() });
        let tokens = self.tokens.is_some() || self.jwt.is_some();
        match self.mode {
            Mode::None if self.tokens.is_some() => {
                return wrong(
                    "auth_tokens",
                    "is set, but auth is none, so that nobody is asked for a token; set auth = any",
                );
            }
            Mode::None if self.jwt.is_some() => {
                return wrong(
                    "auth_jwt_keys",
                    "is set, but auth is none, so that nobody is asked for a token; set auth = any",
                );
            }
            Mode::Any if !tokens && !certificates => {
                return wrong(
                    "auth",
                    "is any, but nobody could prove anything; set auth_tokens, auth_jwt_keys or tls_client_ca",
                );
            }
            Mode::Both if !tokens => {
                return wrong(
                    "auth",
                    "is both, but no token could be right; set auth_tokens or auth_jwt_keys",
                );
            }
            Mode::Both if !certificates => {
                return wrong("auth", "is both, but no certificate is asked for; set tls_client_ca");
            }
            _ => {}
        }
        let Some(jwt) = &self.jwt else { return Ok(()) };
        if jwt.audience.iter().all(|audience| audience.trim().is_empty()) {
            return wrong(
                "auth_jwt_audience",
                "must be set with auth_jwt_keys: without it, tokens made for others would be taken here",
            );
        }
        if jwt.issuer.as_deref() == Some("") {
            return wrong("auth_jwt_issuer", "is empty");
        }
        if jwt.roles_claim.is_empty() {
            return wrong("auth_jwt_roles_claim", "is empty; the default is roles");
        }
        if REGISTERED.contains(&jwt.roles_claim.as_str()) {
            return wrong(
                "auth_jwt_roles_claim",
                "is a claim with a meaning of its own; the default is roles",
            );
        }
        if let KeySource::Url(url) = &jwt.keys {
            check_url(url).or_else(|problem| wrong("auth_jwt_keys", problem))?;
        }
        if jwt.leeway > MAX_LEEWAY {
            return wrong(
                "auth_jwt_leeway",
                "is more than 10 minutes, which would keep expired tokens alive",
            );
        }
        Ok(())
    }
}

impl Settings {
    /// The URL of which the keys have to be fetched, if they come from one.
    pub fn jwks_url(&self) -> Option<&str> {
        match self.jwt.as_ref().map(|jwt| &jwt.keys) {
            Some(KeySource::Url(url)) => Some(url),
            _ => None,
        }
    }
}

/// The environment variable of a setting.
fn variable(key: &str) -> String {
    format!("SWITCHBOARD_{}", key.to_ascii_uppercase())
}

/// Reads texts with commas between them.
pub fn list(text: &str) -> Vec<String> {
    text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// Reads `30s` or `2m`.
fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write for example 30s or 2m");
    let (number, factor) = match (text.strip_suffix('s'), text.strip_suffix('m')) {
        (Some(number), _) => (number, 1),
        (None, Some(number)) => (number, 60),
        (None, None) => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(u64::from(number) * factor))
}
