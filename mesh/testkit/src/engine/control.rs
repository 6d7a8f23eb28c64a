//! What is done to one workflow, and the engine itself.

use switchboard_proto::goclaw::v1::admin_service_server::AdminService;
use switchboard_proto::goclaw::v1::workflow_control_service_server::WorkflowControlService;
use switchboard_proto::goclaw::v1::{
    EngineMetrics, EngineState, ExportMetricsRequest, ExportMetricsResponse, GetDebugInfoRequest,
    GetDebugInfoResponse, GetEngineStatusRequest, GetEngineStatusResponse, GetHistoryRequest,
    GetHistoryResponse, GetLaneStatsRequest, GetLaneStatsResponse, GetTaskResultStreamRequest, LaneStats,
    ManageClusterRequest, ManageClusterResponse, PauseWorkflowRequest, PauseWorkflowResponse,
    PauseWorkflowsRequest, PauseWorkflowsResponse, PurgeWorkflowsRequest, PurgeWorkflowsResponse,
    ResumeWorkflowRequest, ResumeWorkflowResponse, ResumeWorkflowsRequest, ResumeWorkflowsResponse,
    RetryWorkflowRequest, RetryWorkflowResponse, SignalWorkflowRequest, SignalWorkflowResponse,
    TaskResultChunk, UpdateConfigRequest, UpdateConfigResponse, WorkflowDetail, WorkflowStatus,
};
use tonic::{Request, Response, Status};

use super::streams::Answers;
use super::{Engine, get, key, unwritten};

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
        key(&request)?;
        let woken = request.into_inner().payload.is_some();
        let task_id = if woken { "plan".to_owned() } else { String::new() };
        Ok(Response::new(SignalWorkflowResponse { task_id }))
    }

    async fn get_history(
        &self,
        _: Request<GetHistoryRequest>,
    ) -> Result<Response<GetHistoryResponse>, Status> {
        unwritten()
    }

    async fn get_task_result_stream(
        &self,
        request: Request<GetTaskResultStreamRequest>,
    ) -> Result<Response<Self::GetTaskResultStreamStream>, Status> {
        get(&self.resumed).push(request.into_inner().offset_bytes);
        self.play(&self.pieces)
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
        request: Request<UpdateConfigRequest>,
    ) -> Result<Response<UpdateConfigResponse>, Status> {
        self.fails()?;
        let applied_changes = request.into_inner().config_updates;
        Ok(Response::new(UpdateConfigResponse { success: true, applied_changes, error: None }))
    }

    async fn manage_cluster(
        &self,
        _: Request<ManageClusterRequest>,
    ) -> Result<Response<ManageClusterResponse>, Status> {
        unwritten()
    }

    async fn export_metrics(
        &self,
        _: Request<ExportMetricsRequest>,
    ) -> Result<Response<ExportMetricsResponse>, Status> {
        unwritten()
    }

    async fn get_debug_info(
        &self,
        _: Request<GetDebugInfoRequest>,
    ) -> Result<Response<GetDebugInfoResponse>, Status> {
        unwritten()
    }
}
