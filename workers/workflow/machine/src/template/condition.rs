//! `when` conditions: read once at submission, and again when they are asked.

use std::cmp::Ordering;

use serde_json::Value;

use super::{
    Scope, SyntaxError, Unresolved,
    lexer::Lexer,
    path::{Operand, Path, braced, literal},
};
use crate::limits::{MAX_CONDITION_BYTES, MAX_CONDITION_DEPTH};

/// A condition that was read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    Or(Vec<Condition>),
    And(Vec<Condition>),
    Not(Box<Condition>),
    Compare(Box<Condition>, Comparison, Box<Condition>),
    Value(Operand),
}

/// How two sides are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Longer signs first: `<=` begins with `<`.
const SIGNS: [(&str, Comparison); 6] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

impl Condition {
    /// Reads a whole condition.
    pub(crate) fn parse(text: &str) -> Result<Self, SyntaxError> {
        let mut lexer = Lexer::new(text, 0);
        if text.len() > MAX_CONDITION_BYTES {
            return Err(lexer.error_at(0, format!("longer than {MAX_CONDITION_BYTES} bytes")));
        }
        let condition = or(&mut lexer, 0)?;
        match lexer.rest() {
            "" => Ok(condition),
            _ => Err(lexer.expected("an operator or the end")),
        }
    }

    /// Every path in it.
    pub(crate) fn paths<'a>(&'a self, found: &mut Vec<&'a Path>) {
        match self {
            Self::Or(all) | Self::And(all) => all.iter().for_each(|one| one.paths(found)),
            Self::Not(inner) => inner.paths(found),
            Self::Compare(left, _, right) => {
                left.paths(found);
                right.paths(found);
            }
            Self::Value(Operand::Path(path)) => found.push(path),
            Self::Value(Operand::Literal(_)) => {}
        }
    }

    fn value(&self, scope: &mut Scope<'_>) -> Result<Value, Unresolved> {
        match self {
            Self::Or(all) => {
                for one in all {
                    if one.truth(scope)? {
                        return Ok(Value::Bool(true));
                    }
                }
                Ok(Value::Bool(false))
            }
            Self::And(all) => {
                for one in all {
                    if !one.truth(scope)? {
                        return Ok(Value::Bool(false));
                    }
                }
                Ok(Value::Bool(true))
            }
            Self::Not(inner) => Ok(Value::Bool(!inner.truth(scope)?)),
            Self::Compare(left, comparison, right) => {
                let (left, right) = (left.value(scope)?, right.value(scope)?);
                compare(&left, *comparison, &right).map(Value::Bool)
            }
            Self::Value(Operand::Literal(value)) => Ok(value.clone()),
            Self::Value(Operand::Path(path)) => Ok(scope.find(path)?.unwrap_or(Value::Null)),
        }
    }

    fn truth(&self, scope: &mut Scope<'_>) -> Result<bool, Unresolved> {
        Ok(match self.value(scope)? {
            Value::Null => false,
            Value::Bool(value) => value,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(_) | Value::Object(_) => true,
        })
    }
}

/// Whether a condition holds.
pub(crate) fn holds(text: &str, scope: &mut Scope<'_>) -> Result<bool, Unresolved> {
    Condition::parse(text).map_err(|error| Unresolved(error.to_string()))?.truth(scope)
}

fn compare(left: &Value, comparison: Comparison, right: &Value) -> Result<bool, Unresolved> {
    let order = match (left, right) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            // Exact where both are whole: a double has 53 bits.
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => a.as_f64().zip(b.as_f64()).and_then(|(a, b)| a.partial_cmp(&b)),
        },
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    };
    let equal = order.map_or_else(|| left == right, |order| order == Ordering::Equal);
    match (comparison, order) {
        (Comparison::Equal, _) => Ok(equal),
        (Comparison::NotEqual, _) => Ok(!equal),
        (Comparison::Less, Some(order)) => Ok(order == Ordering::Less),
        (Comparison::LessOrEqual, Some(order)) => Ok(order != Ordering::Greater),
        (Comparison::Greater, Some(order)) => Ok(order == Ordering::Greater),
        (Comparison::GreaterOrEqual, Some(order)) => Ok(order != Ordering::Less),
        (_, None) => Err(Unresolved(format!(
            "{} and {} have no order; < <= > >= take two numbers or two texts",
            kind(left),
            kind(right)
        ))),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn or(lexer: &mut Lexer<'_>, depth: usize) -> Result<Condition, SyntaxError> {
    let mut all = vec![and(lexer, depth)?];
    while lexer.take("||") {
        all.push(and(lexer, depth)?);
    }
    Ok(if all.len() == 1 { all.remove(0) } else { Condition::Or(all) })
}

fn and(lexer: &mut Lexer<'_>, depth: usize) -> Result<Condition, SyntaxError> {
    let mut all = vec![comparison(lexer, depth)?];
    while lexer.take("&&") {
        all.push(comparison(lexer, depth)?);
    }
    Ok(if all.len() == 1 { all.remove(0) } else { Condition::And(all) })
}

fn comparison(lexer: &mut Lexer<'_>, depth: usize) -> Result<Condition, SyntaxError> {
    let left = side(lexer, depth)?;
    for (sign, comparison) in SIGNS {
        if lexer.take(sign) {
            let right = side(lexer, depth)?;
            return Ok(Condition::Compare(Box::new(left), comparison, Box::new(right)));
        }
    }
    Ok(left)
}

fn side(lexer: &mut Lexer<'_>, depth: usize) -> Result<Condition, SyntaxError> {
    lexer.space();
    let opened = lexer.at();
    if depth > MAX_CONDITION_DEPTH {
        return Err(lexer.error_at(opened, format!("more than {MAX_CONDITION_DEPTH} levels")));
    }
    if lexer.take("!") {
        return Ok(Condition::Not(Box::new(side(lexer, depth + 1)?)));
    }
    let side = if lexer.take("(") {
        let inner = or(lexer, depth + 1)?;
        if !lexer.take(")") {
            return Err(lexer.expected("')'"));
        }
        inner
    } else if lexer.take("{{") {
        Condition::Value(braced(lexer, opened)?)
    } else if let Some(value) = literal(lexer)? {
        Condition::Value(Operand::Literal(value))
    } else {
        return Err(lexer.expected("{{a template}}, a literal, '!' or '('"));
    };
    lexer.space();
    Ok(side)
}
