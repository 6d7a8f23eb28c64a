//! A workflow and its tasks, key by key.

use switchboard_proto::goclaw::v1::{
    Compensation, CompensationPolicy, CreateScheduleRequest, FailurePolicy, ForEach, RetryPolicy,
    SubmitWorkflowRequest, TaskDefinition, for_each, submit_workflow_request,
};

use crate::{
    keys::{Field, Keys, Report, join},
    node::{Node, Value},
    schedule, value, work,
};

/// Bounds of a priority.
const PRIORITIES: std::ops::RangeInclusive<i32> = -1_000..=1_000;

const FAILURE_POLICIES: [(&str, FailurePolicy); 3] = [
    ("fail_fast_drain", FailurePolicy::FailFastDrain),
    ("fail_fast_cancel", FailurePolicy::FailFastCancel),
    ("continue", FailurePolicy::Continue),
];

const COMPENSATION_POLICIES: [(&str, CompensationPolicy); 3] = [
    ("auto", CompensationPolicy::Auto),
    ("manual", CompensationPolicy::Manual),
    ("skip", CompensationPolicy::Skip),
];

/// Reads a document.
pub(crate) fn read(
    report: &mut Report,
    node: &Node,
) -> (SubmitWorkflowRequest, Option<CreateScheduleRequest>) {
    let field = Field { path: String::new(), node };
    let expected = "a workflow: a mapping with `name` and `tasks`";
    let Some(mut keys) = Keys::open(report, &field, "", expected) else { return Default::default() };
    let schedule = keys.take(report, "schedule", "schedule").and_then(|field| schedule::read(report, &field));
    (workflow(report, keys), schedule)
}

fn workflow(report: &mut Report, mut keys: Keys<'_>) -> SubmitWorkflowRequest {
    let mut request = SubmitWorkflowRequest::default();
    if let Some(field) = keys.need(report, "name", "name", "what people call the workflow") {
        request.name = value::text(report, &field).unwrap_or_default();
    }
    if let Some(field) = keys.take(report, "id", "workflow_id") {
        request.workflow_id = value::text(report, &field).unwrap_or_default();
    }
    if let Some(field) = keys.take(report, "input", "input") {
        let json = value::json(field.node).into_bytes();
        request.payload = Some(submit_workflow_request::Payload::InputJson(json));
    }
    if let Some(field) = keys.take(report, "metadata", "metadata") {
        let to = keys.target("metadata");
        request.metadata = value::strings(report, &field, &to).unwrap_or_default();
    }
    if let Some(field) = keys.take(report, "attributes", "attributes") {
        let to = keys.target("attributes");
        request.attributes = value::strings(report, &field, &to).unwrap_or_default();
    }
    if let Some(field) = keys.take(report, "failure_policy", "failure_policy") {
        request.failure_policy = value::word(report, &field, &FAILURE_POLICIES).unwrap_or_default().into();
    }
    if let Some(field) = keys.take(report, "compensation_policy", "compensation_policy") {
        let policy = value::word(report, &field, &COMPENSATION_POLICIES);
        request.compensation_policy = policy.unwrap_or_default().into();
    }
    if let Some(field) = keys.take(report, "timeout", "timeout_ms") {
        request.timeout_ms = value::milliseconds(report, &field).unwrap_or_default();
    }
    if let Some(field) = keys.take(report, "priority", "priority") {
        request.priority = value::integer(report, &field, PRIORITIES).unwrap_or_default();
    }
    if let Some(field) = keys.take(report, "lane", "lane") {
        request.lane = value::text(report, &field).unwrap_or_default();
    }
    if let Some(field) = keys.need(report, "tasks", "tasks", "a list of tasks") {
        request.tasks = tasks(report, &field, &keys.target("tasks"));
    }
    keys.close(report, |_| None);
    request
}

fn tasks(report: &mut Report, field: &Field<'_>, to: &str) -> Vec<TaskDefinition> {
    let Value::List(nodes) = &field.node.value else {
        report.expected(field, "a list of tasks, each with `- id: …`");
        return Vec::new();
    };
    let tasks = nodes.iter().enumerate().map(|(index, node)| {
        let field = Field { path: format!("{}[{index}]", field.path), node };
        let keys =
            Keys::open(report, &field, format!("{to}[{index}]"), "a task: a mapping with at least `id`");
        keys.map(|keys| task(report, keys)).unwrap_or_default()
    });
    tasks.collect()
}

fn task(report: &mut Report, mut keys: Keys<'_>) -> TaskDefinition {
    let mut task = TaskDefinition::default();
    if let Some(field) = keys.need(report, "id", "id", "a name for the task, unique in the workflow") {
        task.id = value::text(report, &field).unwrap_or_default();
    }
    if let Some(field) = keys.take(report, "name", "name") {
        task.name = value::text(report, &field).unwrap_or_default();
    }
    if let Some(field) = keys.take(report, "dependencies", "dependencies") {
        let to = keys.target("dependencies");
        task.dependencies = value::texts(report, &field, &to).unwrap_or_default();
    }
    if let Some(field) = keys.take(report, "metadata", "metadata") {
        let to = keys.target("metadata");
        task.metadata = value::strings(report, &field, &to).unwrap_or_default();
    }
    work::read(report, &mut keys).task(&mut task);
    if let Some(field) = keys.take(report, "lane", "lane") {
        task.lane = value::text(report, &field).unwrap_or_default();
    }
    if let Some(field) = keys.take(report, "priority", "priority") {
        task.priority = value::integer(report, &field, PRIORITIES);
    }
    if let Some(field) = keys.take(report, "timeout", "timeout_ms") {
        task.timeout_ms = value::milliseconds(report, &field).unwrap_or_default();
    }
    if let Some(field) = keys.take(report, "retry", "retry") {
        task.retry = retry(report, &field, &keys.target("retry"));
    }
    if let Some(field) = keys.take(report, "when", "when") {
        task.when = value::text(report, &field).unwrap_or_default();
    }
    if let Some(field) = keys.take(report, "for_each", "for_each") {
        task.for_each = for_each(report, &field, &keys.target("for_each"));
    }
    if let Some(field) = keys.take(report, "compensate", "compensate") {
        task.compensate = compensation(report, &field, &keys.target("compensate"));
    }
    if task.r#type == "workflow"
        && let Some(field) =
            keys.need(report, "workflow", "workflow", "the child: a mapping with `name` and `tasks`")
    {
        let child = Keys::open(report, &field, keys.target("workflow"), "a mapping with `name` and `tasks`");
        task.workflow = child.map(|keys| workflow(report, keys));
    }
    let type_ = task.r#type.clone();
    keys.close(report, |key| work::explain(&type_, key));
    task
}

fn retry(report: &mut Report, field: &Field<'_>, to: &str) -> Option<RetryPolicy> {
    let expected = "a mapping such as {max_attempts: 5, initial: 1s}";
    let mut keys = Keys::open(report, field, to, expected)?;
    let mut retry = RetryPolicy::default();
    if let Some(field) = keys.take(report, "max_attempts", "max_attempts") {
        retry.max_attempts = value::integer(report, &field, 1..=1_000).unwrap_or_default();
    }
    if let Some(field) = keys.take(report, "initial", "initial_ms") {
        retry.initial_ms = value::milliseconds(report, &field).unwrap_or_default();
    }
    if let Some(field) = keys.take(report, "max", "max_ms") {
        retry.max_ms = value::milliseconds(report, &field).unwrap_or_default();
    }
    if let Some(field) = keys.take(report, "multiplier", "multiplier") {
        retry.multiplier = value::number(report, &field, 1.0..=100.0).unwrap_or_default();
    }
    if let Some(field) = keys.take(report, "jitter", "jitter") {
        retry.jitter = value::number(report, &field, 0.0..=1.0);
    }
    if let Some(field) = keys.take(report, "non_retryable_codes", "non_retryable_codes") {
        let to = keys.target("non_retryable_codes");
        retry.non_retryable_codes = value::texts(report, &field, &to).unwrap_or_default();
    }
    keys.close(report, |_| None);
    Some(retry)
}

fn for_each(report: &mut Report, field: &Field<'_>, to: &str) -> Option<ForEach> {
    if !matches!(field.node.value, Value::Map(_)) {
        return items(report, field).map(|source| ForEach { source: Some(source), max_parallel: 0 });
    }
    let mut keys = Keys::open(report, field, to, "a mapping")?;
    let source = keys.need(report, "items", "items", "a list, or a template that gives one");
    let source = source.and_then(|field| items(report, &field));
    let mut max_parallel = 0;
    if let Some(field) = keys.take(report, "max_parallel", "max_parallel") {
        max_parallel = value::integer(report, &field, 1..=10_000).unwrap_or_default();
    }
    keys.close(report, |_| None);
    Some(ForEach { source, max_parallel })
}

fn items(report: &mut Report, field: &Field<'_>) -> Option<for_each::Source> {
    match &field.node.value {
        // As a template, so that no number becomes a double.
        Value::List(_) => Some(for_each::Source::Template(value::json(field.node))),
        Value::Text(template) => Some(for_each::Source::Template(template.clone())),
        _ => {
            report.expected(field, "a list, or a template that gives one");
            None
        }
    }
}

fn compensation(report: &mut Report, field: &Field<'_>, to: &str) -> Option<Compensation> {
    let expected = "a mapping such as {target: payment-tool, operation: refund}";
    let mut keys = Keys::open(report, field, to, expected)?;
    let mut compensation = Compensation::default();
    work::read(report, &mut keys).compensation(&mut compensation);
    if let Some(field) = keys.take(report, "timeout", "timeout_ms") {
        compensation.timeout_ms = value::milliseconds(report, &field).unwrap_or_default();
    }
    if let Some(field) = keys.take(report, "retry", "retry") {
        compensation.retry = retry(report, &field, &join(to, "retry"));
    }
    let type_ = compensation.r#type.clone();
    if matches!(type_.as_str(), "sleep" | "wait_signal" | "workflow") {
        let message =
            format!("a compensation cannot be of type {type_}; it is a call, http, function or noop");
        report.problem(&keys.path("type"), keys.place(), message);
    }
    keys.close(report, |key| work::explain(&type_, key));
    Some(compensation)
}
