//! A workflow engine that answers what a test wrote down, and remembers what it was asked.
//!
//! | File | What |
//! |---|---|
//! | `workflows` | submit, list, look, results, batches |
//! | `streams` | scripted streams |
//! | `control` | one workflow, and the engine itself |
//! | `schedules` | schedules, of which it keeps a list |

mod control;
mod schedules;
mod streams;
mod workflows;

use std::collections::{HashMap, VecDeque};
use std::net::TcpListener;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use futures_util::stream;
use switchboard_proto::goclaw::v1::admin_service_server::AdminServiceServer;
use switchboard_proto::goclaw::v1::batch_service_server::BatchServiceServer;
use switchboard_proto::goclaw::v1::schedule_service_server::ScheduleServiceServer;
use switchboard_proto::goclaw::v1::streaming_service_server::StreamingServiceServer;
use switchboard_proto::goclaw::v1::workflow_control_service_server::WorkflowControlServiceServer;
use switchboard_proto::goclaw::v1::workflow_service_server::WorkflowServiceServer;
use switchboard_proto::goclaw::v1::{
    GetWorkflowStatusResponse, ListWorkflowsResponse, LogStreamResponse, Schedule, SubmitWorkflowRequest,
    TaskProgressUpdate, TaskResultChunk, WorkflowStatusUpdate,
};
use tonic::transport::Server;
use tonic::{Request, Status};

pub use streams::Script;

/// The engine; a clone is the same one.
#[derive(Clone, Default)]
pub struct Engine(Arc<State>);

/// What it answers, and what it was asked.
#[derive(Default)]
pub struct State {
    /// Submissions, looks at a workflow and calls of schedules that fail, in order; afterwards they succeed.
    pub failures: Mutex<VecDeque<Status>>,
    /// States of every workflow in order; the last one stays.
    pub statuses: Mutex<VecDeque<GetWorkflowStatusResponse>>,
    /// Lists in order; the last one stays.
    pub pages: Mutex<VecDeque<ListWorkflowsResponse>>,
    /// Streams of updates of a workflow.
    pub workflow: Mutex<VecDeque<Script<WorkflowStatusUpdate>>>,
    /// Streams of updates of tasks.
    pub tasks: Mutex<VecDeque<Script<TaskProgressUpdate>>>,
    /// Streams of log lines.
    pub logs: Mutex<VecDeque<Script<LogStreamResponse>>>,
    /// Results by task; another task has failed.
    pub results: Mutex<HashMap<String, String>>,
    /// Streams of the pieces of a result; while there are some, every result is too large for a message.
    pub pieces: Mutex<VecDeque<Script<TaskResultChunk>>>,
    /// Schedules, by their IDs; those that are made come here.
    pub schedules: Mutex<Vec<Schedule>>,
    /// Submissions with their keys, refused ones too.
    pub submitted: Mutex<Vec<(String, SubmitWorkflowRequest)>>,
    /// Keys of batches, and of what is done to schedules.
    pub keys: Mutex<Vec<String>>,
    /// Numbers after which streams began.
    pub resumed: Mutex<Vec<i64>>,
    /// Tokens of the pages that were asked for.
    pub tokens: Mutex<Vec<String>>,
    hangs: Mutex<bool>,
}

impl Deref for Engine {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

impl Engine {
    /// Serves on a port of its own until the process of the test ends; gives the address as a URL.
    ///
    /// # Panics
    /// If there is no port, or no thread.
    pub fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
        let address = listener.local_addr().expect("it is bound");
        listener.set_nonblocking(true).expect("a new socket takes it");
        let engine = self.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("there are threads");
            runtime.block_on(engine.serve(listener));
        });
        format!("http://{address}")
    }

    async fn serve(self, listener: TcpListener) {
        let listener = tokio::net::TcpListener::from_std(listener).expect("it does not block");
        let connections = stream::unfold(listener, |listener| async move {
            let accepted = listener.accept().await.map(|(connection, _)| connection);
            Some((accepted, listener))
        });
        let served = Server::builder()
            .add_service(WorkflowServiceServer::new(self.clone()))
            .add_service(StreamingServiceServer::new(self.clone()))
            .add_service(BatchServiceServer::new(self.clone()))
            .add_service(WorkflowControlServiceServer::new(self.clone()))
            .add_service(ScheduleServiceServer::new(self.clone()))
            .add_service(AdminServiceServer::new(self))
            .serve_with_incoming(connections);
        served.await.expect("connections do not fail");
    }

    /// Streams say nothing and do not end from now on.
    pub fn hang(&self) {
        *get(&self.hangs) = true;
    }

    fn fails(&self) -> Result<(), Status> {
        get(&self.failures).pop_front().map_or(Ok(()), Err)
    }
}

/// A test that failed while it held the lock has said why.
fn get<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The next of some, the last of which stays.
fn next<T: Clone>(queue: &Mutex<VecDeque<T>>) -> Option<T> {
    let mut queue = get(queue);
    if queue.len() > 1 { queue.pop_front() } else { queue.front().cloned() }
}

/// The key of a call that has to have one.
fn key<T>(request: &Request<T>) -> Result<String, Status> {
    let key = request.metadata().get("idempotency-key").and_then(|key| key.to_str().ok());
    key.map(str::to_owned).ok_or_else(|| Status::invalid_argument("this call has to have a key"))
}

/// What no test of a client needs.
fn unwritten<T>() -> Result<T, Status> {
    Err(Status::unimplemented("not in these tests"))
}
