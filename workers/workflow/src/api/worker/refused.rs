//! Why a worker's call is refused, as a gRPC status.

use std::time::Duration;

use prost::Message;
use switchboard_proto::rpc;
use tonic::{Code, Status};

use crate::attempt::{AttemptId, Untaken};
use crate::executor::functions::PollRefused;

/// When to try again: a stopping engine is back, or its successor there, within seconds.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Of an answer that was not taken.
pub(super) fn untaken(untaken: &Untaken) -> Status {
    match untaken {
        Untaken::Stale(_) => {
            status(Code::FailedPrecondition, "STALE_EPOCH", format!("{untaken}; drop the work"), None)
        }
        Untaken::NotRunning(_) => status(
            Code::FailedPrecondition,
            "WORKFLOW_NOT_RUNNING",
            format!("{untaken}; drop the work"),
            None,
        ),
        Untaken::Closed => stopping(untaken.to_string()),
    }
}

/// Of a lease that nobody has.
pub(super) fn nobody_has(id: &AttemptId) -> Status {
    let message = format!(
        "nobody has attempt {} of task {} of workflow {}; drop the work",
        id.epoch, id.task, id.workflow
    );
    status(Code::FailedPrecondition, "STALE_EPOCH", message, None)
}

/// Of a stream.
pub(super) fn poll(refused: &PollRefused) -> Status {
    match refused {
        PollRefused::TooMany(_) => {
            status(Code::ResourceExhausted, "TOO_MANY_STREAMS", refused.to_string(), Some(RETRY_AFTER))
        }
        PollRefused::Closed => stopping(refused.to_string()),
    }
}

fn stopping(message: String) -> Status {
    status(Code::Unavailable, "ENGINE_STOPPING", message, Some(RETRY_AFTER))
}

fn status(code: Code, reason: &str, message: String, retry_after: Option<Duration>) -> Status {
    // It travels in trailers.
    let message: String = message.chars().take(500).collect();
    let details = rpc::Status::new(code.into(), message.as_str(), reason, [], retry_after)
        .in_domain(rpc::WORKFLOW_DOMAIN);
    Status::with_details(code, message, details.encode_to_vec().into())
}
