//! Streams as server-sent events: `id` is the sequence number, and `Last-Event-ID` goes on behind it.
//!
//! A stream that ends by itself says `event: end`; one that fails says `event: error`, with the error object. The services'
//! back-pressure is what slows or ends a stream: nothing is buffered here but the message that is being written.

use std::{collections::VecDeque, convert::Infallible, sync::Arc};

use axum::{
    http::{StatusCode, header, request::Parts},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use prost_reflect::{MessageDescriptor, MethodDescriptor};
use serde_json::Value;
use switchboard_proto::goclaw::v1::{GetWorkflowStatusRequest, GetWorkflowStatusResponse};
use tonic::{Status, Streaming};

use super::{
    Shared,
    answer::{STATUS, terminal},
    call::Caller,
    json,
    problem::Problem,
    request::Parameters,
    route::Route,
};

/// What a stream's events are called, and behind which number they begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub(super) name: &'static str,
    pub(super) resume: Option<u64>,
}

/// The number behind which the client wants to go on: `Last-Event-ID`, or `last_event_id` where no header can be set.
pub(super) fn resume(parts: &Parts, query: &mut Parameters) -> Result<Option<u64>, Problem> {
    let asked = query.iter().position(|(name, _)| name == "last_event_id").map(|at| query.remove(at).1);
    let header = parts.headers.get("last-event-id").map(|id| id.to_str().unwrap_or("?").to_owned());
    let Some(text) = header.or(asked).filter(|text| !text.is_empty()) else { return Ok(None) };
    let number = text.parse::<u64>().ok().filter(|number| i64::try_from(*number).is_ok());
    number
        .map(Some)
        .ok_or_else(|| Problem::invalid("last-event-id", "must be the id of an event: a whole number"))
}

/// Begins a stream. What is wrong with the request is answered before it begins.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    caller: &Caller,
    route: &Route,
    method: &MethodDescriptor,
    message: Bytes,
    shown: Shown,
) -> Result<Response, Problem> {
    let mut message = BytesMut::from(&message[..]);
    if let Some(after) = shown.resume {
        let resume =
            json::from_text(&method.input(), "resume_from_sequence", &after.to_string()).unwrap_or_default();
        message.extend(json::message(&method.input(), &resume)?);
        if seen(caller, &method.input(), &message, after).await? {
            // The one answer after which a browser does not come back.
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
    }
    if method.is_client_streaming() {
        // Such a call begins before the service has looked at its first message, and is refused too late.
        found(caller, &method.input(), &message).await?;
    }
    let messages = caller.stream(route.rpc, message.freeze()).await?;
    let request_id = caller.request_id();
    let following = Following {
        shared: shared.clone(),
        messages,
        of: method.output(),
        name: shown.name,
        request_id,
        sequence: None,
        ready: VecDeque::new(),
        over: false,
    };
    let ping = KeepAlive::new().interval(shared.settings.ping).text("ping");
    let mut response = Sse::new(events(following)).keep_alive(ping).into_response();
    // Proxies would collect events before they pass them on.
    response.headers_mut().insert("x-accel-buffering", header::HeaderValue::from_static("no"));
    Ok(response)
}

/// Whether the client has seen the workflow's end.
async fn seen(
    caller: &Caller,
    of: &MessageDescriptor,
    message: &BytesMut,
    after: u64,
) -> Result<bool, Problem> {
    let found = found(caller, of, message).await?;
    Ok(terminal(found.status) && u64::try_from(found.sequence_number).is_ok_and(|head| head == after))
}

/// The workflow that a request names.
async fn found(
    caller: &Caller,
    of: &MessageDescriptor,
    message: &BytesMut,
) -> Result<GetWorkflowStatusResponse, Problem> {
    let shown = json::shown(of, message.clone().freeze())?;
    let workflow_id = shown.get("workflow_id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let request = GetWorkflowStatusRequest { workflow_id, include_input: false };
    Ok(caller.typed(STATUS, &request).await?)
}

/// Whether a message says no more than that the stream lives: it repeats the number of the one before.
pub(super) fn is_heartbeat(shown: &Value, last: Option<&Value>) -> bool {
    shown.get("message").is_some_and(|message| message == "heartbeat") && shown.get("sequence_number") == last
}

struct Following {
    shared: Arc<Shared>,
    messages: Streaming<Bytes>,
    of: MessageDescriptor,
    name: &'static str,
    request_id: String,
    /// Of the last event, as it was shown.
    sequence: Option<Value>,
    /// Events of a message that is being written.
    ready: VecDeque<Event>,
    over: bool,
}

fn events(following: Following) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(following, async |mut following| {
        loop {
            if let Some(event) = following.ready.pop_front() {
                return Some((Ok(event), following));
            }
            if following.over {
                return None;
            }
            following.next().await;
        }
    })
}

impl Following {
    /// Waits for a message, or for the end.
    async fn next(&mut self) {
        // `message` loses nothing when dropped: what has not arrived stays in the stream.
        let message = tokio::select! {
            message = self.messages.message() => message,
            () = self.shared.stopped() => {
                Err(Status::unavailable("the server stops; go on elsewhere behind the last id"))
            }
        };
        let shown = match message {
            Ok(Some(message)) => json::shown(&self.of, message),
            Ok(None) => {
                self.over = true;
                self.ready.push_back(Event::default().event("end").data("{}"));
                return;
            }
            Err(status) => Err(Problem::from(status)),
        };
        match shown {
            Ok(mut shown) => match shown.get_mut("entries").map(Value::take) {
                Some(Value::Array(entries)) => {
                    self.ready.extend(entries.iter().map(|entry| event(self.name, entry)));
                }
                _ if is_heartbeat(&shown, self.sequence.as_ref()) => {}
                _ => {
                    self.ready.push_back(event(self.name, &shown));
                    self.sequence = shown.get("sequence_number").cloned();
                }
            },
            Err(problem) => {
                self.over = true;
                self.ready.push_back(event("error", &problem.body(&self.request_id)));
            }
        }
    }
}

fn event(name: &str, shown: &Value) -> Event {
    // JSON text has no line breaks, which alone an event's data cannot hold.
    let event = Event::default().event(name).data(shown.to_string());
    match shown.get("sequence_number").and_then(Value::as_str) {
        Some(number) => event.id(number),
        None => event,
    }
}
