//! Schedules: workflows that the engine submits again and again.

use switchboard_proto::goclaw::v1::{
    CreateScheduleRequest, DeleteScheduleRequest, GetScheduleRequest, ListSchedulesRequest,
    ListSchedulesResponse, PaginationRequest, PauseScheduleRequest, ResumeScheduleRequest, Schedule,
    TriggerScheduleRequest, TriggerScheduleResponse,
};

use super::{Updates, Workflows, pages, random_key};
use crate::Error;
use crate::call::Repeat;

/// Schedules that one call asks for: the engine's most.
const PAGE_SIZE: i32 = 1_000;

/// The schedules of the workflow engine. Made by [`Workflows::schedules`]; a clone is cheap.
///
/// ```no_run
/// use switchboard_proto::goclaw::v1::{
///     CreateScheduleRequest, ScheduleSpec, SubmitWorkflowRequest, TaskDefinition,
/// };
///
/// # async fn example() -> Result<(), switchboard_client::Error> {
/// let client = switchboard_client::Client::connect("http://127.0.0.1:50051").await?;
/// let task = TaskDefinition { id: "hello".into(), target: "echo-agent".into(), ..Default::default() };
/// let workflow = SubmitWorkflowRequest { name: "greet".into(), tasks: vec![task], ..Default::default() };
/// let spec = ScheduleSpec {
///     cron: "0 8 * * 1-5".into(),
///     time_zone: "Europe/Rome".into(),
///     workflow: Some(workflow),
///     ..Default::default()
/// };
/// let request =
///     CreateScheduleRequest { schedule_id: "greet".into(), spec: Some(spec), ..Default::default() };
/// let schedule = client.workflows().schedules().create(request).await?;
/// println!("runs next at {:?}", schedule.next_run_at);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Schedules {
    workflows: Workflows,
}

impl Workflows {
    /// The schedules of this engine.
    pub fn schedules(&self) -> Schedules {
        Schedules { workflows: self.clone() }
    }
}

impl Schedules {
    /// Makes a schedule. `Ok` means that it is on the engine's disk, and that its runs will be submitted, each once.
    ///
    /// The call carries a random idempotency key, as [`Workflows::submit`] does.
    ///
    /// # Errors
    /// [`Error`]: INVALID_ARGUMENT with [`Error::violations`] for a schedule or a workflow that is none, ALREADY_EXISTS
    /// for a taken ID, RESOURCE_EXHAUSTED when there are too many.
    pub async fn create(&self, request: CreateScheduleRequest) -> Result<Schedule, Error> {
        self.create_with_key(&random_key(), request).await
    }

    /// Makes a schedule with a key of the caller's: 1 to 255 visible ASCII characters, kept for 24 hours.
    ///
    /// # Errors
    /// As [`Schedules::create`]; ALREADY_EXISTS (`IDEMPOTENCY_KEY_REUSED`) for a key that another request had.
    pub async fn create_with_key(
        &self,
        key: &str,
        request: CreateScheduleRequest,
    ) -> Result<Schedule, Error> {
        let keyed = self.workflows.keyed(key)?;
        let send = |channel, request| {
            let mut stub = keyed.schedule_stub(channel);
            async move { stub.create_schedule(request).await }
        };
        keyed.client.unary(Repeat::Idempotent, request, send).await
    }

    /// A schedule as it stands: when it runs next, and what its last run is called.
    ///
    /// # Errors
    /// [`Error`], with NOT_FOUND for one that the engine does not have.
    pub async fn get(&self, schedule_id: &str) -> Result<Schedule, Error> {
        let request = GetScheduleRequest { schedule_id: schedule_id.to_owned() };
        let send = |channel, request| {
            let mut stub = self.workflows.schedule_stub(channel);
            async move { stub.get_schedule(request).await }
        };
        self.workflows.client.unary(Repeat::Idempotent, request, send).await
    }

    /// One page of schedules, by their IDs.
    ///
    /// # Errors
    /// [`Error`], with INVALID_ARGUMENT for a token that is none.
    pub async fn list_page(&self, request: ListSchedulesRequest) -> Result<ListSchedulesResponse, Error> {
        let send = |channel, request| {
            let mut stub = self.workflows.schedule_stub(channel);
            async move { stub.list_schedules(request).await }
        };
        self.workflows.client.unary(Repeat::Idempotent, request, send).await
    }

    /// All schedules, by their IDs; pages are asked for as they are needed. Ends after the first error. Dropping it asks
    /// for no more.
    pub fn list(&self) -> Updates<Schedule> {
        let schedules = self.clone();
        pages::rows(String::new(), move |page_token| {
            let schedules = schedules.clone();
            let pagination = Some(PaginationRequest { page_size: PAGE_SIZE, page_token });
            async move {
                let answer = schedules.list_page(ListSchedulesRequest { pagination }).await?;
                Ok((answer.schedules, answer.pagination))
            }
        })
    }

    /// Lets a schedule submit nothing until [`Schedules::resume`]; `note` says why. Idempotent.
    ///
    /// # Errors
    /// As [`Schedules::get`].
    pub async fn pause(&self, schedule_id: &str, note: &str) -> Result<Schedule, Error> {
        let request = PauseScheduleRequest { schedule_id: schedule_id.to_owned(), note: note.to_owned() };
        let send = |channel, request| {
            let mut stub = self.workflows.schedule_stub(channel);
            async move { stub.pause_schedule(request).await }
        };
        self.workflows.client.unary(Repeat::Idempotent, request, send).await
    }

    /// Ends the pause; times that passed meanwhile are left out. Idempotent.
    ///
    /// # Errors
    /// As [`Schedules::get`].
    pub async fn resume(&self, schedule_id: &str) -> Result<Schedule, Error> {
        let request = ResumeScheduleRequest { schedule_id: schedule_id.to_owned() };
        let send = |channel, request| {
            let mut stub = self.workflows.schedule_stub(channel);
            async move { stub.resume_schedule(request).await }
        };
        self.workflows.client.unary(Repeat::Idempotent, request, send).await
    }

    /// Submits a run now, whatever the clock and the overlap policy say, and gives its workflow. It is submitted once:
    /// the call carries a key, as [`Workflows::submit`] does.
    ///
    /// # Errors
    /// As [`Schedules::get`], and those of [`Workflows::submit`].
    pub async fn trigger(&self, schedule_id: &str) -> Result<TriggerScheduleResponse, Error> {
        let keyed = self.workflows.keyed(&random_key())?;
        let request = TriggerScheduleRequest { schedule_id: schedule_id.to_owned() };
        let send = |channel, request| {
            let mut stub = keyed.schedule_stub(channel);
            async move { stub.trigger_schedule(request).await }
        };
        keyed.client.unary(Repeat::Idempotent, request, send).await
    }

    /// Deletes a schedule; runs that were submitted go on. Idempotent for the engine, so a call that is tried again may
    /// find that there is none.
    ///
    /// # Errors
    /// As [`Schedules::get`].
    pub async fn delete(&self, schedule_id: &str) -> Result<(), Error> {
        let request = DeleteScheduleRequest { schedule_id: schedule_id.to_owned() };
        let send = |channel, request| {
            let mut stub = self.workflows.schedule_stub(channel);
            async move { stub.delete_schedule(request).await }
        };
        self.workflows.client.unary(Repeat::Idempotent, request, send).await?;
        Ok(())
    }
}
