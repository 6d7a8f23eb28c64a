//! An agent, a tool and a worker that answer what a test wrote down, and remember what they were asked.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use switchboard_proto::agentplatform::agent_service_server::{AgentService, AgentServiceServer};
use switchboard_proto::agentplatform::task_worker_server::{TaskWorker, TaskWorkerServer};
use switchboard_proto::agentplatform::tool_service_server::{ToolService, ToolServiceServer};
use switchboard_proto::agentplatform::*;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// What a call is answered with; an echo once the script is used up.
pub(super) enum Act {
    Answer(TaskResponse),
    Tool(ToolResponse),
    Fail(Status),
    Chunks(Vec<&'static str>),
    /// Answers when the test lets it.
    Wait(Arc<tokio::sync::Notify>),
    /// Never answers.
    Hang,
}

/// One call as it came.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) method: &'static str,
    pub(super) headers: MetadataMap,
    pub(super) task: TaskRequest,
    pub(super) tool: ToolRequest,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

#[derive(Clone, Default)]
pub(super) struct Backend(Arc<State>);

#[derive(Default)]
struct State {
    script: Mutex<VecDeque<Act>>,
    seen: Mutex<Vec<Seen>>,
    /// Calls that are being answered.
    open: AtomicUsize,
}

/// Counts a call until it is answered or its caller goes away.
struct Open(Arc<State>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
    }
}

impl Backend {
    pub(super) fn new(script: impl IntoIterator<Item = Act>) -> Self {
        let state = State { script: Mutex::new(script.into_iter().collect()), ..State::default() };
        Self(Arc::new(state))
    }

    /// Serves on a port of its own until the test's runtime ends.
    pub(super) async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let most = 64 << 20;
        let server = Server::builder()
            .add_service(AgentServiceServer::new(self.clone()).max_encoding_message_size(most))
            .add_service(ToolServiceServer::new(self.clone()).max_encoding_message_size(most))
            .add_service(TaskWorkerServer::new(self.clone()).max_encoding_message_size(most));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        address
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.0.seen.lock().unwrap().clone()
    }

    /// Waits until this many calls have come, and this many are still open.
    pub(super) async fn until(&self, came: usize, open: usize) {
        let probe = async || {
            let now = (self.seen().len(), self.0.open.load(SeqCst));
            if now == (came, open) { Ok(()) } else { Err(now) }
        };
        switchboard_testkit::eventually(Duration::from_secs(20), probe).await.unwrap();
    }

    async fn play<R>(
        &self,
        seen: Seen,
        echo: impl FnOnce() -> R,
        scripted: impl FnOnce(Act) -> R,
    ) -> Result<Response<R>, Status> {
        self.0.open.fetch_add(1, SeqCst);
        let _open = Open(self.0.clone());
        self.0.seen.lock().unwrap().push(seen);
        let act = self.0.script.lock().unwrap().pop_front();
        match act {
            None => Ok(Response::new(echo())),
            Some(Act::Fail(status)) => Err(status),
            Some(Act::Hang) => std::future::pending().await,
            Some(Act::Wait(let_go)) => {
                let_go.notified().await;
                Ok(Response::new(echo()))
            }
            Some(act) => Ok(Response::new(scripted(act))),
        }
    }

    async fn task(
        &self,
        method: &'static str,
        request: Request<TaskRequest>,
    ) -> Result<Response<TaskResponse>, Status> {
        let (headers, _, task) = request.into_parts();
        let output = format!("Echo: {}", task.input);
        let seen = Seen { method, headers, task, ..Seen::default() };
        let scripted = |act| match act {
            Act::Answer(answer) => answer,
            _ => panic!("the script is another method's"),
        };
        self.play(seen, || TaskResponse { output, success: true, ..TaskResponse::default() }, scripted).await
    }
}

#[tonic::async_trait]
impl AgentService for Backend {
    type StreamTaskStream = Pin<Box<dyn Stream<Item = Result<TaskChunk, Status>> + Send>>;

    async fn execute_task(&self, request: Request<TaskRequest>) -> Result<Response<TaskResponse>, Status> {
        self.task("ExecuteTask", request).await
    }

    async fn stream_task(
        &self,
        request: Request<TaskRequest>,
    ) -> Result<Response<Self::StreamTaskStream>, Status> {
        let (headers, _, task) = request.into_parts();
        let seen = Seen { method: "StreamTask", headers, task, ..Seen::default() };
        let scripted = |act| -> Self::StreamTaskStream {
            let Act::Chunks(words) = act else { panic!("the script is another method's") };
            let last = words.len();
            let chunk = move |(at, word): (usize, &str)| {
                Ok(TaskChunk { content: word.to_owned(), is_final: at + 1 == last, ..TaskChunk::default() })
            };
            stream::iter(words.into_iter().enumerate().map(chunk).collect::<Vec<_>>()).boxed()
        };
        self.play(seen, || -> Self::StreamTaskStream { stream::empty().boxed() }, scripted).await
    }

    async fn get_status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn register_agent(&self, _: Request<AgentInfo>) -> Result<Response<RegistrationResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn list_agents(
        &self,
        _: Request<ListAgentsRequest>,
    ) -> Result<Response<ListAgentsResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }
}

#[tonic::async_trait]
impl ToolService for Backend {
    async fn execute_tool(&self, request: Request<ToolRequest>) -> Result<Response<ToolResponse>, Status> {
        let (headers, _, tool) = request.into_parts();
        let seen = Seen { method: "ExecuteTool", headers, tool, ..Seen::default() };
        let scripted = |act| match act {
            Act::Tool(answer) => answer,
            _ => panic!("the script is another method's"),
        };
        self.play(seen, || ToolResponse { success: true, ..ToolResponse::default() }, scripted).await
    }

    async fn list_tools(&self, _: Request<ListToolsRequest>) -> Result<Response<ListToolsResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn register_tool(&self, _: Request<ToolInfo>) -> Result<Response<RegistrationResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }
}

#[tonic::async_trait]
impl TaskWorker for Backend {
    async fn process_task(&self, request: Request<TaskRequest>) -> Result<Response<TaskResponse>, Status> {
        self.task("ProcessTask", request).await
    }

    async fn get_task_status(
        &self,
        _: Request<TaskStatusRequest>,
    ) -> Result<Response<TaskStatusResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn list_workers(
        &self,
        _: Request<ListWorkersRequest>,
    ) -> Result<Response<ListWorkersResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }
}
