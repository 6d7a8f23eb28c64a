//! From an HTTP answer to a task's result or error.

use std::error::Error as _;

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde_json::{Map, Value, json};
use workflow_machine::TaskError;

use super::retry_after;
use crate::engine::wall;
use crate::executor::voice::cut;

/// Bytes of all headers of a result, names and values: what does not fit is left out.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// Bytes of the body that an error's message repeats.
const QUOTED_BYTES: usize = 512;

/// Headers of an answer that are no part of a result: cookies, and what belongs to the connection.
const HIDDEN: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "set-cookie",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "www-authenticate",
];

/// Reads the whole answer.
pub(super) async fn read(
    place: &str,
    mut response: Response,
    max_body_bytes: usize,
) -> Result<Bytes, TaskError> {
    let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
    if !status.is_success() {
        return Err(refused(place, status, &headers, response).await);
    }
    let mut body = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(result(status, &headers, &body)),
            Ok(Some(chunk)) if body.len() + chunk.len() > max_body_bytes => {
                let limit =
                    format!("{place} answered more than {max_body_bytes} bytes; ask for less at once");
                return Err(TaskError::permanent("RESPONSE_TOO_LARGE", limit));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Err(error) => {
                let cause = switchboard_transport::chain(error.source().unwrap_or(&error));
                return Err(TaskError::retryable(
                    "UNAVAILABLE",
                    format!("{place}: the answer broke off: {cause}"),
                ));
            }
        }
    }
}

async fn refused(place: &str, status: StatusCode, headers: &HeaderMap, mut response: Response) -> TaskError {
    // What the server says is worth a look, and an answer that breaks off here is still a refusal.
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() >= QUOTED_BYTES {
            break;
        }
    }
    let mut words = String::from_utf8_lossy(&body).trim().to_owned();
    cut(&mut words, QUOTED_BYTES);
    let colon = if words.is_empty() { "" } else { ": " };
    let message = format!("{place} answered {status}{colon}{words}");
    let error = TaskError::permanent(&format!("HTTP_{}", status.as_u16()), message);
    let retryable = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
    let wait = headers.get(RETRY_AFTER).filter(|_| retryable).and_then(|value| value.to_str().ok());
    TaskError {
        retryable,
        retry_after_ms: wait.map_or(0, |value| retry_after::wait_ms(value, wall())),
        ..error
    }
}

fn result(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Bytes {
    let type_ = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut result = json!({"status": status.as_u16(), "headers": shown(headers)});
    let parsed = is_json(type_).then(|| serde_json::from_slice(body).ok()).flatten();
    result["body"] = match (parsed, std::str::from_utf8(body)) {
        (Some(value), _) => value,
        (None, Ok(text)) => text.into(),
        (None, Err(_)) => {
            result["body_base64"] = base64(body).into();
            Value::Null
        }
    };
    result.to_string().into()
}

fn shown(headers: &HeaderMap) -> Map<String, Value> {
    let mut left = MAX_HEADER_BYTES;
    let mut shown = Map::new();
    for name in headers.keys().filter(|name| !HIDDEN.contains(&name.as_str())) {
        let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let value = values.collect::<Vec<_>>().join(", ");
        let size = name.as_str().len() + value.len();
        if size <= left {
            left -= size;
            shown.insert(name.as_str().to_owned(), value.into());
        }
    }
    shown
}

/// `application/json`, and types such as `application/problem+json`.
fn is_json(type_: &str) -> bool {
    let type_ = type_.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    type_.ends_with("/json") || type_.ends_with("+json")
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(three.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at > three.len() { '=' } else { char::from(letter) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (bytes, text) in cases {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn json_is_known_by_its_type() {
        for (type_, expected) in [
            ("application/json", true),
            ("Application/Problem+JSON; charset=utf-8", true),
            ("text/html", false),
            ("application/json5", false),
            ("", false),
        ] {
            assert_eq!(is_json(type_), expected, "{type_}");
        }
    }
}
