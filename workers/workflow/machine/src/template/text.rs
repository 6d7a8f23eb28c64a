//! Texts and JSON with templates in them.

use bytes::Bytes;
use serde_json::Value;

use super::{
    Scope, SyntaxError, Unresolved,
    lexer::Lexer,
    path::{Operand, Path, braced},
};

/// Piece of a text.
enum Piece<'a> {
    Plain(&'a str),
    Operand(Operand),
}

/// Cuts a text at its templates.
fn pieces(text: &str) -> Result<Vec<Piece<'_>>, SyntaxError> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(offset) = text[at..].find("{{") {
        let opened = at + offset;
        if offset > 0 {
            pieces.push(Piece::Plain(&text[at..opened]));
        }
        let mut lexer = Lexer::new(text, opened + 2);
        pieces.push(Piece::Operand(braced(&mut lexer, opened)?));
        at = lexer.at();
    }
    if at < text.len() {
        pieces.push(Piece::Plain(&text[at..]));
    }
    Ok(pieces)
}

/// Every path that a text reads.
pub(crate) fn references(text: &str) -> Result<Vec<Path>, SyntaxError> {
    let path = |piece| match piece {
        Piece::Operand(Operand::Path(path)) => Some(path),
        _ => None,
    };
    Ok(pieces(text)?.into_iter().filter_map(path).collect())
}

/// Resolves a text into a text.
pub(crate) fn resolve_text(text: &str, scope: &mut Scope<'_>) -> Result<String, Unresolved> {
    if !text.contains("{{") {
        return Ok(text.to_owned());
    }
    match resolve(text, scope)? {
        Value::String(text) => Ok(text),
        other => Ok(other.to_string()),
    }
}

/// Resolves JSON text, string by string. What is no JSON is one text; if that is one whole template, the result is the JSON
/// text of its value, otherwise a text again.
pub(crate) fn resolve_json(source: &Bytes, scope: &mut Scope<'_>) -> Result<Bytes, Unresolved> {
    if !source.windows(2).any(|pair| pair == b"{{") {
        return Ok(source.clone());
    }
    if let Ok(mut value) = serde_json::from_slice::<Value>(source) {
        resolve_value(&mut value, scope)?;
        return Ok(value.to_string().into());
    }
    let Ok(text) = std::str::from_utf8(source) else {
        return Ok(source.clone());
    };
    let pieces = pieces(text).map_err(|error| Unresolved(error.to_string()))?;
    let whole = matches!(&pieces[..], [Piece::Operand(_)]);
    match join(pieces, scope)? {
        Value::String(text) if !whole => Ok(text.into()),
        value => Ok(value.to_string().into()),
    }
}

/// Resolves a text whose value is a list, or the JSON text of one.
pub(crate) fn resolve_list(text: &str, scope: &mut Scope<'_>) -> Result<Vec<Value>, Unresolved> {
    let value = match serde_json::from_str::<Value>(text) {
        Ok(mut value) => {
            resolve_value(&mut value, scope)?;
            value
        }
        Err(_) => resolve(text, scope)?,
    };
    match value {
        Value::Array(items) => Ok(items),
        // A parameter, say, can only be a text.
        Value::String(text) => {
            serde_json::from_str(&text).map_err(|_| Unresolved("the text is no JSON array".to_owned()))
        }
        other => Err(Unresolved(format!("a list is needed, and this is {}", shorten(&other)))),
    }
}

fn resolve_value(value: &mut Value, scope: &mut Scope<'_>) -> Result<(), Unresolved> {
    match value {
        Value::String(text) if text.contains("{{") => *value = resolve(text, scope)?,
        Value::Array(items) => {
            for item in items {
                resolve_value(item, scope)?;
            }
        }
        Value::Object(fields) => {
            for field in fields.values_mut() {
                resolve_value(field, scope)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn resolve(text: &str, scope: &mut Scope<'_>) -> Result<Value, Unresolved> {
    join(pieces(text).map_err(|error| Unresolved(error.to_string()))?, scope)
}

fn join(mut pieces: Vec<Piece<'_>>, scope: &mut Scope<'_>) -> Result<Value, Unresolved> {
    if let [Piece::Operand(_)] = &pieces[..]
        && let Some(Piece::Operand(operand)) = pieces.pop()
    {
        return value(operand, scope);
    }
    let mut joined = String::new();
    for piece in pieces {
        match piece {
            Piece::Plain(text) => joined.push_str(text),
            Piece::Operand(operand) => match value(operand, scope)? {
                Value::String(text) => joined.push_str(&text),
                other => joined.push_str(&other.to_string()),
            },
        }
    }
    Ok(Value::String(joined))
}

fn value(operand: Operand, scope: &mut Scope<'_>) -> Result<Value, Unresolved> {
    match operand {
        Operand::Literal(value) => Ok(value),
        Operand::Path(path) => {
            let found = scope.find(&path)?;
            found.ok_or_else(|| Unresolved(format!("{} (character {}) is not there", path.text, path.at + 1)))
        }
    }
}

fn shorten(value: &Value) -> String {
    let mut text = value.to_string();
    crate::error::cut(&mut text, 60);
    text
}
