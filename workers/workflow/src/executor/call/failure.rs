//! Why a call has no result, in the words of a task's error.
//!
//! | what happened | code | another attempt |
//! |---|---|---|
//! | status UNAVAILABLE, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED | its name | helps, after `RetryInfo` |
//! | no connection, or it broke | UNAVAILABLE | helps |
//! | any other status | its name | does not help |
//! | an answer with `success` false | TASK_FAILED, or the metadata's `error_code` | if the metadata says `retryable: true`, after its `retry_after_ms` |
//! | a result of more than 16 MiB | RESULT_TOO_LARGE | does not help |

use std::error::Error as _;

use switchboard_client::Error;
use switchboard_proto::agentplatform::TaskResponse;
use tonic::Code;
use workflow_machine::TaskError;

use super::MAX_RESULT_BYTES;

/// Code of a backend that ran and failed, and gave no code itself.
const TASK_FAILED: &str = "TASK_FAILED";

/// Why a call has no result.
#[derive(Debug)]
pub(super) enum Told {
    /// The backend ran and failed.
    Answer { code: String, words: String, retryable: bool, retry_after_ms: u64 },
    /// No answer.
    Error(Box<Error>),
    /// More than we take.
    TooLarge,
}

impl From<Error> for Told {
    fn from(error: Error) -> Self {
        Self::Error(Box::new(error))
    }
}

impl Told {
    /// A failure of which there are only words.
    pub(super) fn words(words: String) -> Self {
        Self::Answer { code: TASK_FAILED.to_owned(), words, retryable: false, retry_after_ms: 0 }
    }

    /// A failed task.
    pub(super) fn answer(mut answer: TaskResponse) -> Self {
        let mut take = |key: &str| answer.metadata.remove(key).filter(|value| !value.is_empty());
        Self::Answer {
            code: take("error_code").unwrap_or_else(|| TASK_FAILED.to_owned()),
            retryable: take("retryable").is_some_and(|value| value == "true"),
            retry_after_ms: take("retry_after_ms").and_then(|value| value.parse().ok()).unwrap_or(0),
            words: answer.error,
        }
    }

    /// Whether the backend works at the very same task, which an earlier attempt, or one before a crash, has begun.
    pub(super) fn is_still_running(&self) -> bool {
        matches!(self, Self::Error(error)
            if error.code() == Code::AlreadyExists && error.reason() == Some("TASK_RUNNING"))
    }

    pub(super) fn into_error(self, target: &str) -> TaskError {
        match self {
            Self::Answer { code, words, retryable, retry_after_ms } => {
                let words = if words.is_empty() { "it gave no reason" } else { words.as_str() };
                let error = TaskError::permanent(&code, format!("{target} failed: {words}"));
                TaskError { retryable, retry_after_ms, ..error }
            }
            Self::Error(error) => of_error(&error, target),
            Self::TooLarge => too_large(target),
        }
    }
}

fn too_large(target: &str) -> TaskError {
    let limit = MAX_RESULT_BYTES >> 20;
    let words = format!("{target} answered more than {limit} MiB; keep it elsewhere and answer where it is");
    TaskError::permanent("RESULT_TOO_LARGE", words)
}

fn of_error(error: &Error, target: &str) -> TaskError {
    let code = match error.code() {
        // tonic's own words, of a message that is longer than it may be.
        Code::OutOfRange if error.to_string().contains("message length too large") => {
            return too_large(target);
        }
        // Whatever tonic calls a connection that broke: nobody judged the call.
        Code::Unknown | Code::Internal | Code::Cancelled if broke(error) => Code::Unavailable,
        code => code,
    };
    let reason = error.reason().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let retryable =
        matches!(code, Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Aborted);
    let retry_after_ms =
        error.retry_delay().map_or(0, |delay| delay.as_millis().try_into().unwrap_or(u64::MAX));
    // Where the router itself is not reached, the words name its address.
    let failed = TaskError::permanent(&name(code), format!("call of {target}: {error}{reason}"));
    TaskError { retryable, retry_after_ms, ..failed }
}

/// Whether the status was made on this side, of an error of the connection.
fn broke(error: &Error) -> bool {
    error.status().is_some_and(|status| status.source().is_some())
}

/// `NOT_FOUND` of [`Code::NotFound`].
fn name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_names_of_the_wire() {
        let names =
            [Code::Ok, Code::NotFound, Code::DeadlineExceeded, Code::DataLoss, Code::Unavailable].map(name);
        assert_eq!(names, ["OK", "NOT_FOUND", "DEADLINE_EXCEEDED", "DATA_LOSS", "UNAVAILABLE"]);
    }
}
