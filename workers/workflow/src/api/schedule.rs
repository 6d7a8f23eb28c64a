//! ScheduleService: workflows that are submitted again and again.
//!
//! A schedule belongs to who made it, and so do its runs. Somebody else's is not found, but for those who administer the
//! engine.

mod read;
mod show;

use prost::Message;
use switchboard_proto::goclaw::v1::{
    CreateScheduleRequest, DeleteScheduleRequest, DeleteScheduleResponse, GetScheduleRequest,
    ListSchedulesRequest, ListSchedulesResponse, PaginationResponse, PauseScheduleRequest,
    ResumeScheduleRequest, Schedule, TriggerScheduleRequest, TriggerScheduleResponse,
    schedule_service_server::ScheduleService,
};
use tonic::{Request, Response, Status};

use super::{
    Api,
    caller::{self, Caller, digest},
    page::{self, Scope},
    shown,
    status::Problem,
    workflow::replayed,
};
use crate::spec::Submission;

/// Characters of a note.
const MAX_NOTE_CHARS: usize = 1_024;

fn note(note: &str) -> Result<(), String> {
    match note.chars().count() {
        count if count > MAX_NOTE_CHARS => Err(format!("{count} characters, at most {MAX_NOTE_CHARS}")),
        _ => Ok(()),
    }
}

/// What names a schedule in a request. What none can be called is not found, as what is none.
fn id(id: &str) -> Result<&str, Problem> {
    match id {
        "" => Err(Problem::invalid("schedule_id", "is empty; name a schedule")),
        id => Ok(id),
    }
}

#[tonic::async_trait]
impl ScheduleService for Api {
    async fn create_schedule(
        &self,
        request: Request<CreateScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        let caller = Caller::of(&request);
        let key = caller::key_header(request.metadata())?.to_owned();
        let request = request.into_inner();
        let key = match key.is_empty() {
            true => None,
            false => caller.key("CreateSchedule", &key, digest(&[&request.encode_to_vec()]))?,
        };
        let mut schedule = read::schedule(request, &self.settings().spec).map_err(Problem::from)?;
        let mut run = Submission { id: None, spec: schedule.workflow };
        caller.sign(&mut run);
        schedule.workflow = run.spec;
        let (made, before) = self.engine.create_schedule(schedule, key).await.map_err(Problem::from)?;
        Ok(replayed(show::schedule(made), before))
    }

    async fn get_schedule(&self, request: Request<GetScheduleRequest>) -> Result<Response<Schedule>, Status> {
        let api = self.for_caller(&request);
        let request = request.into_inner();
        let found = api.engine.schedule(id(&request.schedule_id)?).await.map_err(Problem::from)?;
        Ok(Response::new(show::schedule(found)))
    }

    async fn list_schedules(
        &self,
        request: Request<ListSchedulesRequest>,
    ) -> Result<Response<ListSchedulesResponse>, Status> {
        let api = self.for_caller(&request);
        let pagination = request.into_inner().pagination;
        let scope = Scope::of("ListSchedules", "");
        let size = page::size(pagination.as_ref())?;
        let place = scope.place(pagination.as_ref())?.unwrap_or_default();
        let after = String::from_utf8(place).unwrap_or_default();
        let page = api.engine.schedules(after, size).await.map_err(Problem::from)?;
        let (total, mut more) = (page.total, page.more);
        let mut room = super::batch::MAX_PAGE_BYTES;
        let mut shown = Vec::with_capacity(page.schedules.len());
        for state in page.schedules {
            // Workflows may be as large as a message: one is always shown.
            if state.shown.len() > room && !shown.is_empty() {
                more = true;
                break;
            }
            room = room.saturating_sub(state.shown.len());
            shown.push(show::schedule(state));
        }
        let next = shown.last().filter(|_| more).map(|last| scope.token(last.schedule_id.as_bytes()));
        Ok(Response::new(ListSchedulesResponse {
            schedules: shown,
            pagination: Some(PaginationResponse {
                next_page_token: next.unwrap_or_default(),
                total_count: shown::number(total),
            }),
        }))
    }

    async fn pause_schedule(
        &self,
        request: Request<PauseScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        let api = self.for_caller(&request);
        let PauseScheduleRequest { schedule_id, note: why } = request.into_inner();
        note(&why).map_err(|reason| Problem::invalid("note", reason))?;
        let paused = api.engine.pause_schedule(id(&schedule_id)?, why).await.map_err(Problem::from)?;
        Ok(Response::new(show::schedule(paused)))
    }

    async fn resume_schedule(
        &self,
        request: Request<ResumeScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        let api = self.for_caller(&request);
        let request = request.into_inner();
        let resumed = api.engine.resume_schedule(id(&request.schedule_id)?).await.map_err(Problem::from)?;
        Ok(Response::new(show::schedule(resumed)))
    }

    async fn trigger_schedule(
        &self,
        request: Request<TriggerScheduleRequest>,
    ) -> Result<Response<TriggerScheduleResponse>, Status> {
        let (caller, api) = (Caller::of(&request), self.for_caller(&request));
        let key = caller::key_header(request.metadata())?.to_owned();
        let request = request.into_inner();
        let id = id(&request.schedule_id)?;
        let key = caller.key("TriggerSchedule", &key, digest(&[id.as_bytes()]))?;
        let taken = api.engine.trigger_schedule(id, key).await.map_err(Problem::from)?;
        let answer = TriggerScheduleResponse { workflow_id: taken.id.to_string() };
        Ok(replayed(answer, taken.replayed))
    }

    async fn delete_schedule(
        &self,
        request: Request<DeleteScheduleRequest>,
    ) -> Result<Response<DeleteScheduleResponse>, Status> {
        let api = self.for_caller(&request);
        let request = request.into_inner();
        api.engine.delete_schedule(id(&request.schedule_id)?).await.map_err(Problem::from)?;
        Ok(Response::new(DeleteScheduleResponse {}))
    }
}
