//! Workflow files: YAML or JSON in, the request to submit out, and errors that name line, column and field.
//!
//! ```
//! let text = "
//! name: greet
//! tasks:
//!   - id: hello
//!     target: echo-agent
//!     input: Hello!
//!     timeout: soon
//! ";
//! let error = workflow_file::workflow("greet.yaml", text.as_bytes()).unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     r#"tasks[0].timeout: expected a duration such as 30s, got "soon" (greet.yaml:7:14)"#,
//! );
//! ```
//!
//! A file goes through the modules in this order: `read` makes nodes with places of it, by the rules of YAML 1.2, of
//! which JSON is a part; `workflow`, `work` and `schedule` take their keys, with the help of `keys` and `value`; what
//! they find wrong is listed in [`Invalid`], all of it at once.
//!
//! What only the engine can know (cycles, templates, limits that are settings) is not checked here. Its violations
//! name fields of the request; [`Workflow::place`] says where those stand in the file.
//!
//! # Keys
//! | of | keys |
//! |---|---|
//! | workflow | name, id, input, metadata, attributes, failure_policy, compensation_policy, timeout, priority, lane, tasks, schedule |
//! | task | id, name, type, dependencies, when, for_each, retry, timeout, lane, priority, compensate, metadata, and those of its type |
//! | agent, tool, worker | target, operation, input, parameters |
//! | http | url, method, headers, body |
//! | function | queue, operation, input, parameters |
//! | sleep | duration or until |
//! | wait_signal | signal |
//! | workflow (a child) | workflow |
//! | retry | max_attempts, initial, max, multiplier, jitter, non_retryable_codes |
//! | for_each | items, max_parallel |
//! | compensate | type, timeout, retry, and those of its type |
//! | schedule | id, cron or every, time_zone, jitter, start_at, end_at, overlap_policy, catch_up, paused, note |

pub mod duration;
mod invalid;
mod keys;
mod node;
mod read;
mod scalar;
mod schedule;
mod surrogates;
mod value;
mod work;
mod workflow;

pub use invalid::{Invalid, MAX_PROBLEMS, Problem};
pub use node::Place;

use std::collections::BTreeMap;

use switchboard_proto::goclaw::v1::{CreateScheduleRequest, ScheduleSpec, SubmitWorkflowRequest};

use crate::keys::Report;

/// Bytes of a file: as large as a message to the engine may be.
pub const MAX_FILE_BYTES: usize = 4 << 20;

/// One workflow of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Workflow {
    /// What to submit.
    pub request: SubmitWorkflowRequest,
    /// When to submit it, if the file has a `schedule`: its ID and all but the workflow.
    pub schedule: Option<CreateScheduleRequest>,
    places: BTreeMap<String, Place>,
}

impl Workflow {
    /// Finds where a field of the request stands in the file, by its path in the words of the proto:
    /// `tasks[2].timeout_ms`. A field that the file does not have is where its parent is.
    pub fn place(&self, field: &str) -> Option<Place> {
        let mut path = field;
        loop {
            if let Some(place) = self.places.get(path) {
                return Some(*place);
            }
            // The path without its last step: `a.b`, `a[0]`, `a["b"]`.
            path = path.rfind(['.', '[']).map_or("", |end| &path[..end]);
            if path.is_empty() {
                return self.places.get("").copied();
            }
        }
    }

    /// The request that makes the schedule, workflow included; nothing if the file has none.
    pub fn into_schedule(self) -> Option<CreateScheduleRequest> {
        let mut schedule = self.schedule?;
        schedule.spec =
            Some(ScheduleSpec { workflow: Some(self.request), ..schedule.spec.unwrap_or_default() });
        Some(schedule)
    }
}

/// Reads a file with exactly one workflow. `file` is its name for errors.
///
/// # Errors
/// Everything that is wrong with it, up to [`MAX_PROBLEMS`]; of YAML that is none, the first place.
pub fn workflow(file: &str, text: &[u8]) -> Result<Workflow, Invalid> {
    let mut all = workflows(file, text)?;
    match all.len() {
        1 => Ok(all.swap_remove(0)),
        count => {
            let place = all[1].places.get("").copied().unwrap_or_default();
            let message = format!(
                "expected one workflow, got {count} (separated by ---); submit them as a batch, or split the file"
            );
            Err(Invalid::one(file, "", place, message))
        }
    }
}

/// Reads a file of one or more workflows, separated by `---`. `file` is its name for errors.
///
/// # Errors
/// As [`workflow`].
pub fn workflows(file: &str, text: &[u8]) -> Result<Vec<Workflow>, Invalid> {
    let documents = read::documents(text).map_err(|problem| Invalid::of(file, vec![problem]))?;
    let (mut workflows, mut problems) = (Vec::with_capacity(documents.len()), Vec::new());
    for node in &documents {
        let mut report = Report::default();
        let (request, schedule) = workflow::read(&mut report, node);
        problems.append(&mut report.problems);
        workflows.push(Workflow { request, schedule, places: report.places });
    }
    if !problems.is_empty() {
        return Err(Invalid::of(file, problems));
    }
    if workflows.is_empty() {
        let message = "the file is empty; a workflow has at least `name` and `tasks`";
        return Err(Invalid::one(file, "", Place { line: 1, column: 1 }, message));
    }
    Ok(workflows)
}
