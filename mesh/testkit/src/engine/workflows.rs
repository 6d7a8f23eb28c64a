//! Submissions, lists, states, results, batches.

use switchboard_proto::goclaw::v1::batch_service_server::BatchService;
use switchboard_proto::goclaw::v1::workflow_service_server::WorkflowService;
use switchboard_proto::goclaw::v1::{
    CancelWorkflowRequest, CancelWorkflowResponse, CancelWorkflowsRequest, CancelWorkflowsResponse, Error,
    GetTaskResultRequest, GetTaskResultResponse, GetTaskResultsRequest, GetTaskResultsResponse,
    GetWorkflowStatusRequest, GetWorkflowStatusResponse, GetWorkflowStatusesRequest,
    GetWorkflowStatusesResponse, ListWorkflowsRequest, ListWorkflowsResponse, SubmitWorkflowRequest,
    SubmitWorkflowResponse, SubmitWorkflowsRequest, SubmitWorkflowsResponse, TaskStatus, WorkflowStatus,
    WorkflowSubmissionResult,
};
use tonic::{Request, Response, Status};

use super::{Engine, get, key, next, unwritten};

#[tonic::async_trait]
impl WorkflowService for Engine {
    async fn submit_workflow(
        &self,
        request: Request<SubmitWorkflowRequest>,
    ) -> Result<Response<SubmitWorkflowResponse>, Status> {
        let key = key(&request)?;
        get(&self.submitted).push((key, request.into_inner()));
        self.fails()?;
        let status = WorkflowStatus::Pending.into();
        Ok(Response::new(SubmitWorkflowResponse { workflow_id: "w1".into(), status, ..Default::default() }))
    }

    async fn list_workflows(
        &self,
        request: Request<ListWorkflowsRequest>,
    ) -> Result<Response<ListWorkflowsResponse>, Status> {
        let pagination = request.into_inner().pagination.unwrap_or_default();
        get(&self.tokens).push(pagination.page_token);
        Ok(Response::new(next(&self.pages).unwrap_or_default()))
    }

    async fn get_workflow_status(
        &self,
        _: Request<GetWorkflowStatusRequest>,
    ) -> Result<Response<GetWorkflowStatusResponse>, Status> {
        self.fails()?;
        next(&self.statuses).map(Response::new).ok_or_else(|| Status::not_found("no workflow"))
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
        let result = get(&self.results).get(&task_id).cloned();
        let mut answer = GetTaskResultResponse { task_id, ..Default::default() };
        answer.set_status(TaskStatus::Completed);
        if !get(&self.pieces).is_empty() {
            answer.result_bytes = 7;
        } else if let Some(result) = result {
            answer.result_data = result.into_bytes();
        } else {
            answer.set_status(TaskStatus::Failed);
            answer.error_message = "gone".into();
        }
        Ok(Response::new(answer))
    }
}

#[tonic::async_trait]
impl BatchService for Engine {
    /// Refuses whatever has a lane.
    async fn submit_workflows(
        &self,
        request: Request<SubmitWorkflowsRequest>,
    ) -> Result<Response<SubmitWorkflowsResponse>, Status> {
        let request = request.into_inner();
        get(&self.keys).push(request.idempotency_key);
        self.fails()?;
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
        let results = request.workflows.iter().enumerate().map(result).collect();
        Ok(Response::new(SubmitWorkflowsResponse { results, ..Default::default() }))
    }

    async fn get_workflow_statuses(
        &self,
        _: Request<GetWorkflowStatusesRequest>,
    ) -> Result<Response<GetWorkflowStatusesResponse>, Status> {
        unwritten()
    }

    async fn cancel_workflows(
        &self,
        _: Request<CancelWorkflowsRequest>,
    ) -> Result<Response<CancelWorkflowsResponse>, Status> {
        unwritten()
    }

    async fn get_task_results(
        &self,
        _: Request<GetTaskResultsRequest>,
    ) -> Result<Response<GetTaskResultsResponse>, Status> {
        unwritten()
    }
}
