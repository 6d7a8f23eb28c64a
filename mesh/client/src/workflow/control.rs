//! What can be done to a workflow that is there.

use switchboard_proto::goclaw::v1::{
    CancelWorkflowRequest, CancelWorkflowResponse, PauseWorkflowRequest, PauseWorkflowResponse,
    ResumeWorkflowRequest, ResumeWorkflowResponse, RetryWorkflowRequest, RetryWorkflowResponse,
    SignalWorkflowRequest, SignalWorkflowResponse,
};

use super::{Workflows, random_key};
use crate::Error;
use crate::call::Repeat;

impl Workflows {
    /// Ends a workflow and its children: without `force`, what runs has 30 s to end, and `status` of the answer is
    /// RUNNING meanwhile. Idempotent.
    ///
    /// # Errors
    /// [`Error`], with FAILED_PRECONDITION (`ALREADY_TERMINAL`) for one that completed or failed.
    pub async fn cancel(&self, request: CancelWorkflowRequest) -> Result<CancelWorkflowResponse, Error> {
        let send = |channel, request| {
            let mut stub = self.workflow_stub(channel);
            async move { stub.cancel_workflow(request).await }
        };
        self.client.unary(Repeat::Idempotent, request, send).await
    }

    /// Runs a failed or cancelled workflow on: from what did not complete, or from one task. Never tried again unless
    /// nothing was processed.
    ///
    /// # Errors
    /// [`Error`], with FAILED_PRECONDITION for one that runs or has completed.
    pub async fn retry(&self, request: RetryWorkflowRequest) -> Result<RetryWorkflowResponse, Error> {
        let send = |channel, request| {
            let mut stub = self.control_stub(channel);
            async move { stub.retry_workflow(request).await }
        };
        self.client.unary(Repeat::Never, request, send).await
    }

    /// Lets no new task of a workflow start. Idempotent.
    ///
    /// # Errors
    /// [`Error`], with FAILED_PRECONDITION (`ALREADY_TERMINAL`) for one that has ended.
    pub async fn pause(&self, request: PauseWorkflowRequest) -> Result<PauseWorkflowResponse, Error> {
        let send = |channel, request| {
            let mut stub = self.control_stub(channel);
            async move { stub.pause_workflow(request).await }
        };
        self.client.unary(Repeat::Idempotent, request, send).await
    }

    /// Lets a paused workflow go on. Idempotent.
    ///
    /// # Errors
    /// As [`Workflows::pause`].
    pub async fn resume(&self, workflow_id: &str) -> Result<ResumeWorkflowResponse, Error> {
        let request = ResumeWorkflowRequest { workflow_id: workflow_id.to_owned() };
        let send = |channel, request| {
            let mut stub = self.control_stub(channel);
            async move { stub.resume_workflow(request).await }
        };
        self.client.unary(Repeat::Idempotent, request, send).await
    }

    /// Gives a named signal to the task that waits for it, or to the one that will. It arrives once: the call carries
    /// a key, as [`Workflows::submit`] does.
    ///
    /// # Errors
    /// [`Error`], with FAILED_PRECONDITION (`ALREADY_TERMINAL`) for a workflow that has ended.
    pub async fn signal(&self, request: SignalWorkflowRequest) -> Result<SignalWorkflowResponse, Error> {
        let keyed = self.keyed(&random_key())?;
        let send = |channel, request| {
            let mut stub = self.control_stub(channel);
            async move { stub.signal_workflow(request).await }
        };
        keyed.client.unary(Repeat::Idempotent, request, send).await
    }
}
