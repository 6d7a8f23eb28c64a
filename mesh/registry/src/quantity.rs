//! Durations and sizes as people write them, in settings and in Consul's meta.
//!
//! Every function takes what a person wrote and returns the value or a sentence that says what would be right.

use std::time::Duration;

/// Longest duration that is taken: a day. Longer ones are typing errors.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads `250ms`, `5s`, `2m` or `1h`; at most 24 h.
///
/// # Errors
/// The text is something else.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration; write for example 250ms, 5s, 2m or 1h");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let ms = match &text[digits..] {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => return Err(wrong()),
    };
    ms.map(Duration::from_millis)
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| format!("`{text}` is more than 24h"))
}

/// Reads a duration above zero.
///
/// # Errors
/// The text is something else.
pub fn positive(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be above zero".to_owned()),
        duration => Ok(duration),
    }
}

/// Writes a duration as [`duration`] reads it, in the largest unit that divides it. What is less than a millisecond is
/// rounded up, so that something above zero stays above zero.
pub fn show_duration(duration: Duration) -> String {
    let ms = duration.as_nanos().div_ceil(1_000_000);
    for (unit, factor) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if ms > 0 && ms.is_multiple_of(factor) {
            return format!("{}{unit}", ms / factor);
        }
    }
    format!("{ms}ms")
}

/// Reads a number of bytes above zero: `65536`, `64KiB` or `1MiB`.
///
/// # Errors
/// The text is something else.
pub fn bytes(text: &str) -> Result<usize, String> {
    let wrong = || format!("`{text}` is no size; write for example 65536, 64KiB or 1MiB");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: usize = text[..digits].parse().map_err(|_| wrong())?;
    let factor = match &text[digits..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).filter(|bytes| *bytes > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_shown_alike() {
        for text in ["250ms", "5s", "2m", "1h", "90s", "0ms", "24h"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
        assert_eq!(show_duration(Duration::from_micros(1)), "1ms");
        for text in
            ["", "5", "s", "5 s", "-1s", "1.5s", "25h", "99999999999999999999s", "18446744073709551615h"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_know_binary_units() {
        assert_eq!(bytes("64KiB"), Ok(65_536));
        assert_eq!(bytes("65536"), Ok(65_536));
        assert_eq!(bytes("7B"), Ok(7));
        for text in ["", "0", "KiB", "64KB", "-1", "18446744073709551615MiB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
