//! What is sent.

use prost::Message;
use switchboard_proto::goclaw::v1::{SubmitWorkflowRequest, SubmitWorkflowsRequest, TaskDefinition};

/// Workflows of a batch: the most that one takes.
pub(super) const BATCH: usize = 100;
/// The queue of external workers.
pub(super) const QUEUE: &str = "bench";

/// What the tasks of a workflow do.
#[derive(Clone, Copy)]
pub(super) enum Tasks {
    /// Nothing: the workflow ends by itself.
    Noop,
    /// What an external worker does.
    Function,
}

/// Three tasks, one after the other.
pub(super) fn chain(tasks: Tasks) -> SubmitWorkflowRequest {
    let task = |id: &str, dependencies: &[&str]| TaskDefinition {
        id: id.to_owned(),
        name: id.to_owned(),
        dependencies: dependencies.iter().map(|&id| id.to_owned()).collect(),
        r#type: match tasks {
            Tasks::Noop => "noop",
            Tasks::Function => "function",
        }
        .to_owned(),
        target: match tasks {
            Tasks::Noop => String::new(),
            Tasks::Function => QUEUE.to_owned(),
        },
        ..TaskDefinition::default()
    };
    SubmitWorkflowRequest {
        name: "bench".to_owned(),
        tasks: vec![task("fetch", &[]), task("plan", &["fetch"]), task("say", &["plan"])],
        ..SubmitWorkflowRequest::default()
    }
}

/// As many of them as a batch takes.
pub(super) fn batch(tasks: Tasks) -> SubmitWorkflowsRequest {
    SubmitWorkflowsRequest { workflows: vec![chain(tasks); BATCH], atomic: true, ..Default::default() }
}

/// Messages as `load` reads them from a file.
pub(super) fn file<M: Message>(messages: &[M]) -> Vec<u8> {
    messages.iter().flat_map(Message::encode_length_delimited_to_vec).collect()
}
