//! What templates of a task can see, and how much of it they may take.

use bytes::Bytes;
use serde_json::Value;

use super::path::{Key, Path, Root};
use crate::{TaskDetail, Workflow, unit::UnitId};

/// Bytes that the templates of one request may put in. A text may name a large result many times.
const MAX_RESOLVED_BYTES: usize = 16 * 1024 * 1024;

/// Why a template or a condition has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unresolved(pub(crate) String);

/// What templates of one task, or item of one, can see.
pub(crate) struct Scope<'a> {
    workflow: &'a Workflow,
    unit: UnitId,
    /// Whether `{{result}}` is there: for compensations.
    with_result: bool,
    /// Results that were read, by task: a request may name one often.
    read: Vec<(u32, Value)>,
    budget: usize,
}

impl<'a> Scope<'a> {
    /// What the templates of a task's work see; with `with_result` those of its compensation.
    pub(crate) fn new(workflow: &'a Workflow, unit: UnitId, with_result: bool) -> Self {
        Self { workflow, unit, with_result, read: Vec::new(), budget: MAX_RESOLVED_BYTES }
    }

    /// The value at a path; nothing if it leads nowhere.
    pub(crate) fn find(&mut self, path: &Path) -> Result<Option<Value>, Unresolved> {
        let workflow = self.workflow;
        let spec = &workflow.plan.spec;
        let found = match &path.root {
            Root::TaskResult(id) => return self.result_of(id, path),
            Root::TaskStatus(id) => Some(Value::String(self.task(id)?.detail.to_string())),
            Root::WorkflowId => Some(Value::String(workflow.id.to_string())),
            Root::WorkflowName => Some(Value::String(spec.name.clone())),
            Root::WorkflowMetadata(key) => spec.metadata.get(key).map(|value| Value::String(value.clone())),
            Root::WorkflowInput => self.pick(&read(&spec.input), &path.keys)?,
            Root::Item => match workflow.item_value(self.unit) {
                Some(item) => self.pick(&read(item), &path.keys)?,
                None => None,
            },
            Root::Index => self.unit.item().map(Value::from),
            Root::Result if self.with_result => match workflow.unit(self.unit) {
                Some(unit) => self.pick(&read(&unit.result), &path.keys)?,
                None => None,
            },
            Root::Result => None,
        };
        if let Some(Value::String(text)) = &found {
            self.spend(text.len())?;
        }
        Ok(found)
    }

    fn result_of(&mut self, id: &str, path: &Path) -> Result<Option<Value>, Unresolved> {
        let task = self.workflow.plan.find(id).ok_or_else(|| Unresolved(format!("there is no task {id}")))?;
        let view = self.task(id)?;
        match view.detail {
            TaskDetail::Completed
            | TaskDetail::Compensating
            | TaskDetail::Compensated
            | TaskDetail::CompensationFailed => {}
            // Its condition was false: there is no result, and that is no mistake.
            TaskDetail::Skipped => return Ok(Some(Value::Null)),
            _ => return Ok(None),
        }
        let place = match self.read.iter().position(|(number, _)| *number == task) {
            Some(place) => place,
            None => {
                self.read.push((task, read(view.result)));
                self.read.len() - 1
            }
        };
        let (number, value) = self.read.swap_remove(place);
        let picked = self.pick(&value, &path.keys);
        self.read.push((number, value));
        picked
    }

    fn task(&self, id: &str) -> Result<crate::TaskView<'a>, Unresolved> {
        self.workflow.task(id).ok_or_else(|| Unresolved(format!("there is no task {id}")))
    }

    fn pick(&mut self, value: &Value, keys: &[Key]) -> Result<Option<Value>, Unresolved> {
        let mut value = value;
        for key in keys {
            let next = match (key, value) {
                (Key::Name(name), Value::Object(fields)) => fields.get(name),
                (Key::Index(index), Value::Array(items)) => items.get(*index),
                (Key::Name(name), Value::Array(items)) => {
                    name.parse::<usize>().ok().and_then(|index| items.get(index))
                }
                _ => None,
            };
            match next {
                Some(next) => value = next,
                None => return Ok(None),
            }
        }
        self.spend(weight(value))?;
        Ok(Some(value.clone()))
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Unresolved> {
        match self.budget.checked_sub(bytes) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => Err(Unresolved(format!("templates put in more than {MAX_RESOLVED_BYTES} bytes"))),
        }
    }
}

/// Reads JSON text. Anything else is a text, and nothing is null.
pub(crate) fn read(bytes: &Bytes) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

/// About as many bytes as the value's JSON text has.
fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| weight(item) + 1).sum::<usize>(),
        Value::Object(fields) => {
            2 + fields.iter().map(|(name, field)| name.len() + weight(field) + 4).sum::<usize>()
        }
    }
}
