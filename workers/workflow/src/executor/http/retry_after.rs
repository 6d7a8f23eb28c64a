//! `retry-after`: when a server wants to be asked again (RFC 9110, section 10.2.3).

use std::str::FromStr;

use prost_types::Timestamp;
use workflow_machine::Millis;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Longest wait that is taken over; a server that wants more is asked after a day.
const LONGEST_MS: u64 = 86_400_000;

/// How long to wait, in milliseconds, by seconds or by a date; 0 if the value is neither.
pub(super) fn wait_ms(value: &str, now: Millis) -> u64 {
    let value = value.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Some(seconds.saturating_mul(1_000)),
        Err(_) => date_ms(value).map(|date| date.saturating_sub(now)),
    };
    wait.unwrap_or(0).min(LONGEST_MS)
}

/// Reads `Sun, 06 Nov 1994 08:49:37 GMT`, the only form that may be sent today.
fn date_ms(text: &str) -> Option<Millis> {
    let (_, date) = text.split_once(", ")?;
    let mut parts = date.split(' ');
    let (day, month, year, time, zone) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    if zone != "GMT" || parts.next().is_some() {
        return None;
    }
    let at = Timestamp::from_str(&format!("{year}-{month:02}-{day}T{time}Z")).ok()?;
    u64::try_from(at.seconds).ok()?.checked_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read() {
        // 1994-11-06T08:49:37Z
        let date = 784_111_777_000;
        for (value, now, expected) in [
            ("120", 0, 120_000),
            (" 0 ", 0, 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", date - 5_000, 5_000),
            ("Sun, 06 Nov 1994 08:49:37 GMT", date + 5_000, 0),
            ("99999999999999999999", 0, 0),
            ("9999999999", 0, LONGEST_MS),
            ("-1", 0, 0),
            ("soon", 0, 0),
            ("Sun, 06 Foo 1994 08:49:37 GMT", 0, 0),
            ("Sun, 06 Nov 1994", 0, 0),
        ] {
            assert_eq!(wait_ms(value, now), expected, "{value:?} at {now}");
        }
    }
}
