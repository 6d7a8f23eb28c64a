//! Answers: calls, submissions that wait, lists with an offset.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use prost::Message;
use prost_reflect::MessageDescriptor;
use serde_json::{Map, Value};
use switchboard_proto::goclaw::v1::{
    GetWorkflowStatusRequest, GetWorkflowStatusResponse, ListWorkflowsRequest, ListWorkflowsResponse,
    SubmitWorkflowResponse, WatchWorkflowRequest, WorkflowStatus, WorkflowStatusUpdate,
};
use tonic::metadata::MetadataMap;

use super::{
    Shared,
    call::{Caller, copy_headers, decoded},
    events, json, origin,
    problem::Problem,
    request::{self, Parameters},
    route::{Route, Shape},
    routes,
};

/// How far an offset reaches: so many entries are read to be skipped. Beyond it there are page tokens.
const MAX_OFFSET: usize = 10_000;
/// Entries of the pages that are skipped: the most that a page has.
const SKIPPED_PAGE: usize = 1_000;

pub(super) const STATUS: &str = "/goclaw.v1.WorkflowService/GetWorkflowStatus";
pub(super) const LIST: &str = "/goclaw.v1.WorkflowService/ListWorkflows";
pub(super) const WATCH: &str = "/goclaw.v1.StreamingService/WatchWorkflow";

/// Answers a request to a route of the table.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    route: &'static Route,
    parts: &mut Parts,
    body: Body,
) -> Result<Response, Problem> {
    if parts.method != Method::GET && parts.method != Method::HEAD {
        routes::same_origin(&parts.headers)?;
    }
    let method = json::method(route.rpc).expect("a test looks up the method of every route");
    let caller = routes::caller(shared, parts);
    let mut query = request::query(parts).await?;
    let mut body = match route.body {
        true => request::body(&parts.headers, body, shared.settings.max_body_bytes).await?,
        false => Value::Object(Map::new()),
    };
    match route.shape {
        Shape::Call => {
            let message = request::message(route, &method.input(), parts, &query, &body).await?;
            let (metadata, answer, _) = caller.unary(route.rpc, message).await?.into_parts();
            let status = StatusCode::from_u16(route.success).unwrap_or_default();
            json_answer(status, &method.output(), answer, &metadata)
        }
        Shape::Submit => {
            let not_waiting = origin::translate(&mut body)?;
            let message = request::message(route, &method.input(), parts, &query, &body).await?;
            submit(shared, &caller, route, message, not_waiting).await
        }
        Shape::List => {
            let offset = offset(&mut query)?;
            let message = request::message(route, &method.input(), parts, &query, &body).await?;
            list(&caller, route, message, offset).await
        }
        Shape::Events { name, resumes } => {
            let resume = if resumes { events::resume(parts, &mut query)? } else { None };
            let message = request::message(route, &method.input(), parts, &query, &body).await?;
            events::answer(shared, &caller, route, &method, message, events::Shown { name, resume }).await
        }
    }
}

fn json_answer(
    status: StatusCode,
    of: &MessageDescriptor,
    message: Bytes,
    metadata: &MetadataMap,
) -> Result<Response, Problem> {
    let mut response = (status, Json(json::shown(of, message)?)).into_response();
    copy_headers(metadata, response.headers_mut());
    Ok(response)
}

/// Submits, and waits for the end if the client does. Whatever happens to the wait, the workflow is taken.
async fn submit(
    shared: &Shared,
    caller: &Caller,
    route: &Route,
    message: Bytes,
    not_waiting: bool,
) -> Result<Response, Problem> {
    let (metadata, taken, _) = caller.unary(route.rpc, message).await?.into_parts();
    let id = decoded::<SubmitWorkflowResponse>(&taken)?.workflow_id;
    let ended = if not_waiting { None } else { ended(shared, caller, &id).await };
    let (status, of, answer) = match &ended {
        Some(found) => {
            let status = if terminal(found.status) { StatusCode::CREATED } else { StatusCode::ACCEPTED };
            (status, "goclaw.v1.GetWorkflowStatusResponse", found.encode_to_vec().into())
        }
        None => {
            let status = if not_waiting { StatusCode::CREATED } else { StatusCode::ACCEPTED };
            (status, "goclaw.v1.SubmitWorkflowResponse", taken)
        }
    };
    let of = json::POOL.get_message_by_name(of).expect("the name of a generated message");
    let mut response = json_answer(status, &of, answer, &metadata)?;
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/workflows/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// The workflow at its end, or as it is when the wait is over; `None` if it cannot be looked at.
async fn ended(shared: &Shared, caller: &Caller, id: &str) -> Option<GetWorkflowStatusResponse> {
    let watch = async {
        let request = WatchWorkflowRequest { workflow_id: id.to_owned(), resume_from_sequence: 0 };
        let mut updates = caller.stream(WATCH, request.encode_to_vec().into()).await?;
        while let Some(update) = updates.message().await? {
            if terminal(decoded::<WorkflowStatusUpdate>(&update)?.status) {
                break;
            }
        }
        Ok::<_, tonic::Status>(())
    };
    tokio::select! {
        watched = watch => if let Err(error) = watched {
            tracing::debug!(%error, workflow = id, "cannot wait for the end");
        },
        () = tokio::time::sleep(shared.settings.wait) => {}
        () = shared.stopped() => {}
    }
    let request = GetWorkflowStatusRequest { workflow_id: id.to_owned(), include_input: false };
    caller.typed(STATUS, &request).await.ok()
}

pub(super) fn terminal(status: i32) -> bool {
    matches!(
        WorkflowStatus::try_from(status),
        Ok(WorkflowStatus::Completed | WorkflowStatus::Failed | WorkflowStatus::Cancelled)
    )
}

/// Takes `offset` out of a query.
fn offset(query: &mut Parameters) -> Result<usize, Problem> {
    let mut offset = 0;
    if let Some(at) = query.iter().position(|(name, _)| name == "offset") {
        let (_, text) = query.remove(at);
        offset = text.parse().ok().filter(|offset| *offset <= MAX_OFFSET).ok_or_else(|| {
            let reason =
                format!("must be a whole number from 0 to {MAX_OFFSET}; beyond it page by page_token");
            Problem::invalid("offset", reason)
        })?;
    }
    if offset > 0 && query.iter().any(|(name, _)| name == "page_token") {
        return Err(Problem::invalid("offset", "cannot be combined with page_token"));
    }
    Ok(offset)
}

async fn list(caller: &Caller, route: &Route, message: Bytes, offset: usize) -> Result<Response, Problem> {
    let method = json::method(route.rpc).expect("a test looks up the method of every route");
    let mut message = message;
    if offset > 0 {
        let mut wanted: ListWorkflowsRequest = decoded(&message)?;
        let mut pagination = wanted.pagination.take().unwrap_or_default();
        let size = pagination.page_size;
        let mut left = offset;
        while left > 0 {
            let page = left.min(SKIPPED_PAGE);
            pagination.page_size = i32::try_from(page).unwrap_or(i32::MAX);
            wanted.pagination = Some(pagination.clone());
            let skipped: ListWorkflowsResponse = caller.typed(route.rpc, &wanted).await?;
            let next = skipped.pagination.clone().unwrap_or_default();
            if next.next_page_token.is_empty() {
                // Behind the end: an empty page that still says how many there are.
                let empty = ListWorkflowsResponse { workflows: Vec::new(), ..skipped };
                let (answer, none) = (empty.encode_to_vec().into(), MetadataMap::new());
                return json_answer(StatusCode::OK, &method.output(), answer, &none);
            }
            pagination.page_token = next.next_page_token;
            left -= page;
        }
        pagination.page_size = size;
        wanted.pagination = Some(pagination);
        message = wanted.encode_to_vec().into();
    }
    let (metadata, answer, _) = caller.unary(route.rpc, message).await?.into_parts();
    json_answer(StatusCode::OK, &method.output(), answer, &metadata)
}
