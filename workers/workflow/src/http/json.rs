//! Between JSON and messages: proto3 JSON, with the fields' names as the `.proto` files have them.

use std::sync::LazyLock;

use axum::http::StatusCode;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor,
    SerializeOptions,
};
use serde_json::{Map, Value};

use super::problem::Problem;

/// Everything that the `.proto` files say. They are compiled into the program, and its tests read all of them.
pub(super) static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(switchboard_proto::DESCRIPTOR_SET).expect("the build made this descriptor set")
});

/// Finds `/goclaw.v1.WorkflowService/SubmitWorkflow`.
pub(super) fn method(path: &str) -> Option<MethodDescriptor> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    POOL.get_service_by_name(service)?.methods().find(|found| found.name() == method)
}

/// How deep a message's JSON may be nested, but for inputs: decoders of protobuf stop at 100 levels, and a level of free
/// JSON is three of them.
const MAX_DEPTH: usize = 30;

/// Reads a request's message, and names the place of what does not fit.
pub(super) fn message(of: &MessageDescriptor, value: &Value) -> Result<Bytes, Problem> {
    let mut value = value.clone();
    keep_inputs(of, &mut value);
    let value = &value;
    if deeper(value, MAX_DEPTH) {
        return Err(Problem::invalid("", format!("the request is nested deeper than {MAX_DEPTH} levels")));
    }
    match DynamicMessage::deserialize(of.clone(), value) {
        Ok(message) => Ok(message.encode_to_vec().into()),
        Err(error) => {
            let (place, error) = culprit(of, value, String::new(), error);
            Err(Problem::invalid(&place, error.to_string()))
        }
    }
}

/// Reads JSON text, and names line and column of what is none.
pub(super) fn text(body: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        let message = format!("the body is no JSON: {error}");
        Problem::new(StatusCode::BAD_REQUEST, "MALFORMED_JSON", message)
    })
}

/// Shows an answer.
pub(super) fn shown(of: &MessageDescriptor, message: Bytes) -> Result<Value, Problem> {
    let broken = |what: String| {
        tracing::error!(message = of.full_name(), what, "an answer cannot be shown as JSON");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "NOT_JSON", "the answer cannot be shown as JSON")
    };
    let message = DynamicMessage::decode(of.clone(), message).map_err(|error| broken(error.to_string()))?;
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false);
    let mut shown = message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|error| broken(error.to_string()))?;
    embed(of, &mut shown);
    Ok(shown)
}

/// Fields of bytes that hold JSON text, and under which name the JSON itself stands beside them: base64 is for programs
/// that want the text to the letter.
pub(super) const EMBEDDED: [(&str, &str); 5] = [
    ("result_data", "result"),
    ("result_json", "result"),
    ("input_json", "input"),
    ("data_json", "data"),
    ("debug_data", "debug"),
];

fn embed(of: &MessageDescriptor, value: &mut Value) {
    let Value::Object(fields) = value else { return };
    for field in of.fields() {
        match field.kind() {
            Kind::Message(inner) if !field.is_map() && inner.package_name() == of.package_name() => {
                match fields.get_mut(field.name()) {
                    Some(Value::Array(items)) => items.iter_mut().for_each(|item| embed(&inner, item)),
                    Some(item) => embed(&inner, item),
                    None => {}
                }
            }
            Kind::Bytes => {
                let Some((bytes, json)) = EMBEDDED.iter().find(|(bytes, _)| *bytes == field.name()) else {
                    continue;
                };
                let text =
                    fields.get(*bytes).and_then(Value::as_str).and_then(|text| STANDARD.decode(text).ok());
                if let Some(found) = text.and_then(|text| serde_json::from_slice(&text).ok()) {
                    fields.insert((*json).to_owned(), found);
                }
            }
            _ => {}
        }
    }
}

/// Puts free JSON into `input_json` where a message has both forms: as a text nothing of it is lost (integers above 2^53),
/// and it may be as deep as JSON may.
fn keep_inputs(of: &MessageDescriptor, value: &mut Value) {
    let Value::Object(fields) = value else { return };
    let both = of.get_field_by_name("input").is_some() && of.get_field_by_name("input_json").is_some();
    // Whoever says both is refused.
    let said = fields.contains_key("input_json") || fields.contains_key("inputJson");
    if both
        && !said
        && let Some(input) = fields.remove("input")
    {
        fields.insert("input_json".to_owned(), STANDARD.encode(input.to_string()).into());
    }
    for (name, value) in fields {
        let Some(field) = field(of, name) else { continue };
        let Kind::Message(inner) = field.kind() else { continue };
        match value {
            Value::Array(items) if field.is_list() => {
                items.iter_mut().for_each(|item| keep_inputs(&inner, item))
            }
            value if !field.is_map() => keep_inputs(&inner, value),
            _ => {}
        }
    }
}

/// Whether a value is nested deeper than that.
fn deeper(value: &Value, left: usize) -> bool {
    match value {
        Value::Array(items) => left == 0 || items.iter().any(|item| deeper(item, left - 1)),
        Value::Object(fields) => left == 0 || fields.values().any(|item| deeper(item, left - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The innermost value that does not fit, and why. Runs only for requests that are refused.
fn culprit(
    of: &MessageDescriptor,
    value: &Value,
    place: String,
    error: serde_json::Error,
) -> (String, serde_json::Error) {
    let Value::Object(fields) = value else { return (place, error) };
    if of.full_name().starts_with("google.protobuf.") {
        return (place, error);
    }
    for (name, value) in fields {
        let single = Value::Object(Map::from_iter([(name.clone(), value.clone())]));
        let Err(error) = DynamicMessage::deserialize(of.clone(), &single) else { continue };
        let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
        let Some(field) = field(of, name) else { return (place, error) };
        let Kind::Message(inner) = field.kind() else { return (place, error) };
        return match value {
            Value::Array(items) if field.is_list() => {
                for (index, item) in items.iter().enumerate() {
                    if let Err(error) = DynamicMessage::deserialize(inner.clone(), item) {
                        return culprit(&inner, item, format!("{place}[{index}]"), error);
                    }
                }
                (place, error)
            }
            value if !field.is_list() && !field.is_map() => culprit(&inner, value, place, error),
            _ => (place, error),
        };
    }
    (place, error)
}

/// A field by its name in the `.proto` file, or in camelCase as proto3 JSON allows too.
fn field(of: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    of.get_field_by_name(name).or_else(|| of.get_field_by_json_name(name))
}

/// The JSON of a text in a path or a query, for the field at `path` (`pagination.page_size`). A map's field is followed by
/// the key.
pub(super) fn from_text(of: &MessageDescriptor, path: &str, text: &str) -> Option<Value> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let field = of.get_field_by_name(name)?;
    let value = match (rest, field.kind()) {
        (Some(key), _) if field.is_map() => Value::Object(Map::from_iter([(key.to_owned(), text.into())])),
        (Some(rest), Kind::Message(inner)) => from_text(&inner, rest, text)?,
        (Some(_), _) => return None,
        (None, Kind::Bool) => match text {
            "" | "1" | "true" => true.into(),
            "0" | "false" => false.into(),
            _ => text.into(),
        },
        // Not among the full names: taken as it is, and refused with them in the message.
        (None, Kind::Enum(of)) => {
            let word = text.to_ascii_uppercase();
            let found = of.values().find(|value| {
                value.name() == word
                    || value.name().strip_suffix(&word).is_some_and(|prefix| prefix == prefix_of(of.name()))
            });
            match found {
                Some(value) => value.name().into(),
                None => text.parse::<i32>().map_or_else(|_| text.into(), Value::from),
            }
        }
        // Numbers may be strings in proto3 JSON.
        (None, _) => text.into(),
    };
    let value = if field.is_list() { Value::Array(vec![value]) } else { value };
    Some(Value::Object(Map::from_iter([(name.to_owned(), value)])))
}

/// `WORKFLOW_STATUS_` of `WorkflowStatus`.
fn prefix_of(name: &str) -> String {
    let mut prefix = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !prefix.is_empty() {
            prefix.push('_');
        }
        prefix.push(letter.to_ascii_uppercase());
    }
    prefix.push('_');
    prefix
}
