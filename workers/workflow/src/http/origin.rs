//! The origin's words for a workflow: `{name, description, tasks, metadata, async}`, with tasks
//! `{id, name, type, depends_on, config, timeout, retries}`.
//!
//! | origin | ours |
//! |---|---|
//! | `description` | `metadata.description` |
//! | `depends_on` | `dependencies` |
//! | `timeout`, 1 to 3600 s | `timeout_ms` |
//! | `retries`, 0 to 5 | `retry`, with its fixed pause of 100 ms |
//! | `config` of `http`: `url`, `method`, `headers`, `body` | `target`, `operation`, `parameters`, `input` |
//! | `config` of `function`: `function` or `queue`, the rest | `target`, `input` |
//!
//! Tasks in our own words pass as they are. `script` passes too, and is refused where all types are.

use serde_json::{Map, Value, json};

use super::problem::Problem;

/// Longest description: the origin's.
const MAX_DESCRIPTION_CHARS: usize = 500;

/// Takes `async` out of a submission, and puts the rest into the words of `SubmitWorkflowRequest`.
pub(super) fn translate(body: &mut Value) -> Result<bool, Problem> {
    let Value::Object(workflow) = body else { return Ok(false) };
    let not_waiting = match workflow.remove("async") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(value)) => value,
        Some(_) => return Err(Problem::invalid("async", "must be true or false")),
    };
    if let Some(description) = workflow.remove("description") {
        let Value::String(description) = description else {
            return Err(Problem::invalid("description", "must be a string"));
        };
        if description.chars().count() > MAX_DESCRIPTION_CHARS {
            let reason = format!("has more than {MAX_DESCRIPTION_CHARS} characters");
            return Err(Problem::invalid("description", reason));
        }
        let metadata = workflow.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        // Anything else than an object is refused with all other fields.
        if let Value::Object(metadata) = metadata {
            metadata.entry("description").or_insert(description.into());
        }
    }
    if let Some(Value::Array(tasks)) = workflow.get_mut("tasks") {
        for (index, task) in tasks.iter_mut().enumerate() {
            if let Value::Object(task) = task {
                translate_task(task, &format!("tasks[{index}]"))?;
            }
        }
    }
    Ok(not_waiting)
}

fn translate_task(task: &mut Map<String, Value>, place: &str) -> Result<(), Problem> {
    if let Some(before) = task.remove("depends_on") {
        put(task, "dependencies", before, &format!("{place}.depends_on"))?;
    }
    if let Some(seconds) = task.remove("timeout") {
        let at = format!("{place}.timeout");
        let seconds = bounded(&seconds, 1, 3_600, &at)?;
        put(task, "timeout_ms", json!(seconds * 1_000), &at)?;
    }
    if let Some(retries) = task.remove("retries") {
        let at = format!("{place}.retries");
        let retries = bounded(&retries, 0, 5, &at)?;
        let retry = json!({ "max_attempts": retries + 1, "initial_ms": 100, "max_ms": 100, "multiplier": 1 });
        put(task, "retry", retry, &at)?;
    }
    let Some(config) = task.remove("config") else { return Ok(()) };
    let at = format!("{place}.config");
    let Value::Object(mut config) = config else {
        return Err(Problem::invalid(&at, "must be an object"));
    };
    match task.get("type").and_then(Value::as_str) {
        Some("http") => {
            for (theirs, ours) in
                [("url", "target"), ("method", "operation"), ("headers", "parameters"), ("body", "input")]
            {
                if let Some(value) = config.remove(theirs) {
                    put(task, ours, value, &format!("{at}.{theirs}"))?;
                }
            }
            match config.keys().next() {
                None => Ok(()),
                Some(key) => {
                    let reason = "is unknown; a task of type http takes url, method, headers and body";
                    Err(Problem::invalid(&format!("{at}.{key}"), reason))
                }
            }
        }
        Some("function") => {
            for theirs in ["function", "queue"] {
                if let Some(value) = config.remove(theirs) {
                    put(task, "target", value, &format!("{at}.{theirs}"))?;
                }
            }
            if config.is_empty() { Ok(()) } else { put(task, "input", Value::Object(config), &at) }
        }
        Some("script") => Ok(()),
        _ => Err(Problem::invalid(
            &at,
            "belongs to tasks of type http and function; use target, operation and input",
        )),
    }
}

fn put(task: &mut Map<String, Value>, field: &str, value: Value, at: &str) -> Result<(), Problem> {
    if task.contains_key(field) {
        return Err(Problem::invalid(at, format!("says what {field} says too; use one of them")));
    }
    task.insert(field.to_owned(), value);
    Ok(())
}

fn bounded(value: &Value, least: u64, most: u64, at: &str) -> Result<u64, Problem> {
    let number = value.as_u64().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| Problem::invalid(at, format!("must be a whole number from {least} to {most}")))
}
