//! Streams that say what a test wrote down, and end as it wrote.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Mutex;

use futures_util::{Stream, StreamExt, stream};
use switchboard_proto::goclaw::v1::streaming_service_server::StreamingService;
use switchboard_proto::goclaw::v1::{
    LogStreamRequest, LogStreamResponse, TaskProgressUpdate, WatchTasksRequest, WatchWorkflowRequest,
    WorkflowStatusUpdate,
};
use tonic::{Request, Response, Status, Streaming};

use super::{Engine, get};

/// What one stream says, and how it ends.
pub type Script<T> = (Vec<T>, Result<(), Status>);

/// A stream of the engine.
pub(super) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Engine {
    /// The next script; after the last one the engine is away.
    pub(super) fn play<T: Send + 'static>(
        &self,
        scripts: &Mutex<VecDeque<Script<T>>>,
    ) -> Result<Response<Answers<T>>, Status> {
        if *get(&self.hangs) {
            return Ok(Response::new(stream::pending().boxed()));
        }
        let next = get(scripts).pop_front();
        let (messages, end) = next.ok_or_else(|| Status::unavailable("the script is over"))?;
        let end = stream::iter(end.err().map(Err));
        Ok(Response::new(stream::iter(messages.into_iter().map(Ok)).chain(end).boxed()))
    }
}

#[tonic::async_trait]
impl StreamingService for Engine {
    type WatchWorkflowStream = Answers<WorkflowStatusUpdate>;
    type WatchTasksStream = Answers<TaskProgressUpdate>;
    type StreamLogsStream = Answers<LogStreamResponse>;

    async fn watch_workflow(
        &self,
        request: Request<WatchWorkflowRequest>,
    ) -> Result<Response<Self::WatchWorkflowStream>, Status> {
        get(&self.resumed).push(request.into_inner().resume_from_sequence);
        self.play(&self.workflow)
    }

    async fn watch_tasks(
        &self,
        request: Request<WatchTasksRequest>,
    ) -> Result<Response<Self::WatchTasksStream>, Status> {
        get(&self.resumed).push(request.into_inner().resume_from_sequence);
        self.play(&self.tasks)
    }

    async fn stream_logs(
        &self,
        request: Request<Streaming<LogStreamRequest>>,
    ) -> Result<Response<Self::StreamLogsStream>, Status> {
        let first = request.into_inner().message().await?;
        match first {
            Some(first) if !first.workflow_id.is_empty() => self.play(&self.logs),
            _ => Err(Status::invalid_argument("the first request names a workflow")),
        }
    }
}
