//! From path, query and body to the message of a call.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequestParts, Query, RawPathParams},
    http::{HeaderMap, HeaderName, StatusCode, header, request::Parts},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use prost_reflect::MessageDescriptor;
use serde_json::Value;

use super::{json, problem::Problem, route::Route};

/// Longest that a body may take to arrive: a slow sender holds a connection meanwhile.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// How many times as much as is allowed is read of a body that is too large.
const DROPPED: usize = 4;

/// Most parameters in a query: the longest filter has ten kinds, some of them repeated.
const MAX_PARAMETERS: usize = 200;

/// What a query says, in order.
pub(super) type Parameters = Vec<(String, String)>;

/// Takes the query apart.
pub(super) async fn query(parts: &mut Parts) -> Result<Parameters, Problem> {
    let Query(query) = Query::<Parameters>::from_request_parts(parts, &())
        .await
        .map_err(|error| Problem::invalid("", format!("the query cannot be read: {error}")))?;
    if query.len() > MAX_PARAMETERS {
        let reason = format!("the query has {} parameters, at most {MAX_PARAMETERS}", query.len());
        return Err(Problem::invalid("", reason));
    }
    Ok(query)
}

/// Reads a body of at most `max` bytes as JSON; an absent one is an empty object.
pub(super) async fn body(headers: &HeaderMap, body: Body, max: usize) -> Result<Value, Problem> {
    let bytes = match tokio::time::timeout(BODY_TIMEOUT, collected(body, max)).await {
        Ok(bytes) => bytes?,
        Err(_) => {
            let message = format!("the body did not arrive within {} s", BODY_TIMEOUT.as_secs());
            let problem = Problem::new(StatusCode::REQUEST_TIMEOUT, "BODY_TIMEOUT", message);
            return Err(problem.with(header::CONNECTION, "close"));
        }
    };
    if bytes.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind != "application/json" && !(kind.starts_with("application/") && kind.ends_with("+json")) {
        let message = "the body must be JSON; send it with the header content-type: application/json";
        let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "NOT_JSON", message);
        return Err(problem.with(HeaderName::from_static("accept-post"), "application/json"));
    }
    let value = json::text(&bytes)?;
    if !value.is_object() {
        return Err(Problem::invalid("", "the body must be a JSON object"));
    }
    Ok(value)
}

async fn collected(body: Body, max: usize) -> Result<Bytes, Problem> {
    let mut stream = body.into_data_stream();
    let mut bytes = BytesMut::new();
    let mut dropped = 0;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, "BODY_BROKEN", format!("the body broke off: {error}"))
        })?;
        if dropped == 0 && bytes.len() + chunk.len() <= max {
            bytes.extend_from_slice(&chunk);
            continue;
        }
        // Read on for a while: a client that still sends sees no answer.
        dropped += chunk.len();
        bytes.clear();
        if dropped > DROPPED * max {
            break;
        }
    }
    if dropped > 0 {
        let message = format!("the body is larger than {max} bytes; send less, or in several requests");
        let problem = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", message);
        return Err(problem.with(header::CONNECTION, "close"));
    }
    Ok(bytes.freeze())
}

/// The call's message: the body, then the query, then the path, then what the route decides. The later wins, as it does
/// where encoded messages stand one behind the other.
pub(super) async fn message(
    route: &Route,
    of: &MessageDescriptor,
    parts: &mut Parts,
    query: &[(String, String)],
    body: &Value,
) -> Result<Bytes, Problem> {
    let mut encoded = BytesMut::from(&json::message(of, body)?[..]);
    for (name, text) in query {
        let path = field(route, name).ok_or_else(|| {
            let known: Vec<_> = route.query.iter().map(|(name, _)| *name).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Problem::invalid(name, format!("is no parameter of this path; it takes: {known}"))
        })?;
        encoded.extend(parameter(of, name, &path, text)?);
    }
    let path = RawPathParams::from_request_parts(parts, &()).await;
    let path = path.map_err(|error| Problem::invalid("", format!("the path cannot be read: {error}")))?;
    for (name, text) in &path {
        encoded.extend(parameter(of, name, name, text)?);
    }
    for (path, text) in route.fixed {
        encoded.extend(parameter(of, path, path, text)?);
    }
    Ok(encoded.freeze())
}

/// The path of the field that a parameter of the query fills.
fn field(route: &Route, name: &str) -> Option<String> {
    route.query.iter().find_map(|(known, path)| match known.strip_suffix('*') {
        Some(prefix) => name.strip_prefix(prefix).map(|key| format!("{path}.{key}")),
        None => (*known == name).then(|| (*path).to_owned()),
    })
}

fn parameter(of: &MessageDescriptor, name: &str, path: &str, text: &str) -> Result<Bytes, Problem> {
    let value = json::from_text(of, path, text).ok_or_else(|| Problem::invalid(name, "is no parameter"))?;
    // In the client's word, not the field's.
    json::message(of, &value).map_err(|problem| problem.about(name))
}
