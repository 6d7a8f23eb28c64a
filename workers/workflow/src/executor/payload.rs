//! Between payloads, which are JSON by custom, and the texts that other contracts have.

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::Value;

/// The text of a payload: of a JSON string what it says, of anything else as it is written. `Null` and nothing are empty.
pub(super) fn text(payload: &[u8]) -> String {
    if let Ok(text) = serde_json::from_slice(payload) {
        return text;
    }
    // As it is written: numbers keep their digits, and fields their order.
    let written = String::from_utf8_lossy(payload);
    if written.trim() == "null" { String::new() } else { written.into_owned() }
}

/// The text of a value: of a string what it says.
pub(super) fn value_text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The payload of a text: the text itself if it is JSON, else a JSON string of it.
pub(super) fn json(text: String) -> Bytes {
    match serde_json::from_str::<IgnoredAny>(&text) {
        Ok(_) => text.into(),
        Err(_) => Value::String(text).to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_passed_as_what_they_say() {
        for (payload, expected) in [
            (r#""say \"hi\"""#, r#"say "hi""#),
            (r#"{"b": [1], "a": 1.50}"#, r#"{"b": [1], "a": 1.50}"#),
            ("17", "17"),
            ("null", ""),
            ("", ""),
            ("no JSON", "no JSON"),
        ] {
            assert_eq!(text(payload.as_bytes()), expected, "{payload}");
        }
    }

    #[test]
    fn text_that_is_json_stays_what_it_is() {
        for (text, expected) in [
            (r#"{"a":1}"#, r#"{"a":1}"#),
            ("3.5", "3.5"),
            ("Day 1: rain", r#""Day 1: rain""#),
            ("", r#""""#),
            (r#"{"cut":"#, r#""{\"cut\":""#),
        ] {
            assert_eq!(json(text.to_owned()), expected, "{text}");
        }
    }
}
