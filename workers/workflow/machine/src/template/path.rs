//! What stands between `{{` and `}}`: a literal, or a path into what the workflow knows.

use serde_json::Value;

use super::{SyntaxError, lexer::Lexer};

/// A value, or where to find one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    Literal(Value),
    Path(Path),
}

/// Where to find a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Path {
    pub(crate) root: Root,
    pub(crate) keys: Vec<Key>,
    /// As it was written, for errors.
    pub(crate) text: String,
    /// Characters before it.
    pub(crate) at: usize,
}

/// Where a path begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    TaskResult(String),
    TaskStatus(String),
    WorkflowId,
    WorkflowName,
    WorkflowMetadata(String),
    WorkflowInput,
    Item,
    Index,
    Result,
}

impl Root {
    /// The task that it reads.
    pub(crate) fn task(&self) -> Option<&str> {
        match self {
            Self::TaskResult(task) | Self::TaskStatus(task) => Some(task),
            _ => None,
        }
    }
}

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Name(String),
    Index(usize),
}

/// Reads `{{ operand }}`, from after the opening braces to after the closing ones.
pub(super) fn braced(lexer: &mut Lexer<'_>, opened: usize) -> Result<Operand, SyntaxError> {
    lexer.space();
    let operand = match literal(lexer)? {
        Some(value) => Operand::Literal(value),
        None => Operand::Path(path(lexer)?),
    };
    lexer.space();
    if lexer.take("}}") {
        return Ok(operand);
    }
    match lexer.rest() {
        "" => Err(lexer.error_at(opened, "the template that begins here has no closing }}")),
        _ => Err(lexer.expected("'.', '[' or '}}' (keys with other characters are written ['so'])")),
    }
}

/// Reads a literal, if there is one here.
pub(super) fn literal(lexer: &mut Lexer<'_>) -> Result<Option<Value>, SyntaxError> {
    if let Some(text) = lexer.quoted()? {
        return Ok(Some(Value::String(text)));
    }
    if let Some(number) = lexer.number()? {
        return Ok(Some(Value::Number(number)));
    }
    let words = [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)];
    for (word, value) in words {
        let after = lexer.rest().strip_prefix(word).map(|after| after.chars().next());
        let whole = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':' | '.' | '['));
        if after.is_some_and(|after| after.is_none_or(whole)) {
            lexer.take(word);
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn path(lexer: &mut Lexer<'_>) -> Result<Path, SyntaxError> {
    let start = lexer.at();
    let before = lexer.rest();
    let root = match lexer.name() {
        "tasks" => {
            let task = name(lexer, "a task, as .id or ['id']")?;
            let field_at = lexer.at();
            match field(lexer)? {
                "result" => Root::TaskResult(task),
                "status" => Root::TaskStatus(task),
                _ => return Err(lexer.error_at(field_at, "a task has .result and .status")),
            }
        }
        "workflow" => {
            let field_at = lexer.at();
            match field(lexer)? {
                "id" => Root::WorkflowId,
                "name" => Root::WorkflowName,
                "metadata" => Root::WorkflowMetadata(name(lexer, "a key, as .name or ['name']")?),
                "input" => Root::WorkflowInput,
                _ => {
                    return Err(lexer.error_at(field_at, "a workflow has .id, .name, .metadata and .input"));
                }
            }
        }
        "item" => Root::Item,
        "index" => Root::Index,
        "result" => Root::Result,
        _ => {
            return Err(lexer.error_at(start, "expected tasks, workflow, item, index, result, or a literal"));
        }
    };
    let mut keys = Vec::new();
    if matches!(root, Root::TaskResult(_) | Root::WorkflowInput | Root::Item | Root::Result) {
        while let Some(key) = key(lexer)? {
            keys.push(key);
        }
    }
    let text = before[..lexer.at() - start].to_owned();
    Ok(Path { root, keys, text, at: lexer.error_at(start, "").at })
}

fn field<'a>(lexer: &mut Lexer<'a>) -> Result<&'a str, SyntaxError> {
    if lexer.take(".") { Ok(lexer.name()) } else { Err(lexer.expected("'.'")) }
}

fn name(lexer: &mut Lexer<'_>, what: &str) -> Result<String, SyntaxError> {
    match key(lexer)? {
        Some(Key::Name(name)) => Ok(name),
        Some(Key::Index(index)) => Ok(index.to_string()),
        None => Err(lexer.expected(what)),
    }
}

fn key(lexer: &mut Lexer<'_>) -> Result<Option<Key>, SyntaxError> {
    if lexer.take(".") {
        return match lexer.name() {
            "" => Err(lexer.expected("a name")),
            name => Ok(Some(Key::Name(name.to_owned()))),
        };
    }
    if !lexer.take("[") {
        return Ok(None);
    }
    lexer.space();
    let key = match lexer.quoted()? {
        Some(name) => Key::Name(name),
        None => {
            let start = lexer.at();
            let index = lexer.name().parse();
            Key::Index(index.map_err(|_| lexer.error_at(start, "expected a number or a text in quotes"))?)
        }
    };
    lexer.space();
    if lexer.take("]") { Ok(Some(key)) } else { Err(lexer.expected("']'")) }
}
