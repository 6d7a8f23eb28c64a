//! StreamingService: what happens to a workflow, as it happens.
//!
//! | module | what |
//! |---|---|
//! | `outgoing` | what a stream holds for a client that is slow, and when it is closed |
//! | `places` | how many streams are open, and whose |
//! | `follow` | from events to messages, with heartbeats and an end |
//! | `workflow` | the workflow's own state |
//! | `tasks` | the states of tasks |
//! | `logs` | log lines and transitions, through a filter that changes |

mod follow;
mod logs;
mod outgoing;
mod places;
mod tasks;
mod workflow;

use std::time::Duration;

use switchboard_proto::goclaw::v1::{
    LogStreamRequest, LogStreamResponse, TaskProgressUpdate, WatchTasksRequest, WatchWorkflowRequest,
    WorkflowStatusUpdate, streaming_service_server::StreamingService,
};
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};

use super::{Api, status::Problem, workflow_id};
use crate::engine::{Engine, EngineError};

pub(super) use follow::{Begun, Follower, fold, follow};
pub(super) use outgoing::{Outgoing, Sender, outgoing};
pub(super) use places::Places;

/// The header by which a client asks for more heartbeats, in milliseconds.
const HEARTBEAT_HEADER: &str = "x-heartbeat-ms";
/// More often nobody needs to know.
const MIN_HEARTBEAT: Duration = Duration::from_millis(100);

impl Api {
    /// How long a stream may be silent.
    pub(super) fn heartbeat(&self, metadata: &MetadataMap) -> Result<Duration, Problem> {
        let longest = self.settings().heartbeat;
        let Some(value) = metadata.get(HEARTBEAT_HEADER) else { return Ok(longest) };
        let ms = value.to_str().ok().and_then(|text| text.parse().ok()).filter(|ms| *ms > 0);
        let ms = ms.ok_or_else(|| Problem::invalid(HEARTBEAT_HEADER, "is no number of milliseconds"))?;
        Ok(Duration::from_millis(ms).clamp(MIN_HEARTBEAT.min(longest), longest))
    }
}

/// Waits until nothing more can come of the engine, and says why. Cancel safe.
pub(super) async fn over(engine: &Engine) -> EngineError {
    tokio::select! {
        () = engine.failed() => EngineError::Failed,
        () = engine.stopped() => EngineError::Stopping,
        () = engine.streams_end() => EngineError::Stopping,
    }
}

/// The sequence after which a stream is resumed; 0 for none.
fn resumed_after(sequence: i64) -> Result<u64, Problem> {
    u64::try_from(sequence).map_err(|_| {
        Problem::invalid("resume_from_sequence", "is negative; use 0 for the present state and what follows")
    })
}

#[tonic::async_trait]
impl StreamingService for Api {
    type WatchWorkflowStream = Outgoing<WorkflowStatusUpdate>;
    type WatchTasksStream = Outgoing<TaskProgressUpdate>;
    type StreamLogsStream = Outgoing<LogStreamResponse>;

    async fn watch_workflow(
        &self,
        request: Request<WatchWorkflowRequest>,
    ) -> Result<Response<Self::WatchWorkflowStream>, Status> {
        let api = self.for_caller(&request);
        let heartbeat = self.heartbeat(request.metadata())?;
        let request = request.into_inner();
        let id = workflow_id(&request.workflow_id, "workflow_id")?;
        let after = resumed_after(request.resume_from_sequence)?;
        let begun = workflow::begin(&api, &id, after).await?;
        Ok(Response::new(follow(&api, heartbeat, begun)?))
    }

    async fn watch_tasks(
        &self,
        request: Request<WatchTasksRequest>,
    ) -> Result<Response<Self::WatchTasksStream>, Status> {
        let api = self.for_caller(&request);
        let heartbeat = self.heartbeat(request.metadata())?;
        let request = request.into_inner();
        let id = workflow_id(&request.workflow_id, "workflow_id")?;
        let after = resumed_after(request.resume_from_sequence)?;
        let begun = tasks::begin(&api, &id, after, request.task_ids, request.terminal_only).await?;
        Ok(Response::new(follow(&api, heartbeat, begun)?))
    }

    async fn stream_logs(
        &self,
        request: Request<Streaming<LogStreamRequest>>,
    ) -> Result<Response<Self::StreamLogsStream>, Status> {
        let api = self.for_caller(&request);
        let heartbeat = self.heartbeat(request.metadata())?;
        let (sender, stream) = api.outgoing()?;
        // The answer's headers do not wait for the first request: a client may wait for them before it sends.
        tokio::spawn(logs::run(api, request.into_inner(), sender, heartbeat));
        Ok(Response::new(stream))
    }
}
