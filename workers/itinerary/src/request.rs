//! What a task asks for: its parameters, read and bounded.
//!
//! | Parameter | Meaning |
//! |---|---|
//! | `destination` | required; at most 100 characters |
//! | `days` | 1 to 14, default 3 |
//! | `interests` | comma-separated, at most 10 of at most 40 characters; default culture, food, nature |
//! | `pace_ms` | pause before each day in milliseconds, 0 to 10,000, default 0: lets a client watch the progress |
//!
//! Other parameters are ignored. A wrong one makes the task fail in words, it is no gRPC error: that is
//! how clients of the platform know it.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

use crate::catalogue::{self, Interest};

/// The interests of a traveller who names none.
const DEFAULT_INTERESTS: &str = "culture,food,nature";

const MAX_DESTINATION_CHARS: usize = 100;
const MAX_INTERESTS: usize = 10;
const MAX_INTEREST_CHARS: usize = 40;

/// A valid task. Two tasks that are equal get the same plan, up to the weather.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) destination: String,
    pub(crate) days: u32,
    /// Names of known interests, without repetition; never empty.
    pub(crate) interests: Vec<&'static str>,
    /// What was asked for and is not in the catalogue.
    pub(crate) unknown_interests: Vec<String>,
    pub(crate) pace: Duration,
}

/// Why a task cannot be carried out: the words of the answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Invalid {
    /// The platform's own words, which clients compare; hence the capital.
    #[error("Destination parameter is required")]
    NoDestination,
    #[error("Destination parameter is longer than {MAX_DESTINATION_CHARS} characters")]
    LongDestination,
    #[error("Destination parameter must not hold control characters")]
    ControlCharacters,
    #[error("{name} parameter must be a whole number from {min} to {max}, not {given:?}")]
    Number { name: &'static str, min: u32, max: u32, given: String },
    #[error(
        "Interests parameter takes at most {MAX_INTERESTS} interests of at most {MAX_INTEREST_CHARS} characters"
    )]
    Interests,
}

impl Request {
    /// Reads the parameters of a task.
    pub(crate) fn read(parameters: &HashMap<String, String>) -> Result<Self, Invalid> {
        let value = |name| parameters.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
        let destination = value("destination").ok_or(Invalid::NoDestination)?;
        if destination.chars().count() > MAX_DESTINATION_CHARS {
            return Err(Invalid::LongDestination);
        }
        if destination.chars().any(char::is_control) {
            return Err(Invalid::ControlCharacters);
        }
        let days = number("Days", value("days").unwrap_or("3"), 1, 14)?;
        let pace_ms = number("Pace_ms", value("pace_ms").unwrap_or("0"), 0, 10_000)?;
        let (interests, unknown_interests) = interests(value("interests").unwrap_or_default())?;
        Ok(Self {
            destination: destination.to_owned(),
            days,
            interests,
            unknown_interests,
            pace: Duration::from_millis(pace_ms.into()),
        })
    }
}

fn number(name: &'static str, text: &str, min: u32, max: u32) -> Result<u32, Invalid> {
    match u32::from_str(text) {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        // What was given goes back into the answer, so it is cut.
        _ => Err(Invalid::Number { name, min, max, given: text.chars().take(20).collect() }),
    }
}

fn interests(text: &str) -> Result<(Vec<&'static str>, Vec<String>), Invalid> {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    let names: Vec<_> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let long = |name: &&str| name.chars().count() > MAX_INTEREST_CHARS || name.chars().any(char::is_control);
    if names.len() > MAX_INTERESTS || names.iter().any(long) {
        return Err(Invalid::Interests);
    }
    for name in names {
        match catalogue::interest(name) {
            Some(Interest { name, .. }) if !known.contains(name) => known.push(*name),
            Some(_) => {}
            None => unknown.push(name.to_owned()),
        }
    }
    if known.is_empty() {
        known = DEFAULT_INTERESTS.split(',').collect();
    }
    Ok((known, unknown))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parameters: &[(&str, &str)]) -> Result<Request, Invalid> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Request::read(&parameters.iter().map(owned).collect())
    }

    #[test]
    fn defaults_fill_what_is_not_given() {
        let request = read(&[("destination", " Rome ")]).unwrap();
        assert_eq!(request.destination, "Rome");
        assert_eq!(request.days, 3);
        assert_eq!(request.interests, ["culture", "food", "nature"]);
        assert_eq!(request.pace, Duration::ZERO);
    }

    #[test]
    fn default_interests_are_in_the_catalogue() {
        assert!(DEFAULT_INTERESTS.split(',').all(|name| catalogue::interest(name).is_some()));
    }

    #[test]
    fn interests_are_split_known_from_unknown_and_named_once() {
        let request = read(&[("destination", "Rome"), ("interests", "Food, golf,,food , ART")]).unwrap();
        assert_eq!(request.interests, ["food", "art"]);
        assert_eq!(request.unknown_interests, ["golf"]);
        let request = read(&[("destination", "Rome"), ("interests", "golf")]).unwrap();
        assert_eq!(request.interests.len(), 3, "the defaults take over");
    }

    #[test]
    fn wrong_parameters_are_told_in_words() {
        let long = "x".repeat(101);
        let many = ["food"; 11].join(",");
        for (parameters, words) in [
            (vec![], "Destination parameter is required"),
            (vec![("destination", "  ")], "Destination parameter is required"),
            (vec![("destination", long.as_str())], "longer than 100"),
            (vec![("destination", "a\nb")], "control characters"),
            (vec![("destination", "Rome"), ("days", "0")], "from 1 to 14, not \"0\""),
            (vec![("destination", "Rome"), ("days", "15")], "from 1 to 14"),
            (vec![("destination", "Rome"), ("days", "two")], "not \"two\""),
            (vec![("destination", "Rome"), ("pace_ms", "10001")], "from 0 to 10000"),
            (vec![("destination", "Rome"), ("interests", many.as_str())], "at most 10"),
        ] {
            let told = read(&parameters).unwrap_err().to_string();
            assert!(told.contains(words), "{parameters:?}: {told}");
        }
    }
}
