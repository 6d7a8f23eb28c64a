//! Submitting: a key goes with every call, so that trying again makes no second workflow.

use switchboard_proto::goclaw::v1::{
    GetWorkflowStatusResponse, SubmitWorkflowRequest, SubmitWorkflowResponse, SubmitWorkflowsRequest,
    SubmitWorkflowsResponse,
};

use super::{Workflows, random_key};
use crate::Error;
use crate::call::Repeat;

impl Workflows {
    /// Submits a workflow. `Ok` means that it is on the engine's disk and will run.
    ///
    /// The call carries a random idempotency key, so that it is tried again when nobody knows what became of it: the
    /// engine answers the second one with the first one's workflow. A header `idempotency-key` of the client takes the
    /// random key's place. Dropping the future does not take back what the engine has.
    ///
    /// # Errors
    /// [`Error`]: INVALID_ARGUMENT with [`Error::violations`] for a workflow that is none, ALREADY_EXISTS for a taken
    /// ID, FAILED_PRECONDITION (`ENGINE_PAUSED`), RESOURCE_EXHAUSTED while the queue or the disk is full.
    pub async fn submit(&self, request: SubmitWorkflowRequest) -> Result<SubmitWorkflowResponse, Error> {
        self.submit_with_key(&random_key(), request).await
    }

    /// Submits a workflow with a key of the caller's: 1 to 255 visible ASCII characters, kept for 24 hours.
    ///
    /// # Errors
    /// As [`Workflows::submit`]; ALREADY_EXISTS (`IDEMPOTENCY_KEY_REUSED`) for a key that another request had.
    pub async fn submit_with_key(
        &self,
        key: &str,
        request: SubmitWorkflowRequest,
    ) -> Result<SubmitWorkflowResponse, Error> {
        let keyed = self.keyed(key)?;
        let send = |channel, request| {
            let mut stub = self.workflow_stub(channel);
            async move { stub.submit_workflow(request).await }
        };
        keyed.client.unary(Repeat::Idempotent, request, send).await
    }

    /// Submits many workflows in one call. Results stand in the order of the request; what is wrong with one of them is
    /// in its result, unless `atomic` makes it the whole call's. An empty `idempotency_key` becomes a random one.
    ///
    /// # Errors
    /// [`Error`]: INVALID_ARGUMENT for none or too many, and with `atomic` for a bad one, with [`Error::violations`].
    pub async fn submit_all(
        &self,
        mut request: SubmitWorkflowsRequest,
    ) -> Result<SubmitWorkflowsResponse, Error> {
        if request.idempotency_key.is_empty() {
            request.idempotency_key = random_key();
        }
        let send = |channel, request| {
            let mut stub = self.batch_stub(channel);
            async move { stub.submit_workflows(request).await }
        };
        self.client.unary(Repeat::Idempotent, request, send).await
    }

    /// Submits a workflow and waits for its end; a failed or cancelled one is `Ok` here, and `status` says it.
    ///
    /// It waits through restarts of the engine as [`Workflows::watch`] does. Dropping the future leaves the workflow
    /// running.
    ///
    /// # Errors
    /// As [`Workflows::submit`] and [`Workflows::wait`].
    pub async fn run(&self, request: SubmitWorkflowRequest) -> Result<GetWorkflowStatusResponse, Error> {
        let submitted = self.submit(request).await?;
        self.wait(&submitted.workflow_id).await
    }

    /// Waits for the end of a workflow and gives its last state.
    ///
    /// # Errors
    /// As [`Workflows::watch`] and its stream.
    pub async fn wait(&self, workflow_id: &str) -> Result<GetWorkflowStatusResponse, Error> {
        let mut updates = self.watch(workflow_id, 0).await?;
        while let Some(update) = updates.next().await {
            update?;
        }
        self.status(workflow_id).await
    }
}
