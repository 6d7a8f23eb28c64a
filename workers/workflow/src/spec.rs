//! From a request to a [`Spec`], and everything that is wrong with the request, at once.
//!
//! A task says what it does in typed fields (numbers from 100 on) or, from a client that knows the origin's contract
//! only, in reserved keys of its `metadata`:
//!
//! | key | value |
//! |---|---|
//! | `type`, `target`, `operation`, `lane`, `when` | as the fields |
//! | `input` | a text (JSON needs the field) |
//! | `param.<name>` | one parameter |
//! | `priority`, `timeout_ms` | whole numbers |
//! | `retries` | attempts after the first |
//! | `backoff` | first pause, and if wanted multiplier and longest pause: `500ms`, `1s,3,1m` |
//! | `for_each` | a template that gives a JSON array, or the array |
//! | `for_each.max_parallel` | a whole number |
//! | `compensate` | `target` or `target/operation` of an agent, tool or worker |
//! | `compensate.input`, `compensate.param.<name>` | what it gets |
//!
//! Said in both places, the two must agree. Reserved keys are taken out of the metadata; the rest is the user's.
//!
//! Graph, templates and conditions are checked by the state machine, which knows them; its violations come in the words of
//! the request too.

mod compensation;
mod for_each;
mod json;
mod keyed;
mod map;
mod refused;
mod retry;
mod saga;
mod task;
#[cfg(test)]
mod tests;
mod violations;
mod work;

use std::collections::BTreeMap;

use bytes::Bytes;
use switchboard_proto::goclaw::v1::{
    CompensationPolicy, FailurePolicy, SubmitWorkflowRequest, submit_workflow_request::Payload,
};
use workflow_machine as machine;
use workflow_machine::{Invalid, Spec, Workflow, WorkflowId, limits};

pub use refused::status;
pub use saga::{SAGA_ATTRIBUTE, saga};

use violations::{At, Violations};

/// Bounds of a priority: room for everybody's scheme, and none for overflow.
const PRIORITIES: std::ops::RangeInclusive<i32> = -1_000..=1_000;

/// Longest timeout, pause or sleep, ten years: beyond it timers lose their meaning.
const MAX_MS: u64 = 10 * 366 * 86_400_000;

/// Attributes of a workflow; each is an entry of an index.
const MAX_ATTRIBUTES: usize = 16;

/// Bytes of an attribute's key and of its value: parts of the index's keys.
const MAX_ATTRIBUTE_BYTES: usize = 128;

/// What an operator may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Tasks of one workflow; at most [`limits::MAX_TASKS`].
    pub max_tasks: usize,
    /// How long an attempt of an agent, tool, worker or http task may take that names no timeout, in milliseconds.
    pub call_timeout_ms: u64,
}

impl Default for Settings {
    /// 1,000 tasks: more is most often a mistake. 5 minutes: a call that hangs must not hold its slot for ever.
    fn default() -> Self {
        Self { max_tasks: 1_000, call_timeout_ms: 300_000 }
    }
}

/// A request that can be given to the state machine. Who submitted it is for the caller to add.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// The identifier that the client chose.
    pub id: Option<WorkflowId>,
    /// What is to be done.
    pub spec: Spec,
}

impl Submission {
    /// Reads a request.
    ///
    /// What is left to be wrong with the `spec` of a success is for [`Workflow::submit`] to say; give its error to
    /// [`in_words_of_request`].
    ///
    /// # Errors
    /// Everything that is wrong with the request, in the words of the request: what the state machine says included.
    pub fn read(request: SubmitWorkflowRequest, settings: &Settings) -> Result<Self, Invalid> {
        let mut violations = Violations::default();
        let id = match request.workflow_id.as_str() {
            "" => None,
            id => {
                if !is_id(id) {
                    let reason = "an ID has 1 to 100 of A-Z a-z 0-9 . _ : -; choose another, or leave it out";
                    violations.add("workflow_id", reason);
                }
                Some(WorkflowId::new(id))
            }
        };
        let spec = workflow(request, settings, &mut violations, At::REQUEST, 0);
        if violations.is_empty() {
            return Ok(Self { id, spec });
        }
        // What is wrong beside: fields that could not be read were left out, the rest is as it was sent.
        if let Err(invalid) = Workflow::submit(WorkflowId::new("none"), spec, 0) {
            violations.merge(in_words_of_request(invalid));
        }
        Err(violations.into_invalid())
    }
}

/// Writes a value that is no part of a submission as JSON text.
pub(crate) fn json_of_value(value: &prost_types::Value, field: &str) -> Result<Bytes, Invalid> {
    let mut violations = Violations::default();
    let json = json::of_value(value, &mut violations, At::REQUEST.field(field));
    if violations.is_empty() { Ok(json) } else { Err(violations.into_invalid()) }
}

/// Takes JSON text that is no part of a submission.
pub(crate) fn json_of_text(text: Vec<u8>, field: &str) -> Result<Bytes, Invalid> {
    let mut violations = Violations::default();
    let json = json::of_text(text, &mut violations, At::REQUEST.field(field));
    if violations.is_empty() { Ok(json) } else { Err(violations.into_invalid()) }
}

/// Names the fields of a [`Spec`] as the request does.
pub fn in_words_of_request(mut invalid: Invalid) -> Invalid {
    for violation in &mut invalid.violations {
        violation.field = refused::in_words_of_request(&violation.field);
    }
    invalid
}

/// Reads the workflow at `at`, `depth` workflows inside of others.
fn workflow(
    request: SubmitWorkflowRequest,
    settings: &Settings,
    violations: &mut Violations,
    at: At<'_>,
    depth: usize,
) -> Spec {
    let failure_policy = match FailurePolicy::try_from(request.failure_policy) {
        Ok(FailurePolicy::Unspecified | FailurePolicy::FailFastDrain) => {
            machine::FailurePolicy::FailFastDrain
        }
        Ok(FailurePolicy::FailFastCancel) => machine::FailurePolicy::FailFastCancel,
        Ok(FailurePolicy::Continue) => machine::FailurePolicy::Continue,
        Err(_) => {
            violations.add(at.field("failure_policy"), "not a value of FailurePolicy; use 0 to 3");
            machine::FailurePolicy::FailFastDrain
        }
    };
    let compensation = match CompensationPolicy::try_from(request.compensation_policy) {
        Ok(CompensationPolicy::Unspecified | CompensationPolicy::Auto) => machine::CompensationPolicy::Auto,
        Ok(CompensationPolicy::Manual) => machine::CompensationPolicy::Manual,
        Ok(CompensationPolicy::Skip) => machine::CompensationPolicy::Skip,
        Err(_) => {
            violations.add(at.field("compensation_policy"), "not a value of CompensationPolicy; use 0 to 3");
            machine::CompensationPolicy::Auto
        }
    };
    let input = match request.payload {
        None => Bytes::new(),
        Some(Payload::Input(value)) => json::of_value(&value, violations, at.field("input")),
        Some(Payload::InputJson(text)) => json::of_text(text, violations, at.field("input_json")),
    };
    map::check(&request.metadata, violations, at.field("metadata"));
    attributes(&request.attributes, violations, at);
    let priority = within(request.priority, violations, at.field("priority"));
    let lane = lane(request.lane, violations, at.field("lane"));
    let timeout_ms = milliseconds(request.timeout_ms, violations, at.field("timeout_ms"));

    let max_tasks = settings.max_tasks.min(limits::MAX_TASKS);
    let mut tasks = request.tasks;
    if tasks.len() > max_tasks {
        let reason = format!(
            "{} tasks; this engine takes {max_tasks} (setting max_tasks, up to {}): use for_each, or child workflows",
            tasks.len(),
            limits::MAX_TASKS
        );
        violations.add(at.field("tasks"), reason);
        tasks.truncate(max_tasks);
    }
    let tasks = tasks
        .into_iter()
        .enumerate()
        .map(|(index, task)| task::read(task, settings, violations, at.field("tasks").index(index), depth));
    Spec {
        name: request.name,
        tasks: tasks.collect(),
        metadata: request.metadata,
        input,
        attributes: request.attributes,
        priority,
        lane,
        timeout_ms,
        failure_policy: failure_policy.into(),
        compensation: compensation.into(),
        ..Spec::default()
    }
}

fn attributes(attributes: &BTreeMap<String, String>, violations: &mut Violations, at: At<'_>) {
    if attributes.len() > MAX_ATTRIBUTES {
        let reason = format!(
            "{} attributes, at most {MAX_ATTRIBUTES}; keep what is searched for, and put the rest into metadata",
            attributes.len()
        );
        violations.add(at.field("attributes"), reason);
    }
    for (key, value) in attributes.iter().take(MAX_ATTRIBUTES) {
        if key.is_empty() || key.len() > MAX_ATTRIBUTE_BYTES || value.len() > MAX_ATTRIBUTE_BYTES {
            let reason =
                format!("keys have 1 to {MAX_ATTRIBUTE_BYTES} bytes, values at most {MAX_ATTRIBUTE_BYTES}");
            violations.add(at.field("attributes").key(key), reason);
        }
    }
}

/// Whether a client may choose this identifier.
fn is_id(id: &str) -> bool {
    (1..=limits::MAX_TASK_ID_CHARS).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
}

fn within(priority: i32, violations: &mut Violations, at: At<'_>) -> i32 {
    if !PRIORITIES.contains(&priority) {
        violations.add(
            at,
            format!("{priority} is out of range; use {} to {}", PRIORITIES.start(), PRIORITIES.end()),
        );
        return 0;
    }
    priority
}

fn lane(lane: String, violations: &mut Violations, at: At<'_>) -> String {
    let fits =
        lane.len() <= 64 && lane.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if !fits {
        violations.add(at, "a lane's name has 1 to 64 of A-Z a-z 0-9 . _ -");
        return String::new();
    }
    lane
}

fn milliseconds(value: i64, violations: &mut Violations, at: At<'_>) -> u64 {
    match u64::try_from(value) {
        Ok(ms) if ms <= MAX_MS => ms,
        _ => {
            violations.add(at, format!("{value} ms is out of range; use 0 to {MAX_MS} (ten years)"));
            0
        }
    }
}
