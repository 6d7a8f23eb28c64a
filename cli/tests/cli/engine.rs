//! A workflow engine that answers what a test wrote down.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_util::{Stream, StreamExt, stream};
use switchboard_proto::goclaw::v1::admin_service_server::{AdminService, AdminServiceServer};
use switchboard_proto::goclaw::v1::batch_service_server::{BatchService, BatchServiceServer};
use switchboard_proto::goclaw::v1::streaming_service_server::{StreamingService, StreamingServiceServer};
use switchboard_proto::goclaw::v1::workflow_control_service_server::{
    WorkflowControlService, WorkflowControlServiceServer,
};
use switchboard_proto::goclaw::v1::workflow_service_server::{WorkflowService, WorkflowServiceServer};
use switchboard_proto::goclaw::v1::*;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// What one stream says, and how it ends.
type Script<T> = (Vec<T>, Result<(), Status>);

#[derive(Clone, Default)]
pub(crate) struct Engine(Arc<State>);

#[derive(Default)]
pub(crate) struct State {
    /// States in order; the last one stays.
    pub(crate) statuses: Mutex<VecDeque<GetWorkflowStatusResponse>>,
    pub(crate) workflow: Mutex<VecDeque<Script<WorkflowStatusUpdate>>>,
    pub(crate) tasks: Mutex<VecDeque<Script<TaskProgressUpdate>>>,
    /// Results by task; another task has failed.
    pub(crate) results: Mutex<HashMap<String, String>>,
    pub(crate) rows: Mutex<Vec<WorkflowSummary>>,
    pub(crate) log: Mutex<Vec<LogEntry>>,
    pub(crate) refusals: Mutex<VecDeque<Status>>,
    /// Keys and requests.
    pub(crate) submitted: Mutex<Vec<(String, SubmitWorkflowRequest)>>,
    hangs: Mutex<bool>,
    runtimes: Mutex<Vec<Runtime>>,
}

impl std::ops::Deref for Engine {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Engine {
    /// Serves on a port of its own until the process of the tests ends.
    pub(crate) fn start(&self) -> String {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = stream::unfold(listener, |listener| async move {
            let accepted = listener.accept().await.map(|(connection, _)| connection);
            Some((accepted, listener))
        });
        let server = Server::builder()
            .add_service(WorkflowServiceServer::new(self.clone()))
            .add_service(StreamingServiceServer::new(self.clone()))
            .add_service(BatchServiceServer::new(self.clone()))
            .add_service(WorkflowControlServiceServer::new(self.clone()))
            .add_service(AdminServiceServer::new(self.clone()))
            .serve_with_incoming(connections);
        runtime.spawn(server);
        self.runtimes.lock().unwrap().push(runtime);
        format!("http://{address}")
    }

    /// Streams say nothing and do not end.
    pub(crate) fn hang(&self) {
        *self.hangs.lock().unwrap() = true;
    }

    fn play<T: Send + 'static>(
        &self,
        scripts: &Mutex<VecDeque<Script<T>>>,
    ) -> Result<Response<Answers<T>>, Status> {
        if *self.hangs.lock().unwrap() {
            return Ok(Response::new(stream::pending().boxed()));
        }
        let next = scripts.lock().unwrap().pop_front();
        let (messages, end) = next.ok_or_else(|| Status::internal("the script is over"))?;
        let end = stream::iter(end.err().map(Err));
        Ok(Response::new(stream::iter(messages.into_iter().map(Ok)).chain(end).boxed()))
    }
}

#[tonic::async_trait]
impl WorkflowService for Engine {
    async fn submit_workflow(
        &self,
        request: Request<SubmitWorkflowRequest>,
    ) -> Result<Response<SubmitWorkflowResponse>, Status> {
        if let Some(refusal) = self.refusals.lock().unwrap().pop_front() {
            return Err(refusal);
        }
        let key = request.metadata().get("idempotency-key").unwrap().to_str().unwrap().to_owned();
        self.submitted.lock().unwrap().push((key, request.into_inner()));
        let status = WorkflowStatus::Pending.into();
        Ok(Response::new(SubmitWorkflowResponse { workflow_id: "w1".into(), status, ..Default::default() }))
    }

    async fn list_workflows(
        &self,
        _: Request<ListWorkflowsRequest>,
    ) -> Result<Response<ListWorkflowsResponse>, Status> {
        let workflows = self.rows.lock().unwrap().clone();
        Ok(Response::new(ListWorkflowsResponse { workflows, ..Default::default() }))
    }

    async fn get_workflow_status(
        &self,
        _: Request<GetWorkflowStatusRequest>,
    ) -> Result<Response<GetWorkflowStatusResponse>, Status> {
        let mut statuses = self.statuses.lock().unwrap();
        let status = if statuses.len() > 1 { statuses.pop_front() } else { statuses.front().cloned() };
        status.map(Response::new).ok_or_else(|| Status::not_found("no workflow"))
    }

    async fn cancel_workflow(
        &self,
        _: Request<CancelWorkflowRequest>,
    ) -> Result<Response<CancelWorkflowResponse>, Status> {
        let status = WorkflowStatus::Cancelled.into();
        Ok(Response::new(CancelWorkflowResponse { success: true, error: None, status }))
    }

    async fn get_task_result(
        &self,
        request: Request<GetTaskResultRequest>,
    ) -> Result<Response<GetTaskResultResponse>, Status> {
        let task_id = request.into_inner().task_id;
        let result = self.results.lock().unwrap().get(&task_id).cloned();
        let answer = GetTaskResultResponse { task_id, ..Default::default() };
        Ok(Response::new(match result {
            Some(result) => GetTaskResultResponse {
                status: TaskStatus::Completed.into(),
                result_data: result.into_bytes(),
                ..answer
            },
            None => GetTaskResultResponse {
                status: TaskStatus::Failed.into(),
                error_message: "gone".into(),
                ..answer
            },
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
        _: Request<WatchWorkflowRequest>,
    ) -> Result<Response<Self::WatchWorkflowStream>, Status> {
        self.play(&self.workflow)
    }

    async fn watch_tasks(
        &self,
        _: Request<WatchTasksRequest>,
    ) -> Result<Response<Self::WatchTasksStream>, Status> {
        self.play(&self.tasks)
    }

    async fn stream_logs(
        &self,
        _: Request<Streaming<LogStreamRequest>>,
    ) -> Result<Response<Self::StreamLogsStream>, Status> {
        let entries = self.log.lock().unwrap().clone();
        let answer = LogStreamResponse { entries, error: None };
        Ok(Response::new(stream::iter([Ok(answer)]).boxed()))
    }
}

#[tonic::async_trait]
impl BatchService for Engine {
    /// Refuses whatever has a lane.
    async fn submit_workflows(
        &self,
        request: Request<SubmitWorkflowsRequest>,
    ) -> Result<Response<SubmitWorkflowsResponse>, Status> {
        let result = |(index, workflow): (usize, &SubmitWorkflowRequest)| {
            let success = workflow.tasks.iter().all(|task| task.lane.is_empty());
            let error = Error {
                code: "VALIDATION_FAILED".into(),
                message: "wrong".into(),
                details: [("tasks[0].lane".to_owned(), "is unknown".to_owned())].into(),
            };
            WorkflowSubmissionResult {
                index: index as i32,
                success,
                workflow_id: if success { format!("w{index}") } else { String::new() },
                error: (!success).then_some(error),
            }
        };
        let results = request.into_inner().workflows.iter().enumerate().map(result).collect();
        Ok(Response::new(SubmitWorkflowsResponse { results, ..Default::default() }))
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

    async fn retry_workflow(
        &self,
        _: Request<RetryWorkflowRequest>,
    ) -> Result<Response<RetryWorkflowResponse>, Status> {
        let status = WorkflowStatus::Running.into();
        Ok(Response::new(RetryWorkflowResponse { status, tasks_reset: 2 }))
    }

    async fn pause_workflow(
        &self,
        _: Request<PauseWorkflowRequest>,
    ) -> Result<Response<PauseWorkflowResponse>, Status> {
        let (status, detail) = (WorkflowStatus::Running.into(), WorkflowDetail::Paused.into());
        Ok(Response::new(PauseWorkflowResponse { status, detail }))
    }

    async fn resume_workflow(
        &self,
        _: Request<ResumeWorkflowRequest>,
    ) -> Result<Response<ResumeWorkflowResponse>, Status> {
        Ok(Response::new(ResumeWorkflowResponse { status: WorkflowStatus::Running.into(), detail: 0 }))
    }

    async fn signal_workflow(
        &self,
        request: Request<SignalWorkflowRequest>,
    ) -> Result<Response<SignalWorkflowResponse>, Status> {
        assert!(request.metadata().contains_key("idempotency-key"));
        let woken = request.into_inner().payload.is_some();
        let task_id = if woken { "plan".to_owned() } else { String::new() };
        Ok(Response::new(SignalWorkflowResponse { task_id }))
    }

    async fn get_history(
        &self,
        _: Request<GetHistoryRequest>,
    ) -> Result<Response<GetHistoryResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn get_task_result_stream(
        &self,
        _: Request<GetTaskResultStreamRequest>,
    ) -> Result<Response<Self::GetTaskResultStreamStream>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }
}

#[tonic::async_trait]
impl AdminService for Engine {
    async fn get_engine_status(
        &self,
        _: Request<GetEngineStatusRequest>,
    ) -> Result<Response<GetEngineStatusResponse>, Status> {
        let metrics = EngineMetrics {
            active_workflows: 2,
            running_tasks: 1,
            store_bytes: 3 << 20,
            ..Default::default()
        };
        Ok(Response::new(GetEngineStatusResponse {
            state: EngineState::Running.into(),
            metrics: Some(metrics),
            healthy: true,
            paused: true,
            ..Default::default()
        }))
    }

    async fn pause_workflows(
        &self,
        request: Request<PauseWorkflowsRequest>,
    ) -> Result<Response<PauseWorkflowsResponse>, Status> {
        let success = request.into_inner().confirmation;
        Ok(Response::new(PauseWorkflowsResponse { success, paused_count: 2, error: None }))
    }

    async fn resume_workflows(
        &self,
        _: Request<ResumeWorkflowsRequest>,
    ) -> Result<Response<ResumeWorkflowsResponse>, Status> {
        Ok(Response::new(ResumeWorkflowsResponse { success: true, resumed_count: 2, error: None }))
    }

    async fn purge_workflows(
        &self,
        request: Request<PurgeWorkflowsRequest>,
    ) -> Result<Response<PurgeWorkflowsResponse>, Status> {
        let purged_count = request.into_inner().age_threshold_hours;
        Ok(Response::new(PurgeWorkflowsResponse { success: true, purged_count, error: None }))
    }

    async fn get_lane_stats(
        &self,
        _: Request<GetLaneStatsRequest>,
    ) -> Result<Response<GetLaneStatsResponse>, Status> {
        let lane = LaneStats {
            lane_name: "mail".into(),
            queue_depth: 3,
            worker_count: 8,
            capacity: 100,
            running: 8,
            oldest_wait_ms: 61_000,
            ..Default::default()
        };
        Ok(Response::new(GetLaneStatsResponse { lanes: vec![lane], error: None }))
    }

    async fn update_config(
        &self,
        _: Request<UpdateConfigRequest>,
    ) -> Result<Response<UpdateConfigResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn manage_cluster(
        &self,
        _: Request<ManageClusterRequest>,
    ) -> Result<Response<ManageClusterResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn export_metrics(
        &self,
        _: Request<ExportMetricsRequest>,
    ) -> Result<Response<ExportMetricsResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn get_debug_info(
        &self,
        _: Request<GetDebugInfoRequest>,
    ) -> Result<Response<GetDebugInfoResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }
}
