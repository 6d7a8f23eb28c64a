//! Payloads: JSON text, or `google.protobuf.Value` made JSON text.

use bytes::Bytes;
use prost_types::{ListValue, Struct, Value, value::Kind};
use serde::de::IgnoredAny;

use super::violations::{At, Violations};

/// Values inside of each other; as deep as JSON text may be.
const MAX_DEPTH: usize = 100;

/// Whole numbers up to here are exact in a double.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Takes JSON text as it is.
pub(super) fn of_text(text: Vec<u8>, violations: &mut Violations, at: At<'_>) -> Bytes {
    // Reading it bounds its depth, too.
    match serde_json::from_slice::<IgnoredAny>(&text) {
        Ok(_) => text.into(),
        Err(_) if text.is_empty() => Bytes::new(),
        Err(error) => {
            violations.add(at, format!("not JSON: {error}; a text needs quotes"));
            Bytes::new()
        }
    }
}

/// Writes a value.
pub(super) fn of_value(value: &Value, violations: &mut Violations, at: At<'_>) -> Bytes {
    let mut json = String::new();
    written(write_value(value, &mut json, 0), json, violations, at)
}

/// Writes a list.
pub(super) fn of_list(list: &ListValue, violations: &mut Violations, at: At<'_>) -> Bytes {
    let mut json = String::new();
    written(write_list(list, &mut json, 0), json, violations, at)
}

/// Writes a mapping.
pub(super) fn of_struct(fields: &Struct, violations: &mut Violations, at: At<'_>) -> Bytes {
    let mut json = String::new();
    written(write_struct(fields, &mut json, 0), json, violations, at)
}

/// A text as JSON.
pub(super) fn of_string(text: &str) -> Bytes {
    let mut json = String::with_capacity(text.len() + 2);
    quote(text, &mut json);
    json.into()
}

/// What JSON does not have.
enum Unwritable {
    NotFinite,
    TooDeep,
}

fn written(result: Result<(), Unwritable>, json: String, violations: &mut Violations, at: At<'_>) -> Bytes {
    match result {
        Ok(()) => json.into(),
        Err(unwritable) => {
            let reason = match unwritable {
                Unwritable::NotFinite => {
                    "holds NaN or an infinity, which JSON has not; send a text".to_owned()
                }
                Unwritable::TooDeep => {
                    format!("values stand more than {MAX_DEPTH} deep inside of each other")
                }
            };
            violations.add(at, reason);
            Bytes::new()
        }
    }
}

fn write_value(value: &Value, json: &mut String, depth: usize) -> Result<(), Unwritable> {
    if depth > MAX_DEPTH {
        return Err(Unwritable::TooDeep);
    }
    match &value.kind {
        None | Some(Kind::NullValue(_)) => json.push_str("null"),
        Some(Kind::BoolValue(value)) => json.push_str(if *value { "true" } else { "false" }),
        Some(Kind::NumberValue(number)) if !number.is_finite() => return Err(Unwritable::NotFinite),
        // 3, not 3.0: templates put it into texts.
        Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() <= MAX_EXACT => {
            json.push_str(&(*number as i64).to_string());
        }
        Some(Kind::NumberValue(number)) => json.push_str(&serde_json::Value::from(*number).to_string()),
        Some(Kind::StringValue(text)) => quote(text, json),
        Some(Kind::StructValue(fields)) => write_struct(fields, json, depth)?,
        Some(Kind::ListValue(list)) => write_list(list, json, depth)?,
    }
    Ok(())
}

fn write_list(list: &ListValue, json: &mut String, depth: usize) -> Result<(), Unwritable> {
    json.push('[');
    for (index, value) in list.values.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        write_value(value, json, depth + 1)?;
    }
    json.push(']');
    Ok(())
}

fn write_struct(fields: &Struct, json: &mut String, depth: usize) -> Result<(), Unwritable> {
    json.push('{');
    for (index, (key, value)) in fields.fields.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        quote(key, json);
        json.push(':');
        write_value(value, json, depth + 1)?;
    }
    json.push('}');
    Ok(())
}

fn quote(text: &str, json: &mut String) {
    json.push_str(&serde_json::Value::from(text).to_string());
}
