//! Values as fields need them: each function gives the value, or adds what is wrong and gives nothing.

use std::{collections::BTreeMap, ops::RangeInclusive, str::FromStr};

use prost_types::Timestamp;

use crate::{
    duration,
    keys::{Field, Report, nearest},
    node::{Node, Value},
};

/// A text; numbers and truth values are taken as they are written.
pub(crate) fn text(report: &mut Report, field: &Field<'_>) -> Option<String> {
    let text = scalar(field.node);
    if text.is_none() {
        report.expected(field, "a text");
    }
    text
}

/// A whole number within bounds.
pub(crate) fn integer(report: &mut Report, field: &Field<'_>, range: RangeInclusive<i32>) -> Option<i32> {
    let number = match &field.node.value {
        Value::Number { json, .. } => json.parse().ok().filter(|number| range.contains(number)),
        _ => None,
    };
    if number.is_none() {
        report.expected(field, &format!("a whole number from {} to {}", range.start(), range.end()));
    }
    number
}

/// A number within bounds.
pub(crate) fn number(report: &mut Report, field: &Field<'_>, range: RangeInclusive<f64>) -> Option<f64> {
    let number = match &field.node.value {
        Value::Number { json, .. } => json.parse().ok().filter(|number| range.contains(number)),
        _ => None,
    };
    if number.is_none() {
        report.expected(field, &format!("a number from {} to {}", range.start(), range.end()));
    }
    number
}

/// `true` or `false`.
pub(crate) fn truth(report: &mut Report, field: &Field<'_>) -> Option<bool> {
    if let Value::Bool(value) = field.node.value {
        return Some(value);
    }
    report.expected(field, "true or false");
    None
}

/// A duration in milliseconds.
pub(crate) fn milliseconds(report: &mut Report, field: &Field<'_>) -> Option<i64> {
    let ms = scalar(field.node).and_then(|text| duration::parse(&text)).and_then(|ms| i64::try_from(ms).ok());
    if ms.is_none() {
        report.expected(field, duration::EXPECTED);
    }
    ms
}

/// A time as RFC 3339 has it.
pub(crate) fn timestamp(report: &mut Report, field: &Field<'_>) -> Option<Timestamp> {
    let time = match &field.node.value {
        // Longer ones are none, and the parser need not see them.
        Value::Text(text) if text.len() <= 40 => Timestamp::from_str(text).ok(),
        _ => None,
    };
    if time.is_none() {
        report.expected(field, "a time such as 2026-12-24T08:00:00Z");
    }
    time
}

/// One of some words; gives what stands beside it.
pub(crate) fn word<T: Copy>(report: &mut Report, field: &Field<'_>, words: &[(&str, T)]) -> Option<T> {
    let given = scalar(field.node);
    if let Some((_, value)) = words.iter().find(|(word, _)| Some(*word) == given.as_deref()) {
        return Some(*value);
    }
    let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let near = given.and_then(|given| nearest(&given, &all));
    let advice = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    let message = format!("expected one of {}, got {}{advice}", all.join(", "), field.node.shown());
    report.problem(&field.path, field.node.place, message);
    None
}

/// A list of texts; one text is a list of one. Their places are those of `to[0]`, `to[1]` … in the request.
pub(crate) fn texts(report: &mut Report, field: &Field<'_>, to: &str) -> Option<Vec<String>> {
    match &field.node.value {
        Value::List(nodes) => {
            let items = nodes.iter().enumerate().map(|(index, node)| {
                report.places.insert(format!("{to}[{index}]"), node.place);
                text(report, &Field { path: format!("{}[{index}]", field.path), node })
            });
            items.collect()
        }
        _ if scalar(field.node).is_some() => text(report, field).map(|text| vec![text]),
        _ => {
            report.expected(field, "a list of texts");
            None
        }
    }
}

/// Texts by key. Their places are those of `to["key"]` in the request.
pub(crate) fn strings(report: &mut Report, field: &Field<'_>, to: &str) -> Option<BTreeMap<String, String>> {
    let Value::Map(entries) = &field.node.value else {
        report.expected(field, "texts by key, such as `city: Paris`");
        return None;
    };
    let pairs = entries.iter().map(|entry| {
        report.places.insert(format!("{to}[{:?}]", entry.key), entry.node.place);
        let text = match entry.node.value {
            Value::Null => Some(String::new()),
            _ => scalar(&entry.node),
        };
        if text.is_none() {
            let field = Field { path: format!("{}.{}", field.path, entry.key), node: &entry.node };
            report.expected(&field, "a text (structured data goes into `input`)");
        }
        Some((entry.key.clone(), text?))
    });
    // All problems, not the first only.
    pairs.collect::<Vec<_>>().into_iter().collect()
}

/// Any value, as JSON text.
pub(crate) fn json(node: &Node) -> String {
    let mut json = String::new();
    write_json(node, &mut json);
    json
}

/// The depth is bounded by the reader's.
fn write_json(node: &Node, json: &mut String) {
    match &node.value {
        Value::Null => json.push_str("null"),
        Value::Bool(value) => json.push_str(if *value { "true" } else { "false" }),
        Value::Number { json: number, .. } => json.push_str(number),
        Value::Text(text) => quote(text, json),
        Value::List(nodes) => {
            json.push('[');
            for (index, node) in nodes.iter().enumerate() {
                if index > 0 {
                    json.push(',');
                }
                write_json(node, json);
            }
            json.push(']');
        }
        Value::Map(entries) => {
            json.push('{');
            for (index, entry) in entries.iter().enumerate() {
                if index > 0 {
                    json.push(',');
                }
                quote(&entry.key, json);
                json.push(':');
                write_json(&entry.node, json);
            }
            json.push('}');
        }
    }
}

fn quote(text: &str, json: &mut String) {
    json.push_str(&serde_json::Value::from(text).to_string());
}

fn scalar(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Number { written, .. } => Some(written.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}
