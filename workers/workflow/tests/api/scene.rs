//! An engine with a scripted executor behind a server on a free port.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use prost::Message;
use switchboard_proto::{
    goclaw::v1::{
        GetWorkflowStatusRequest, GetWorkflowStatusResponse, SubmitWorkflowRequest, TaskDefinition,
        WorkflowStatus, streaming_service_client::StreamingServiceClient,
        workflow_service_client::WorkflowServiceClient,
    },
    rpc,
};
use switchboard_testkit::eventually;
use tokio::{net::TcpListener, runtime::Handle};
use tonic::{
    Status,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use workflow_machine::{Request, SignalKind, TaskError};
use workflow_store::{MemoryStore, Store};
use workflow_worker::{
    api::{Api, Services, Settings},
    attempt::{Attempt, AttemptId, Executor, Report, Reports},
    engine::{self, Engine},
};

/// Anything that takes longer has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Does what the operation of a call says: `hold` until the test lets go, `stubborn` likewise and whatever is asked of it,
/// `fail`; everything else succeeds with its input.
struct Script {
    reports: Reports,
    runtime: Handle,
    held: Held,
}

type Held = Arc<Mutex<Vec<Attempt>>>;

impl Script {
    fn report(&self, attempt: AttemptId, report: Report) {
        let reports = self.reports.clone();
        self.runtime.spawn(async move {
            let _ = reports.send(attempt, report).await;
        });
    }
}

fn name(attempt: &Attempt) -> AttemptId {
    AttemptId { workflow: attempt.workflow.clone(), task: attempt.run.task.clone(), epoch: attempt.run.epoch }
}

fn operation(attempt: &Attempt) -> &str {
    match &attempt.run.request {
        Request::Call(call) => &call.operation,
        _ => "",
    }
}

impl Executor for Script {
    fn run(&self, attempt: Attempt) {
        let id = name(&attempt);
        match (operation(&attempt), &attempt.run.request) {
            ("hold" | "stubborn", _) => self.held.lock().unwrap().push(attempt),
            ("fail", _) => {
                self.report(id, Report::Failed { error: TaskError::permanent("BROKEN", "it is broken") });
            }
            (_, Request::Call(call)) => self.report(id, Report::Completed { result: call.input.clone() }),
            _ => self.report(id, Report::Completed { result: Bytes::new() }),
        }
    }

    fn stop(&self, attempt: &AttemptId, _: u64) {
        let mut held = self.held.lock().unwrap();
        let at = held.iter().position(|one| name(one) == *attempt && operation(one) != "stubborn");
        if let Some(at) = at {
            held.remove(at);
            self.report(attempt.clone(), Report::Lost);
        }
    }

    fn signal(&self, attempt: &AttemptId, kind: SignalKind, payload: Bytes) {
        let message = format!("{kind:?} {}", String::from_utf8_lossy(&payload));
        self.report(attempt.clone(), Report::Log { at: 1, level: 2, message, fields: Vec::new() });
    }
}

/// A served engine.
pub(crate) struct Scene {
    pub(crate) engine: Engine,
    pub(crate) channel: Channel,
    addr: SocketAddr,
    reports: Reports,
    held: Held,
}

impl Scene {
    pub(crate) async fn start() -> Self {
        Self::with(Arc::new(MemoryStore::default()), Settings::default()).await
    }

    pub(crate) async fn with(store: Arc<dyn Store>, settings: Settings) -> Self {
        let held = Held::default();
        let (kept, runtime) = (held.clone(), Handle::current());
        let (reports, inbox) = Reports::channel();
        let script = Arc::new(Script { reports: reports.clone(), runtime, held: kept });
        let start = move || Engine::start(store, engine::Settings::default(), script, inbox);
        let engine = tokio::task::spawn_blocking(start).await.unwrap().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let api = Api::start(engine.clone(), settings).await.unwrap();
        let server = Server::builder().add_routes(Services::new(api).routes());
        // As the process does: else windows that are small open every 40 ms.
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        tokio::spawn(server.serve_with_incoming(incoming));
        let channel = Endpoint::from_shared(format!("http://{addr}")).unwrap().connect().await.unwrap();
        Self { engine, channel, addr, reports, held }
    }

    /// A connection of its own, which takes `window` bytes of a stream that nobody reads.
    pub(crate) async fn another_channel(&self, window: u32) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.addr)).unwrap();
        let endpoint =
            endpoint.initial_stream_window_size(window).initial_connection_window_size(64 * window);
        endpoint.connect().await.unwrap()
    }

    pub(crate) fn workflows(&self) -> WorkflowServiceClient<Channel> {
        WorkflowServiceClient::new(self.channel.clone())
    }

    pub(crate) fn streams(&self) -> StreamingServiceClient<Channel> {
        StreamingServiceClient::new(self.channel.clone())
    }

    pub(crate) async fn submit(&self, request: SubmitWorkflowRequest) -> String {
        self.workflows().submit_workflow(request).await.unwrap().into_inner().workflow_id
    }

    pub(crate) async fn status(&self, id: &str) -> GetWorkflowStatusResponse {
        let request = GetWorkflowStatusRequest { workflow_id: id.to_owned(), include_input: true };
        self.workflows().get_workflow_status(request).await.unwrap().into_inner()
    }

    /// Waits until the workflow is in this state.
    pub(crate) async fn until(&self, id: &str, status: WorkflowStatus) -> GetWorkflowStatusResponse {
        let look = async || {
            let now = self.status(id).await;
            if now.status() == status { Ok(now) } else { Err(now.status()) }
        };
        eventually(PATIENCE, look).await.unwrap()
    }

    /// Waits until the task's attempt is held.
    pub(crate) async fn held(&self, task: &str) -> AttemptId {
        let look = async || {
            let held = self.held.lock().unwrap();
            held.iter().find(|one| one.run.task == task).map(name).ok_or("not held")
        };
        eventually(PATIENCE, look).await.unwrap()
    }

    /// Lets a held attempt report.
    pub(crate) async fn report(&self, task: &str, report: Report) {
        let id = self.held(task).await;
        if !matches!(report, Report::Log { .. } | Report::Progress { .. }) {
            self.held.lock().unwrap().retain(|one| name(one) != id);
        }
        self.reports.report(id, report).await.unwrap();
    }

    pub(crate) async fn complete(&self, task: &str, result: &str) {
        self.report(task, Report::Completed { result: Bytes::copy_from_slice(result.as_bytes()) }).await;
    }

    pub(crate) async fn log(&self, task: &str, level: u8, message: &str) {
        let fields = vec![("key".to_owned(), "value".to_owned())];
        self.report(task, Report::Log { at: 1, level, message: message.to_owned(), fields }).await;
    }
}

/// A workflow of these tasks.
pub(crate) fn workflow(tasks: impl IntoIterator<Item = TaskDefinition>) -> SubmitWorkflowRequest {
    SubmitWorkflowRequest {
        name: "trip".to_owned(),
        tasks: tasks.into_iter().collect(),
        ..SubmitWorkflowRequest::default()
    }
}

/// A task that does nothing.
pub(crate) fn noop(id: &str) -> TaskDefinition {
    TaskDefinition { id: id.to_owned(), ..TaskDefinition::default() }
}

/// A task with an attempt; the operation is for the script.
pub(crate) fn call(id: &str, operation: &str, after: &[&str]) -> TaskDefinition {
    TaskDefinition {
        id: id.to_owned(),
        dependencies: after.iter().map(|&id| id.to_owned()).collect(),
        target: "echo-agent".to_owned(),
        operation: operation.to_owned(),
        ..TaskDefinition::default()
    }
}

/// The reason and the facts of a status.
pub(crate) fn reason(status: &Status) -> (String, BTreeMap<String, String>) {
    let details = rpc::Status::decode(status.details()).unwrap();
    let info = details.error_info().unwrap();
    assert_eq!(info.domain, rpc::WORKFLOW_DOMAIN);
    (info.reason, info.metadata.into_iter().collect())
}

/// The fields that are wrong.
pub(crate) fn wrong_fields(status: &Status) -> Vec<String> {
    let details = rpc::Status::decode(status.details()).unwrap();
    details.field_violations().into_iter().map(|violation| violation.field).collect()
}
