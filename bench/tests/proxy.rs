//! The small proxies pass calls on whole: metadata, messages, trailers, statuses.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};
use switchboard_proto::agentplatform::{
    AgentInfo, ListAgentsRequest, ListAgentsResponse, RegistrationResponse, StatusRequest, StatusResponse,
    TaskChunk, TaskRequest, TaskResponse,
    agent_service_client::AgentServiceClient,
    agent_service_server::{AgentService, AgentServiceServer},
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::{
    StreamExt,
    wrappers::{ReceiverStream, TcpListenerStream},
};
use tonic::{Code, Request, Response, Status, transport::Server};

/// Answers with what it got.
struct Backend;

#[tonic::async_trait]
impl AgentService for Backend {
    type StreamTaskStream = ReceiverStream<Result<TaskChunk, Status>>;

    async fn execute_task(&self, request: Request<TaskRequest>) -> Result<Response<TaskResponse>, Status> {
        let reply = request.metadata().get("x-bench-reply").and_then(|value| value.to_str().ok());
        let session_id = reply.unwrap_or_default().to_owned();
        let request = request.into_inner();
        if request.input == "fail" {
            return Err(Status::resource_exhausted("as you wish"));
        }
        Ok(Response::new(TaskResponse { output: request.input, session_id, ..TaskResponse::default() }))
    }

    async fn stream_task(
        &self,
        request: Request<TaskRequest>,
    ) -> Result<Response<Self::StreamTaskStream>, Status> {
        let content = request.into_inner().input;
        let (sender, chunks) = mpsc::channel(4);
        for _ in 0..3 {
            sender.send(Ok(TaskChunk { content: content.clone(), ..TaskChunk::default() })).await.unwrap();
        }
        sender.send(Err(Status::aborted("three are enough"))).await.unwrap();
        Ok(Response::new(ReceiverStream::new(chunks)))
    }

    async fn get_status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn register_agent(&self, _: Request<AgentInfo>) -> Result<Response<RegistrationResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_agents(
        &self,
        _: Request<ListAgentsRequest>,
    ) -> Result<Response<ListAgentsResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// The proxy's process; ends with the test.
struct Proxy {
    process: Child,
    address: SocketAddr,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = AgentServiceServer::new(Backend).max_decoding_message_size(64 << 20);
    tokio::spawn(
        Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)),
    );
    address
}

fn proxy(kind: &str, upstream: SocketAddr) -> Proxy {
    let mut process = Command::new(env!("CARGO_BIN_EXE_switchboard-bench"))
        .args(["proxy", kind, "--listen", "127.0.0.1:0", "--upstream", &upstream.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening ").expect("no address").parse().unwrap();
    Proxy { process, address }
}

async fn passes_calls_on(kind: &str) {
    let upstream = backend().await;
    let kind = kind.to_owned();
    let proxy = tokio::task::spawn_blocking(move || proxy(&kind, upstream)).await.unwrap();
    let mut client = AgentServiceClient::connect(format!("http://{}", proxy.address))
        .await
        .unwrap()
        .max_decoding_message_size(64 << 20);
    let task = |input: &str| TaskRequest {
        task_id: "t-1".into(),
        agent_id: "bench-agent".into(),
        input: input.into(),
        ..TaskRequest::default()
    };

    let mut request = Request::new(task("hello"));
    request.metadata_mut().insert("x-bench-reply", "60x100".parse().unwrap());
    let answer = client.execute_task(request).await.unwrap().into_inner();
    assert_eq!((answer.output.as_str(), answer.session_id.as_str()), ("hello", "60x100"));

    let long = "x".repeat(10_000_000);
    let answer = client.execute_task(task(&long)).await.unwrap().into_inner();
    assert!(answer.output == long, "10 MB come back whole");

    let status = client.execute_task(task("fail")).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "as you wish"));

    let chunks: Vec<_> = client.stream_task(task("part")).await.unwrap().into_inner().collect().await;
    let contents: Vec<_> = chunks.iter().flatten().map(|chunk| chunk.content.as_str()).collect();
    assert_eq!(contents, ["part"; 3]);
    assert_eq!(chunks[3].as_ref().unwrap_err().code(), Code::Aborted, "the trailers come through");

    let nobody = TaskRequest { task_id: "t-1".into(), ..TaskRequest::default() };
    assert_eq!(client.execute_task(nobody).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn the_hyper_proxy_passes_calls_on() {
    passes_calls_on("hyper").await;
}

#[tokio::test]
async fn the_tonic_proxy_passes_calls_on() {
    passes_calls_on("tonic").await;
}
