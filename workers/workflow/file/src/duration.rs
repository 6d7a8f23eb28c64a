//! Durations as people write them: `500ms`, `30s`, `1h30m`, `2d`.

/// What errors say a duration looks like.
pub const EXPECTED: &str = "a duration such as 30s";

/// Units in milliseconds, the longer name first where one begins with the other.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a duration in milliseconds: numbers with units (ms, s, m, h, d), the larger first, each at most once; whole,
/// or the last one with a fraction (`1.5s`). `0` needs no unit. Nothing for anything else, and above 2^53 ms.
pub fn parse(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let (mut rest, mut total, mut smallest) = (text, 0_u64, u64::MAX);
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, unit) = rest.split_at(end);
        let word = unit.find(|letter: char| letter.is_ascii_digit()).map_or(unit, |end| &unit[..end]);
        let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == word)?;
        rest = &unit[word.len()..];
        if *unit_ms >= smallest {
            return None;
        }
        smallest = *unit_ms;
        total = total.checked_add(milliseconds(number, *unit_ms, rest.is_empty())?)?;
    }
    (!text.is_empty() && total <= 1 << 53).then_some(total)
}

fn milliseconds(number: &str, unit_ms: u64, last: bool) -> Option<u64> {
    let Some((whole, fraction)) = number.split_once('.') else {
        return number.parse::<u64>().ok()?.checked_mul(unit_ms);
    };
    let decimal = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // Nine digits are more than any unit can use.
    if !last || !decimal(whole) || !decimal(fraction) || fraction.len() > 9 {
        return None;
    }
    let scale = 10_u64.pow(fraction.len() as u32);
    let parts = fraction.parse::<u64>().ok()?.checked_mul(unit_ms)?;
    // A share of a millisecond would be lost.
    if parts % scale != 0 {
        return None;
    }
    whole.parse::<u64>().ok()?.checked_mul(unit_ms)?.checked_add(parts / scale)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn durations_are_read_or_refused() {
        for (text, expected) in [
            ("0", Some(0)),
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("1.5s", Some(1_500)),
            ("0.25h", Some(900_000)),
            ("1h30m", Some(5_400_000)),
            ("2d1h1m1s1ms", Some(176_461_001)),
            ("", None),
            ("30", None),
            ("s", None),
            ("soon", None),
            ("-1s", None),
            ("1s1s", None),
            ("1m1h", None),
            ("1.5h30m", None),
            ("0.0001s", None),
            ("1..5s", None),
            (".5s", None),
            ("1 s", None),
            ("1S", None),
            ("99999999999999999999d", None),
            ("9999999999999d", None),
            ("0.9999999999s", None),
            ("1é", None),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
