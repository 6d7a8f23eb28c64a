//! The one table: what goes wrong, as gRPC status with `google.rpc.ErrorInfo`, as HTTP status, and as the error of one item
//! of a batch.
//!
//! Reasons are constants for programs; they stay what they are.

use std::time::Duration;

use prost::Message;
use switchboard_proto::{goclaw::v1, rpc};
use tonic::{Code, Status};
use workflow_machine::{Invalid, Refusal, Violation};

use crate::{
    engine::{EngineError, Gap, StartError},
    spec,
};

/// When waiting helps, and nobody knows better.
pub(super) const SOON: Duration = Duration::from_secs(1);
/// Until an operator has done something.
const LATER: Duration = Duration::from_secs(30);

/// What went wrong, for any transport.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The gRPC code.
    pub code: Code,
    /// For programs.
    pub reason: &'static str,
    /// For people: what is wrong, and what to do.
    pub message: String,
    /// Facts of this error, by name.
    pub facts: Vec<(String, String)>,
    /// When another try may help.
    pub retry_after: Option<Duration>,
    /// What is wrong with the request, field by field.
    pub invalid: Option<Invalid>,
}

impl Problem {
    /// A problem without facts.
    pub fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), facts: Vec::new(), retry_after: None, invalid: None }
    }

    /// One field is wrong.
    pub fn invalid(field: &str, reason: impl Into<String>) -> Self {
        let violation = Violation { field: field.to_owned(), reason: reason.into() };
        Self::from(Invalid { violations: vec![violation] })
    }

    /// The workflow has no such task.
    pub fn no_task(task: &str) -> Self {
        Self::new(Code::NotFound, "TASK_NOT_FOUND", format!("the workflow has no task {}", cut(task, 120)))
    }

    /// The same with a fact.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.facts.push((name.to_owned(), value.to_string()));
        self
    }

    /// The same, and that another try may help after `wait`.
    #[must_use]
    pub fn retry(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The HTTP status.
    pub fn http(&self) -> u16 {
        http(self.code, self.reason)
    }

    /// The error of one item of a batch, whose codes know one kind of NOT_FOUND.
    pub fn item(self) -> v1::Error {
        let code = if self.code == Code::NotFound { "NOT_FOUND" } else { self.reason };
        let mut details: std::collections::BTreeMap<_, _> = self.facts.into_iter().collect();
        for violation in self.invalid.into_iter().flat_map(|invalid| invalid.violations).take(20) {
            details.insert(violation.field, violation.reason);
        }
        v1::Error { code: code.to_owned(), message: self.message, details }
    }
}

/// The HTTP status of a gRPC code with this reason; the reason is empty if nobody gave one.
pub fn http(code: Code, reason: &str) -> u16 {
    match code {
        Code::Ok => 200,
        Code::Cancelled => 499,
        Code::InvalidArgument | Code::OutOfRange => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => 409,
        Code::ResourceExhausted if reason == "STORAGE_FULL" => 507,
        Code::ResourceExhausted => 429,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
        Code::Unknown | Code::Internal | Code::DataLoss => 500,
    }
}

impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        if let Some(invalid) = &problem.invalid {
            return spec::status(invalid);
        }
        let Problem { code, reason, message, facts, retry_after, .. } = problem;
        let details = rpc::Status::new(code.into(), message.as_str(), reason, facts, retry_after);
        Status::with_details(code, message, details.in_domain(rpc::WORKFLOW_DOMAIN).encode_to_vec().into())
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        let message = cut(&invalid.to_string(), 1_000);
        Self { invalid: Some(invalid), ..Self::new(Code::InvalidArgument, "VALIDATION_FAILED", message) }
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        let new = |code, reason| Self::new(code, reason, message.as_str());
        match error {
            EngineError::NotFound => new(Code::NotFound, "WORKFLOW_NOT_FOUND"),
            EngineError::Exists(id) => new(Code::AlreadyExists, "WORKFLOW_EXISTS").with("workflow_id", id),
            EngineError::KeyReused => new(Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED"),
            EngineError::Invalid(invalid) => spec::in_words_of_request(invalid).into(),
            EngineError::Refused(refusal) => refusal.into(),
            EngineError::NoSchedule => new(Code::NotFound, "SCHEDULE_NOT_FOUND"),
            EngineError::ScheduleExists(id) => {
                new(Code::AlreadyExists, "SCHEDULE_EXISTS").with("schedule_id", id)
            }
            EngineError::NoLane(lane) => new(Code::NotFound, "LANE_NOT_FOUND").with("lane", lane),
            EngineError::LaneInUse { name, .. } => {
                new(Code::FailedPrecondition, "LANE_IN_USE").with("lane", name)
            }
            EngineError::Paused => new(Code::FailedPrecondition, "ENGINE_PAUSED"),
            EngineError::Overloaded { what, current, max } => new(Code::ResourceExhausted, "QUEUE_FULL")
                .with("what", what)
                .with("current", current)
                .with("max", max)
                .retry(SOON),
            EngineError::DiskFull => new(Code::ResourceExhausted, "STORAGE_FULL").retry(LATER),
            EngineError::Unreadable(error) => unreadable(&error),
            EngineError::Stopping => new(Code::Unavailable, "ENGINE_STOPPING").retry(SOON),
            EngineError::Failed => new(Code::Unavailable, "STORE_FAILED").retry(LATER),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        let new = |code, reason| Self::new(code, reason, message.as_str());
        let wrong_state = |reason| new(Code::FailedPrecondition, reason);
        match refusal {
            Refusal::AlreadyTerminal { status } => wrong_state("ALREADY_TERMINAL").with("status", status),
            Refusal::NotRetryable { status } => wrong_state("NOT_RETRYABLE").with("status", status),
            Refusal::NothingToCompensate { status } => {
                wrong_state("NOTHING_TO_COMPENSATE").with("status", status)
            }
            Refusal::UnknownTask { task } => Self::no_task(&task),
            Refusal::NotReady { task, detail } => {
                wrong_state("TASK_NOT_READY").with("task_id", task).with("detail", detail)
            }
            Refusal::NotRunning { task, detail } => {
                wrong_state("TASK_NOT_RUNNING").with("task_id", task).with("detail", detail)
            }
            Refusal::Stale { task, current, .. } => {
                wrong_state("STALE").with("task_id", task).with("current", current)
            }
            Refusal::Paused => wrong_state("WORKFLOW_PAUSED"),
            Refusal::Ending => wrong_state("WORKFLOW_ENDING"),
            Refusal::TimerNotAwaited { .. } => wrong_state("TIMER_NOT_AWAITED"),
            Refusal::TooManySignals { .. } => new(Code::ResourceExhausted, "TOO_MANY_SIGNALS").retry(SOON),
        }
    }
}

impl From<Gap> for Problem {
    fn from(gap: Gap) -> Self {
        let message = gap.to_string();
        let new = |code, reason| Self::new(code, reason, message.as_str());
        match gap {
            Gap::NotFound => new(Code::NotFound, "WORKFLOW_NOT_FOUND"),
            Gap::Future { after, head } => {
                new(Code::InvalidArgument, "SEQUENCE_IN_FUTURE").with("requested", after).with("head", head)
            }
            Gap::Expired { after, oldest, head } => new(Code::InvalidArgument, "SEQUENCE_EXPIRED")
                .with("requested", after)
                .with("oldest", oldest)
                .with("head", head),
            Gap::Unreadable(error) => unreadable(&error),
        }
    }
}

/// The message says no more than that: paths and causes are for the log.
fn unreadable(error: &StartError) -> Problem {
    tracing::error!(error = %error, source = error.source_text(), "a workflow cannot be read");
    match error {
        StartError::Corrupt { .. } | StartError::Unreadable { .. } | StartError::Schedule { .. } => {
            let message = "what is kept of the workflow is damaged; the engine's log says where";
            Problem::new(Code::DataLoss, "DATA_DAMAGED", message)
        }
        StartError::Store(_) | StartError::Thread(_) => {
            let message = "the store cannot be read; the engine's log says why";
            Problem::new(Code::Unavailable, "STORE_UNAVAILABLE", message).retry(SOON)
        }
    }
}

impl StartError {
    fn source_text(&self) -> String {
        std::error::Error::source(self).map(ToString::to_string).unwrap_or_default()
    }
}

/// At most so many characters of a text that came from outside.
pub(crate) fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use workflow_machine::Status as Workflow;

    fn told(problem: impl Into<Problem>) -> (Code, String, Option<Duration>) {
        let status = Status::from(problem.into());
        let details = rpc::Status::decode(status.details()).unwrap();
        let info = details.error_info().unwrap();
        assert_eq!(info.domain, "goclaw.v1");
        assert_eq!(details.message, status.message());
        (status.code(), info.reason, details.retry_after())
    }

    #[test]
    fn every_error_has_code_and_reason() {
        let refused = Refusal::AlreadyTerminal { status: Workflow::Completed };
        for (problem, code, reason, waits) in [
            (EngineError::NotFound.into(), Code::NotFound, "WORKFLOW_NOT_FOUND", false),
            (EngineError::KeyReused.into(), Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED", false),
            (EngineError::Paused.into(), Code::FailedPrecondition, "ENGINE_PAUSED", false),
            (EngineError::DiskFull.into(), Code::ResourceExhausted, "STORAGE_FULL", true),
            (EngineError::Stopping.into(), Code::Unavailable, "ENGINE_STOPPING", true),
            (EngineError::Failed.into(), Code::Unavailable, "STORE_FAILED", true),
            (EngineError::Refused(refused).into(), Code::FailedPrecondition, "ALREADY_TERMINAL", false),
            (Gap::Future { after: 9, head: 3 }.into(), Code::InvalidArgument, "SEQUENCE_IN_FUTURE", false),
            (Problem::no_task("t"), Code::NotFound, "TASK_NOT_FOUND", false),
            (Problem::invalid("name", "is empty"), Code::InvalidArgument, "VALIDATION_FAILED", false),
        ] {
            let told = told(problem);
            assert_eq!((told.0, told.1.as_str(), told.2.is_some()), (code, reason, waits));
        }
    }

    #[test]
    fn http_follows_the_table() {
        let http = |error: EngineError| Problem::from(error).http();
        assert_eq!(http(EngineError::NotFound), 404);
        assert_eq!(http(EngineError::Paused), 409);
        assert_eq!(http(EngineError::DiskFull), 507);
        assert_eq!(http(EngineError::Overloaded { what: "x", current: 1, max: 1 }), 429);
        assert_eq!(Problem::invalid("name", "is empty").http(), 400);
    }

    #[test]
    fn items_of_a_batch_know_one_not_found() {
        assert_eq!(Problem::no_task("t").item().code, "NOT_FOUND");
        let item = Problem::invalid("tasks[0].id", "is empty").item();
        assert_eq!(
            (item.code.as_str(), item.details["tasks[0].id"].as_str()),
            ("VALIDATION_FAILED", "is empty")
        );
    }
}
