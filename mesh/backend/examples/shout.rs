//! An agent of one's own, complete: called as `shout-agent` the moment it runs.

use switchboard_backend::{Backend, status::answered_by_router};
use switchboard_proto::agentplatform::{agent_service_server::*, *};
use tonic::{Request, Response, Status};

struct Shout;

#[tonic::async_trait]
impl AgentService for Shout {
    async fn execute_task(&self, request: Request<TaskRequest>) -> Result<Response<TaskResponse>, Status> {
        let task = request.into_inner();
        let output = format!("{}!", task.input.to_uppercase());
        Ok(Response::new(TaskResponse { task_id: task.task_id, output, success: true, ..Default::default() }))
    }

    type StreamTaskStream = tokio_stream::Once<Result<TaskChunk, Status>>;

    async fn stream_task(
        &self,
        request: Request<TaskRequest>,
    ) -> Result<Response<Self::StreamTaskStream>, Status> {
        let answer = self.execute_task(request).await?.into_inner();
        let chunk = TaskChunk {
            task_id: answer.task_id,
            content: answer.output,
            is_final: true,
            ..Default::default()
        };
        Ok(Response::new(tokio_stream::once(Ok(chunk))))
    }

    async fn get_status(&self, request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let agent_id = request.into_inner().agent_id;
        Ok(Response::new(StatusResponse { agent_id, status: "healthy".into(), ..Default::default() }))
    }

    async fn register_agent(&self, _: Request<AgentInfo>) -> Result<Response<RegistrationResponse>, Status> {
        Err(answered_by_router("RegisterAgent"))
    }

    async fn list_agents(
        &self,
        _: Request<ListAgentsRequest>,
    ) -> Result<Response<ListAgentsResponse>, Status> {
        Err(answered_by_router("ListAgents"))
    }
}

#[tokio::main]
async fn main() -> Result<(), switchboard_backend::Error> {
    Backend::agent("shout")
        .description("Says it louder")
        .capabilities(["shout"])
        .listen(([0, 0, 0, 0], 0).into())
        .add_service(AgentServiceServer::new(Shout))
        .serve()
        .await
}
