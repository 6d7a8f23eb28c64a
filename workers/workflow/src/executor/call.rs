//! Calls of agents, tools and workers, through the router.
//!
//! | | method | input | operation | result |
//! |---|---|---|---|---|
//! | agent | `ExecuteTask` | `input` | parameter `operation` | `output` |
//! | agent, operation `stream` | `StreamTask` | `input` | | the chunks, one after another; each is a line of the log |
//! | tool | `ExecuteTool` | parameters | `operation` | `result` |
//! | worker | `ProcessTask` | `input` and parameters | parameter `operation` | `output` |
//!
//! An input that is a JSON string is passed as what it says, any other as JSON text. Where the input becomes parameters,
//! an object gives one for each of its fields, anything else the one named `input`; parameters that the task names
//! itself come first. An answer that is JSON is the result as it is, any other becomes a JSON string.
//!
//! `task_id` is the idempotency key, the same for every attempt: a router with affinity finds the instance that had the
//! task before, and a worker that remembers what it answered answers it again. A worker that is still at it (ALREADY_EXISTS
//! with the reason `TASK_RUNNING`, after a crash of ours) is asked again until it is not.
//!
//! Where the engine's policy has rules, the workflow's owner needs the right to make the call itself, at the time of each
//! attempt; else it fails for good with PERMISSION_DENIED. A policy that was not read yet is waited for.
//!
//! Headers: `x-idempotency-key`, `x-request-id` of the submission, `x-workflow-id`, `x-workflow-task`,
//! `x-workflow-attempt`, and the deadline as `grpc-timeout`. Dropping the future of a call resets it, which the backend sees.

mod failure;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use switchboard_backend::{Kind, Rights};
use switchboard_client::{Client, Config, Error};
use switchboard_proto::agentplatform::{TaskRequest, TaskResponse};
use tokio::time::Instant;
use workflow_machine::{Call, CallKind, TaskError};
use xxhash_rust::xxh3::xxh3_128;

use self::failure::Told;
use super::payload;
use super::voice::{INFO, Voice};
use crate::attempt::Attempt;

/// Bytes of a result: more belongs into a store, with its name as the result.
pub(super) const MAX_RESULT_BYTES: usize = 16 << 20;

/// What a message has beside its result: identifiers and metadata.
const MESSAGE_OVERHEAD_BYTES: usize = 1 << 20;

/// Bytes of a `task_id`; `itinerary-worker` takes no longer ones. Children of children have longer keys.
const MAX_TASK_ID_BYTES: usize = 256;

/// First pause before a worker that is still at the task is asked again; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// A worker that takes minutes is asked twelve times a minute.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Code of a call that the workflow's owner may not make.
const PERMISSION_DENIED: &str = "PERMISSION_DENIED";

/// The operation of an agent that asks for a stream.
const STREAM: &str = "stream";

/// Makes calls through one router.
#[derive(Clone, Debug)]
pub struct Calls {
    router: Client,
    rights: Option<Rights>,
}

impl Calls {
    /// Calls through this router, `http://host:port` or as [`Client::connect_lazy_with`] has it. Connects at the first call.
    ///
    /// # Errors
    /// Those of [`Client::connect_lazy_with`].
    ///
    /// # Panics
    /// Outside a tokio runtime, which the connections need.
    pub fn through(router: &str, config: Config) -> Result<Self, Error> {
        let max_message_bytes = MAX_RESULT_BYTES + MESSAGE_OVERHEAD_BYTES;
        let router = Client::connect_lazy_with(router, Config { max_message_bytes, ..config })?;
        Ok(Self { router, rights: None })
    }

    /// Makes only those that the workflow's owner might make as well. The engine may call a lot, and must lend that to nobody.
    #[must_use]
    pub fn within(mut self, rights: Rights) -> Self {
        self.rights = Some(rights);
        self
    }

    /// Makes one call and waits for its result.
    ///
    /// # Errors
    /// What the answer says, or why there is none, and whether another attempt can help.
    pub(super) async fn make(
        &self,
        attempt: &Attempt,
        call: &Call,
        end: Option<Instant>,
        voice: &Voice,
    ) -> Result<Bytes, TaskError> {
        self.may(attempt, call).await?;
        let mut pause = FIRST_PAUSE;
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let router = self.dressed(attempt, left)?;
            let answered = match call.kind() {
                CallKind::Tool => tool(&router, call).await,
                CallKind::Worker => worker(&router, attempt, call, voice).await,
                CallKind::Agent if call.operation == STREAM => stream(&router, attempt, call, voice).await,
                CallKind::Agent => agent(&router, attempt, call, voice).await,
            };
            let told = match answered {
                Ok(result) => return within(&call.target, result),
                Err(told) => told,
            };
            let next = Instant::now() + pause;
            if !told.is_still_running() || end.is_some_and(|end| next >= end) {
                return Err(told.into_error(&call.target));
            }
            tokio::time::sleep_until(next).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Asks with every attempt: the policy may have changed.
    async fn may(&self, attempt: &Attempt, call: &Call) -> Result<(), TaskError> {
        let Some(rights) = &self.rights else { return Ok(()) };
        let (kind, path) = method(call);
        let (owner, target) = (attempt.owner.as_str(), call.target.as_str());
        let Err(reason) = rights.check(owner, &attempt.owner_roles, target, kind, path).await else {
            return Ok(());
        };
        let (workflow, task, why) = (attempt.workflow.as_str(), attempt.run.task.as_str(), reason.as_str());
        tracing::warn!(target: "audit", principal = owner, workflow, task, target, path, why, "a task is not made: its owner may not");
        let words = match owner {
            "" => format!(
                "{target} is not called: nobody is known to have submitted the workflow, and the policy has rules for \
                 whom it knows; submit it again with credentials"
            ),
            _ => format!(
                "{owner}, who submitted the workflow, may not call {target}: {}; ask whoever keeps the policy of the \
                 engine for a rule that allows it {path}",
                reason.sentence()
            ),
        };
        Err(TaskError::permanent(PERMISSION_DENIED, words))
    }

    /// The router with what every call of the attempt carries.
    fn dressed(&self, attempt: &Attempt, left: Option<Duration>) -> Result<Client, TaskError> {
        let run = &attempt.run;
        let mut router = self.router.clone().with_deadline(left);
        for (name, value) in [
            ("x-idempotency-key", run.idempotency_key.as_str()),
            ("x-workflow-id", attempt.workflow.as_str()),
            ("x-workflow-task", run.task.as_str()),
            ("x-workflow-attempt", run.attempt.to_string().as_str()),
        ] {
            router = router
                .with_header(name, value)
                .map_err(|error| TaskError::permanent("INVALID_ARGUMENT", error.to_string()))?;
        }
        // One that no header can carry is not worth a task.
        if !attempt.request_id.is_empty()
            && let Ok(named) = router.clone().with_header("x-request-id", &attempt.request_id)
        {
            router = named;
        }
        Ok(router)
    }
}

/// What kind of backend is called, and by which method.
fn method(call: &Call) -> (Kind, &'static str) {
    match call.kind() {
        CallKind::Agent if call.operation == STREAM => {
            (Kind::Agent, "/agentplatform.AgentService/StreamTask")
        }
        CallKind::Agent => (Kind::Agent, "/agentplatform.AgentService/ExecuteTask"),
        CallKind::Tool => (Kind::Tool, "/agentplatform.ToolService/ExecuteTool"),
        CallKind::Worker => (Kind::Worker, "/agentplatform.TaskWorker/ProcessTask"),
    }
}

async fn agent(router: &Client, attempt: &Attempt, call: &Call, voice: &Voice) -> Result<String, Told> {
    let answer = router.execute_task(&call.target, agent_task(attempt, call)).await?;
    output(answer, voice)
}

async fn stream(router: &Client, attempt: &Attempt, call: &Call, voice: &Voice) -> Result<String, Told> {
    let mut chunks = router.stream_task(&call.target, agent_task(attempt, call)).await?;
    let mut output = String::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        output.push_str(&chunk.content);
        if output.len() > MAX_RESULT_BYTES {
            return Err(Told::TooLarge);
        }
        if !chunk.content.is_empty() {
            voice.log(INFO, chunk.content, []);
        }
    }
    Ok(output)
}

async fn tool(router: &Client, call: &Call) -> Result<String, Told> {
    let answer = router.execute_tool(&call.target, &call.operation, parameters(call)).await?;
    if answer.success { Ok(answer.result) } else { Err(Told::words(answer.error)) }
}

async fn worker(router: &Client, attempt: &Attempt, call: &Call, voice: &Voice) -> Result<String, Told> {
    let task = TaskRequest {
        task_id: task_id(&attempt.run.idempotency_key),
        input: payload::text(&call.input),
        parameters: with_operation(call, parameters(call)).into_iter().collect(),
        ..TaskRequest::default()
    };
    output(router.process_task(&call.target, task).await?, voice)
}

fn agent_task(attempt: &Attempt, call: &Call) -> TaskRequest {
    TaskRequest {
        task_id: task_id(&attempt.run.idempotency_key),
        input: payload::text(&call.input),
        parameters: with_operation(call, call.parameters.clone()).into_iter().collect(),
        ..TaskRequest::default()
    }
}

/// What a task answered; its metadata goes to the log.
fn output(answer: TaskResponse, voice: &Voice) -> Result<String, Told> {
    if !answer.success {
        return Err(Told::answer(answer));
    }
    if !answer.metadata.is_empty() {
        let fields: BTreeMap<_, _> = answer.metadata.into_iter().collect();
        voice.log(INFO, "answered", fields);
    }
    Ok(answer.output)
}

/// The parameters, with what the input adds to them.
fn parameters(call: &Call) -> BTreeMap<String, String> {
    let mut parameters = match serde_json::from_slice(&call.input) {
        Ok(Value::Object(fields)) => {
            fields.into_iter().map(|(name, value)| (name, payload::value_text(value))).collect()
        }
        _ if call.input.is_empty() => BTreeMap::new(),
        _ => BTreeMap::from([("input".to_owned(), payload::text(&call.input))]),
    };
    parameters.extend(call.parameters.clone());
    parameters
}

/// The parameters, with the operation where the contract has no field for it.
fn with_operation(call: &Call, mut parameters: BTreeMap<String, String>) -> BTreeMap<String, String> {
    if !call.operation.is_empty() && call.operation != STREAM {
        parameters.entry("operation".to_owned()).or_insert_with(|| call.operation.clone());
    }
    parameters
}

/// The idempotency key, or its begin and its hash where it is too long for backends.
fn task_id(key: &str) -> String {
    if key.len() <= MAX_TASK_ID_BYTES {
        return key.to_owned();
    }
    let hash = format!("~{:032x}", xxh3_128(key.as_bytes()));
    let mut id = key.to_owned();
    super::voice::cut(&mut id, MAX_TASK_ID_BYTES - hash.len());
    id + &hash
}

fn within(target: &str, result: String) -> Result<Bytes, TaskError> {
    if result.len() > MAX_RESULT_BYTES {
        return Err(Told::TooLarge.into_error(target));
    }
    Ok(payload::json(result))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_gives_parameters_and_the_named_ones_win() {
        let call = |input: &'static str| Call {
            input: Bytes::from_static(input.as_bytes()),
            parameters: BTreeMap::from([("days".to_owned(), "3".to_owned())]),
            ..Call::default()
        };
        let of = |input| parameters(&call(input)).into_iter().collect::<Vec<_>>();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(of(""), [pair("days", "3")]);
        assert_eq!(of(r#""Rome""#), [pair("days", "3"), pair("input", "Rome")]);
        let object = r#"{"days": 7, "destination": "Rome", "interests": ["art"]}"#;
        assert_eq!(
            of(object),
            [pair("days", "3"), pair("destination", "Rome"), pair("interests", r#"["art"]"#)]
        );
    }

    #[test]
    fn long_keys_make_task_ids_that_differ_and_fit() {
        assert_eq!(task_id("wf/a"), "wf/a");
        let long = |end: &str| task_id(&format!("{}/{end}", "ü".repeat(200)));
        assert!(long("a").len() <= MAX_TASK_ID_BYTES && long("a") != long("b"));
        assert_eq!(long("a"), long("a"));
    }
}
