//! SignalService: word to running tasks.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use switchboard_proto::goclaw::v1::{
    CollectResult, SignalTaskRequest, SignalTaskResponse, SignalType, signal_service_server::SignalService,
};
use tokio::time::Instant;
use tonic::{Code, Request, Response, Status};
use workflow_machine::{Input, SignalKind, Status as State, WorkflowId};

use super::{Api, status::Problem, workflow_id};

/// Tasks of one call.
const MAX_TASKS: usize = 1_000;
/// How long COLLECT waits that does not say, and at most.
const DEFAULT_WAIT_MS: u64 = 30_000;
const MAX_WAIT_MS: u64 = 600_000;

/// A task, and how the request names it.
struct Target {
    named: String,
    workflow: WorkflowId,
    task: String,
}

fn targets(request: &SignalTaskRequest) -> Result<Vec<Target>, Problem> {
    let named = Some(&request.task_id).filter(|task| !task.is_empty()).into_iter().chain(&request.task_ids);
    let target = |named: &String| {
        let (workflow, task) = match request.workflow_id.as_str() {
            "" => named.split_once('/').ok_or_else(|| {
                let reason = "names no workflow: use <workflow_id>/<task_id>, or set workflow_id";
                Problem::invalid("task_id", reason)
            })?,
            workflow => (workflow, named.as_str()),
        };
        let workflow = workflow_id(workflow, "workflow_id")?;
        Ok(Target { named: named.clone(), workflow, task: task.to_owned() })
    };
    let targets: Vec<Target> = named.map(target).collect::<Result<_, Problem>>()?;
    match targets.len() {
        0 => Err(Problem::invalid("task_id", "is empty; name a task")),
        count if count > MAX_TASKS => {
            Err(Problem::invalid("task_ids", format!("{count} tasks, at most {MAX_TASKS}")))
        }
        _ => Ok(targets),
    }
}

/// What a signal carries: the parameters as a JSON object, with the reason if there is one.
fn payload(parameters: &BTreeMap<String, String>, reason: &str) -> Bytes {
    let mut parameters = parameters.clone();
    if !reason.is_empty() {
        parameters.entry("reason".to_owned()).or_insert_with(|| reason.to_owned());
    }
    serde_json::to_vec(&parameters).unwrap_or_default().into()
}

impl Api {
    /// The task's result when it has ended; an error in its place.
    async fn collect(&self, target: &Target, deadline: Instant) -> Result<Bytes, Problem> {
        let task = target.task.clone();
        // A running attempt is asked for what it has; that it is not running is no reason not to wait.
        let signal = Input::SignalTask {
            task: task.clone(),
            kind: SignalKind::Collect,
            payload: Bytes::new(),
            graceful: true,
            timeout_ms: 0,
        };
        let _ = self.engine.tell(&target.workflow, signal).await;
        let mut watch = None;
        loop {
            let name = task.clone();
            let look = self.engine.read(&target.workflow, move |workflow| {
                let seen = workflow.task(&name).map(|view| {
                    (view.status(), view.result.clone(), view.error.map(|error| error.message.clone()))
                });
                (workflow.last_seq(), workflow.status().is_terminal(), seen)
            });
            let (seq, over, seen) = look.await?;
            let (status, result, error) = seen.ok_or_else(|| Problem::no_task(&task))?;
            match status {
                State::Completed => return Ok(result),
                State::Failed | State::Cancelled => {
                    let message = error.unwrap_or_else(|| format!("the task is {status}"));
                    return Err(Problem::new(Code::FailedPrecondition, "TASK_NOT_COMPLETED", message));
                }
                _ if over => {
                    let message = "the workflow has ended without the task";
                    return Err(Problem::new(Code::FailedPrecondition, "ALREADY_TERMINAL", message));
                }
                _ => {}
            }
            let watch = match &mut watch {
                Some(watch) => watch,
                empty => empty.insert(self.engine.watch(&target.workflow, seq).await?),
            };
            let matters = async {
                loop {
                    let event = watch.next().await?;
                    let of_task = event.task() == Some(task.as_str());
                    if of_task || event.workflow_change().is_some() {
                        return Ok::<(), Problem>(());
                    }
                }
            };
            match tokio::time::timeout_at(deadline, matters).await {
                Ok(changed) => changed?,
                Err(_) => {
                    let message = format!("the task is {status} still");
                    return Err(Problem::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", message));
                }
            }
        }
    }

    async fn signal(&self, target: &Target, input: Input) -> Result<Bytes, Problem> {
        self.engine.tell(&target.workflow, input).await?;
        Ok(Bytes::new())
    }
}

#[tonic::async_trait]
impl SignalService for Api {
    async fn signal_task(
        &self,
        request: Request<SignalTaskRequest>,
    ) -> Result<Response<SignalTaskResponse>, Status> {
        let api = self.for_caller(&request);
        let request = request.into_inner();
        let kind = match SignalType::try_from(request.r#type) {
            Ok(SignalType::Steer) => SignalKind::Steer,
            Ok(SignalType::Interrupt) => SignalKind::Interrupt,
            Ok(SignalType::Collect) => SignalKind::Collect,
            _ => return Err(Problem::invalid("type", "is missing; use STEER, INTERRUPT or COLLECT").into()),
        };
        let timeout_ms = u64::try_from(request.timeout_ms)
            .map_err(|_| Problem::invalid("timeout_ms", "is negative; use 0 for 30,000"))?
            .min(MAX_WAIT_MS);
        let targets = targets(&request)?;
        let wait = Duration::from_millis(if timeout_ms == 0 { DEFAULT_WAIT_MS } else { timeout_ms });
        let deadline = Instant::now() + wait;
        let payload = payload(&request.parameters, &request.reason);
        let mut results = Vec::with_capacity(targets.len());
        let (only, mut success, mut room) = (targets.len() == 1, true, super::batch::MAX_PAGE_BYTES);
        for target in targets {
            let outcome = match kind {
                SignalKind::Collect => api.collect(&target, deadline).await,
                kind => {
                    let (task, payload) = (target.task.clone(), payload.clone());
                    let graceful = request.graceful;
                    let input = Input::SignalTask { task, kind, payload, graceful, timeout_ms };
                    api.signal(&target, input).await
                }
            };
            let outcome = outcome.and_then(|result| {
                room = room.checked_sub(result.len()).ok_or_else(|| {
                    let message = "no room for this result; ask for it with GetTaskResult";
                    Problem::new(Code::ResourceExhausted, "ANSWER_FULL", message)
                })?;
                Ok(result)
            });
            let result = match outcome {
                Ok(result) => CollectResult {
                    task_id: target.named,
                    result_data: result.to_vec(),
                    error_message: String::new(),
                },
                // Of one task: the call fails. Of several: each has its own outcome.
                Err(problem) if only && kind != SignalKind::Collect => return Err(problem.into()),
                Err(problem) if only && problem.code == Code::NotFound => return Err(problem.into()),
                Err(problem) => {
                    success = false;
                    CollectResult {
                        task_id: target.named,
                        result_data: Vec::new(),
                        error_message: format!("{}: {}", problem.reason, problem.message),
                    }
                }
            };
            results.push(result);
        }
        Ok(Response::new(SignalTaskResponse { success, results, error: None }))
    }
}
