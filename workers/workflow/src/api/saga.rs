//! SagaService: workflows whose completed steps are undone when a later one fails.

use prost_types::Timestamp;
use switchboard_proto::goclaw::v1::{
    CompensateSagaRequest, CompensateSagaResponse, GetSagaStatusRequest, GetSagaStatusResponse,
    ListSagasRequest, ListSagasResponse, SagaState, SagaStepResult, SagaSummary, SubmitSagaRequest,
    SubmitSagaResponse, WatchSagaEvent, WatchSagaRequest, saga_service_server::SagaService,
};
use tonic::{Code, Request, Response, Status};
use workflow_machine::{self as machine, Event, EventKind, Input, Workflow, WorkflowId};
use workflow_store::{Filter, Status as Stored, Summary};

use super::{
    Api,
    batch::MAX_PAGE_BYTES,
    caller::{self, Caller},
    shown,
    status::Problem,
    streaming::{Begun, Follower, Outgoing, fold, follow},
    workflow::replayed,
    workflow_id,
};
use crate::spec::{self, SAGA_ATTRIBUTE};

/// Finer states in the store, as in `goclaw.v1.WorkflowDetail`.
const COMPENSATING: u8 = 4;
const PENDING_COMPENSATION: u8 = 5;
const COMPENSATED: u8 = 6;
const COMPENSATION_FAILED: u8 = 7;

fn state(state: machine::SagaState) -> SagaState {
    match state {
        machine::SagaState::Created => SagaState::Created,
        machine::SagaState::Running => SagaState::Running,
        machine::SagaState::Completed => SagaState::Completed,
        machine::SagaState::Compensating => SagaState::Compensating,
        machine::SagaState::PendingCompensation => SagaState::PendingCompensation,
        machine::SagaState::Compensated => SagaState::Compensated,
        machine::SagaState::CompensationFailed => SagaState::CompensationFailed,
        machine::SagaState::Recovering => SagaState::Recovering,
    }
}

/// The state of a saga in a list, where COMPENSATING stands for RECOVERING, too.
fn listed(summary: &Summary) -> SagaState {
    match (summary.status, summary.detail) {
        (_, COMPENSATING) => SagaState::Compensating,
        (_, PENDING_COMPENSATION) => SagaState::PendingCompensation,
        (Stored::Pending, _) => SagaState::Created,
        (Stored::Running, _) => SagaState::Running,
        (Stored::Completed, _) => SagaState::Completed,
        (Stored::Failed | Stored::Cancelled, COMPENSATION_FAILED) => SagaState::CompensationFailed,
        (Stored::Failed | Stored::Cancelled, _) => SagaState::Compensated,
    }
}

fn filter(wanted: i32) -> Result<Filter, Problem> {
    let all = Filter { saga: Some(true), ..Filter::default() };
    let status = |status| Filter { statuses: [status].into_iter().collect(), ..all.clone() };
    let detail = |detail| Filter { detail: Some(detail), ..all.clone() };
    Ok(match SagaState::try_from(wanted) {
        Ok(SagaState::Unspecified) => all,
        Ok(SagaState::Created) => status(Stored::Pending),
        Ok(SagaState::Running) => Filter { detail: Some(0), ..status(Stored::Running) },
        Ok(SagaState::Completed) => status(Stored::Completed),
        Ok(SagaState::Compensating) => detail(COMPENSATING),
        Ok(SagaState::PendingCompensation) => detail(PENDING_COMPENSATION),
        Ok(SagaState::Compensated) => detail(COMPENSATED),
        Ok(SagaState::CompensationFailed) => detail(COMPENSATION_FAILED),
        Ok(SagaState::Recovering) => {
            let reason = "lists show sagas that recover as COMPENSATING; filter by that";
            return Err(Problem::invalid("state_filter", reason));
        }
        Err(_) => return Err(Problem::invalid("state_filter", "not a value of SagaState; use 0 to 7")),
    })
}

/// In which order steps completed and were undone.
#[derive(Debug, Default)]
struct Order {
    names: Vec<String>,
    completed: Vec<String>,
    compensated: Vec<String>,
}

impl Order {
    fn apply(&mut self, event: &Event) {
        match &event.kind {
            Some(EventKind::Submitted(event)) => {
                let tasks = event.spec.iter().flat_map(|spec| &spec.tasks);
                self.names = tasks.map(|task| task.id.clone()).collect();
            }
            Some(EventKind::TaskCompleted(event)) if !event.task.ends_with(']') => {
                self.completed.push(event.task.clone());
            }
            Some(EventKind::TaskCompensated(event)) => self.compensated.push(event.task.clone()),
            Some(EventKind::Reopened(event)) => {
                for name in event.reset.iter().filter_map(|at| self.names.get(*at as usize)) {
                    self.completed.retain(|done| done != name);
                    self.compensated.retain(|done| done != name);
                }
            }
            _ => {}
        }
    }
}

impl Api {
    async fn saga(&self, id: &str) -> Result<(WorkflowId, Workflow), Problem> {
        let missing = || Problem::new(Code::NotFound, "SAGA_NOT_FOUND", "there is no such saga");
        let id = workflow_id(id, "saga_id")?;
        let workflow = self.engine.read(&id, Workflow::clone).await.map_err(|error| match error {
            crate::engine::EngineError::NotFound => missing(),
            error => error.into(),
        })?;
        match workflow.spec().attributes.get(SAGA_ATTRIBUTE.0) {
            Some(value) if value == SAGA_ATTRIBUTE.1 => Ok((id, workflow)),
            _ => Err(missing()),
        }
    }
}

/// Why a saga failed: the step, and the reason.
fn failure(workflow: &Workflow) -> (String, String) {
    let reason = match (workflow.error(), workflow.cancel_reason()) {
        (Some(error), _) => error.message.clone(),
        (None, Some("")) => "cancelled".to_owned(),
        (None, reason) => reason.unwrap_or_default().to_owned(),
    };
    (workflow.failed_task().unwrap_or_default().to_owned(), reason)
}

/// Tells of a saga's state.
pub struct SagaFollower {
    api: Api,
    id: WorkflowId,
    last: WatchSagaEvent,
    undo_failed: bool,
}

impl SagaFollower {
    fn now(id: &WorkflowId, workflow: &Workflow) -> WatchSagaEvent {
        let (failed_step, failure_reason) = failure(workflow);
        WatchSagaEvent {
            saga_id: id.to_string(),
            state: state(workflow.saga_state()).into(),
            failed_step,
            failure_reason,
            updated_at: shown::some_time(workflow.updated_at()),
        }
    }
}

impl Follower for SagaFollower {
    type Message = WatchSagaEvent;

    async fn messages(&mut self, event: Event) -> Result<(Vec<WatchSagaEvent>, bool), Problem> {
        let Some(kind) = &event.kind else { return Ok((Vec::new(), false)) };
        let updated_at: Option<Timestamp> = shown::some_time(event.at);
        let state = match kind {
            EventKind::WorkflowStarted(_) | EventKind::Reopened(_) => SagaState::Running,
            EventKind::WorkflowFailing(failing) => {
                self.last.failed_step = failing.task.clone();
                self.last.failure_reason = event.message().to_owned();
                SagaState::Running
            }
            EventKind::CompensationAwaited(_) => SagaState::PendingCompensation,
            EventKind::CompensationStarted(_) if self.undo_failed => SagaState::Recovering,
            EventKind::CompensationStarted(_) => SagaState::Compensating,
            EventKind::TaskCompensationFailed(_) => {
                self.undo_failed = true;
                return Ok((Vec::new(), false));
            }
            // Nothing changes any more: the saga says itself what it is.
            EventKind::WorkflowCompleted(_)
            | EventKind::WorkflowFailed(_)
            | EventKind::WorkflowCancelled(_) => {
                let id = self.id.clone();
                let now = self.api.engine.read(&id.clone(), move |saga| Self::now(&id, saga)).await?;
                return Ok((vec![now], true));
            }
            _ => return Ok((Vec::new(), false)),
        };
        if self.last.state() == state {
            return Ok((Vec::new(), false));
        }
        self.last.set_state(state);
        self.last.updated_at = updated_at;
        Ok((vec![self.last.clone()], false))
    }

    fn heartbeat(&self, _: u64) -> WatchSagaEvent {
        self.last.clone()
    }
}

#[tonic::async_trait]
impl SagaService for Api {
    type WatchSagaStream = Outgoing<WatchSagaEvent>;

    async fn submit_saga(
        &self,
        request: Request<SubmitSagaRequest>,
    ) -> Result<Response<SubmitSagaResponse>, Status> {
        let caller = Caller::of(&request);
        let key = caller::key_header(request.metadata())?.to_owned();
        let submission = spec::saga(request.into_inner(), &self.settings().spec).map_err(Problem::from)?;
        let name = submission.spec.name.clone();
        let taken = self.take(submission, &caller, "SubmitSaga", &key).await?;
        let answer = SubmitSagaResponse {
            saga_id: taken.id.to_string(),
            name,
            state: SagaState::Created.into(),
            created_at: shown::some_time(taken.at),
        };
        Ok(replayed(answer, taken.replayed))
    }

    async fn get_saga_status(
        &self,
        request: Request<GetSagaStatusRequest>,
    ) -> Result<Response<GetSagaStatusResponse>, Status> {
        let api = self.for_caller(&request);
        let (id, saga) = api.saga(&request.into_inner().saga_id).await?;
        let (order, _) = fold(&api, &id, saga.last_seq(), Order::default(), Order::apply).await?;
        let (failed_step, failure_reason) = failure(&saga);
        let mut room = MAX_PAGE_BYTES;
        let results = order.completed.iter().filter_map(|step| {
            let result = saga.task(step)?.result;
            // What finds no room is asked for with GetTaskResult.
            room = room.checked_sub(result.len() + step.len() + 16)?;
            Some(SagaStepResult { step_id: step.clone(), result_json: result.to_vec() })
        });
        let step_results = results.collect();
        Ok(Response::new(GetSagaStatusResponse {
            saga_id: id.to_string(),
            name: saga.spec().name.clone(),
            state: state(saga.saga_state()).into(),
            completed_steps: order.completed,
            compensated_steps: order.compensated,
            failed_step,
            failure_reason,
            step_results,
            created_at: shown::some_time(saga.created_at()),
            updated_at: shown::some_time(saga.updated_at()),
            started_at: saga.started_at().map(shown::time),
            completed_at: saga.finished_at().map(shown::time),
        }))
    }

    async fn list_sagas(
        &self,
        request: Request<ListSagasRequest>,
    ) -> Result<Response<ListSagasResponse>, Status> {
        let api = self.for_caller(&request);
        let request = request.into_inner();
        let filter = filter(request.state_filter)?;
        let (page, pagination) = api.list("ListSagas", filter, request.pagination).await?;
        let sagas = page.summaries.into_iter().map(|summary| SagaSummary {
            state: listed(&summary).into(),
            saga_id: summary.id.to_string(),
            name: summary.name,
            created_at: shown::some_time(summary.created_ms),
            completed_at: shown::some_time(summary.finished_ms),
        });
        Ok(Response::new(ListSagasResponse { sagas: sagas.collect(), pagination: Some(pagination) }))
    }

    async fn compensate_saga(
        &self,
        request: Request<CompensateSagaRequest>,
    ) -> Result<Response<CompensateSagaResponse>, Status> {
        let api = self.for_caller(&request);
        let CompensateSagaRequest { saga_id, reason } = request.into_inner();
        let (id, _) = api.saga(&saga_id).await?;
        api.engine.tell(&id, Input::Compensate { reason }).await.map_err(Problem::from)?;
        let now = api.engine.read(&id, Workflow::saga_state).await.map_err(Problem::from)?;
        Ok(Response::new(CompensateSagaResponse { saga_id, state: state(now).into() }))
    }

    async fn watch_saga(
        &self,
        request: Request<WatchSagaRequest>,
    ) -> Result<Response<Self::WatchSagaStream>, Status> {
        let api = self.for_caller(&request);
        let heartbeat = self.heartbeat(request.metadata())?;
        let (id, saga) = api.saga(&request.into_inner().saga_id).await?;
        let last = SagaFollower::now(&id, &saga);
        let watch = match saga.status().is_terminal() {
            true => None,
            false => Some(api.engine.watch(&id, saga.last_seq()).await.map_err(Problem::from)?),
        };
        let undo_failed = saga.saga_state() == machine::SagaState::CompensationFailed;
        let first = vec![last.clone()];
        let follower = SagaFollower { api: api.clone(), id, last, undo_failed };
        Ok(Response::new(follow(&api, heartbeat, Begun { follower, first, watch })?))
    }
}
