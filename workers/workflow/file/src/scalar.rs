//! What a plain scalar means: the core schema of YAML 1.2 (section 10.3.2).

use crate::node::Value;

/// Reads a scalar without quotes.
pub(crate) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => match number(text) {
            Some(json) => Value::Number { written: text.to_owned(), json },
            None => Value::Text(text.to_owned()),
        },
    }
}

/// Gives a number as JSON writes it, or nothing if it is none that JSON knows (`.inf` stays a text).
fn number(text: &str) -> Option<String> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(unsigned(digits)?, 16).ok().map(|value| value.to_string());
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(unsigned(digits)?, 8).ok().map(|value| value.to_string());
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (rest, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_digits = exponent.map(|text| text.strip_prefix(['-', '+']).unwrap_or(text));
    if !digits(whole)
        || !fraction.is_none_or(digits)
        || !exponent_digits.is_none_or(|text| !text.is_empty() && digits(text))
        || (whole.is_empty() && fraction.is_none_or(str::is_empty))
    {
        return None;
    }
    // JSON has no leading zeros, and digits on both sides of the point.
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let mut json = format!("{sign}{whole}");
    if let Some(fraction) = fraction.filter(|fraction| !fraction.is_empty()) {
        json.push('.');
        json.push_str(fraction);
    }
    if let Some(exponent) = exponent {
        json.push('e');
        json.push_str(exponent);
    }
    // Too large for a double is too large for most readers of JSON.
    json.parse::<f64>().is_ok_and(f64::is_finite).then_some(json)
}

fn unsigned(digits: &str) -> Option<&str> {
    digits.bytes().all(|byte| byte.is_ascii_alphanumeric()).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_mean_what_the_core_schema_says() {
        let shown = |text: &str| match plain(text) {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Number { json, .. } => json,
            Value::Text(text) => format!("{text:?}"),
            _ => unreachable!(),
        };
        for (text, expected) in [
            ("", "null"),
            ("~", "null"),
            ("True", "true"),
            ("yes", "\"yes\""),
            ("0x1F", "31"),
            ("0o17", "15"),
            ("007", "7"),
            ("-0", "-0"),
            ("+1.50", "1.50"),
            (".5", "0.5"),
            ("2.", "2"),
            ("1e3", "1e3"),
            ("1E-3", "1e-3"),
            ("12345678901234567890", "12345678901234567890"),
            ("1e999", "\"1e999\""),
            (".inf", "\".inf\""),
            (".", "\".\""),
            ("-", "\"-\""),
            ("e5", "\"e5\""),
            ("1.2.3", "\"1.2.3\""),
            ("0x", "\"0x\""),
            ("0x+1", "\"0x+1\""),
            ("30s", "\"30s\""),
        ] {
            assert_eq!(shown(text), expected, "{text:?}");
        }
    }
}
