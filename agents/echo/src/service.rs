//! `AgentService` as the echo agent serves it. Listing and registering agents is the router's business.

use crate::CAPABILITIES;
use futures_util::{Stream, StreamExt, stream};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Instant;
use switchboard_backend::status::answered_by_router;
use switchboard_proto::agentplatform::agent_service_server::AgentService;
use switchboard_proto::agentplatform::{
    AgentInfo, ListAgentsRequest, ListAgentsResponse, RegistrationResponse, StatusRequest, StatusResponse,
    TaskChunk, TaskRequest, TaskResponse,
};
use tonic::{Request, Response, Status};

/// The agent. Its state is what `GetStatus` reports.
#[derive(Debug)]
pub(crate) struct Echo {
    started: Instant,
    active_tasks: Arc<AtomicI32>,
}

impl Default for Echo {
    fn default() -> Self {
        Self { started: Instant::now(), active_tasks: Arc::default() }
    }
}

/// One running task; counted until it is dropped, however it ends.
struct Active(Arc<AtomicI32>);

impl Active {
    fn begin(count: &Arc<AtomicI32>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The state of a stream: what of the input is still to be said.
struct Words {
    task_id: String,
    input: String,
    position: usize,
    finished: bool,
    _active: Active,
}

impl Words {
    /// Gives the chunk of the next word; the last one is final, and an input without words has one empty chunk.
    ///
    /// Field 4 stays empty: clients of the older contract read it as an error.
    fn next(&mut self) -> Option<TaskChunk> {
        if self.finished {
            return None;
        }
        let rest = self.input[self.position..].trim_start();
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        self.finished = after.trim_start().is_empty();
        self.position = self.input.len() - after.len();
        let (task_id, content) = (self.task_id.clone(), word.to_owned());
        Some(TaskChunk { task_id, content, is_final: self.finished, session_id: String::new() })
    }
}

#[tonic::async_trait]
impl AgentService for Echo {
    async fn execute_task(&self, request: Request<TaskRequest>) -> Result<Response<TaskResponse>, Status> {
        let _active = Active::begin(&self.active_tasks);
        let TaskRequest { task_id, input, parameters, session_id, .. } = request.into_inner();
        Ok(Response::new(TaskResponse {
            task_id,
            output: format!("Echo: {input}"),
            success: true,
            error: String::new(),
            metadata: parameters,
            session_id,
        }))
    }

    type StreamTaskStream = Pin<Box<dyn Stream<Item = Result<TaskChunk, Status>> + Send>>;

    async fn stream_task(
        &self,
        request: Request<TaskRequest>,
    ) -> Result<Response<Self::StreamTaskStream>, Status> {
        let TaskRequest { task_id, input, .. } = request.into_inner();
        let active = Active::begin(&self.active_tasks);
        let words = Words { task_id, input, position: 0, finished: false, _active: active };
        // Words are cut off as the reader takes them: a slow reader costs no memory beyond its input.
        let chunks = stream::unfold(words, async |mut words| Some((Ok(words.next()?), words)));
        Ok(Response::new(chunks.boxed()))
    }

    async fn get_status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(StatusResponse {
            agent_id: "echo-agent".to_owned(),
            status: "healthy".to_owned(),
            active_tasks: self.active_tasks.load(Ordering::Relaxed),
            uptime_seconds: i64::try_from(self.started.elapsed().as_secs()).unwrap_or(i64::MAX),
            capabilities: CAPABILITIES.map(str::to_owned).to_vec(),
        }))
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
