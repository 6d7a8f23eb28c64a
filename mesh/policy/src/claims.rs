//! The claims of a token that was verified: those that are read, in the types they must have.
//!
//! A claim that is read and stands there twice is refused: two readers might take a different one each.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The claims that have a meaning of their own.
pub(crate) const REGISTERED: [&str; 6] = ["exp", "nbf", "iat", "iss", "aud", "sub"];

#[derive(Debug, Default)]
pub(crate) struct Claims {
    /// Seconds since 1970, as the other times.
    pub(crate) exp: Option<u64>,
    pub(crate) nbf: Option<u64>,
    pub(crate) iat: Option<u64>,
    pub(crate) iss: Option<String>,
    /// One text or several.
    pub(crate) aud: Vec<String>,
    pub(crate) sub: Option<String>,
    pub(crate) roles: Roles,
}

/// Roles as the issuer writes them.
#[derive(Debug)]
pub(crate) enum Roles {
    Array(Vec<String>),
    /// With spaces between them, as `scope` has it.
    Text(String),
}

impl Default for Roles {
    fn default() -> Self {
        Self::Array(Vec::new())
    }
}

impl Claims {
    /// An error names the claim, and quotes nothing that the token holds.
    pub(crate) fn parse(json: &[u8], roles_claim: &str) -> Result<Self, String> {
        let mut problem = None;
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let claims = Reader { roles_claim, problem: &mut problem }.deserialize(&mut deserializer);
        match claims.and_then(|claims| deserializer.end().map(|()| claims)) {
            Ok(claims) => Ok(claims),
            Err(_) => Err(problem.unwrap_or_else(|| "no JSON object".to_owned())),
        }
    }
}

/// Reads one object.
struct Reader<'a> {
    roles_claim: &'a str,
    /// What was wrong, in words.
    problem: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Claims;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Claims, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Claims;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of claims")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Claims, M::Error> {
        let mut claims = Claims::default();
        let mut seen: Vec<String> = Vec::new();
        while let Some(claim) = map.next_key::<String>()? {
            let is_roles = claim == self.roles_claim;
            if !is_roles && !REGISTERED.contains(&claim.as_str()) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if seen.contains(&claim) {
                *self.problem = Some(format!("{claim} is there twice"));
                return Err(M::Error::custom("twice"));
            }
            let read = match claim.as_str() {
                _ if is_roles => map.next_value().map(|Spelled(roles)| claims.roles = roles),
                "exp" => map.next_value().map(|Time(time)| claims.exp = Some(time)),
                "nbf" => map.next_value().map(|Time(time)| claims.nbf = Some(time)),
                "iat" => map.next_value().map(|Time(time)| claims.iat = Some(time)),
                "iss" => map.next_value().map(|text| claims.iss = Some(text)),
                "sub" => map.next_value().map(|text| claims.sub = Some(text)),
                _ => map.next_value().map(|Spelled(roles)| {
                    claims.aud = match roles {
                        Roles::Array(texts) => texts,
                        Roles::Text(text) => vec![text],
                    }
                }),
            };
            if let Err(error) = read {
                *self.problem = Some(format!("{claim} has the wrong type or value"));
                return Err(error);
            }
            seen.push(claim);
        }
        Ok(claims)
    }
}

/// Seconds since 1970. A fraction is allowed by the RFC and cut off.
struct Time(u64);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Time;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("seconds since 1970")
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Time, E> {
                Ok(Time(value))
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Time, E> {
                let whole = std::time::Duration::try_from_secs_f64(value);
                whole.map(|whole| Time(whole.as_secs())).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Number)
    }
}

/// An array of texts, or one text.
struct Spelled(Roles);

impl<'de> Deserialize<'de> for Spelled {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Spelled;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Spelled, E> {
                Ok(Spelled(Roles::Text(text.to_owned())))
            }
            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Spelled, S::Error> {
                let mut texts = Vec::new();
                while let Some(text) = seq.next_element()? {
                    texts.push(text);
                }
                Ok(Spelled(Roles::Array(texts)))
            }
        }
        deserializer.deserialize_any(Texts)
    }
}
