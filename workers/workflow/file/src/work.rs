//! What a task does, in the keys of its type.

use std::collections::BTreeMap;

use switchboard_proto::goclaw::v1::{Compensation, TaskDefinition, compensation, task_definition};

use crate::{
    keys::{Field, Keys, Report},
    value,
};

/// The types, each with the keys that only it has and the field that each becomes.
const TYPES: [(&str, &[(&str, &str)]); 9] = [
    ("agent", CALL),
    ("tool", CALL),
    ("worker", CALL),
    ("http", &[("url", "target"), ("method", "operation"), ("headers", "parameters"), ("body", "input")]),
    (
        "function",
        &[("queue", "target"), ("operation", "operation"), ("parameters", "parameters"), ("input", "input")],
    ),
    ("sleep", &[("duration", "parameters"), ("until", "parameters")]),
    ("wait_signal", &[("signal", "target")]),
    ("workflow", &[("workflow", "workflow")]),
    ("noop", &[]),
];

/// What agents, tools and workers have.
const CALL: &[(&str, &str)] =
    &[("target", "target"), ("operation", "operation"), ("parameters", "parameters"), ("input", "input")];

/// What a task or a compensation does: the fields that both have.
#[derive(Debug, Default)]
pub(crate) struct Work {
    r#type: String,
    target: String,
    operation: String,
    input_json: Option<Vec<u8>>,
    parameters: BTreeMap<String, String>,
}

/// Takes `type` and the keys that it brings, all but `workflow`.
pub(crate) fn read(report: &mut Report, keys: &mut Keys<'_>) -> Work {
    let mut work = Work::default();
    let words: Vec<(&str, &str)> = TYPES.iter().map(|(word, _)| (*word, *word)).collect();
    let given = keys.take(report, "type", "type").map(|field| value::word(report, &field, &words));
    let type_ = match given {
        Some(Some(word)) => word,
        // Wrong, and said so: any key may be right.
        Some(None) => "",
        None => implied(keys),
    };
    // The engine finds agent, tool and worker by the target's suffix.
    if given.is_some() || type_ != "agent" {
        type_.clone_into(&mut work.r#type);
    }
    if type_ == "sleep" && keys.has("duration") == keys.has("until") {
        report.problem(&keys.path("duration"), keys.place(), "expected either `duration` or `until`");
    }
    let own: &[(&str, &str)] = TYPES.iter().find(|(word, _)| *word == type_).map_or(CALL, |(_, keys)| keys);
    for (key, to) in own.iter().filter(|(key, _)| *key != "workflow") {
        let needed = matches!(*key, "target" | "url" | "queue" | "signal") && !work.r#type.is_empty();
        let field = match needed {
            true => keys.need(report, key, to, &format!("what a task of type {type_} is about")),
            false => keys.take(report, key, to),
        };
        if let Some(field) = field {
            work.set(report, keys, &field, key, to);
        }
    }
    work
}

impl Work {
    fn set(&mut self, report: &mut Report, keys: &Keys<'_>, field: &Field<'_>, key: &str, to: &str) {
        match (key, to) {
            ("duration", _) => {
                if value::milliseconds(report, field).is_some() {
                    self.parameters
                        .extend(value::text(report, field).map(|text| ("duration".to_owned(), text)));
                }
            }
            ("until", _) => {
                if value::timestamp(report, field).is_some() {
                    self.parameters.extend(value::text(report, field).map(|text| ("until".to_owned(), text)));
                }
            }
            (_, "target") => self.target = value::text(report, field).unwrap_or_default(),
            (_, "operation") => self.operation = value::text(report, field).unwrap_or_default(),
            (_, "parameters") => {
                let to = keys.target("parameters");
                self.parameters = value::strings(report, field, &to).unwrap_or_default();
            }
            _ => self.input_json = Some(value::json(field.node).into_bytes()),
        }
    }

    /// Fills a task's fields.
    pub(crate) fn task(self, task: &mut TaskDefinition) {
        task.r#type = self.r#type;
        task.target = self.target;
        task.operation = self.operation;
        task.parameters = self.parameters;
        task.payload = self.input_json.map(task_definition::Payload::InputJson);
    }

    /// Fills a compensation's fields.
    pub(crate) fn compensation(self, compensation: &mut Compensation) {
        compensation.r#type = self.r#type;
        compensation.target = self.target;
        compensation.operation = self.operation;
        compensation.parameters = self.parameters;
        compensation.payload = self.input_json.map(compensation::Payload::InputJson);
    }
}

/// The type that the keys speak of: of a task without `type`.
fn implied(keys: &Keys<'_>) -> &'static str {
    [
        ("workflow", "workflow"),
        ("url", "http"),
        ("signal", "wait_signal"),
        ("queue", "function"),
        ("duration", "sleep"),
        ("until", "sleep"),
    ]
    .iter()
    .find(|(key, _)| keys.has(key))
    .map_or("agent", |(_, type_)| type_)
}

/// Says whose key it is, of one that is another type's.
pub(crate) fn explain(type_: &str, key: &str) -> Option<String> {
    let owners: Vec<&str> = TYPES
        .iter()
        .filter(|(_, keys)| keys.iter().any(|(own, _)| *own == key))
        .map(|(word, _)| *word)
        .collect();
    if owners.is_empty() {
        return None;
    }
    let own = TYPES.iter().find(|(word, _)| *word == type_).map_or(CALL, |(_, keys)| keys);
    let own: Vec<&str> = own.iter().map(|(key, _)| *key).collect();
    let of = if type_.is_empty() { "this task".to_owned() } else { format!("a task of type {type_}") };
    let has = if own.is_empty() { "no keys of its own".to_owned() } else { own.join(", ") };
    Some(format!("`{key}` belongs to {}; {of} has {has}", owners.join(", ")))
}
