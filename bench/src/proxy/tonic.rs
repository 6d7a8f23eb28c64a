//! A typed tonic server that calls a typed tonic client.

use super::{CONNECTION_WINDOW, STREAM_WINDOW, STREAMS};
use std::net::SocketAddr;
use switchboard_proto::agentplatform::{
    AgentInfo, ListAgentsRequest, ListAgentsResponse, RegistrationResponse, StatusRequest, StatusResponse,
    TaskChunk, TaskRequest, TaskResponse,
    agent_service_client::AgentServiceClient,
    agent_service_server::{AgentService, AgentServiceServer},
};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};

/// Largest message; the 10 MB of the largest scenario and room.
const MESSAGE_MAX: usize = 64 * 1024 * 1024;

/// The channel that all calls share.
pub(super) async fn connect(upstream: SocketAddr) -> anyhow::Result<AgentServiceClient<Channel>> {
    let channel = Endpoint::from_shared(format!("http://{upstream}"))?
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .connect()
        .await?;
    Ok(AgentServiceClient::new(channel)
        .max_decoding_message_size(MESSAGE_MAX)
        .max_encoding_message_size(MESSAGE_MAX))
}

/// Serves for ever.
pub(super) async fn serve(
    listener: TcpListener,
    upstream: AgentServiceClient<Channel>,
) -> anyhow::Result<()> {
    let service = AgentServiceServer::new(Proxy { upstream })
        .max_decoding_message_size(MESSAGE_MAX)
        .max_encoding_message_size(MESSAGE_MAX);
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS)
        .add_service(service)
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await?;
    Ok(())
}

struct Proxy {
    upstream: AgentServiceClient<Channel>,
}

#[tonic::async_trait]
impl AgentService for Proxy {
    type StreamTaskStream = Streaming<TaskChunk>;

    async fn execute_task(&self, request: Request<TaskRequest>) -> Result<Response<TaskResponse>, Status> {
        self.upstream.clone().execute_task(routed(request)?).await
    }

    async fn stream_task(
        &self,
        request: Request<TaskRequest>,
    ) -> Result<Response<Streaming<TaskChunk>>, Status> {
        self.upstream.clone().stream_task(routed(request)?).await
    }

    async fn get_status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Err(not_measured())
    }

    async fn register_agent(&self, _: Request<AgentInfo>) -> Result<Response<RegistrationResponse>, Status> {
        Err(not_measured())
    }

    async fn list_agents(
        &self,
        _: Request<ListAgentsRequest>,
    ) -> Result<Response<ListAgentsResponse>, Status> {
        Err(not_measured())
    }
}

/// The request as it goes on: metadata and message; the connection's extensions stay behind.
fn routed(request: Request<TaskRequest>) -> Result<Request<TaskRequest>, Status> {
    let (metadata, _, message) = request.into_parts();
    match message.agent_id.is_empty() {
        true => Err(Status::invalid_argument("agent_id is empty")),
        false => Ok(Request::from_parts(metadata, http::Extensions::new(), message)),
    }
}

fn not_measured() -> Status {
    Status::unimplemented("this proxy serves ExecuteTask and StreamTask")
}
