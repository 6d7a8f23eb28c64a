//! The engine itself: for principals with the role admin.

use switchboard_proto::goclaw::v1::{
    GetEngineStatusRequest, GetEngineStatusResponse, GetLaneStatsRequest, LaneStats, PauseLaneRequest,
    PauseWorkflowsRequest, PauseWorkflowsResponse, PurgeWorkflowsRequest, PurgeWorkflowsResponse,
    ResumeLaneRequest, ResumeWorkflowsRequest, ResumeWorkflowsResponse, UpdateConfigRequest,
    UpdateConfigResponse,
};

use super::Workflows;
use crate::Error;
use crate::call::Repeat;

impl Workflows {
    /// How the engine is: its state, what it has to do, what it uses.
    ///
    /// # Errors
    /// [`Error`], with PERMISSION_DENIED for whoever is no administrator.
    pub async fn engine_status(&self) -> Result<GetEngineStatusResponse, Error> {
        let send = |channel, request| {
            let mut stub = self.admin_stub(channel);
            async move { stub.get_engine_status(request).await }
        };
        self.client.unary(Repeat::Idempotent, GetEngineStatusRequest {}, send).await
    }

    /// Lets no task start and takes no workflow until [`Workflows::resume_engine`], also after a restart. Idempotent.
    ///
    /// # Errors
    /// As [`Workflows::engine_status`].
    pub async fn pause_engine(&self) -> Result<PauseWorkflowsResponse, Error> {
        let send = |channel, request| {
            let mut stub = self.admin_stub(channel);
            async move { stub.pause_workflows(request).await }
        };
        self.client.unary(Repeat::Idempotent, PauseWorkflowsRequest { confirmation: true }, send).await
    }

    /// Ends the pause. Idempotent.
    ///
    /// # Errors
    /// As [`Workflows::engine_status`].
    pub async fn resume_engine(&self) -> Result<ResumeWorkflowsResponse, Error> {
        let send = |channel, request| {
            let mut stub = self.admin_stub(channel);
            async move { stub.resume_workflows(request).await }
        };
        self.client.unary(Repeat::Idempotent, ResumeWorkflowsRequest {}, send).await
    }

    /// Lets no task of a lane start, or lets them start again. Idempotent.
    ///
    /// # Errors
    /// As [`Workflows::engine_status`]; NOT_FOUND for an unknown lane.
    pub async fn pause_lane(&self, name: &str, paused: bool) -> Result<(), Error> {
        if paused {
            let send = |channel, request| {
                let mut stub = self.operator_stub(channel);
                async move { stub.pause_lane(request).await }
            };
            let request = PauseLaneRequest { name: name.to_owned() };
            self.client.unary(Repeat::Idempotent, request, send).await?;
        } else {
            let send = |channel, request| {
                let mut stub = self.operator_stub(channel);
                async move { stub.resume_lane(request).await }
            };
            let request = ResumeLaneRequest { name: name.to_owned() };
            self.client.unary(Repeat::Idempotent, request, send).await?;
        }
        Ok(())
    }

    /// Lanes with what waits and runs in them; an empty name is all.
    ///
    /// # Errors
    /// As [`Workflows::engine_status`]; NOT_FOUND for an unknown lane.
    pub async fn lanes(&self, name: &str) -> Result<Vec<LaneStats>, Error> {
        let send = |channel, request| {
            let mut stub = self.admin_stub(channel);
            async move { stub.get_lane_stats(request).await }
        };
        let request = GetLaneStatsRequest { lane_name: name.to_owned() };
        Ok(self.client.unary(Repeat::Idempotent, request, send).await?.lanes)
    }

    /// Changes settings while the engine runs: all of them or, if one is wrong, none. Idempotent.
    ///
    /// # Errors
    /// As [`Workflows::engine_status`]; INVALID_ARGUMENT with [`Error::violations`] for names and values that are none.
    pub async fn update_config(&self, request: UpdateConfigRequest) -> Result<UpdateConfigResponse, Error> {
        let send = |channel, request| {
            let mut stub = self.admin_stub(channel);
            async move { stub.update_config(request).await }
        };
        self.client.unary(Repeat::Idempotent, request, send).await
    }

    /// Deletes workflows that ended at least `age_threshold_hours` ago. Never tried again unless nothing was processed:
    /// the second answer would count less.
    ///
    /// # Errors
    /// As [`Workflows::engine_status`]; FAILED_PRECONDITION without confirmation.
    pub async fn purge(&self, request: PurgeWorkflowsRequest) -> Result<PurgeWorkflowsResponse, Error> {
        let send = |channel, request| {
            let mut stub = self.admin_stub(channel);
            async move { stub.purge_workflows(request).await }
        };
        self.client.unary(Repeat::Never, request, send).await
    }
}
