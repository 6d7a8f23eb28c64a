//! Lists in one text: items between separators, with a backslash before what is meant literally.

use super::Parameter;
use super::text::{capacity, clean, cut_to};

/// Writes items, each cleaned and escaped, as many as fit `pieces` values.
pub(super) fn encode(items: &[String], separator: char, pieces: usize) -> String {
    let escaped = items.iter().map(|item| escape(&clean(item), &[separator])).collect();
    join(escaped, separator, pieces)
}

/// Joins escaped items, as many as fit `pieces` values. The first that does not fit ends the list; if it is the very
/// first it is cut, for a part of it says more than nothing.
pub(super) fn join(items: Vec<String>, separator: char, pieces: usize) -> String {
    let limit = capacity(pieces);
    let mut joined = String::new();
    for item in items.into_iter().filter(|item| !item.is_empty()) {
        if joined.is_empty() {
            joined = cut_escaped(&item, limit);
        } else if joined.len() + separator.len_utf8() + item.len() <= limit {
            joined.push(separator);
            joined.push_str(&item);
        } else {
            break;
        }
    }
    joined
}

/// Cuts so that no escape is torn: a lone backslash at the end would eat the ellipsis.
fn cut_escaped(item: &str, limit: usize) -> String {
    if item.len() <= limit {
        return item.to_owned();
    }
    let cut = cut_to(item, limit);
    let kept = cut.strip_suffix('…').unwrap_or(&cut);
    let backslashes = kept.chars().rev().take_while(|c| *c == '\\').count();
    let whole = if backslashes % 2 == 1 { &kept[..kept.len() - 1] } else { kept };
    format!("{whole}…")
}

/// Reads a list; empty items do not count.
pub(super) fn decode(text: &str, separator: char) -> Vec<String> {
    let items = split(text, separator).into_iter().map(|item| unescape(&item).trim().to_owned());
    items.filter(|item| !item.is_empty()).collect()
}

/// Splits at separators that are not escaped; escapes stay.
pub(super) fn split(text: &str, separator: char) -> Vec<String> {
    splitn(text, separator, usize::MAX)
}

fn splitn(text: &str, separator: char, most: usize) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if c == separator && items.len() < most {
            items.push(String::new());
            continue;
        }
        let last = items.last_mut().expect("it begins with one and only grows");
        last.push(c);
        if c == '\\' {
            last.extend(characters.next());
        }
    }
    items
}

/// Writes `name:type:required:description`.
pub(super) fn encode_parameter(parameter: &Parameter) -> String {
    let presence = if parameter.required { "required" } else { "optional" };
    let [name, type_] = [&parameter.name, &parameter.type_].map(|text| escape(&clean(text), &['|', ':']));
    if name.is_empty() {
        // Without its key it cannot be given.
        return String::new();
    }
    format!("{name}:{type_}:{presence}:{}", escape(&clean(&parameter.description), &['|']))
}

/// Reads `name:type:required:description`; what is missing at the end is empty, a name alone is optional text.
pub(super) fn decode_parameter(item: &str) -> Option<Parameter> {
    let fields = splitn(item, ':', 4);
    let field = |n: usize| fields.get(n).map(|text| unescape(text).trim().to_owned()).unwrap_or_default();
    let name = field(0);
    (!name.is_empty()).then(|| Parameter {
        name,
        type_: field(1),
        required: field(2) == "required",
        description: field(3),
    })
}

fn escape(text: &str, special: &[char]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\\' || special.contains(&c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Takes the backslashes away that [`escape`] wrote. One before any other character is literal: a person wrote it.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match characters.next() {
            Some(special @ ('\\' | ',' | '|' | ':')) => plain.push(special),
            Some(other) => plain.extend(['\\', other]),
            None => plain.push('\\'),
        }
    }
    plain
}
