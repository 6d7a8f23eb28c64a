//! A workflow engine that answers what a test wrote down, and remembers what it was asked.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_util::{Stream, StreamExt, stream};
use switchboard_proto::goclaw::v1::batch_service_server::{BatchService, BatchServiceServer};
use switchboard_proto::goclaw::v1::streaming_service_server::{StreamingService, StreamingServiceServer};
use switchboard_proto::goclaw::v1::workflow_control_service_server::{
    WorkflowControlService, WorkflowControlServiceServer,
};
use switchboard_proto::goclaw::v1::workflow_service_server::{WorkflowService, WorkflowServiceServer};
use switchboard_proto::goclaw::v1::*;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// What one stream says, and how it ends.
pub(crate) type Script<T> = (Vec<T>, Result<(), Status>);

#[derive(Clone, Default)]
pub(crate) struct Engine(Arc<State>);

#[derive(Default)]
pub(crate) struct State {
    /// Unary calls that fail, in order; afterwards they succeed.
    pub(crate) failures: Mutex<VecDeque<Status>>,
    pub(crate) status: Mutex<GetWorkflowStatusResponse>,
    pub(crate) pages: Mutex<VecDeque<ListWorkflowsResponse>>,
    pub(crate) workflow: Mutex<VecDeque<Script<WorkflowStatusUpdate>>>,
    pub(crate) tasks: Mutex<VecDeque<Script<TaskProgressUpdate>>>,
    pub(crate) logs: Mutex<VecDeque<Script<LogStreamResponse>>>,
    /// Pieces of the result of every task.
    pub(crate) pieces: Mutex<VecDeque<Script<TaskResultChunk>>>,
    /// Keys of submissions.
    pub(crate) keys: Mutex<Vec<String>>,
    /// Numbers after which streams began.
    pub(crate) resumed: Mutex<Vec<i64>>,
    pub(crate) tokens: Mutex<Vec<String>>,
}

impl std::ops::Deref for Engine {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Engine {
    /// Serves on a port of its own until the test's runtime ends.
    pub(crate) async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::builder()
            .add_service(WorkflowServiceServer::new(self.clone()))
            .add_service(StreamingServiceServer::new(self.clone()))
            .add_service(BatchServiceServer::new(self.clone()))
            .add_service(WorkflowControlServiceServer::new(self.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        format!("http://{address}")
    }

    fn fails(&self) -> Result<(), Status> {
        self.failures.lock().unwrap().pop_front().map_or(Ok(()), Err)
    }
}

/// The next script; after the last one the engine is away.
fn play<T: Send + 'static>(scripts: &Mutex<VecDeque<Script<T>>>) -> Result<Response<Answers<T>>, Status> {
    let next = scripts.lock().unwrap().pop_front();
    let (messages, end) = next.ok_or_else(|| Status::unavailable("the script is over"))?;
    let end = stream::iter(end.err().map(Err));
    Ok(Response::new(stream::iter(messages.into_iter().map(Ok)).chain(end).boxed()))
}

#[tonic::async_trait]
impl WorkflowService for Engine {
    async fn submit_workflow(
        &self,
        request: Request<SubmitWorkflowRequest>,
    ) -> Result<Response<SubmitWorkflowResponse>, Status> {
        let key = request.metadata().get("idempotency-key").unwrap().to_str().unwrap();
        self.keys.lock().unwrap().push(key.to_owned());
        self.fails()?;
        Ok(Response::new(SubmitWorkflowResponse { workflow_id: "w1".into(), ..Default::default() }))
    }

    async fn list_workflows(
        &self,
        request: Request<ListWorkflowsRequest>,
    ) -> Result<Response<ListWorkflowsResponse>, Status> {
        let pagination = request.into_inner().pagination.unwrap_or_default();
        self.tokens.lock().unwrap().push(pagination.page_token);
        let page = self.pages.lock().unwrap().pop_front();
        page.map(Response::new).ok_or_else(|| Status::internal("no more pages"))
    }

    async fn get_workflow_status(
        &self,
        _: Request<GetWorkflowStatusRequest>,
    ) -> Result<Response<GetWorkflowStatusResponse>, Status> {
        self.fails()?;
        Ok(Response::new(self.status.lock().unwrap().clone()))
    }

    async fn cancel_workflow(
        &self,
        _: Request<CancelWorkflowRequest>,
    ) -> Result<Response<CancelWorkflowResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn get_task_result(
        &self,
        _: Request<GetTaskResultRequest>,
    ) -> Result<Response<GetTaskResultResponse>, Status> {
        Ok(Response::new(GetTaskResultResponse {
            status: TaskStatus::Completed.into(),
            result_bytes: 7,
            ..Default::default()
        }))
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
        self.resumed.lock().unwrap().push(request.into_inner().resume_from_sequence);
        play(&self.workflow)
    }

    async fn watch_tasks(
        &self,
        request: Request<WatchTasksRequest>,
    ) -> Result<Response<Self::WatchTasksStream>, Status> {
        self.resumed.lock().unwrap().push(request.into_inner().resume_from_sequence);
        play(&self.tasks)
    }

    async fn stream_logs(
        &self,
        request: Request<Streaming<LogStreamRequest>>,
    ) -> Result<Response<Self::StreamLogsStream>, Status> {
        let first = request.into_inner().message().await?.unwrap();
        assert_eq!(first.workflow_id, "w1");
        play(&self.logs)
    }
}

#[tonic::async_trait]
impl BatchService for Engine {
    async fn submit_workflows(
        &self,
        request: Request<SubmitWorkflowsRequest>,
    ) -> Result<Response<SubmitWorkflowsResponse>, Status> {
        self.keys.lock().unwrap().push(request.into_inner().idempotency_key);
        self.fails()?;
        Ok(Response::new(SubmitWorkflowsResponse::default()))
    }

    async fn get_workflow_statuses(
        &self,
        _: Request<GetWorkflowStatusesRequest>,
    ) -> Result<Response<GetWorkflowStatusesResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn cancel_workflows(
        &self,
        _: Request<CancelWorkflowsRequest>,
    ) -> Result<Response<CancelWorkflowsResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn get_task_results(
        &self,
        _: Request<GetTaskResultsRequest>,
    ) -> Result<Response<GetTaskResultsResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }
}

#[tonic::async_trait]
impl WorkflowControlService for Engine {
    type GetTaskResultStreamStream = Answers<TaskResultChunk>;

    async fn get_task_result_stream(
        &self,
        request: Request<GetTaskResultStreamRequest>,
    ) -> Result<Response<Self::GetTaskResultStreamStream>, Status> {
        self.resumed.lock().unwrap().push(request.into_inner().offset_bytes);
        play(&self.pieces)
    }

    async fn retry_workflow(
        &self,
        _: Request<RetryWorkflowRequest>,
    ) -> Result<Response<RetryWorkflowResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn pause_workflow(
        &self,
        _: Request<PauseWorkflowRequest>,
    ) -> Result<Response<PauseWorkflowResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn resume_workflow(
        &self,
        _: Request<ResumeWorkflowRequest>,
    ) -> Result<Response<ResumeWorkflowResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn signal_workflow(
        &self,
        _: Request<SignalWorkflowRequest>,
    ) -> Result<Response<SignalWorkflowResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn get_history(
        &self,
        _: Request<GetHistoryRequest>,
    ) -> Result<Response<GetHistoryResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }
}
