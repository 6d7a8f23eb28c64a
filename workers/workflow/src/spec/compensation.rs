//! How a task is undone.

use bytes::Bytes;
use switchboard_proto::goclaw::v1::{self, compensation::Payload};
use workflow_machine::Compensate;

use super::{
    json,
    keyed::Keyed,
    milliseconds, retry,
    violations::{At, Violations},
    work::{Asked, Type},
};

/// Reads the field and the key `compensate` with those that belong to it.
pub(super) fn read(
    field: Option<v1::Compensation>,
    keyed: &mut Keyed<'_>,
    at: At<'_>,
    violations: &mut Violations,
) -> Option<Compensate> {
    let from_field = field.map(|compensation| read_field(compensation, violations, at.field("compensate")));
    let from_keys = read_keys(keyed, at, violations);
    keyed.agreed("compensate", "compensate", from_keys, from_field, violations)
}

fn read_field(compensation: v1::Compensation, violations: &mut Violations, at: At<'_>) -> Compensate {
    let input = match compensation.payload {
        None => Bytes::new(),
        Some(Payload::Input(value)) => json::of_value(&value, violations, at.field("input")),
        Some(Payload::InputJson(text)) => json::of_text(text, violations, at.field("input_json")),
    };
    let asked = Asked {
        type_: compensation.r#type,
        target: compensation.target,
        operation: compensation.operation,
        parameters: compensation.parameters,
        input,
    };
    let type_ = asked.resolve(false, violations, at);
    let work = match type_ {
        Some(type_ @ (Type::Sleep | Type::WaitSignal | Type::Workflow)) => {
            let reason = format!(
                "a compensation cannot be of type {type_}; use agent, tool, worker, http, function or noop"
            );
            violations.add(at.field("type"), reason);
            None
        }
        Some(type_) => asked.work(type_, violations, at),
        None => None,
    };
    Compensate {
        work,
        retry: compensation.retry.map(|policy| retry::read(policy, violations, at.field("retry"))),
        timeout_ms: milliseconds(compensation.timeout_ms, violations, at.field("timeout_ms")),
    }
}

fn read_keys(keyed: &mut Keyed<'_>, at: At<'_>, violations: &mut Violations) -> Option<Compensate> {
    let parameters =
        keyed.parameters("compensate.param.", "compensate.parameters", Default::default(), violations);
    let input = keyed.take("compensate.input").map(|text| json::of_string(&text));
    let Some(called) = keyed.take("compensate").filter(|called| !called.is_empty()) else {
        if input.is_some() || !parameters.is_empty() {
            let reason = "there is no compensate; say what is called: target or target/operation";
            keyed.wrong("compensate", violations, reason);
        }
        return None;
    };
    let (target, operation) = called.split_once('/').unwrap_or((&called, ""));
    let asked = Asked {
        type_: String::new(),
        target: target.to_owned(),
        operation: operation.to_owned(),
        parameters,
        input: input.unwrap_or_default(),
    };
    let at = at.field("metadata");
    let at = at.key("compensate");
    let type_ = asked.resolve(false, violations, at)?;
    Some(Compensate { work: asked.work(type_, violations, at), ..Compensate::default() })
}
