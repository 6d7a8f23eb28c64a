//! OperatorService: lanes, and workflows by the thousand; for principals with the role admin.

use std::{pin::pin, time::Duration};

use switchboard_proto::goclaw::v1::{
    CreateLaneRequest, DeleteLaneRequest, DeleteLaneResponse, Error, ForceGcRequest, ForceGcResponse, Lane,
    ListLanesRequest, ListLanesResponse, PauseLaneRequest, RequeueProgress, RequeueWorkflowsRequest,
    ResumeLaneRequest, UpdateLaneRequest, WorkflowStatus, operator_service_server::OperatorService,
};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tonic::{Code, Request, Response, Status};
use workflow_machine::{Input, WorkflowId};
use workflow_store::{Count, Cursor, Filter, Status as Stored, Statuses};

use super::{
    Api,
    admin::{confirmed, process},
    caller::Caller,
    shown,
    status::Problem,
    streaming::{Outgoing, Sender},
    workflow::filter,
};
use crate::engine::{EngineError, LaneSettings, LaneState};

/// Workflows per second.
const DEFAULT_RATE: f64 = 10.0;
const MAX_RATE: f64 = 1_000.0;

/// Workflows that are read at once.
const PAGE: usize = 200;

/// How often progress is reported.
const REPORTED: Duration = Duration::from_secs(1);

fn lane(state: LaneState) -> Lane {
    let LaneState { name, settings, .. } = state;
    Lane {
        name,
        workers: shown::number(settings.workers),
        capacity: shown::number(settings.capacity),
        rate_per_sec: settings.rate_per_sec,
        paused: settings.paused,
    }
}

fn check_name(name: &str) -> Result<(), Problem> {
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if fits { Ok(()) } else { Err(Problem::invalid("lane.name", "has 1 to 64 of A-Z a-z 0-9 . _ -")) }
}

/// The settings with what the request says; zero leaves workers and capacity as they are.
fn changed(mut settings: LaneSettings, lane: &Lane) -> Result<LaneSettings, Problem> {
    match u32::try_from(lane.workers) {
        Ok(0) => {}
        Ok(workers) if workers <= 100_000 => settings.workers = workers,
        _ => return Err(Problem::invalid("lane.workers", "is 1 to 100,000; 0 leaves it as it is")),
    }
    match u32::try_from(lane.capacity) {
        Ok(0) => {}
        Ok(capacity) if capacity <= 10_000_000 => settings.capacity = capacity,
        _ => return Err(Problem::invalid("lane.capacity", "is 1 to 10,000,000; 0 leaves it as it is")),
    }
    if !(0.0..=1e6).contains(&lane.rate_per_sec) {
        return Err(Problem::invalid("lane.rate_per_sec", "is 0 (unlimited) to 1,000,000"));
    }
    settings.rate_per_sec = lane.rate_per_sec;
    Ok(settings)
}

impl Api {
    async fn find_lane(&self, name: &str) -> Result<Option<LaneState>, Problem> {
        Ok(self.engine.lanes().await?.into_iter().find(|lane| lane.name == name))
    }

    async fn known_lane(&self, name: &str) -> Result<LaneState, Problem> {
        let found = self.find_lane(name).await?;
        Ok(found.ok_or_else(|| EngineError::NoLane(super::status::cut(name, 64)))?)
    }

    async fn set(&self, name: &str, settings: LaneSettings) -> Result<Lane, Problem> {
        self.engine.set_lane(name, settings).await?;
        Ok(lane(self.known_lane(name).await?))
    }

    async fn create(&self, request: CreateLaneRequest) -> Result<Lane, Problem> {
        let wanted = request.lane.unwrap_or_default();
        check_name(&wanted.name)?;
        if self.find_lane(&wanted.name).await?.is_some() {
            let message = format!("lane {} exists; change it with UpdateLane", wanted.name);
            return Err(Problem::new(Code::AlreadyExists, "LANE_EXISTS", message).with("lane", wanted.name));
        }
        let settings = changed(LaneSettings { paused: wanted.paused, ..LaneSettings::DEFAULT }, &wanted)?;
        self.set(&wanted.name, settings).await
    }

    async fn change(&self, request: UpdateLaneRequest) -> Result<Lane, Problem> {
        let wanted = request.lane.unwrap_or_default();
        let known = self.known_lane(&wanted.name).await?;
        self.set(&wanted.name, changed(known.settings, &wanted)?).await
    }

    async fn pause(&self, name: &str, paused: bool) -> Result<Lane, Problem> {
        let known = self.known_lane(name).await?;
        self.set(name, LaneSettings { paused, ..known.settings }).await
    }

    /// Retries what matches, page by page, and reports as it goes.
    async fn requeue(
        &self,
        filter: Filter,
        rate: f64,
        matched: i64,
        sender: &Sender<RequeueProgress>,
    ) -> Result<(), Problem> {
        let mut progress = RequeueProgress { matched, ..RequeueProgress::default() };
        let mut tick = interval(Duration::from_secs_f64(1.0 / rate));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reported = Instant::now();
        let mut after: Option<Cursor> = None;
        loop {
            let (page, _) = self.engine.list(filter.clone(), after.take(), PAGE).await?;
            for summary in page.summaries {
                let mut ticked = pin!(tick.tick());
                loop {
                    tokio::select! {
                        _ = &mut ticked => break,
                        // Whoever ends the call stops the rest.
                        () = sender.gone() => return Ok(()),
                        () = tokio::time::sleep_until(reported + REPORTED) => {
                            reported = Instant::now();
                            if sender.send(progress.clone()).await.is_err() {
                                return Ok(());
                            }
                        }
                    }
                }
                let reason = "requeued by an operator".to_owned();
                let id = WorkflowId::new(summary.id.as_str());
                match self.engine.tell(&id, Input::Retry { from: None, reason }).await {
                    Ok(_) => progress.requeued += 1,
                    Err(error @ (EngineError::Refused(_) | EngineError::NotFound)) => {
                        progress.skipped += 1;
                        let error: Error = Problem::from(error).with("workflow_id", id).item();
                        progress.last_error = Some(error);
                    }
                    Err(error) => return Err(error.into()),
                }
                if reported.elapsed() >= REPORTED {
                    reported = Instant::now();
                    if sender.send(progress.clone()).await.is_err() {
                        return Ok(());
                    }
                }
            }
            after = page.next;
            if after.is_none() {
                let _ = sender.send(progress).await;
                return Ok(());
            }
        }
    }
}

/// The statuses of a requeue: FAILED unless it says otherwise.
fn statuses(wanted: &[i32]) -> Result<Statuses, Problem> {
    let one = |status: &i32| match WorkflowStatus::try_from(*status) {
        Ok(WorkflowStatus::Failed) => Ok(Stored::Failed),
        Ok(WorkflowStatus::Cancelled) => Ok(Stored::Cancelled),
        _ => Err(Problem::invalid("statuses", "only FAILED and CANCELLED workflows can be retried")),
    };
    let wanted = wanted.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    Ok(if wanted.is_empty() { [Stored::Failed].into_iter().collect() } else { wanted.into_iter().collect() })
}

#[tonic::async_trait]
impl OperatorService for Api {
    type RequeueWorkflowsStream = Outgoing<RequeueProgress>;

    async fn requeue_workflows(
        &self,
        request: Request<RequeueWorkflowsRequest>,
    ) -> Result<Response<Self::RequeueWorkflowsStream>, Status> {
        let (caller, api) = (Caller::admin(&request)?, self.for_caller(&request));
        let request = request.into_inner();
        let how = super::status::cut(&format!("{request:?}"), 1_000);
        let begun = async {
            let rate = match request.rate_per_sec {
                0.0 => DEFAULT_RATE,
                rate if rate > 0.0 && rate <= MAX_RATE => rate,
                _ => return Err(Problem::invalid("rate_per_sec", "is above 0, at most 1000; 0 is 10")),
            };
            let filter = Filter { statuses: statuses(&request.statuses)?, ..filter(request.filter)? };
            if !request.dry_run {
                confirmed(request.confirmation, "requeuing runs every workflow that matches again")?;
            }
            let (_, count) = api.engine.list(filter.clone(), None, 1).await?;
            let (Count::Exact(matched) | Count::MoreThan(matched)) = count;
            Ok((filter, rate, matched as i64))
        };
        let begun: Result<(Filter, f64, i64), Problem> = begun.await;
        caller.audit("RequeueWorkflows", &how, &begun);
        let (filter, rate, matched) = begun?;
        let (sender, stream) = api.outgoing()?;
        let dry_run = request.dry_run;
        tokio::spawn(async move {
            let outcome = if dry_run {
                let counted = RequeueProgress { matched, ..RequeueProgress::default() };
                let _ = sender.send(counted).await;
                Ok(())
            } else {
                api.requeue(filter, rate, matched, &sender).await
            };
            if let Err(problem) = outcome {
                sender.fail(problem.into());
            }
        });
        Ok(Response::new(stream))
    }

    async fn create_lane(&self, request: Request<CreateLaneRequest>) -> Result<Response<Lane>, Status> {
        let caller = Caller::admin(&request)?;
        let request = request.into_inner();
        let how = format!("{:?}", request.lane);
        let outcome = self.create(request).await;
        caller.audit("CreateLane", &super::status::cut(&how, 500), &outcome);
        Ok(Response::new(outcome?))
    }

    async fn update_lane(&self, request: Request<UpdateLaneRequest>) -> Result<Response<Lane>, Status> {
        let caller = Caller::admin(&request)?;
        let request = request.into_inner();
        let how = format!("{:?}", request.lane);
        let outcome = self.change(request).await;
        caller.audit("UpdateLane", &super::status::cut(&how, 500), &outcome);
        Ok(Response::new(outcome?))
    }

    async fn delete_lane(
        &self,
        request: Request<DeleteLaneRequest>,
    ) -> Result<Response<DeleteLaneResponse>, Status> {
        let caller = Caller::admin(&request)?;
        let name = request.into_inner().name;
        let outcome = self.engine.delete_lane(&name).await.map_err(Problem::from);
        caller.audit("DeleteLane", &super::status::cut(&name, 64), &outcome);
        outcome?;
        Ok(Response::new(DeleteLaneResponse {}))
    }

    async fn list_lanes(
        &self,
        request: Request<ListLanesRequest>,
    ) -> Result<Response<ListLanesResponse>, Status> {
        let caller = Caller::admin(&request)?;
        let outcome = self.engine.lanes().await.map_err(Problem::from);
        caller.audit("ListLanes", "", &outcome);
        Ok(Response::new(ListLanesResponse { lanes: outcome?.into_iter().map(lane).collect() }))
    }

    async fn pause_lane(&self, request: Request<PauseLaneRequest>) -> Result<Response<Lane>, Status> {
        let caller = Caller::admin(&request)?;
        let name = request.into_inner().name;
        let outcome = self.pause(&name, true).await;
        caller.audit("PauseLane", &super::status::cut(&name, 64), &outcome);
        Ok(Response::new(outcome?))
    }

    async fn resume_lane(&self, request: Request<ResumeLaneRequest>) -> Result<Response<Lane>, Status> {
        let caller = Caller::admin(&request)?;
        let name = request.into_inner().name;
        let outcome = self.pause(&name, false).await;
        caller.audit("ResumeLane", &super::status::cut(&name, 64), &outcome);
        Ok(Response::new(outcome?))
    }

    async fn force_gc(&self, request: Request<ForceGcRequest>) -> Result<Response<ForceGcResponse>, Status> {
        let caller = Caller::admin(&request)?;
        // There is no collector to be forced, and the allocator gives memory back by itself: the figures are what is left.
        let resident = process::resident_bytes() as i64;
        caller.audit("ForceGC", "", &Ok(()));
        Ok(Response::new(ForceGcResponse { resident_bytes_before: resident, resident_bytes_after: resident }))
    }
}
