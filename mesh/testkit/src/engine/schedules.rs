//! Schedules: a list of them, in which every change is seen.

use switchboard_proto::goclaw::v1::schedule_service_server::ScheduleService;
use switchboard_proto::goclaw::v1::{
    CreateScheduleRequest, DeleteScheduleRequest, DeleteScheduleResponse, GetScheduleRequest,
    ListSchedulesRequest, ListSchedulesResponse, PaginationResponse, PauseScheduleRequest,
    ResumeScheduleRequest, Schedule, TriggerScheduleRequest, TriggerScheduleResponse,
};
use tonic::{Request, Response, Status};

use super::{Engine, get, key};

impl Engine {
    /// Changes a schedule, and shows what has become of it.
    fn change(&self, id: &str, change: impl FnOnce(&mut Schedule)) -> Result<Response<Schedule>, Status> {
        self.fails()?;
        let mut schedules = get(&self.schedules);
        let found = schedules.iter_mut().find(|schedule| schedule.schedule_id == id);
        let schedule = found.ok_or_else(|| Status::not_found(format!("there is no schedule {id}")))?;
        change(schedule);
        Ok(Response::new(schedule.clone()))
    }
}

#[tonic::async_trait]
impl ScheduleService for Engine {
    async fn create_schedule(
        &self,
        request: Request<CreateScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        get(&self.keys).push(key(&request)?);
        self.fails()?;
        let CreateScheduleRequest { schedule_id, spec, paused, note } = request.into_inner();
        let schedule = Schedule { schedule_id, spec, paused, note, ..Default::default() };
        get(&self.schedules).push(schedule.clone());
        Ok(Response::new(schedule))
    }

    async fn get_schedule(&self, request: Request<GetScheduleRequest>) -> Result<Response<Schedule>, Status> {
        self.change(&request.into_inner().schedule_id, |_| ())
    }

    /// One schedule to a page, the token is its place.
    async fn list_schedules(
        &self,
        request: Request<ListSchedulesRequest>,
    ) -> Result<Response<ListSchedulesResponse>, Status> {
        let token = request.into_inner().pagination.unwrap_or_default().page_token;
        let at: usize = token.parse().unwrap_or_default();
        get(&self.tokens).push(token);
        let schedules = get(&self.schedules);
        let more = at + 1 < schedules.len();
        let pagination = PaginationResponse {
            next_page_token: if more { (at + 1).to_string() } else { String::new() },
            total_count: schedules.len() as i32,
        };
        let schedules = schedules.get(at).cloned().into_iter().collect();
        Ok(Response::new(ListSchedulesResponse { schedules, pagination: Some(pagination) }))
    }

    async fn pause_schedule(
        &self,
        request: Request<PauseScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        let PauseScheduleRequest { schedule_id, note } = request.into_inner();
        self.change(&schedule_id, |schedule| {
            (schedule.paused, schedule.note, schedule.next_run_at) = (true, note, None);
        })
    }

    async fn resume_schedule(
        &self,
        request: Request<ResumeScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        self.change(&request.into_inner().schedule_id, |schedule| {
            (schedule.paused, schedule.note) = (false, String::new());
        })
    }

    async fn trigger_schedule(
        &self,
        request: Request<TriggerScheduleRequest>,
    ) -> Result<Response<TriggerScheduleResponse>, Status> {
        get(&self.keys).push(key(&request)?);
        let id = request.into_inner().schedule_id;
        self.change(&id, |schedule| schedule.runs_total += 1)?;
        Ok(Response::new(TriggerScheduleResponse { workflow_id: format!("{id}:now") }))
    }

    async fn delete_schedule(
        &self,
        request: Request<DeleteScheduleRequest>,
    ) -> Result<Response<DeleteScheduleResponse>, Status> {
        let id = request.into_inner().schedule_id;
        self.change(&id, |_| ())?;
        get(&self.schedules).retain(|schedule| schedule.schedule_id != id);
        Ok(Response::new(DeleteScheduleResponse {}))
    }
}
