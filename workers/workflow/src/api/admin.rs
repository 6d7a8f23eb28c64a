//! AdminService: the engine itself, for principals with the role admin. Every call leaves a line in the audit log.

mod config;
mod export;
mod gauges;
pub(super) mod process;
mod profile;

use std::time::{Duration, Instant};

use switchboard_proto::goclaw::v1::{
    ClusterNode, ClusterOperation, DebugInfoType, EngineMetrics, EngineState, ExportMetricsRequest,
    ExportMetricsResponse, GetDebugInfoRequest, GetDebugInfoResponse, GetEngineStatusRequest,
    GetEngineStatusResponse, GetLaneStatsRequest, GetLaneStatsResponse, LaneStats, ManageClusterRequest,
    ManageClusterResponse, MetricsFormat, PauseWorkflowsRequest, PauseWorkflowsResponse,
    PurgeWorkflowsRequest, PurgeWorkflowsResponse, ResumeWorkflowsRequest, ResumeWorkflowsResponse,
    UpdateConfigRequest, UpdateConfigResponse, admin_service_server::AdminService,
};
use tonic::{Code, Request, Response, Status};
use workflow_machine::Millis;
use workflow_store::{Count, Filter, Status as Stored};

use super::{Api, caller::Caller, lane_rates, shown, status::Problem};
use crate::engine::{EngineError, LaneState, wall};

pub(super) use config::restore;

/// Workflows that one call purges; more take further calls.
const MAX_PURGED: usize = 1_000_000;

impl Caller {
    /// Says who did what, and how it ended.
    pub(super) fn audit<T>(&self, what: &str, how: &str, outcome: &Result<T, Problem>) {
        let result = outcome.as_ref().err().map_or("ok", |problem| problem.reason);
        let (principal, request_id) = (self.name.as_str(), self.request_id.as_str());
        tracing::info!(target: "audit", principal, request_id, what, how, result, "administration");
    }
}

/// Refuses what nobody confirmed.
pub(super) fn confirmed(confirmation: bool, what: &str) -> Result<(), Problem> {
    if confirmation {
        return Ok(());
    }
    let message = format!("{what}; set confirmation to do it");
    Err(Problem::new(Code::FailedPrecondition, "CONFIRMATION_REQUIRED", message))
}

impl Api {
    async fn engine_status(&self) -> Result<GetEngineStatusResponse, Problem> {
        let counts = self.engine.from_store(|store| {
            let count = |status| match store.count(&Filter::status(status))? {
                Count::Exact(count) | Count::MoreThan(count) => Ok(count as i64),
            };
            let bytes = store.disk_bytes() as i64;
            Ok((count(Stored::Completed)?, count(Stored::Failed)?, count(Stored::Cancelled)?, bytes))
        });
        let gauges = self.gauges();
        let failed = gauges.failed;
        // A store that failed is what is asked about: the rest is said all the same.
        let (completed, failed_workflows, cancelled, store_bytes) = match counts.await {
            Ok(counts) => counts,
            Err(_) if failed => (0, 0, 0, 0),
            Err(error) => return Err(error.into()),
        };
        let state = match () {
            () if failed => EngineState::Error,
            () if self.engine.is_stopped() => EngineState::Stopped,
            () if gauges.live == 0 => EngineState::Idle,
            () => EngineState::Running,
        };
        Ok(GetEngineStatusResponse {
            state: state.into(),
            metrics: Some(EngineMetrics {
                active_workflows: gauges.live as i64,
                completed_workflows: completed,
                running_tasks: gauges.running as i64,
                queue_depth: gauges.waiting as i64,
                memory_usage_bytes: process::resident_bytes() as i64,
                goroutine_count: shown::number(tokio::runtime::Handle::current().metrics().num_alive_tasks()),
                cpu_usage_percent: process::cpu_percent(),
                failed_workflows,
                cancelled_workflows: cancelled,
                watch_streams: self.engine.watched() as i64,
                store_bytes,
            }),
            uptime_since: Some(shown::time(self.shared.started_ms)),
            last_error: if failed { EngineError::Failed.to_string() } else { String::new() },
            healthy: !failed && !self.engine.is_stopped(),
            error: None,
            paused: gauges.paused,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    fn lane_stats(&self, lane: LaneState, now: Millis) -> LaneStats {
        let rates = self.shared.lane_rates.of(&lane);
        LaneStats {
            queue_depth: shown::number(lane.waiting),
            worker_count: shown::number(lane.settings.workers),
            throughput_per_sec: rates.per_sec,
            error_rate: rates.failed,
            running: shown::number(lane.running),
            capacity: shown::number(lane.settings.capacity),
            rate_per_sec: lane.settings.rate_per_sec,
            paused: lane.settings.paused,
            oldest_wait_ms: lane.oldest.map_or(0, |since| now.saturating_sub(since) as i64),
            lane_name: lane.name,
        }
    }

    async fn set_paused(&self, paused: bool) -> Result<i32, Problem> {
        let was = self.gauges();
        self.engine.set_paused(paused).await?;
        // Nothing is done to those that are as they were.
        Ok(if was.paused == paused { 0 } else { shown::number(was.live) })
    }

    async fn purge(&self, request: PurgeWorkflowsRequest) -> Result<u64, Problem> {
        let hours = u64::try_from(request.age_threshold_hours).ok().filter(|hours| *hours > 0);
        let hours = hours.ok_or_else(|| Problem::invalid("age_threshold_hours", "is at least 1"))?;
        let before = wall().saturating_sub(hours * 3_600_000);
        if request.dry_run {
            return Ok(self.engine.purgeable(before).await?);
        }
        confirmed(request.confirmation, "purging deletes workflows for good")?;
        Ok(self.engine.purge(before, MAX_PURGED).await? as u64)
    }
}

/// What the lanes did lately, sampled while the engine runs.
pub(super) async fn sample_lanes(api: Api) {
    loop {
        tokio::select! {
            () = api.engine.stopped() => return,
            () = tokio::time::sleep(lane_rates::EVERY) => {}
        }
        let Ok(lanes) = api.engine.lanes().await else { return };
        api.shared.lane_rates.sample(&lanes);
    }
}

/// What a profile takes if nobody says how long.
const PROFILE_SECONDS: i32 = 30;

async fn debug_info(request: GetDebugInfoRequest) -> Result<Vec<u8>, Problem> {
    let seconds = match request.duration_seconds {
        0 => PROFILE_SECONDS as u64,
        seconds @ 1..=60 => seconds as u64,
        _ => return Err(Problem::invalid("duration_seconds", "is 1 to 60; 0 is 30")),
    };
    match DebugInfoType::try_from(request.r#type) {
        Ok(DebugInfoType::Goroutine) => system(|| process::threads().into_bytes()).await,
        Ok(DebugInfoType::Heap) => system(|| process::memory().into_bytes()).await,
        Ok(DebugInfoType::Cpu) => {
            let (began, since) = (wall(), Instant::now());
            let before = system(process::thread_times).await?;
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            let after = system(process::thread_times).await?;
            Ok(profile::profile(&before, &after, began, since.elapsed()))
        }
        _ => Err(Problem::invalid("type", "is missing; use GOROUTINE, HEAP or CPU")),
    }
}

/// Reads what the system says, which takes as long as it does.
async fn system<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    match tokio::time::timeout(Duration::from_secs(10), tokio::task::spawn_blocking(read)).await {
        Ok(Ok(read)) => Ok(read),
        _ => Err(Problem::new(Code::Internal, "INTERNAL", "the information could not be gathered")),
    }
}

#[tonic::async_trait]
impl AdminService for Api {
    async fn get_engine_status(
        &self,
        request: Request<GetEngineStatusRequest>,
    ) -> Result<Response<GetEngineStatusResponse>, Status> {
        let caller = Caller::admin(&request)?;
        let outcome = self.engine_status().await;
        caller.audit("GetEngineStatus", "", &outcome);
        Ok(Response::new(outcome?))
    }

    async fn update_config(
        &self,
        request: Request<UpdateConfigRequest>,
    ) -> Result<Response<UpdateConfigResponse>, Status> {
        let caller = Caller::admin(&request)?;
        let request = request.into_inner();
        let how =
            format!("{:?} persist={} dry_run={}", request.config_updates, request.persist, request.dry_run);
        let outcome = self.update(request).await;
        caller.audit("UpdateConfig", &super::status::cut(&how, 1_000), &outcome);
        Ok(Response::new(UpdateConfigResponse { success: true, applied_changes: outcome?, error: None }))
    }

    async fn manage_cluster(
        &self,
        request: Request<ManageClusterRequest>,
    ) -> Result<Response<ManageClusterResponse>, Status> {
        let caller = Caller::admin(&request)?;
        let request = request.into_inner();
        let operation = ClusterOperation::try_from(request.operation);
        let outcome = match operation {
            Ok(ClusterOperation::List) => Ok(()),
            Ok(ClusterOperation::Unspecified) | Err(_) => {
                Err(Problem::invalid("operation", "is missing; use LIST"))
            }
            Ok(ClusterOperation::Remove | ClusterOperation::Promote) if !request.confirmation => {
                confirmed(false, "this changes who runs workflows")
            }
            Ok(_) => {
                let message = "this engine keeps its data in a directory of its own and is the only node; \
                               several nodes need a store that they share";
                Err(Problem::new(Code::FailedPrecondition, "SINGLE_NODE", message))
            }
        };
        caller.audit("ManageCluster", &format!("{operation:?} {}", request.node_id), &outcome);
        outcome?;
        let node = ClusterNode {
            node_id: "local".to_owned(),
            address: String::new(),
            role: "leader".to_owned(),
            healthy: !self.gauges().failed,
            joined_at: Some(shown::time(self.shared.started_ms)),
        };
        Ok(Response::new(ManageClusterResponse { success: true, nodes: vec![node], error: None }))
    }

    async fn pause_workflows(
        &self,
        request: Request<PauseWorkflowsRequest>,
    ) -> Result<Response<PauseWorkflowsResponse>, Status> {
        let caller = Caller::admin(&request)?;
        let outcome = match confirmed(request.get_ref().confirmation, "pausing stops every workflow") {
            Ok(()) => self.set_paused(true).await,
            Err(problem) => Err(problem),
        };
        caller.audit("PauseWorkflows", "", &outcome);
        Ok(Response::new(PauseWorkflowsResponse { success: true, paused_count: outcome?, error: None }))
    }

    async fn resume_workflows(
        &self,
        request: Request<ResumeWorkflowsRequest>,
    ) -> Result<Response<ResumeWorkflowsResponse>, Status> {
        let caller = Caller::admin(&request)?;
        let outcome = self.set_paused(false).await;
        caller.audit("ResumeWorkflows", "", &outcome);
        Ok(Response::new(ResumeWorkflowsResponse { success: true, resumed_count: outcome?, error: None }))
    }

    async fn purge_workflows(
        &self,
        request: Request<PurgeWorkflowsRequest>,
    ) -> Result<Response<PurgeWorkflowsResponse>, Status> {
        let caller = Caller::admin(&request)?;
        let request = request.into_inner();
        let how = format!("older than {} h, dry_run={}", request.age_threshold_hours, request.dry_run);
        let outcome = self.purge(request).await;
        caller.audit("PurgeWorkflows", &how, &outcome);
        let purged_count = shown::number(outcome?);
        Ok(Response::new(PurgeWorkflowsResponse { success: true, purged_count, error: None }))
    }

    async fn get_lane_stats(
        &self,
        request: Request<GetLaneStatsRequest>,
    ) -> Result<Response<GetLaneStatsResponse>, Status> {
        let caller = Caller::admin(&request)?;
        let name = request.into_inner().lane_name;
        let outcome = async {
            let mut lanes = self.engine.lanes().await?;
            if !name.is_empty() {
                lanes.retain(|lane| lane.name == name);
                if lanes.is_empty() {
                    return Err(EngineError::NoLane(name.clone()).into());
                }
            }
            let now = wall();
            Ok(lanes.into_iter().map(|lane| self.lane_stats(lane, now)).collect())
        };
        let outcome: Result<Vec<LaneStats>, Problem> = outcome.await;
        caller.audit("GetLaneStats", &name, &outcome);
        Ok(Response::new(GetLaneStatsResponse { lanes: outcome?, error: None }))
    }

    async fn export_metrics(
        &self,
        request: Request<ExportMetricsRequest>,
    ) -> Result<Response<ExportMetricsResponse>, Status> {
        let caller = Caller::admin(&request)?;
        let request = request.into_inner();
        let outcome = async {
            let metrics = export::collect(self).await?;
            let wanted = metrics.into_iter().filter(|metric| metric.name.starts_with(&request.prefix_filter));
            match MetricsFormat::try_from(request.format) {
                Ok(MetricsFormat::Prometheus) => Ok(export::prometheus(wanted)),
                Ok(_) => Ok(export::json(wanted)),
                Err(_) => Err(Problem::invalid("format", "not a value of MetricsFormat; use 0 to 2")),
            }
        };
        let outcome: Result<String, Problem> = outcome.await;
        caller.audit("ExportMetrics", &request.prefix_filter, &outcome);
        Ok(Response::new(ExportMetricsResponse { metrics_data: outcome?, error: None }))
    }

    async fn get_debug_info(
        &self,
        request: Request<GetDebugInfoRequest>,
    ) -> Result<Response<GetDebugInfoResponse>, Status> {
        let caller = Caller::admin(&request)?;
        let request = request.into_inner();
        let how = format!("type={} duration_seconds={}", request.r#type, request.duration_seconds);
        let outcome = debug_info(request).await;
        caller.audit("GetDebugInfo", &how, &outcome);
        Ok(Response::new(GetDebugInfoResponse { debug_data: outcome?, error: None }))
    }
}
