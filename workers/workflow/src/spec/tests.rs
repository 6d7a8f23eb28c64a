//! What requests become, and what is said of wrong ones.

mod any;
mod keys;
mod refusals;
mod sagas;

use std::collections::BTreeMap;

use switchboard_proto::goclaw::v1::{SubmitWorkflowRequest, TaskDefinition};
use workflow_machine::{Invalid, TaskSpec, Work, Workflow, WorkflowId};

use super::{Settings, Submission, in_words_of_request};

/// What the engine says of a request: all that is wrong with it, or what it runs.
fn accept(request: SubmitWorkflowRequest) -> Result<Submission, Invalid> {
    let submission = Submission::read(request, &Settings::default())?;
    match Workflow::submit(WorkflowId::new("w"), submission.spec.clone(), 0) {
        Ok(_) => Ok(submission),
        Err(invalid) => Err(in_words_of_request(invalid)),
    }
}

fn refused(request: SubmitWorkflowRequest) -> Vec<String> {
    let invalid = accept(request).expect_err("the request should be refused");
    invalid
        .violations
        .into_iter()
        .map(|violation| format!("{}: {}", violation.field, violation.reason))
        .collect()
}

fn workflow(tasks: impl IntoIterator<Item = TaskDefinition>) -> SubmitWorkflowRequest {
    SubmitWorkflowRequest {
        name: "w".to_owned(),
        tasks: tasks.into_iter().collect(),
        ..SubmitWorkflowRequest::default()
    }
}

fn task(id: &str) -> TaskDefinition {
    TaskDefinition { id: id.to_owned(), ..TaskDefinition::default() }
}

fn keys(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A task of the origin's contract: an ID and metadata.
fn bare(pairs: &[(&str, &str)]) -> TaskDefinition {
    TaskDefinition { metadata: keys(pairs), ..task("a") }
}

fn accepted(task: TaskDefinition) -> TaskSpec {
    match accept(workflow([task])) {
        Ok(mut submission) => submission.spec.tasks.remove(0),
        Err(invalid) => panic!("{invalid}"),
    }
}

fn work(task: TaskDefinition) -> Work {
    accepted(task).work.expect("a task has work")
}
