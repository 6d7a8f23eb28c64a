//! WorkflowService: submit, list, look, cancel.

use prost::Message;
use switchboard_proto::goclaw::v1::{
    CancelWorkflowRequest, CancelWorkflowResponse, GetTaskResultRequest, GetTaskResultResponse,
    GetWorkflowStatusRequest, GetWorkflowStatusResponse, ListWorkflowsRequest, ListWorkflowsResponse,
    PaginationResponse, SubmitWorkflowRequest, SubmitWorkflowResponse, WorkflowDetail, WorkflowFilter,
    WorkflowStatus, workflow_service_server::WorkflowService,
};
use tonic::{Request, Response, Status, metadata::MetadataValue};
use workflow_machine::{Input, Millis, Workflow};
use workflow_store::{Count, Cursor, Filter, Page, Status as Stored, WorkflowId as StoreId};

use super::{
    Api,
    caller::{self, Caller, digest},
    page::{self, Scope},
    shown,
    status::Problem,
    workflow_id,
};
use crate::{engine::Submitted, spec::Submission};

/// Identifiers that a filter may name.
const MAX_FILTER_IDS: usize = 1_000;

impl Api {
    /// Takes one workflow, whoever made a submission of it.
    pub(super) async fn take(
        &self,
        mut submission: Submission,
        caller: &Caller,
        method: &str,
        key: &str,
    ) -> Result<Submitted, Problem> {
        let key = match key.is_empty() {
            true => None,
            false => caller.key(method, key, hash(&submission))?,
        };
        caller.sign(&mut submission);
        let mut taken = self.engine.submit(vec![submission], false, key).await?;
        Ok(taken.pop().unwrap_or(Err(crate::engine::EngineError::Stopping))?)
    }

    /// A workflow as it is.
    pub(super) async fn workflow(&self, id: &str, field: &str) -> Result<Workflow, Problem> {
        // A clone shares the specification and all results; the loop has better things to do than to write messages.
        Ok(self.engine.read(&workflow_id(id, field)?, Workflow::clone).await?)
    }

    /// A page of a list, the token of the next one, and how many there are.
    pub(super) async fn list(
        &self,
        method: &str,
        filter: Filter,
        pagination: Option<switchboard_proto::goclaw::v1::PaginationRequest>,
    ) -> Result<(Page, PaginationResponse), Problem> {
        // The caller's reach, too: nobody goes on with another's token.
        let scope = Scope::of(method, &format!("{filter:?} {:?}", self.engine.reach()));
        let size = page::size(pagination.as_ref())?;
        let after = scope.place(pagination.as_ref())?.and_then(|place| cursor(&place));
        let (page, count) = self.engine.list(filter, after, size).await?;
        let next = page.next.as_ref().map(|cursor| {
            let mut place = cursor.created_ms.to_be_bytes().to_vec();
            place.extend(cursor.id.as_bytes());
            scope.token(&place)
        });
        let total_count = match count {
            Count::Exact(count) => shown::number(count),
            Count::MoreThan(_) => -1,
        };
        Ok((page, PaginationResponse { next_page_token: next.unwrap_or_default(), total_count }))
    }
}

impl Caller {
    /// Says in the specification who submits it.
    pub(super) fn sign(&self, submission: &mut Submission) {
        submission.spec.owner = self.name.clone();
        submission.spec.owner_roles = self.roles.clone();
        submission.spec.request_id = self.request_id.clone();
    }
}

/// Digest of what a submission asks for. Its maps are ordered, so the same request has the same digest.
pub(super) fn hash(submission: &Submission) -> [u8; 32] {
    let id = submission.id.as_ref().map_or("", |id| id.as_str());
    digest(&[id.as_bytes(), &submission.spec.encode_to_vec()])
}

fn cursor(place: &[u8]) -> Option<Cursor> {
    let (created, id) = place.split_first_chunk::<8>()?;
    let id = StoreId::new(std::str::from_utf8(id).ok()?).ok()?;
    Some(Cursor { created_ms: u64::from_be_bytes(*created), id })
}

/// What a request's filter asks the store for.
pub(super) fn filter(filter: Option<WorkflowFilter>) -> Result<Filter, Problem> {
    let filter = filter.unwrap_or_default();
    if filter.workflow_ids.len() > MAX_FILTER_IDS {
        return Err(Problem::invalid(
            "filter.workflow_ids",
            format!("{} IDs, at most {MAX_FILTER_IDS}; ask several times", filter.workflow_ids.len()),
        ));
    }
    let id = |id: &str, field: &str| {
        StoreId::new(id).map_err(|error| Problem::invalid(field, format!("is no workflow ID: {error}")))
    };
    let detail = match WorkflowDetail::try_from(filter.detail) {
        Ok(WorkflowDetail::Unspecified) => None,
        Ok(detail) => Some(detail as u8),
        Err(_) => return Err(Problem::invalid("filter.detail", "not a value of WorkflowDetail; use 0 to 8")),
    };
    let mut attributes: Vec<(String, String)> = filter.attributes.into_iter().collect();
    attributes.sort_unstable();
    let parent = Some(filter.parent_workflow_id).filter(|id| !id.is_empty());
    Ok(Filter {
        detail,
        name_prefix: filter.name_prefix,
        created_from_ms: filter.created_after.map(|at| millis(at, "filter.created_after")).transpose()?,
        created_before_ms: filter.created_before.map(|at| millis(at, "filter.created_before")).transpose()?,
        attributes,
        parent: parent.map(|parent| id(&parent, "filter.parent_workflow_id")).transpose()?,
        ids: filter
            .workflow_ids
            .iter()
            .enumerate()
            .map(|(at, text)| id(text, &format!("filter.workflow_ids[{at}]")))
            .collect::<Result<_, _>>()?,
        ..Filter::default()
    })
}

/// Unix ms, rounded up: what was created in the same millisecond is not before it.
fn millis(at: prost_types::Timestamp, field: &str) -> Result<Millis, Problem> {
    let nanos = u64::try_from(at.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let ms = u64::try_from(at.seconds).ok().and_then(|seconds| seconds.checked_mul(1_000));
    let ms = ms.zip(nanos).and_then(|(ms, nanos)| ms.checked_add(nanos.div_ceil(1_000_000)));
    ms.ok_or_else(|| Problem::invalid(field, "is no time between 1970 and 9999"))
}

/// The one status that a filter names; `None` for all.
pub(super) fn stored_status(status: i32, field: &str) -> Result<Option<Stored>, Problem> {
    match WorkflowStatus::try_from(status) {
        Ok(WorkflowStatus::Unspecified) => Ok(None),
        Ok(status) => Ok(Stored::try_from(status as u8).ok()),
        Err(_) => Err(Problem::invalid(field, "not a value of WorkflowStatus; use 0 to 5")),
    }
}

/// Marks an answer that was given before.
pub(super) fn replayed<T>(answer: T, replayed: bool) -> Response<T> {
    let mut response = Response::new(answer);
    if replayed {
        response.metadata_mut().insert(caller::REPLAYED_HEADER, MetadataValue::from_static("true"));
    }
    response
}

#[tonic::async_trait]
impl WorkflowService for Api {
    async fn submit_workflow(
        &self,
        request: Request<SubmitWorkflowRequest>,
    ) -> Result<Response<SubmitWorkflowResponse>, Status> {
        let caller = Caller::of(&request);
        let key = caller::key_header(request.metadata())?.to_owned();
        let submission =
            Submission::read(request.into_inner(), &self.settings().spec).map_err(Problem::from)?;
        let taken = self.take(submission, &caller, "SubmitWorkflow", &key).await?;
        let answer = SubmitWorkflowResponse {
            workflow_id: taken.id.to_string(),
            error: None,
            // What it was when it was taken, however often the answer is given.
            status: WorkflowStatus::Pending.into(),
            created_at: shown::some_time(taken.at),
        };
        Ok(replayed(answer, taken.replayed))
    }

    async fn list_workflows(
        &self,
        request: Request<ListWorkflowsRequest>,
    ) -> Result<Response<ListWorkflowsResponse>, Status> {
        let api = self.for_caller(&request);
        let request = request.into_inner();
        let status = stored_status(request.status_filter, "status_filter")?;
        let filter = Filter { statuses: status.into_iter().collect(), ..filter(request.filter)? };
        let (page, pagination) = api.list("ListWorkflows", filter, request.pagination).await?;
        Ok(Response::new(ListWorkflowsResponse {
            workflows: page.summaries.into_iter().map(shown::summary).collect(),
            pagination: Some(pagination),
            error: None,
        }))
    }

    async fn get_workflow_status(
        &self,
        request: Request<GetWorkflowStatusRequest>,
    ) -> Result<Response<GetWorkflowStatusResponse>, Status> {
        let api = self.for_caller(&request);
        let request = request.into_inner();
        let workflow = api.workflow(&request.workflow_id, "workflow_id").await?;
        Ok(Response::new(shown::workflow(&workflow, request.include_input, self.workers())))
    }

    async fn cancel_workflow(
        &self,
        request: Request<CancelWorkflowRequest>,
    ) -> Result<Response<CancelWorkflowResponse>, Status> {
        let api = self.for_caller(&request);
        let CancelWorkflowRequest { workflow_id: id, force, reason } = request.into_inner();
        let id = workflow_id(&id, "workflow_id")?;
        let taken = api.engine.tell(&id, Input::Cancel { force, reason }).await.map_err(Problem::from)?;
        let status = shown::status(taken.status).into();
        Ok(Response::new(CancelWorkflowResponse { success: true, error: None, status }))
    }

    async fn get_task_result(
        &self,
        request: Request<GetTaskResultRequest>,
    ) -> Result<Response<GetTaskResultResponse>, Status> {
        let api = self.for_caller(&request);
        let request = request.into_inner();
        let workflow = api.workflow(&request.workflow_id, "workflow_id").await?;
        let task = request.task_id.as_str();
        let view = workflow.task(task).ok_or_else(|| Problem::no_task(task))?;
        Ok(Response::new(shown::result(task, &view)))
    }
}
