//! Query parameters of reads, and the waiting of blocking ones.

use std::collections::HashMap;
use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::time::Instant;

use super::Registry;
use super::state::State;

/// Consul's own values.
const DEFAULT_WAIT: Duration = Duration::from_secs(300);
const MAX_WAIT: Duration = Duration::from_secs(600);

pub(super) type Parameters = HashMap<String, String>;

/// What a read asks for.
#[derive(Debug, PartialEq)]
pub(super) struct Read {
    index: u64,
    wait: Duration,
}

impl Read {
    /// # Errors
    /// The text that Consul answers with 400.
    pub(super) fn parse(parameters: &Parameters) -> Result<Self, &'static str> {
        if parameters.contains_key("stale") && parameters.contains_key("consistent") {
            return Err("Cannot specify ?stale with ?consistent, conflicting semantics.");
        }
        let index = match parameters.get("index").map(String::as_str) {
            None | Some("") => 0,
            Some(text) => text.parse().map_err(|_| "Invalid index")?,
        };
        let wait = match parameters.get("wait").map(String::as_str) {
            None | Some("") => DEFAULT_WAIT,
            Some(text) => {
                let wait = parse_duration(text.trim_start_matches('-')).ok_or("Invalid wait time")?;
                if wait.is_zero() || text.starts_with('-') { DEFAULT_WAIT } else { wait.min(MAX_WAIT) }
            }
        };
        Ok(Self { index, wait })
    }

    /// Answers once the index that `look` gives has passed the one asked for, or the time is over.
    pub(super) async fn answer(self, registry: &Registry, look: impl Fn(&State) -> (u64, Value)) -> Response {
        let mut changed = registry.changed.subscribe();
        let mut stopped = registry.stopped.clone();
        let (index, body) = look(&registry.state());
        if self.index == 0 || index > self.index {
            return indexed(index, body);
        }
        let Ok(_permit) = registry.blocked.try_acquire() else {
            return (StatusCode::TOO_MANY_REQUESTS, "too many blocking queries").into_response();
        };
        // Spread over a sixteenth, as Consul does, so that clients written against this meet it.
        let deadline = Instant::now() + self.wait + (self.wait / 16).mul_f64(rand::random());
        loop {
            tokio::select! {
                _ = changed.changed() => {}
                () = tokio::time::sleep_until(deadline) => {
                    let (index, body) = look(&registry.state());
                    return indexed(index, body);
                }
                _ = stopped.wait_for(|stopped| *stopped) => {
                    return (StatusCode::INTERNAL_SERVER_ERROR, "No cluster leader").into_response();
                }
            }
            let (index, body) = look(&registry.state());
            if index > self.index {
                return indexed(index, body);
            }
        }
    }
}

fn indexed(index: u64, body: Value) -> Response {
    let headers = [
        ("X-Consul-Index", index.to_string()),
        ("X-Consul-Knownleader", "true".to_owned()),
        ("X-Consul-Lastcontact", "0".to_owned()),
    ];
    (headers, Json(body)).into_response()
}

/// Reads a flag as Go's `ParseBool` does; a flag without value is set.
///
/// # Errors
/// The value is no truth value.
pub(super) fn flag(parameters: &Parameters, name: &str) -> Result<bool, ()> {
    match parameters.get(name).map(String::as_str) {
        None | Some("0" | "f" | "F" | "FALSE" | "false" | "False") => Ok(false),
        Some("" | "1" | "t" | "T" | "TRUE" | "true" | "True") => Ok(true),
        Some(_) => Err(()),
    }
}

/// Reads a duration as Go writes it: `10s`, `1m0.5s`, `300ms`. `None` if it is none, or negative.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let unit_seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let amount = number.parse::<f64>().ok()? * unit_seconds;
        total = total.checked_add(Duration::try_from_secs_f64(amount).ok()?)?;
        rest = next;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        let cases = [
            ("10s", Some(10_000)),
            ("1m0.5s", Some(60_500)),
            ("300ms", Some(300)),
            ("1h1m", Some(3_660_000)),
            ("0", Some(0)),
            ("1.5s", Some(1_500)),
        ];
        for (text, millis) in cases {
            assert_eq!(parse_duration(text), millis.map(Duration::from_millis), "{text}");
        }
        for bad in ["", "abc", "10", "5x", "s", "-1s", "1..2s", "9e9s", "99999999999999999999999h"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_wait_is_capped_and_has_a_default() {
        let wait =
            |text: &str| Read::parse(&Parameters::from([("wait".to_owned(), text.to_owned())])).unwrap().wait;
        assert_eq!(
            (wait(""), wait("-5s"), wait("2h"), wait("3s")),
            (DEFAULT_WAIT, DEFAULT_WAIT, MAX_WAIT, Duration::from_secs(3))
        );
    }
}
