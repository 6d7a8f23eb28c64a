//! Reading: states, lists, results. All of it may be tried again.

use switchboard_proto::goclaw::v1::{
    GetTaskResultRequest, GetTaskResultResponse, GetTaskResultStreamRequest, GetWorkflowStatusRequest,
    GetWorkflowStatusResponse, ListWorkflowsRequest, ListWorkflowsResponse, PaginationRequest, TaskStatus,
    WorkflowSummary,
};

use super::{Updates, Workflows, pages};
use crate::Error;
use crate::call::Repeat;

impl Workflows {
    /// The state of a workflow and of its tasks.
    ///
    /// # Errors
    /// [`Error`], with NOT_FOUND for a workflow that the engine does not have (any more).
    pub async fn status(&self, workflow_id: &str) -> Result<GetWorkflowStatusResponse, Error> {
        self.status_of(GetWorkflowStatusRequest { workflow_id: workflow_id.to_owned(), include_input: false })
            .await
    }

    /// The state of a workflow, with its input if that is asked for.
    ///
    /// # Errors
    /// As [`Workflows::status`].
    pub async fn status_of(
        &self,
        request: GetWorkflowStatusRequest,
    ) -> Result<GetWorkflowStatusResponse, Error> {
        let send = |channel, request| {
            let mut stub = self.workflow_stub(channel);
            async move { stub.get_workflow_status(request).await }
        };
        self.client.unary(Repeat::Idempotent, request, send).await
    }

    /// One page of workflows, the newest first.
    ///
    /// # Errors
    /// [`Error`], with INVALID_ARGUMENT for a filter or a token that is none.
    pub async fn list_page(&self, request: ListWorkflowsRequest) -> Result<ListWorkflowsResponse, Error> {
        let send = |channel, request| {
            let mut stub = self.workflow_stub(channel);
            async move { stub.list_workflows(request).await }
        };
        self.client.unary(Repeat::Idempotent, request, send).await
    }

    /// All workflows that a request is for, the newest first; pages are asked for as they are needed, each as large as
    /// the request says. Ends after the first error. Dropping it asks for no more.
    pub fn list(&self, request: ListWorkflowsRequest) -> Updates<WorkflowSummary> {
        let workflows = self.clone();
        let PaginationRequest { page_size, page_token } = request.pagination.clone().unwrap_or_default();
        pages::rows(page_token, move |page_token| {
            let pagination = Some(PaginationRequest { page_size, page_token });
            let (workflows, request) =
                (workflows.clone(), ListWorkflowsRequest { pagination, ..request.clone() });
            async move {
                let answer = workflows.list_page(request).await?;
                Ok((answer.workflows, answer.pagination))
            }
        })
    }

    /// The result of a task, however large: JSON text in `result_data`, empty until the task has completed. An item of
    /// a `for_each` is `id[0]`.
    ///
    /// # Errors
    /// [`Error`], with NOT_FOUND for an unknown workflow or task, and RESOURCE_EXHAUSTED for a result larger than
    /// [`crate::Config::max_message_bytes`].
    pub async fn task_result(
        &self,
        workflow_id: &str,
        task_id: &str,
    ) -> Result<GetTaskResultResponse, Error> {
        let request =
            GetTaskResultRequest { workflow_id: workflow_id.to_owned(), task_id: task_id.to_owned() };
        let send = |channel, request| {
            let mut stub = self.workflow_stub(channel);
            async move { stub.get_task_result(request).await }
        };
        let mut result: GetTaskResultResponse = self.client.unary(Repeat::Idempotent, request, send).await?;
        let too_large = result.status() == TaskStatus::Completed
            && result.result_data.is_empty()
            && result.result_bytes > 0;
        if too_large {
            result.result_data = self.large_result(workflow_id, task_id).await?;
        }
        Ok(result)
    }

    /// A result in pieces; a broken stream goes on where it broke, as often as the retry policy has it.
    async fn large_result(&self, workflow_id: &str, task_id: &str) -> Result<Vec<u8>, Error> {
        let mut data = Vec::new();
        let mut failures = 0;
        loop {
            let request = GetTaskResultStreamRequest {
                workflow_id: workflow_id.to_owned(),
                task_id: task_id.to_owned(),
                offset_bytes: i64::try_from(data.len()).unwrap_or(i64::MAX),
            };
            let send = |channel, request| {
                let mut stub = self.control_stub(channel);
                async move { stub.get_task_result_stream(request).await }
            };
            let mut pieces = self.client.opened(request, send).await?;
            let broken = loop {
                match pieces.message().await {
                    Ok(Some(piece)) => {
                        if data.len() + piece.data.len() > self.client.max_message_bytes {
                            let limit = self.client.max_message_bytes;
                            let status = tonic::Status::resource_exhausted(format!(
                                "the result has {} bytes, and this client takes {limit}",
                                piece.total_bytes
                            ));
                            return Err(Error::from_status(status, self.client.endpoint(), None));
                        }
                        data.extend_from_slice(&piece.data);
                        failures = 0;
                    }
                    Ok(None) => return Ok(data),
                    Err(status) => {
                        break Error::from_status(
                            status,
                            self.client.endpoint(),
                            self.client.stream_deadline,
                        );
                    }
                }
            };
            failures += 1;
            let wait = self.client.retry.wait(&broken, true, failures, &mut rand::rng());
            let Some(wait) = wait else { return Err(broken) };
            tokio::time::sleep(wait).await;
        }
    }
}
