//! One task: what its fields and the reserved keys of its metadata say together.

use bytes::Bytes;
use switchboard_proto::goclaw::v1::{TaskDefinition, task_definition::Payload};
use workflow_machine::{Child, TaskSpec, Work, limits};

use super::{
    MAX_MS, PRIORITIES, Settings, compensation, for_each, json,
    keyed::Keyed,
    lane, map, milliseconds, retry,
    violations::{At, Violations},
    within,
    work::{Asked, Type},
};

/// Reads the task at `at`, in a workflow that stands `depth` deep in others.
pub(super) fn read(
    task: TaskDefinition,
    settings: &Settings,
    violations: &mut Violations,
    at: At<'_>,
    depth: usize,
) -> TaskSpec {
    map::check(&task.metadata, violations, at.field("metadata"));
    let mut keyed = Keyed::new(task.metadata, at);

    let input = input(task.payload, &mut keyed, violations, at);
    let asked = Asked {
        type_: keyed.text("type", task.r#type, violations),
        target: keyed.text("target", task.target, violations),
        operation: keyed.text("operation", task.operation, violations),
        parameters: keyed.parameters("param.", "parameters", task.parameters, violations),
        input,
    };
    let has_child = task.workflow.is_some();
    let type_ = asked.resolve(has_child, violations, at);
    let work = match (type_, task.workflow) {
        (Some(Type::Workflow), Some(child)) => {
            asked.refuse_all(Type::Workflow, violations, at);
            Some(Work::Child(Child {
                spec: child_spec(child, settings, violations, at, depth).map(Box::new),
            }))
        }
        (Some(Type::Workflow), None) => {
            violations.add(at.field("workflow"), "missing; a task of type workflow needs the field workflow");
            None
        }
        (Some(type_), child) => {
            if child.is_some() {
                let reason =
                    format!("a task of type {type_} has no child; remove it, or set the type to workflow");
                violations.add(at.field("workflow"), reason);
            }
            asked.work(type_, violations, at)
        }
        (None, _) => None,
    };

    let lane_name = keyed.text("lane", task.lane, violations);
    let lane = lane(lane_name, violations, at.field("lane"));
    let read = |text: &str| text.trim().parse().ok().filter(|number| PRIORITIES.contains(number));
    let keyed_priority = keyed.parse(
        "priority",
        violations,
        format_args!("a whole number from {} to {}", PRIORITIES.start(), PRIORITIES.end()),
        read,
    );
    let priority = task.priority.map(|priority| within(priority, violations, at.field("priority")));
    let priority = keyed.agreed("priority", "priority", keyed_priority, priority, violations);
    let timeout_ms = timeout(task.timeout_ms, &mut keyed, violations, at);
    let default_ms = if type_.is_some_and(Type::is_call) { settings.call_timeout_ms } else { 0 };

    let keyed_retry = retry::keyed(&mut keyed, violations);
    let field_retry = task.retry.map(|policy| retry::read(policy, violations, at.field("retry")));
    let retry = keyed.agreed("retries", "retry", keyed_retry, field_retry, violations);
    let for_each = for_each::read(task.for_each, &mut keyed, at, violations);
    let compensate = compensation::read(task.compensate, &mut keyed, at, violations);
    let when = keyed.text("when", task.when, violations);
    TaskSpec {
        id: task.id,
        name: task.name,
        dependencies: task.dependencies,
        metadata: keyed.into_rest(),
        work,
        lane,
        priority,
        timeout_ms: if timeout_ms == 0 { default_ms } else { timeout_ms },
        retry: retry.map(Box::new),
        when,
        for_each: for_each.map(Box::new),
        compensate: compensate.map(Box::new),
    }
}

fn input(payload: Option<Payload>, keyed: &mut Keyed<'_>, violations: &mut Violations, at: At<'_>) -> Bytes {
    let (name, field) = match payload {
        None => ("input", None),
        Some(Payload::Input(value)) => ("input", Some(json::of_value(&value, violations, at.field("input")))),
        Some(Payload::InputJson(text)) => {
            ("input_json", Some(json::of_text(text, violations, at.field("input_json"))))
        }
    };
    let text = keyed.take("input").map(|text| json::of_string(&text));
    keyed.agreed("input", name, text, field, violations).unwrap_or_default()
}

fn timeout(field: i64, keyed: &mut Keyed<'_>, violations: &mut Violations, at: At<'_>) -> u64 {
    let read = |text: &str| text.trim().parse().ok().filter(|ms| *ms <= MAX_MS);
    let from_key =
        keyed.parse("timeout_ms", violations, format_args!("whole milliseconds, 0 to {MAX_MS}"), read);
    let field = milliseconds(field, violations, at.field("timeout_ms"));
    keyed
        .agreed("timeout_ms", "timeout_ms", from_key, Some(field).filter(|ms| *ms > 0), violations)
        .unwrap_or(0)
}

fn child_spec(
    child: switchboard_proto::goclaw::v1::SubmitWorkflowRequest,
    settings: &Settings,
    violations: &mut Violations,
    at: At<'_>,
    depth: usize,
) -> Option<workflow_machine::Spec> {
    if !child.workflow_id.is_empty() {
        let reason = "a child's ID is derived from its parent's; leave it out";
        violations.add(at.field("workflow").field("workflow_id"), reason);
    }
    // The workflow that is submitted counts as the first.
    if depth + 1 >= limits::MAX_CHILD_DEPTH {
        let reason =
            format!("workflows stand more than {} deep inside of each other", limits::MAX_CHILD_DEPTH);
        violations.add(at.field("workflow"), reason);
        return None;
    }
    Some(super::workflow(child, settings, violations, at.field("workflow"), depth + 1))
}
