//! JSON writes characters above U+FFFF as two escapes (`\ud83d\ude00`), which YAML does not know.

use std::borrow::Cow;

/// Joins such pairs to what YAML writes (`\U0001f600`), in a text that is JSON; others stay as they are.
///
/// Places after a pair, in its line, move by two characters for each.
pub(crate) fn join(text: &str) -> Cow<'_, str> {
    let json = text.trim_start_matches('\u{feff}').trim_start().starts_with(['{', '[']);
    if !json || !text.contains("\\u") {
        return Cow::Borrowed(text);
    }
    let mut joined = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        joined.push_str(before);
        let pair = unit(escape).zip(escape.get(6..).and_then(unit));
        let length = match pair.and_then(|(high, low)| char::decode_utf16([high, low]).next()?.ok()) {
            // One that needs both: anything else begins with a unit that stands for itself.
            Some(character) if character.len_utf16() == 2 => {
                joined.push_str(&format!("\\U{:08x}", u32::from(character)));
                12
            }
            // A backslash and whatever it escapes.
            _ => {
                let length = 1 + escape[1..].chars().next().map_or(0, char::len_utf8);
                joined.push_str(&escape[..length]);
                length
            }
        };
        rest = &escape[length..];
    }
    joined.push_str(rest);
    Cow::Owned(joined)
}

/// Reads `\uXXXX` at the beginning of a text.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::join;

    #[test]
    fn pairs_are_joined_and_nothing_else() {
        for (text, expected) in [
            (r#"{"a": "\ud83d\ude00!"}"#, r#"{"a": "\U0001f600!"}"#),
            (r#"["\\ud83d\ude00", "\u00e9"]"#, r#"["\\ud83d\ude00", "\u00e9"]"#),
            (r#"["\ud83d", "\ude00\ud83d\ude00"]"#, r#"["\ud83d", "\ude00\U0001f600"]"#),
            (r#"["\u", "\é"#, r#"["\u", "\é"#),
            (r"a: \ud83d\ude00", r"a: \ud83d\ude00"),
        ] {
            assert_eq!(join(text), expected);
        }
    }
}
