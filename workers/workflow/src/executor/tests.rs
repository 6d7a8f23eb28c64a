//! The executor against real servers, with a test in the engine's place.

mod backend;
mod calls;
mod functions;
mod http;
mod stopping;
mod web;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use switchboard_client::Config;
use tokio::runtime::Handle;
use workflow_machine::{Function, Request, Run, TaskError, WorkflowId};

use super::{Calls, Executors, Settings};
use crate::attempt::{Attempt, AttemptId, Inbox, Kept, Report, Reports, Untaken};

/// An address that nobody listens on.
pub(crate) const NOWHERE: &str = "127.0.0.1:1";

/// An executor, and what it reports.
pub(crate) struct Engine {
    pub(crate) executors: Executors,
    inbox: Inbox,
}

impl Engine {
    pub(crate) fn new(router: &str, settings: Settings) -> Self {
        let (reports, inbox) = Reports::channel();
        let calls = Calls::through(router, Config::default()).unwrap();
        let executors = Executors::new(settings, calls, reports, Handle::current()).unwrap();
        Self { executors, inbox }
    }

    /// The next report but lines of the log, which is taken.
    pub(crate) async fn report(&mut self) -> (AttemptId, Report) {
        loop {
            match self.answered(Ok(Kept::default())).await {
                (_, Report::Log { .. }) => {}
                other => return other,
            }
        }
    }

    /// The next report of any kind, which gets this answer.
    pub(crate) async fn answered(&mut self, answer: Result<Kept, Untaken>) -> (AttemptId, Report) {
        // Longer than any timer of a test, for those that pause the time.
        let next = tokio::time::timeout(Duration::from_secs(90), self.inbox.0.recv());
        let reported = next.await.expect("a report comes").expect("the executor lives");
        if let Some(waits) = reported.answer {
            let _ = waits.send(answer);
        }
        (reported.attempt, reported.report)
    }

    /// The result of the next attempt that ends.
    pub(crate) async fn outcome(&mut self) -> Result<Value, TaskError> {
        match self.report().await.1 {
            Report::Completed { result } => Ok(serde_json::from_slice(&result).unwrap()),
            Report::Failed { error } => Err(error),
            other => panic!("neither completed nor failed: {other:?}"),
        }
    }

    /// Whether nothing is reported that nobody has taken.
    pub(crate) fn is_silent(&mut self) -> bool {
        self.inbox.0.try_recv().is_err()
    }
}

/// The first attempt of a task.
pub(crate) fn attempt(task: &str, request: Request) -> Attempt {
    Attempt {
        workflow: WorkflowId::new("wf"),
        run: Run {
            task: task.to_owned(),
            epoch: 7,
            attempt: 1,
            request,
            deadline: None,
            idempotency_key: format!("wf/{task}"),
            compensation: false,
            lane: "default".to_owned(),
            priority: 0,
        },
        request_id: "req-1".to_owned(),
        owner: String::new(),
        owner_roles: Vec::new(),
        now: 1_000,
        workflow_name: "journey".to_owned(),
        metadata: BTreeMap::from([("team".to_owned(), "travel".to_owned())]),
    }
}

/// The same with a timeout.
pub(crate) fn within(mut attempt: Attempt, timeout: Duration) -> Attempt {
    attempt.run.deadline = Some(attempt.now + u64::try_from(timeout.as_millis()).unwrap());
    attempt
}

/// Work for a queue.
pub(crate) fn function(queue: &str) -> Request {
    Request::Function(Function {
        queue: queue.to_owned(),
        operation: "resize".to_owned(),
        input: Bytes::from_static(br#"{"image":"a.png"}"#),
        parameters: BTreeMap::from([("width".to_owned(), "640".to_owned())]),
    })
}
