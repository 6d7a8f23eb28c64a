//! The router's own gRPC services: lists, registration, task status without a worker's name, health, reflection.
//!
//! The data plane reaches them as one more upstream: each worker thread hands over its end of a socket pair, and a
//! tonic server answers on the other. There is no listener, so nothing but a worker thread can get here. Methods of
//! these services that belong to backends never arrive; asked for all the same, they are unimplemented.

mod caller;
mod health;
mod list;
mod register;
mod task_status;

use self::{health::Health, task_status::Askers};
use super::{
    Phase,
    dial::Dial,
    discovery::View,
    instances::Instances,
    reads::{Failed, Reads},
};
use crate::{directory::Clock, error::Error, policy::PolicySnapshot};
use std::{os::unix::net::UnixStream, sync::Arc};
use switchboard_proto::agentplatform::{
    AgentInfo, ListAgentsRequest, ListAgentsResponse, ListToolsRequest, ListToolsResponse,
    ListWorkersRequest, ListWorkersResponse, RegistrationResponse, StatusRequest, StatusResponse, TaskChunk,
    TaskRequest, TaskResponse, TaskStatusRequest, TaskStatusResponse, ToolInfo, ToolRequest, ToolResponse,
    agent_service_server::{AgentService, AgentServiceServer},
    task_worker_server::{TaskWorker, TaskWorkerServer},
    tool_service_server::{ToolService, ToolServiceServer},
};
use switchboard_registry::Kind;
use tokio::sync::{mpsc, watch};
use tokio_stream::{Empty, StreamExt, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, transport::Server};
use tonic_health::pb::health_server::HealthServer;

/// gRPC services that are the router's own, with a health of their own.
const OWN_SERVICES: [&str; 4] = [
    "agentplatform.AgentService",
    "agentplatform.ToolService",
    "agentplatform.TaskWorker",
    "grpc.health.v1.Health",
];

/// Streams on one connection of a worker thread: as many as the router takes calls by default.
const MAX_STREAMS: u32 = 20_000;
/// Resets that have not been seen to yet. The peer is our own worker thread, which only passes on cancellations.
const MAX_PENDING_RESETS: usize = MAX_STREAMS as usize;

/// What the services answer from.
#[derive(Debug)]
pub(crate) struct Services {
    reads: Arc<Reads>,
    view: watch::Receiver<Arc<View>>,
    phase: watch::Receiver<Phase>,
    clock: Clock,
    askers: Askers,
    policy: watch::Receiver<Arc<PolicySnapshot>>,
}

impl Services {
    /// Creates the services over a directory.
    pub(crate) fn new(
        reads: Arc<Reads>,
        view: watch::Receiver<Arc<View>>,
        phase: watch::Receiver<Phase>,
        clock: Clock,
        dial: Dial,
        policy: watch::Receiver<Arc<PolicySnapshot>>,
    ) -> Self {
        Services { reads, view, phase, clock, askers: Askers::new(dial), policy }
    }

    /// The instances of a service: from its watch, or else read.
    async fn instances(&self, service: &Arc<str>) -> Result<Instances, Failed> {
        if let Some(known) = self.view.borrow().services.get(service).filter(|known| known.watched) {
            return Ok(known.instances.clone());
        }
        self.reads.service(service).await
    }
}

/// Serves on the sockets that arrive, until their sender is gone or the task is dropped.
pub(crate) async fn serve(services: Arc<Services>, sockets: mpsc::Receiver<UnixStream>, reflection: bool) {
    let incoming = ReceiverStream::new(sockets).map(|socket| {
        socket.set_nonblocking(true)?;
        tokio::net::UnixStream::from_std(socket)
    });
    let (v1, v1alpha) = if reflection { reflected() } else { (None, None) };
    let served = Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_RESETS))
        .http2_max_local_error_reset_streams(Some(MAX_PENDING_RESETS))
        .add_service(AgentServiceServer::from_arc(services.clone()))
        .add_service(ToolServiceServer::from_arc(services.clone()))
        .add_service(TaskWorkerServer::from_arc(services.clone()))
        .add_service(HealthServer::new(Health::new(services)))
        .add_optional_service(v1)
        .add_optional_service(v1alpha)
        .serve_with_incoming(incoming)
        .await;
    if let Err(error) = served {
        tracing::error!(error = switchboard_transport::chain(&error), "the router's own services ended");
    }
}

/// The reflection services of the router's own services, v1 and the older v1alpha that many clients still ask.
fn reflected() -> (
    Option<
        tonic_reflection::server::v1::ServerReflectionServer<
            impl tonic_reflection::server::v1::ServerReflection,
        >,
    >,
    Option<
        tonic_reflection::server::v1alpha::ServerReflectionServer<
            impl tonic_reflection::server::v1alpha::ServerReflection,
        >,
    >,
) {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(switchboard_proto::DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = builder().build_v1().expect("the descriptor sets are compiled in");
    let v1alpha = builder().build_v1alpha().expect("the descriptor sets are compiled in");
    (Some(v1), Some(v1alpha))
}

#[tonic::async_trait]
impl AgentService for Services {
    type StreamTaskStream = Empty<Result<TaskChunk, Status>>;

    async fn execute_task(&self, _: Request<TaskRequest>) -> Result<Response<TaskResponse>, Status> {
        Err(Error::not_ours("AgentService/ExecuteTask").into())
    }

    async fn stream_task(&self, _: Request<TaskRequest>) -> Result<Response<Self::StreamTaskStream>, Status> {
        Err(Error::not_ours("AgentService/StreamTask").into())
    }

    async fn get_status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Err(Error::not_ours("AgentService/GetStatus").into())
    }

    async fn register_agent(
        &self,
        request: Request<AgentInfo>,
    ) -> Result<Response<RegistrationResponse>, Status> {
        let (caller, info) = (self.caller(request.metadata()), request.into_inner());
        let (id, endpoint) = (info.agent_id.clone(), info.endpoint.clone());
        self.register(&caller, Kind::Agent, &id, &endpoint, register::agent(info)).await
    }

    async fn list_agents(
        &self,
        request: Request<ListAgentsRequest>,
    ) -> Result<Response<ListAgentsResponse>, Status> {
        let listed = self.list(Kind::Agent, &request.into_inner().filter).await?;
        Ok(Response::new(ListAgentsResponse { agents: listed.into_iter().map(Into::into).collect() }))
    }
}

#[tonic::async_trait]
impl ToolService for Services {
    async fn execute_tool(&self, _: Request<ToolRequest>) -> Result<Response<ToolResponse>, Status> {
        Err(Error::not_ours("ToolService/ExecuteTool").into())
    }

    async fn list_tools(
        &self,
        request: Request<ListToolsRequest>,
    ) -> Result<Response<ListToolsResponse>, Status> {
        let listed = self.list(Kind::Tool, &request.into_inner().filter).await?;
        Ok(Response::new(ListToolsResponse { tools: listed.into_iter().map(Into::into).collect() }))
    }

    async fn register_tool(
        &self,
        request: Request<ToolInfo>,
    ) -> Result<Response<RegistrationResponse>, Status> {
        let (caller, info) = (self.caller(request.metadata()), request.into_inner());
        let (id, endpoint) = (info.tool_id.clone(), info.endpoint.clone());
        self.register(&caller, Kind::Tool, &id, &endpoint, register::tool(info)).await
    }
}

#[tonic::async_trait]
impl TaskWorker for Services {
    async fn process_task(&self, _: Request<TaskRequest>) -> Result<Response<TaskResponse>, Status> {
        Err(Error::not_ours("TaskWorker/ProcessTask").into())
    }

    async fn get_task_status(
        &self,
        request: Request<TaskStatusRequest>,
    ) -> Result<Response<TaskStatusResponse>, Status> {
        self.task_status(request).await
    }

    async fn list_workers(
        &self,
        request: Request<ListWorkersRequest>,
    ) -> Result<Response<ListWorkersResponse>, Status> {
        let listed = self.list(Kind::Worker, &request.into_inner().filter).await?;
        Ok(Response::new(ListWorkersResponse { workers: listed.into_iter().map(Into::into).collect() }))
    }
}

#[cfg(test)]
mod tests;
