//! `/ws/events`: workflows and their tasks as they change, over one WebSocket.
//!
//! The client sends `{"type":"subscribe","workflow_id":"…"}`, if wanted with `resume_from_sequence`, and
//! `{"type":"unsubscribe","workflow_id":"…"}`. It gets `{type, timestamp, payload}`:
//!
//! | type | payload |
//! |---|---|
//! | `subscribed` | `workflow_id` |
//! | `workflow.state_changed`, `task.state_changed` | as the events of SSE, each in its order |
//! | `unsubscribed` | `workflow_id`; also when the workflow has ended and all was told |
//! | `error` | `workflow_id` if it concerns one, and the error object |
//!
//! One slow reader slows its own streams, until the services end them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    extract::{
        FromRequestParts, Request,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
};
use prost_types::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    task::{AbortHandle, JoinSet},
    time::{Instant, interval_at},
};

use super::{Shared, answer::WATCH, call::Caller, events::is_heartbeat, json, problem::Problem, routes};

/// Subscriptions of one socket: each is two streams.
const MAX_SUBSCRIPTIONS: usize = 100;
/// Largest message of a client: a subscription has some 200 bytes.
const MAX_MESSAGE_BYTES: usize = 4 << 10;
/// Messages that wait to be written; behind them the services' own buffers fill.
const QUEUED: usize = 16;
/// How long a client may take to read one message.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

const TASKS: &str = "/goclaw.v1.StreamingService/WatchTasks";

/// What a client says.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Said {
    Subscribe {
        workflow_id: String,
        #[serde(default)]
        resume_from_sequence: i64,
    },
    Unsubscribe {
        workflow_id: String,
    },
}

/// Answers the request for a WebSocket.
pub(super) async fn upgrade(shared: &Arc<Shared>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    match upgraded(shared, &mut parts).await {
        Ok(response) => response,
        Err(problem) => problem.response(routes::request_id(&parts.headers)),
    }
}

async fn upgraded(shared: &Arc<Shared>, parts: &mut axum::http::request::Parts) -> Result<Response, Problem> {
    routes::same_origin(&parts.headers)?;
    let caller = routes::caller(shared, parts);
    // Each subscription is a call of its own; but who may make none is to hold no socket.
    caller.admitted(WATCH)?;
    let permit = shared.sockets.clone().try_acquire_owned().map_err(|_| {
        let message = format!("there are {} WebSockets; try again later", shared.settings.max_sockets);
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "TOO_MANY_SOCKETS", message)
            .with(axum::http::header::RETRY_AFTER, "1")
    })?;
    let upgrade = match WebSocketUpgrade::from_request_parts(parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(error) => {
            let message = format!("this path wants a WebSocket: {error}");
            return Err(Problem::new(error.into_response().status(), "NO_WEBSOCKET", message));
        }
    };
    let socket = Socket { shared: shared.clone(), caller, _permit: permit };
    let upgrade = upgrade.max_message_size(MAX_MESSAGE_BYTES).max_frame_size(MAX_MESSAGE_BYTES);
    Ok(upgrade.on_upgrade(|connection| socket.run(connection)))
}

struct Socket {
    shared: Arc<Shared>,
    caller: Caller,
    _permit: OwnedSemaphorePermit,
}

impl Socket {
    /// Serves until the client goes, is too slow, or the server stops.
    async fn run(self, mut connection: WebSocket) {
        let _open = self.shared.metrics.sockets.hold();
        let (queue, mut queued) = mpsc::channel(QUEUED);
        // Dropped with this future, and with it all streams.
        let mut tasks = JoinSet::new();
        let mut subscriptions = HashMap::new();
        let ping = self.shared.settings.ping;
        let mut pings = interval_at(Instant::now() + ping, ping);
        loop {
            // Every branch only waits: what has not arrived stays where it is.
            let message = tokio::select! {
                message = connection.recv() => match message {
                    Some(Ok(Message::Text(text))) => self.hear(&text, &mut subscriptions, &mut tasks, &queue),
                    Some(Ok(Message::Binary(_))) => Some(failed(None, &Problem::invalid("", "messages are text"), "")),
                    // Pongs are sent by the library.
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => None,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                }.map(|value| Message::text(value.to_string())),
                Some(value) = queued.recv() => Some(Message::text(Value::to_string(&value))),
                Some(_) = tasks.join_next(), if !tasks.is_empty() => None,
                _ = pings.tick() => Some(Message::Ping(bytes::Bytes::new())),
                () = self.shared.stopped() => {
                    let frame = CloseFrame { code: close_code::AWAY, reason: "the server stops".into() };
                    let close = connection.send(Message::Close(Some(frame)));
                    let _ = tokio::time::timeout(WRITE_TIMEOUT, close).await;
                    return;
                }
            };
            let Some(message) = message else { continue };
            match tokio::time::timeout(WRITE_TIMEOUT, connection.send(message)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }

    /// Does what the client says, and what is to be answered at once.
    fn hear(
        &self,
        text: &str,
        subscriptions: &mut HashMap<String, AbortHandle>,
        tasks: &mut JoinSet<()>,
        queue: &mpsc::Sender<Value>,
    ) -> Option<Value> {
        let request_id = self.caller.request_id();
        let said = match serde_json::from_str(text) {
            Ok(said) => said,
            Err(error) => {
                let problem = Problem::invalid("", format!("messages are subscribe or unsubscribe: {error}"));
                return Some(failed(None, &problem, &request_id));
            }
        };
        match said {
            Said::Subscribe { workflow_id, resume_from_sequence } => {
                subscriptions.retain(|_, task| !task.is_finished());
                let known = subscriptions.contains_key(&workflow_id);
                if known || subscriptions.len() >= MAX_SUBSCRIPTIONS {
                    let reason = match known {
                        true => "is subscribed already".to_owned(),
                        false => format!(
                            "there are {MAX_SUBSCRIPTIONS} subscriptions; end one, or open another socket"
                        ),
                    };
                    let problem = Problem::invalid("workflow_id", reason);
                    return Some(failed(Some(&workflow_id), &problem, &request_id));
                }
                let following =
                    follow(self.caller.clone(), workflow_id.clone(), resume_from_sequence, queue.clone());
                subscriptions.insert(workflow_id, tasks.spawn(following));
                None
            }
            Said::Unsubscribe { workflow_id } => {
                if let Some(task) = subscriptions.remove(&workflow_id) {
                    task.abort();
                }
                Some(about("unsubscribed", &workflow_id))
            }
        }
    }
}

/// Tells of a workflow and its tasks until it has ended.
async fn follow(caller: Caller, id: String, resume: i64, queue: mpsc::Sender<Value>) {
    // A closed queue means that nobody listens.
    let _ = queue.send(about("subscribed", &id)).await;
    let workflow = one(&caller, WATCH, "workflow.state_changed", &id, resume, &queue);
    let tasks = one(&caller, TASKS, "task.state_changed", &id, resume, &queue);
    if let Err(problem) = tokio::try_join!(workflow, tasks) {
        let _ = queue.send(failed(Some(&id), &problem, &caller.request_id())).await;
    }
    let _ = queue.send(about("unsubscribed", &id)).await;
}

async fn one(
    caller: &Caller,
    rpc: &'static str,
    name: &str,
    id: &str,
    resume: i64,
    queue: &mpsc::Sender<Value>,
) -> Result<(), Problem> {
    let method = json::method(rpc).expect("the name of a generated method");
    let request = json!({ "workflow_id": id, "resume_from_sequence": resume });
    let mut messages = caller.stream(rpc, json::message(&method.input(), &request)?).await?;
    let mut last = None;
    while let Some(message) = messages.message().await? {
        let payload = json::shown(&method.output(), message)?;
        if is_heartbeat(&payload, last.as_ref()) {
            // Pings say the same.
            continue;
        }
        last = payload.get("sequence_number").cloned();
        let timestamp = payload.get("timestamp").cloned().unwrap_or_else(now);
        let message = json!({ "type": name, "timestamp": timestamp, "payload": payload });
        if queue.send(message).await.is_err() {
            break;
        }
    }
    Ok(())
}

fn about(kind: &str, id: &str) -> Value {
    json!({ "type": kind, "timestamp": now(), "payload": { "workflow_id": id } })
}

fn failed(id: Option<&str>, problem: &Problem, request_id: &str) -> Value {
    let mut payload = problem.body(request_id);
    if let Some(id) = id {
        payload["workflow_id"] = id.into();
    }
    json!({ "type": "error", "timestamp": now(), "payload": payload })
}

fn now() -> Value {
    Timestamp::from(std::time::SystemTime::now()).to_string().into()
}
