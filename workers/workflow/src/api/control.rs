//! WorkflowControlService: what can be done to one workflow beside submit and cancel, and its history.

mod history;

use switchboard_proto::goclaw::v1::{
    GetHistoryRequest, GetHistoryResponse, GetTaskResultStreamRequest, PaginationResponse,
    PauseWorkflowRequest, PauseWorkflowResponse, ResumeWorkflowRequest, ResumeWorkflowResponse,
    RetryWorkflowRequest, RetryWorkflowResponse, SignalWorkflowRequest, SignalWorkflowResponse,
    TaskResultChunk, signal_workflow_request::Payload,
    workflow_control_service_server::WorkflowControlService,
};
use tonic::{Code, Request, Response, Status};
use workflow_machine::{Event, EventKind, Input, WorkflowId};
use workflow_store::WorkflowId as StoreId;

use super::{
    Api,
    batch::fill,
    caller::{self, Caller, digest},
    page::{self, Scope},
    shown,
    status::Problem,
    streaming::Outgoing,
    workflow::replayed,
    workflow_id,
};
use crate::{
    engine::{EngineError, Gap, Taken, event},
    spec,
};

/// Bytes of one piece of a result.
const CHUNK_BYTES: usize = 256 << 10;

/// How many events before the newest one a request's own are looked for; a step has a few.
const OWN_EVENTS: u64 = 256;

/// Events of a workflow behind `after`, the oldest number that is kept, and the newest.
struct Read {
    events: Vec<Event>,
    oldest: u64,
    head: u64,
}

impl Api {
    async fn events(&self, id: &WorkflowId, after: u64, limit: usize) -> Result<Read, Problem> {
        let stored = StoreId::new(id.as_str()).map_err(|_| EngineError::NotFound)?;
        let (read_of, reach) = (stored.clone(), self.engine.reach().clone());
        let read = self.engine.from_store(move |store| {
            let summary = store.summary(&stored)?.filter(|summary| reach.covers(&summary.owner));
            let Some(summary) = summary else { return Ok(None) };
            Ok(Some((summary.last_seq, store.events(&stored, after, limit)?)))
        });
        let (head, found) = read.await?.ok_or(EngineError::NotFound)?;
        let events = found
            .items
            .into_iter()
            .map(|item| event(&read_of, &item).map_err(|error| Problem::from(Gap::Unreadable(error))));
        Ok(Read { events: events.collect::<Result<_, _>>()?, oldest: found.oldest, head })
    }

    /// The latest of the events that a request led to that `choose` wants.
    async fn own<T>(
        &self,
        id: &WorkflowId,
        taken: &Taken,
        choose: impl Fn(&Event) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let read = self.events(id, taken.seq.saturating_sub(OWN_EVENTS), OWN_EVENTS as usize).await?;
        Ok(read.events.iter().rev().find_map(choose))
    }
}

#[tonic::async_trait]
impl WorkflowControlService for Api {
    type GetTaskResultStreamStream = Outgoing<TaskResultChunk>;

    async fn retry_workflow(
        &self,
        request: Request<RetryWorkflowRequest>,
    ) -> Result<Response<RetryWorkflowResponse>, Status> {
        let api = self.for_caller(&request);
        let RetryWorkflowRequest { workflow_id: id, from_task_id, reason } = request.into_inner();
        let id = workflow_id(&id, "workflow_id")?;
        let from = Some(from_task_id).filter(|task| !task.is_empty());
        let taken = api.engine.tell(&id, Input::Retry { from, reason }).await.map_err(Problem::from)?;
        let reset = api.own(&id, &taken, |event| match &event.kind {
            Some(EventKind::Reopened(event)) => Some(event.reset.len() + event.resumed.len()),
            _ => None,
        });
        let tasks_reset = shown::number(reset.await?.unwrap_or(0));
        let status = shown::status(taken.status).into();
        Ok(Response::new(RetryWorkflowResponse { status, tasks_reset }))
    }

    async fn pause_workflow(
        &self,
        request: Request<PauseWorkflowRequest>,
    ) -> Result<Response<PauseWorkflowResponse>, Status> {
        let api = self.for_caller(&request);
        let PauseWorkflowRequest { workflow_id: id, reason } = request.into_inner();
        let id = workflow_id(&id, "workflow_id")?;
        let taken = api.engine.tell(&id, Input::Pause { reason }).await.map_err(Problem::from)?;
        Ok(Response::new(PauseWorkflowResponse {
            status: shown::status(taken.status).into(),
            detail: shown::detail(taken.detail).into(),
        }))
    }

    async fn resume_workflow(
        &self,
        request: Request<ResumeWorkflowRequest>,
    ) -> Result<Response<ResumeWorkflowResponse>, Status> {
        let api = self.for_caller(&request);
        let id = workflow_id(&request.into_inner().workflow_id, "workflow_id")?;
        let taken = api.engine.tell(&id, Input::Resume).await.map_err(Problem::from)?;
        Ok(Response::new(ResumeWorkflowResponse {
            status: shown::status(taken.status).into(),
            detail: shown::detail(taken.detail).into(),
        }))
    }

    async fn signal_workflow(
        &self,
        request: Request<SignalWorkflowRequest>,
    ) -> Result<Response<SignalWorkflowResponse>, Status> {
        let (caller, api) = (Caller::of(&request), self.for_caller(&request));
        let header = caller::key_header(request.metadata())?.to_owned();
        let SignalWorkflowRequest { workflow_id: id, name, payload } = request.into_inner();
        let id = workflow_id(&id, "workflow_id")?;
        if name.is_empty() || name.len() > 128 {
            return Err(
                Problem::invalid("name", "has 1 to 128 bytes: that of the waiting task's target").into()
            );
        }
        let payload = match payload {
            None => bytes::Bytes::new(),
            Some(Payload::Input(value)) => spec::json_of_value(&value, "input").map_err(Problem::from)?,
            Some(Payload::InputJson(text)) => {
                spec::json_of_text(text, "input_json").map_err(Problem::from)?
            }
        };
        let hash = digest(&[id.as_str().as_bytes(), name.as_bytes(), &payload]);
        let key = caller.key("SignalWorkflow", &header, hash)?;
        let signal = Input::Signal { name: name.clone(), payload };
        let (seq, before) = match key {
            None => (api.engine.tell(&id, signal).await.map_err(Problem::from)?.seq, false),
            Some(key) => {
                let told = api.engine.tell_once(&id, signal, key).await.map_err(Problem::from)?;
                (told.seq, told.replayed)
            }
        };
        // A completion names the signal that brought it.
        let read = api.events(&id, seq.saturating_sub(OWN_EVENTS), OWN_EVENTS as usize).await?;
        let received = read.events.iter().rfind(|event| {
            event.seq <= seq
                && matches!(&event.kind, Some(EventKind::SignalReceived(signal)) if signal.name == name)
        });
        let woken = received.and_then(|received| {
            read.events.iter().find_map(|event| match &event.kind {
                Some(EventKind::TaskCompleted(done)) if done.signal == received.seq => {
                    Some(done.task.clone())
                }
                _ => None,
            })
        });
        Ok(replayed(SignalWorkflowResponse { task_id: woken.unwrap_or_default() }, before))
    }

    async fn get_history(
        &self,
        request: Request<GetHistoryRequest>,
    ) -> Result<Response<GetHistoryResponse>, Status> {
        let api = self.for_caller(&request);
        let GetHistoryRequest { workflow_id: id, after_sequence, pagination } = request.into_inner();
        let scope = Scope::of("GetHistory", &id);
        let id = workflow_id(&id, "workflow_id")?;
        let size = page::size(pagination.as_ref())?;
        let begin = u64::try_from(after_sequence)
            .map_err(|_| Problem::invalid("after_sequence", "is negative; use 0 for the beginning"))?;
        let after = begin.max(scope.index(pagination.as_ref())? as u64);
        let read = api.events(&id, after, size).await?;
        let (events, cut) = fill(0, read.events.len(), size, |at| history::shown(&read.events[at]));
        let last = events.last().map_or(after, |event| event.sequence_number as u64);
        let more = cut.is_some() || (!events.is_empty() && last < read.head);
        let next_page_token = if more { scope.token_at(last as usize) } else { String::new() };
        let total_count = shown::number(read.head.saturating_sub(begin.max(read.oldest.saturating_sub(1))));
        Ok(Response::new(GetHistoryResponse {
            events,
            pagination: Some(PaginationResponse { next_page_token, total_count }),
            oldest_sequence: read.oldest as i64,
        }))
    }

    async fn get_task_result_stream(
        &self,
        request: Request<GetTaskResultStreamRequest>,
    ) -> Result<Response<Self::GetTaskResultStreamStream>, Status> {
        let api = self.for_caller(&request);
        let GetTaskResultStreamRequest { workflow_id, task_id, offset_bytes } = request.into_inner();
        let workflow = api.workflow(&workflow_id, "workflow_id").await?;
        let view = workflow.task(&task_id).ok_or_else(|| Problem::no_task(&task_id))?;
        let (result, status) = (view.result.clone(), shown::task_status(view.status()));
        let begin = usize::try_from(offset_bytes).ok().filter(|begin| *begin <= result.len());
        let mut begin = begin.ok_or_else(|| {
            let message =
                format!("offset {offset_bytes} lies outside of the result's {} bytes", result.len());
            Problem::new(Code::OutOfRange, "OFFSET_OUT_OF_RANGE", message).with("total_bytes", result.len())
        })?;
        let (sender, stream) = api.outgoing()?;
        tokio::spawn(async move {
            loop {
                let end = (begin + CHUNK_BYTES).min(result.len());
                let chunk = TaskResultChunk {
                    offset_bytes: begin as i64,
                    total_bytes: result.len() as i64,
                    data: result[begin..end].to_vec(),
                    status: status.into(),
                };
                // Who reads slowly holds one result that is kept anyway, and knows where to go on.
                if sender.send_patiently(chunk).await.is_err() || end == result.len() {
                    return;
                }
                begin = end;
            }
        });
        Ok(Response::new(stream))
    }
}
