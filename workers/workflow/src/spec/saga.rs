//! Sagas: the workflow that a saga's steps are.

use switchboard_proto::goclaw::v1::{
    Compensation, CompensationPolicy, SagaCompensationPolicy, SagaStepDefinition, SubmitSagaRequest,
    SubmitWorkflowRequest, TaskDefinition, submit_workflow_request::Payload,
};
use workflow_machine::{Invalid, MAX_VIOLATIONS, Violation};

use super::{
    Settings, Submission, json,
    violations::{At, Violations},
};

/// Of a saga that names no timeout, as in the origin.
const DEFAULT_TIMEOUT_MS: i64 = 300_000;

/// Of a step, as in the origin.
const DEFAULT_STEP_TIMEOUT_MS: i32 = 30_000;

/// The attribute by which sagas are found among workflows.
pub const SAGA_ATTRIBUTE: (&str, &str) = ("kind", "saga");

/// Reads the request of a saga as that of a workflow.
///
/// A step without a `task` sleeps for its `delay_ms`; with `should_fail` it waits as long for a signal that nobody sends, and
/// fails with DEADLINE_EXCEEDED.
///
/// # Errors
/// As [`Submission::read`], in the words of the saga: `steps[1].depends_on[0]`.
pub fn saga(request: SubmitSagaRequest, settings: &Settings) -> Result<Submission, Invalid> {
    let mut violations = Violations::default();
    let policy = match SagaCompensationPolicy::try_from(request.policy) {
        Ok(SagaCompensationPolicy::Unspecified | SagaCompensationPolicy::Auto) => CompensationPolicy::Auto,
        Ok(SagaCompensationPolicy::Manual) => CompensationPolicy::Manual,
        Ok(SagaCompensationPolicy::Skip) => CompensationPolicy::Skip,
        Err(_) => {
            violations.add("policy", "not a value of SagaCompensationPolicy; use 0 to 3");
            CompensationPolicy::Auto
        }
    };
    let step_timeout_ms = match request.step_timeout_ms {
        0 => DEFAULT_STEP_TIMEOUT_MS,
        ms => ms,
    };
    if step_timeout_ms < 0 {
        violations.add("step_timeout_ms", format!("{step_timeout_ms} is negative; use 0 for 30 seconds"));
    }
    let input =
        request.input.map(|fields| json::of_struct(&fields, &mut violations, At::REQUEST.field("input")));
    let mut attributes = request.attributes;
    attributes.insert(SAGA_ATTRIBUTE.0.to_owned(), SAGA_ATTRIBUTE.1.to_owned());
    let steps = request.steps.into_iter().enumerate();
    let tasks = steps.map(|(index, step)| {
        task(step, step_timeout_ms, &mut violations, At::REQUEST.field("steps").index(index))
    });
    let workflow = SubmitWorkflowRequest {
        name: request.name,
        tasks: tasks.collect(),
        metadata: request.metadata,
        workflow_id: request.saga_id,
        payload: input.map(|json| Payload::InputJson(json.into())),
        attributes,
        timeout_ms: match request.timeout_ms {
            0 => DEFAULT_TIMEOUT_MS,
            ms => ms.into(),
        },
        compensation_policy: policy.into(),
        ..SubmitWorkflowRequest::default()
    };
    let read = Submission::read(workflow, settings);
    if violations.is_empty() {
        return read.map_err(in_words_of_saga);
    }
    if let Err(invalid) = read {
        violations.merge(in_words_of_saga(invalid));
    }
    Err(violations.into_invalid())
}

fn task(
    step: SagaStepDefinition,
    timeout_ms: i32,
    violations: &mut Violations,
    at: At<'_>,
) -> TaskDefinition {
    for (field, value) in [("delay_ms", step.delay_ms), ("timeout_ms", step.timeout_ms)] {
        if value < 0 {
            violations.add(at.field(field), format!("{value} is negative; use 0 or more milliseconds"));
        }
    }
    let timeout_ms = if step.timeout_ms == 0 { timeout_ms } else { step.timeout_ms };
    let mut task = match step.task {
        Some(task) => {
            if !task.id.is_empty() || !task.dependencies.is_empty() {
                let reason =
                    "id and dependencies are the step's (id, depends_on); leave those of the task out";
                violations.add(at.field("task"), reason);
            }
            if step.delay_ms != 0 || step.should_fail {
                let reason =
                    "delay_ms and should_fail are for steps without a task; remove them, or the task";
                violations.add(at.field("task"), reason);
            }
            TaskDefinition {
                timeout_ms: if task.timeout_ms == 0 { timeout_ms.into() } else { task.timeout_ms },
                ..task
            }
        }
        None => rehearsal(&step, timeout_ms),
    };
    if step.skip_compensation {
        task.compensate = None;
    }
    TaskDefinition { id: step.id, dependencies: step.depends_on, ..task }
}

/// A step that only takes its time.
fn rehearsal(step: &SagaStepDefinition, timeout_ms: i32) -> TaskDefinition {
    let undone = || Compensation { r#type: "noop".to_owned(), ..Compensation::default() };
    let compensate = step.enable_compensation.then(undone);
    // Longer than its timeout: it fails as it would in earnest.
    if step.should_fail || step.delay_ms > timeout_ms {
        return TaskDefinition {
            r#type: "wait_signal".to_owned(),
            target: "saga.should_fail".to_owned(),
            timeout_ms: step.delay_ms.clamp(1, timeout_ms.max(1)).into(),
            compensate,
            ..TaskDefinition::default()
        };
    }
    if step.delay_ms <= 0 {
        return TaskDefinition { r#type: "noop".to_owned(), compensate, ..TaskDefinition::default() };
    }
    TaskDefinition {
        r#type: "sleep".to_owned(),
        parameters: [("duration".to_owned(), format!("{}ms", step.delay_ms))].into(),
        compensate,
        ..TaskDefinition::default()
    }
}

/// Names fields as the saga does.
fn in_words_of_saga(invalid: Invalid) -> Invalid {
    let violations = invalid
        .violations
        .into_iter()
        .take(MAX_VIOLATIONS)
        .map(|violation| Violation { field: field(&violation.field), reason: violation.reason });
    Invalid { violations: violations.collect() }
}

fn field(field: &str) -> String {
    if field == "workflow_id" {
        return "saga_id".to_owned();
    }
    let Some(rest) = field.strip_prefix("tasks") else { return field.to_owned() };
    let Some((index, rest)) = rest.split_once("].") else { return format!("steps{rest}") };
    match rest {
        "id" => format!("steps{index}].id"),
        _ if rest.starts_with("dependencies") => {
            format!("steps{index}].depends_on{}", &rest["dependencies".len()..])
        }
        _ => format!("steps{index}].task.{rest}"),
    }
}
