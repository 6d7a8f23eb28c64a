//! BatchService: many workflows in one call, results in the order of the request.

use std::time::Duration;

use prost::Message;
use switchboard_proto::goclaw::v1::{
    CancelWorkflowsRequest, CancelWorkflowsResponse, GetTaskResultsRequest, GetTaskResultsResponse,
    GetWorkflowStatusesRequest, GetWorkflowStatusesResponse, PaginationResponse, SubmitWorkflowsRequest,
    SubmitWorkflowsResponse, TaskResultDetail, WorkflowCancellationResult, WorkflowStatusResult,
    WorkflowSubmissionResult, batch_service_server::BatchService,
};
use tokio::time::Instant;
use tonic::{Code, Request, Response, Status, metadata::MetadataMap};
use workflow_machine::{Input, Invalid, Refusal, Workflow, WorkflowId};

use super::{
    Api,
    caller::{self, Caller, digest},
    page::{self, Scope},
    shown,
    status::Problem,
    workflow::{hash, replayed},
    workflow_id,
};
use crate::{
    engine::{EngineError, name_item},
    spec::{Submission, in_words_of_request},
};

/// Bytes of one page: below what clients take by default, with room for what surrounds it.
pub(super) const MAX_PAGE_BYTES: usize = 7 << 19;

/// How long CancelWorkflows waits that does not say, and at most.
const DEFAULT_WAIT: Duration = Duration::from_secs(30);
const MAX_WAIT: Duration = Duration::from_secs(600);

/// Answers come so long before the client would stop to wait for them.
const BEFORE_DEADLINE: Duration = Duration::from_millis(50);

impl Api {
    /// Refuses batches that are empty or too large.
    fn check_size(&self, field: &str, count: usize) -> Result<(), Problem> {
        let max = self.settings().max_batch;
        match count {
            0 => Err(Problem::invalid(field, "is empty; name at least one")),
            count if count > max => {
                let message = format!("{count} items in {field}, at most {max}; send several batches");
                Err(Problem::new(Code::InvalidArgument, "BATCH_TOO_LARGE", message)
                    .with("field", field)
                    .with("max", max))
            }
            _ => Ok(()),
        }
    }

    /// Waits until a workflow has ended, or until the deadline; whether it has.
    pub(super) async fn ended(
        &self,
        id: &WorkflowId,
        after: u64,
        deadline: Instant,
    ) -> Result<bool, Problem> {
        let wait = async {
            let mut watch = self.engine.watch(id, after).await?;
            loop {
                let change = watch.next().await?.workflow_change();
                if change.is_some_and(|(status, _)| status.is_terminal()) {
                    return Ok::<(), Problem>(());
                }
            }
        };
        match tokio::time::timeout_at(deadline, wait).await {
            Ok(ended) => ended.map(|()| true),
            Err(_) => Ok(self.engine.read(id, |workflow| workflow.status().is_terminal()).await?),
        }
    }

    async fn cancel(&self, id: &str, force: bool) -> Result<Cancelled, Problem> {
        let id = workflow_id(id, "workflow_ids")?;
        match self.engine.tell(&id, Input::Cancel { force, reason: String::new() }).await {
            Ok(taken) if taken.status.is_terminal() => {
                Ok(if taken.changed { Cancelled::Now } else { Cancelled::Before })
            }
            Ok(taken) => Ok(Cancelled::Later(id, taken.seq)),
            Err(EngineError::Refused(Refusal::AlreadyTerminal { .. })) => Ok(Cancelled::Before),
            Err(error) => Err(error.into()),
        }
    }
}

/// What became of a cancellation at first.
enum Cancelled {
    Now,
    Before,
    /// Its tasks have their grace; the sequence from which on to watch.
    Later(WorkflowId, u64),
}

/// Everything that is wrong with the items, named by their positions.
fn all_invalid(items: &[Result<Submission, Invalid>]) -> Invalid {
    let mut violations = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let invalid = match item {
            Err(invalid) => invalid.clone(),
            Ok(submission) => match Workflow::submit(WorkflowId::new("none"), submission.spec.clone(), 0) {
                Ok(_) => continue,
                Err(invalid) => in_words_of_request(invalid),
            },
        };
        name_item(&mut violations, index, invalid);
    }
    Invalid { violations }
}

/// Digest of a batch. Bad items count, too: the whole answer is repeated.
fn hash_of(items: &[Result<Submission, Invalid>], atomic: bool) -> [u8; 32] {
    let hashes = items.iter().map(|item| match item {
        Ok(submission) => hash(submission),
        Err(invalid) => digest(&[b"invalid", invalid.to_string().as_bytes()]),
    });
    let hashes: Vec<[u8; 32]> = hashes.collect();
    let mut parts: Vec<&[u8]> = vec![if atomic { b"atomic" } else { b"each" }];
    parts.extend(hashes.iter().map(|hash| hash.as_slice()));
    digest(&parts)
}

/// Entries of a page from `begin` on, until it is full, and where the next page begins.
pub(super) fn fill<T: Message>(
    begin: usize,
    end: usize,
    size: usize,
    mut entry: impl FnMut(usize) -> T,
) -> (Vec<T>, Option<usize>) {
    let (mut entries, mut bytes) = (Vec::new(), 0);
    for index in begin..end {
        let next = entry(index);
        bytes += next.encoded_len() + 8;
        if entries.len() >= size || (bytes > MAX_PAGE_BYTES && !entries.is_empty()) {
            return (entries, Some(index));
        }
        entries.push(next);
    }
    (entries, None)
}

fn paged(scope: Scope, next: Option<usize>, total: usize) -> PaginationResponse {
    PaginationResponse {
        next_page_token: next.map(|index| scope.token_at(index)).unwrap_or_default(),
        total_count: shown::number(total),
    }
}

fn scope(method: &str, ids: &[String]) -> Scope {
    let parts: Vec<&[u8]> = ids.iter().map(String::as_bytes).collect();
    Scope::of(method, &format!("{:?}", digest(&parts)))
}

/// What the client still waits, as its `grpc-timeout` says.
fn deadline(metadata: &MetadataMap) -> Option<Instant> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok()?;
    let timeout = match unit {
        "H" => Duration::from_secs(count.checked_mul(3_600)?),
        "M" => Duration::from_secs(count.checked_mul(60)?),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    };
    Instant::now().checked_add(timeout.saturating_sub(BEFORE_DEADLINE))
}

#[tonic::async_trait]
impl BatchService for Api {
    async fn submit_workflows(
        &self,
        request: Request<SubmitWorkflowsRequest>,
    ) -> Result<Response<SubmitWorkflowsResponse>, Status> {
        let caller = Caller::of(&request);
        let header = caller::key_header(request.metadata())?.to_owned();
        let request = request.into_inner();
        self.check_size("workflows", request.workflows.len())?;
        let key = if request.idempotency_key.is_empty() { header } else { request.idempotency_key };
        let settings = self.settings();
        let items: Vec<Result<Submission, Invalid>> =
            request.workflows.into_iter().map(|item| Submission::read(item, &settings.spec)).collect();
        if request.atomic && items.iter().any(Result::is_err) {
            return Err(Problem::from(all_invalid(&items)).into());
        }
        let key = match key.is_empty() {
            true => None,
            false => caller.key("SubmitWorkflows", &key, hash_of(&items, request.atomic))?,
        };
        let mut good = Vec::with_capacity(items.len());
        let items = items.into_iter().map(|item| {
            item.map(|mut submission| {
                caller.sign(&mut submission);
                good.push(submission);
            })
        });
        let items: Vec<Result<(), Invalid>> = items.collect();
        // One commit, in the order of the request: atomic and ordered are how it is done anyway.
        let taken = self.engine.submit(good, request.atomic, key).await.map_err(Problem::from)?;
        let before = taken.iter().flatten().any(|submitted| submitted.replayed);
        let mut taken = taken.into_iter();
        let results = items.into_iter().enumerate().map(|(index, item)| {
            let outcome = match item {
                Ok(()) => taken.next().unwrap_or(Err(EngineError::NotFound)).map_err(Problem::from),
                Err(invalid) => Err(Problem::from(invalid)),
            };
            let (id, error) = match outcome {
                Ok(submitted) => (submitted.id.to_string(), None),
                Err(problem) => (String::new(), Some(problem.item())),
            };
            WorkflowSubmissionResult {
                index: shown::number(index),
                success: error.is_none(),
                workflow_id: id,
                error,
            }
        });
        let results: Vec<_> = results.collect();
        let total_count = shown::number(results.len());
        let pagination = Some(PaginationResponse { total_count, ..PaginationResponse::default() });
        Ok(replayed(SubmitWorkflowsResponse { results, pagination, error: None }, before))
    }

    async fn get_workflow_statuses(
        &self,
        request: Request<GetWorkflowStatusesRequest>,
    ) -> Result<Response<GetWorkflowStatusesResponse>, Status> {
        let api = self.for_caller(&request);
        let GetWorkflowStatusesRequest { workflow_ids: ids, pagination } = request.into_inner();
        self.check_size("workflow_ids", ids.len())?;
        let scope = scope("GetWorkflowStatuses", &ids);
        let size = page::size(pagination.as_ref())?;
        let begin = scope.index(pagination.as_ref())?.min(ids.len());
        let (mut results, mut bytes, mut next) = (Vec::new(), 0, None);
        for (index, id) in ids.iter().enumerate().skip(begin) {
            let found = api.workflow(id, "workflow_ids").await;
            let entry = match found.map(|workflow| shown::workflow(&workflow, false, self.workers())) {
                Ok(status) => WorkflowStatusResult {
                    workflow_id: id.clone(),
                    found: true,
                    status: Some(status),
                    error: None,
                },
                Err(problem) => WorkflowStatusResult {
                    workflow_id: id.clone(),
                    found: false,
                    status: None,
                    error: Some(problem.item()),
                },
            };
            bytes += entry.encoded_len() + 8;
            if results.len() >= size || (bytes > MAX_PAGE_BYTES && !results.is_empty()) {
                next = Some(index);
                break;
            }
            results.push(entry);
        }
        let pagination = Some(paged(scope, next, ids.len()));
        Ok(Response::new(GetWorkflowStatusesResponse { results, pagination, error: None }))
    }

    async fn cancel_workflows(
        &self,
        request: Request<CancelWorkflowsRequest>,
    ) -> Result<Response<CancelWorkflowsResponse>, Status> {
        let (api, asked_until) = (self.for_caller(&request), deadline(request.metadata()));
        let CancelWorkflowsRequest { workflow_ids: ids, force, timeout_seconds } = request.into_inner();
        self.check_size("workflow_ids", ids.len())?;
        let wait = match u64::try_from(timeout_seconds) {
            Ok(0) => DEFAULT_WAIT,
            Ok(seconds) => Duration::from_secs(seconds).min(MAX_WAIT),
            Err(_) => return Err(Problem::invalid("timeout_seconds", "is negative; use 0 for 30").into()),
        };
        let own = Instant::now() + wait;
        let deadline = asked_until.map_or(own, |asked| asked.min(own));
        let mut begun = Vec::with_capacity(ids.len());
        for id in &ids {
            begun.push(api.cancel(id, force).await);
        }
        let mut results = Vec::with_capacity(ids.len());
        for (id, begun) in ids.into_iter().zip(begun) {
            let (outcome, before) = match begun {
                Ok(Cancelled::Now) => (Ok(true), false),
                Ok(Cancelled::Before) => (Ok(true), true),
                Ok(Cancelled::Later(id, after)) => (api.ended(&id, after, deadline).await, false),
                Err(problem) => (Err(problem), false),
            };
            let error = match outcome {
                Ok(true) => None,
                Ok(false) => {
                    let message = "its tasks have not ended yet; it goes on cancelling, or use force";
                    Some(Problem::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", message).item())
                }
                Err(problem) => Some(problem.item()),
            };
            results.push(WorkflowCancellationResult {
                workflow_id: id,
                success: error.is_none(),
                already_terminal: before,
                error,
            });
        }
        Ok(Response::new(CancelWorkflowsResponse { results, error: None }))
    }

    async fn get_task_results(
        &self,
        request: Request<GetTaskResultsRequest>,
    ) -> Result<Response<GetTaskResultsResponse>, Status> {
        let api = self.for_caller(&request);
        let GetTaskResultsRequest { workflow_id, mut task_ids, pagination } = request.into_inner();
        if !task_ids.is_empty() {
            self.check_size("task_ids", task_ids.len())?;
        }
        let scope = scope(&format!("GetTaskResults {workflow_id}"), &task_ids);
        let workflow = api.workflow(&workflow_id, "workflow_id").await?;
        if task_ids.is_empty() {
            task_ids = workflow.spec().tasks.iter().map(|task| task.id.clone()).collect();
        }
        let size = page::size(pagination.as_ref())?;
        let begin = scope.index(pagination.as_ref())?.min(task_ids.len());
        let (results, next) = fill(begin, task_ids.len(), size, |index| {
            let task_id = task_ids[index].clone();
            match workflow.task(&task_id) {
                Some(view) => TaskResultDetail {
                    found: true,
                    result: Some(shown::result(&task_id, &view)),
                    error: None,
                    task_id,
                },
                None => TaskResultDetail {
                    error: Some(Problem::no_task(&task_id).item()),
                    task_id,
                    ..TaskResultDetail::default()
                },
            }
        });
        let pagination = Some(paged(scope, next, task_ids.len()));
        Ok(Response::new(GetTaskResultsResponse { results, pagination, error: None }))
    }
}
