//! A registry in this process, and a backend whose streams end when the test says so.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;
use switchboard_backend::{Backend, CallInfo, Parameter, RegistryConfig, Running};
use switchboard_proto::agentplatform::agent_service_client::AgentServiceClient;
use switchboard_proto::agentplatform::agent_service_server::{AgentService, AgentServiceServer};
use switchboard_proto::agentplatform::{
    AgentInfo, ListAgentsRequest, ListAgentsResponse, RegistrationResponse, StatusRequest, StatusResponse,
    TaskChunk, TaskRequest, TaskResponse,
};
use switchboard_registry::{Client, embedded};
use tokio::sync::watch;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// Longer than anything here takes on a loaded machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);
pub(crate) const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
pub(crate) const SERVICE: &str = "agentplatform.AgentService";

/// An agent whose streams send one chunk, wait for the gate, and send the last.
#[derive(Clone)]
pub(crate) struct Gated {
    pub(crate) open: watch::Receiver<bool>,
}

type Chunks = Pin<Box<dyn Stream<Item = Result<TaskChunk, Status>> + Send>>;

#[tonic::async_trait]
impl AgentService for Gated {
    async fn execute_task(&self, request: Request<TaskRequest>) -> Result<Response<TaskResponse>, Status> {
        let output = match request.get_ref().input.as_str() {
            "who" => who(&request),
            "panic" => panic!("asked to"),
            _ => request.into_inner().input,
        };
        Ok(Response::new(TaskResponse { output, success: true, ..TaskResponse::default() }))
    }

    type StreamTaskStream = Chunks;

    async fn stream_task(&self, request: Request<TaskRequest>) -> Result<Response<Chunks>, Status> {
        if request.get_ref().input == "panic" {
            return Ok(Response::new(Box::pin(tokio_stream::iter([()]).map(|()| panic!("in a stream")))));
        }
        let mut open = self.open.clone();
        let chunk = |is_final| Ok(TaskChunk { is_final, ..TaskChunk::default() });
        let first = tokio_stream::once(chunk(false));
        let (sender, last) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            if open.wait_for(|open| *open).await.is_ok() {
                let _ = sender.send(chunk(true)).await;
            }
        });
        Ok(Response::new(Box::pin(first.chain(tokio_stream::wrappers::ReceiverStream::new(last)))))
    }

    async fn get_status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Err(Status::unimplemented("not part of the test"))
    }

    async fn register_agent(&self, _: Request<AgentInfo>) -> Result<Response<RegistrationResponse>, Status> {
        Err(Status::unimplemented("not part of the test"))
    }

    async fn list_agents(
        &self,
        _: Request<ListAgentsRequest>,
    ) -> Result<Response<ListAgentsResponse>, Status> {
        Err(Status::unimplemented("not part of the test"))
    }
}

/// Says what a handler learns of its caller: name, roles, source, request ID.
fn who(request: &Request<TaskRequest>) -> String {
    let call = request.extensions().get::<CallInfo>().expect("every call has it");
    let name = call.principal().map_or("nobody", |principal| &principal.name);
    let roles = call.principal().map(|principal| principal.roles.join("+")).unwrap_or_default();
    let header = |name| request.metadata().get(name).map_or("-", |value| value.to_str().unwrap());
    let left = header("x-switchboard-principal");
    format!("{name} [{roles}] from {} as {}, header {left}", call.source(), call.request_id())
}

/// The registry of one test.
pub(crate) struct Mesh {
    pub(crate) registry: embedded::Server,
    pub(crate) client: Client,
}

impl Mesh {
    pub(crate) async fn start() -> Self {
        let registry = embedded::Server::start(LOOPBACK).await.unwrap();
        let client = Client::new(config(registry.addr())).unwrap();
        Self { registry, client }
    }

    pub(crate) fn config(&self) -> RegistryConfig {
        config(self.registry.addr())
    }

    /// Starts the backend and waits until it is registered.
    pub(crate) async fn run(&self, backend: Backend) -> Running {
        let running = backend.registry(self.config()).start().await.unwrap();
        tokio::time::timeout(SOON, running.registered()).await.expect("registered in time");
        running
    }

    /// Gives the IDs of the passing instances of the test's backend.
    pub(crate) async fn instances(&self) -> Vec<String> {
        let found = self.client.health("agent-gated", &switchboard_registry::Query::passing()).await.unwrap();
        found.value.into_iter().map(|instance| instance.id).collect()
    }
}

pub(crate) fn config(registry: SocketAddr) -> RegistryConfig {
    RegistryConfig::at(&registry.to_string()).unwrap()
}

/// Describes the test's backend, on a free port of loopback; its streams end once the sender says `true`.
pub(crate) fn gated() -> (Backend, watch::Sender<bool>) {
    let (gate, open) = watch::channel(false);
    let backend = Backend::agent("gated")
        .display_name("Gated")
        .description("Waits, until told not to")
        .version("1.2.3")
        .capabilities(["waiting", "gated"])
        .use_cases(["Tests"])
        .parameters([Parameter {
            name: "depth".to_owned(),
            type_: "integer".to_owned(),
            ..Parameter::default()
        }])
        .max_concurrency(7)
        .timeout(Duration::from_millis(1_500))
        .timeout_max(Duration::from_secs(60))
        .stream_idle(Duration::ZERO)
        .drain_streams_after(Duration::from_secs(90))
        .max_message_bytes(4 << 20)
        .max_queue(10)
        .max_calls(100)
        .tags(["extra"])
        .add_service(AgentServiceServer::new(Gated { open }))
        .listen(LOOPBACK);
    (backend, gate)
}

pub(crate) fn channel(addr: SocketAddr) -> Channel {
    switchboard_transport::channel(&addr.to_string()).unwrap()
}

/// Makes one call on a connection of its own.
pub(crate) async fn call(addr: SocketAddr) -> Result<String, Status> {
    let request = TaskRequest { input: "hello".to_owned(), ..TaskRequest::default() };
    let answer = AgentServiceClient::new(channel(addr)).execute_task(request).await?;
    Ok(answer.into_inner().output)
}

/// Starts the backend without any registry.
pub(crate) async fn alone(backend: Backend) -> Running {
    // Port 9 (discard) stands for a registry that never answers.
    backend.registry(config("127.0.0.1:9".parse().unwrap())).start().await.unwrap()
}
