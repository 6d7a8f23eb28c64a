//! A server that answers what a test wrote down, and remembers what it was sent.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_util::{Stream, StreamExt};
use switchboard_proto::agentplatform::agent_service_server::{AgentService, AgentServiceServer};
use switchboard_proto::agentplatform::task_worker_server::{TaskWorker, TaskWorkerServer};
use switchboard_proto::agentplatform::tool_service_server::{ToolService, ToolServiceServer};
use switchboard_proto::agentplatform::*;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::MetadataMap;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

/// What one call is answered with; the default, once the script is used up, is `Succeed`.
pub(crate) enum Act {
    Succeed,
    Fail(Status),
    /// Never answers.
    Hang,
    /// Streams these chunks and then the status, or the end; `None` after them never ends.
    Chunks(Vec<&'static str>, Option<Result<(), Status>>),
}

#[derive(Clone, Default)]
pub(crate) struct Scripted(Arc<State>);

#[derive(Default)]
struct State {
    script: Mutex<VecDeque<Act>>,
    seen: Mutex<Vec<MetadataMap>>,
}

impl Scripted {
    pub(crate) fn new(script: impl IntoIterator<Item = Act>) -> Self {
        let state = State { script: Mutex::new(script.into_iter().collect()), seen: Mutex::default() };
        Self(Arc::new(state))
    }

    /// Serves on a port of its own until the test's runtime ends.
    pub(crate) async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
        let address = listener.local_addr().expect("it is bound");
        self.serve(listener);
        format!("http://{address}")
    }

    /// Serves on this port, which must be free.
    pub(crate) async fn start_on(&self, address: SocketAddr) {
        self.serve(TcpListener::bind(address).await.expect("the port is free"));
    }

    /// The headers of the calls so far, in order.
    pub(crate) fn seen(&self) -> Vec<MetadataMap> {
        self.0.seen.lock().expect("not poisoned").clone()
    }

    /// Serves over TLS on a free port of loopback.
    pub(crate) async fn start_tls(&self, tls: ServerTlsConfig) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        self.serve_with(Server::builder().tls_config(tls).unwrap(), listener);
        address
    }

    fn serve(&self, listener: TcpListener) {
        self.serve_with(Server::builder(), listener);
    }

    fn serve_with(&self, mut server: Server, listener: TcpListener) {
        let server = server
            .add_service(AgentServiceServer::new(self.clone()))
            .add_service(ToolServiceServer::new(self.clone()))
            .add_service(TaskWorkerServer::new(self.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
    }

    fn next<M>(&self, request: &Request<M>) -> Act {
        self.0.seen.lock().expect("not poisoned").push(request.metadata().clone());
        self.0.script.lock().expect("not poisoned").pop_front().unwrap_or(Act::Succeed)
    }

    async fn play<M, R>(
        &self,
        request: Request<M>,
        answer: impl FnOnce(M) -> R,
    ) -> Result<Response<R>, Status> {
        match self.next(&request) {
            Act::Succeed => Ok(Response::new(answer(request.into_inner()))),
            Act::Fail(status) => Err(status),
            Act::Hang | Act::Chunks(..) => std::future::pending().await,
        }
    }
}

fn answered(task: TaskRequest) -> TaskResponse {
    let mut metadata = task.parameters;
    metadata.insert("agent_id".to_owned(), task.agent_id);
    let output = format!("Echo: {}", task.input);
    TaskResponse { task_id: task.task_id, output, success: true, metadata, ..Default::default() }
}

#[tonic::async_trait]
impl AgentService for Scripted {
    type StreamTaskStream = Pin<Box<dyn Stream<Item = Result<TaskChunk, Status>> + Send>>;

    async fn execute_task(&self, request: Request<TaskRequest>) -> Result<Response<TaskResponse>, Status> {
        self.play(request, answered).await
    }

    async fn stream_task(
        &self,
        request: Request<TaskRequest>,
    ) -> Result<Response<Self::StreamTaskStream>, Status> {
        let (words, end) = match self.next(&request) {
            Act::Chunks(words, end) => (words, end),
            Act::Fail(status) => return Err(status),
            Act::Succeed => (vec!["done"], Some(Ok(()))),
            Act::Hang => std::future::pending().await,
        };
        let chunk = |word: &str| Ok(TaskChunk { content: word.to_owned(), ..Default::default() });
        let chunks = futures_util::stream::iter(words.into_iter().map(chunk).collect::<Vec<_>>());
        let stream: Self::StreamTaskStream = match end {
            None => chunks.chain(futures_util::stream::pending()).boxed(),
            Some(Ok(())) => chunks.boxed(),
            Some(Err(status)) => chunks.chain(futures_util::stream::iter([Err(status)])).boxed(),
        };
        Ok(Response::new(stream))
    }

    async fn get_status(&self, request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let answer = |ask: StatusRequest| StatusResponse {
            agent_id: ask.agent_id,
            status: "healthy".into(),
            ..Default::default()
        };
        self.play(request, answer).await
    }

    async fn register_agent(
        &self,
        request: Request<AgentInfo>,
    ) -> Result<Response<RegistrationResponse>, Status> {
        self.play(request, |_| RegistrationResponse::default()).await
    }

    async fn list_agents(
        &self,
        request: Request<ListAgentsRequest>,
    ) -> Result<Response<ListAgentsResponse>, Status> {
        let answer = |ask: ListAgentsRequest| ListAgentsResponse {
            agents: vec![AgentInfo { agent_id: format!("{}-agent", ask.filter), ..Default::default() }],
        };
        self.play(request, answer).await
    }
}

#[tonic::async_trait]
impl ToolService for Scripted {
    async fn execute_tool(&self, request: Request<ToolRequest>) -> Result<Response<ToolResponse>, Status> {
        let answer = |ask: ToolRequest| ToolResponse {
            success: true,
            result: format!("{}/{}/{}", ask.tool_id, ask.operation, ask.parameters["location"]),
            ..Default::default()
        };
        self.play(request, answer).await
    }

    async fn list_tools(
        &self,
        request: Request<ListToolsRequest>,
    ) -> Result<Response<ListToolsResponse>, Status> {
        let answer = |ask: ListToolsRequest| ListToolsResponse {
            tools: vec![ToolInfo { tool_id: format!("{}-tool", ask.filter), ..Default::default() }],
        };
        self.play(request, answer).await
    }

    async fn register_tool(
        &self,
        request: Request<ToolInfo>,
    ) -> Result<Response<RegistrationResponse>, Status> {
        self.play(request, |_| RegistrationResponse::default()).await
    }
}

#[tonic::async_trait]
impl TaskWorker for Scripted {
    async fn process_task(&self, request: Request<TaskRequest>) -> Result<Response<TaskResponse>, Status> {
        self.play(request, answered).await
    }

    async fn get_task_status(
        &self,
        request: Request<TaskStatusRequest>,
    ) -> Result<Response<TaskStatusResponse>, Status> {
        let answer = |ask: TaskStatusRequest| TaskStatusResponse {
            task_id: ask.task_id,
            status: ask.worker_id,
            ..Default::default()
        };
        self.play(request, answer).await
    }

    async fn list_workers(
        &self,
        request: Request<ListWorkersRequest>,
    ) -> Result<Response<ListWorkersResponse>, Status> {
        let answer = |ask: ListWorkersRequest| ListWorkersResponse {
            workers: vec![WorkerInfo { worker_id: format!("{}-worker", ask.filter), ..Default::default() }],
        };
        self.play(request, answer).await
    }
}
