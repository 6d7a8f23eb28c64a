//! `goclaw.v1.WorkerService`: programs anywhere that take tasks of type `function` from queues.
//!
//! Checks what comes and puts it into the words of [`Functions`], where queues and leases are. A lease names the attempt;
//! whoever has it may answer. `proto/goclaw/v1/worker.proto` is the contract. Queues hold the tasks of all owners, so every
//! policy asks for the role `backend`.
//!
//! | what | status, reason |
//! |---|---|
//! | a field is missing or wrong | INVALID_ARGUMENT, VALIDATION_FAILED with the fields |
//! | the attempt counts no more | FAILED_PRECONDITION, STALE_EPOCH |
//! | no such workflow runs | FAILED_PRECONDITION, WORKFLOW_NOT_RUNNING |
//! | too many streams | RESOURCE_EXHAUSTED, TOO_MANY_STREAMS |
//! | the engine is stopping, or its store failed | UNAVAILABLE, ENGINE_STOPPING |

mod checked;
mod refused;
#[cfg(test)]
mod tests;

use std::pin::Pin;

use futures_util::{Stream, stream};
use prost_types::Timestamp;
use switchboard_proto::goclaw::v1 as wire;
use switchboard_proto::goclaw::v1::worker_service_server::{WorkerService, WorkerServiceServer};
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status};
use workflow_machine::Request as Work;

use self::checked::Checked;
use crate::attempt::Attempt;
use crate::executor::Functions;
use crate::executor::functions::Pulse;

/// Bytes of a message: a result of 16 MiB, and what goes with it.
const MAX_MESSAGE_BYTES: usize = 17 << 20;

/// The service.
#[derive(Clone, Debug)]
pub struct Workers {
    functions: Functions,
}

/// Makes the service over these queues, with its limits of messages.
pub fn service(functions: Functions) -> WorkerServiceServer<Workers> {
    WorkerServiceServer::new(Workers { functions })
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
}

#[tonic::async_trait]
impl WorkerService for Workers {
    type PollTasksStream = Pin<Box<dyn Stream<Item = Result<wire::PolledTask, Status>> + Send>>;

    async fn poll_tasks(
        &self,
        request: Request<wire::PollTasksRequest>,
    ) -> Result<Response<Self::PollTasksStream>, Status> {
        let request = request.into_inner();
        let mut checked = Checked::default();
        checked.worker_id(&request.worker_id);
        checked.queues(&request.queues);
        let max_in_flight = checked.max_in_flight(request.max_in_flight);
        checked.done()?;
        let tasks = self
            .functions
            .poll(&request.worker_id, request.queues, max_in_flight)
            .map_err(|refusal| refused::poll(&refusal))?;
        let lease_ms = i64::try_from(self.functions.lease().as_millis()).unwrap_or(i64::MAX);
        // Kept from its queue when the stream is read, not before.
        let polled = stream::unfold(tasks, move |mut tasks| async move {
            let attempt = tasks.next().await?;
            Some((Ok(polled(&attempt, lease_ms)), tasks))
        });
        Ok(Response::new(Box::pin(polled)))
    }

    async fn heartbeat(
        &self,
        request: Request<wire::HeartbeatRequest>,
    ) -> Result<Response<wire::HeartbeatResponse>, Status> {
        let request = request.into_inner();
        let mut checked = Checked::default();
        checked.worker_id(&request.worker_id);
        let leases =
            request.tasks.iter().map(|task| task.lease.clone().unwrap_or_default()).collect::<Vec<_>>();
        let beats = checked.beats(request.tasks);
        checked.done()?;
        let pulses = self.functions.heartbeat(&request.worker_id, beats).await;
        let results = leases.into_iter().zip(pulses).map(|(lease, pulse)| result(lease, pulse)).collect();
        Ok(Response::new(wire::HeartbeatResponse { results }))
    }

    async fn complete(
        &self,
        request: Request<wire::CompleteRequest>,
    ) -> Result<Response<wire::CompleteResponse>, Status> {
        let request = request.into_inner();
        let mut checked = Checked::default();
        let id = checked.lease(request.lease, "lease");
        let result = checked.json(request.result_json, "result_json");
        checked.done()?;
        self.functions.complete(id, result).await.map_err(|untaken| refused::untaken(&untaken))?;
        Ok(Response::new(wire::CompleteResponse {}))
    }

    async fn fail(
        &self,
        request: Request<wire::FailRequest>,
    ) -> Result<Response<wire::FailResponse>, Status> {
        let mut request = request.into_inner();
        let mut checked = Checked::default();
        let id = checked.lease(request.lease.take(), "lease");
        let error = checked.error(request);
        checked.done()?;
        let taken = self.functions.fail(id, error).await.map_err(|untaken| refused::untaken(&untaken))?;
        Ok(Response::new(wire::FailResponse { will_retry: taken.will_retry }))
    }

    async fn log(&self, request: Request<wire::LogRequest>) -> Result<Response<wire::LogResponse>, Status> {
        let request = request.into_inner();
        let mut checked = Checked::default();
        let id = checked.lease(request.lease, "lease");
        let lines = checked.lines(request.entries);
        checked.done()?;
        if !self.functions.knows(&id) {
            return Err(refused::nobody_has(&id));
        }
        let went = |line: checked::Line| {
            self.functions.log(id.clone(), line.at, line.level, line.message, line.fields)
        };
        let dropped = lines.into_iter().map(went).filter(|went| !went).count();
        Ok(Response::new(wire::LogResponse { dropped: i32::try_from(dropped).unwrap_or(i32::MAX) }))
    }
}

/// A task as a worker sees it.
fn polled(attempt: &Attempt, lease_ms: i64) -> wire::PolledTask {
    let run = &attempt.run;
    let lease = wire::TaskLease {
        workflow_id: attempt.workflow.as_str().to_owned(),
        task_id: run.task.clone(),
        epoch: i64::try_from(run.epoch).unwrap_or(i64::MAX),
    };
    let mut task = wire::PolledTask {
        lease: Some(lease),
        workflow_name: attempt.workflow_name.clone(),
        metadata: attempt.metadata.clone().into_iter().collect(),
        attempt: i32::try_from(run.attempt).unwrap_or(i32::MAX),
        deadline: run.deadline.map(timestamp),
        lease_ms,
        idempotency_key: run.idempotency_key.clone(),
        ..wire::PolledTask::default()
    };
    if let Work::Function(function) = &run.request {
        task.queue.clone_from(&function.queue);
        task.operation.clone_from(&function.operation);
        task.input_json = function.input.to_vec();
        task.parameters = function.parameters.clone().into_iter().collect();
    }
    task
}

fn timestamp(ms: u64) -> Timestamp {
    Timestamp {
        seconds: i64::try_from(ms / 1_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(ms % 1_000).unwrap_or_default() * 1_000_000,
    }
}

fn result(lease: wire::TaskLease, pulse: Pulse) -> wire::HeartbeatResult {
    wire::HeartbeatResult {
        lease: Some(lease),
        stale: pulse.stale,
        cancel_requested: pulse.cancel_requested,
        signals: pulse.signals.iter().map(|payload| steer(payload)).collect(),
    }
}

/// A signal's parameters: the fields of its payload if that is an object, else one named `payload`.
fn steer(payload: &[u8]) -> wire::SteerSignal {
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    let parameters = match serde_json::from_slice(payload) {
        Ok(serde_json::Value::Object(fields)) => {
            fields.into_iter().map(|(name, value)| (name, text(value))).collect()
        }
        Ok(value) => [("payload".to_owned(), text(value))].into(),
        Err(_) if payload.is_empty() => Default::default(),
        Err(_) => [("payload".to_owned(), String::from_utf8_lossy(payload).into_owned())].into(),
    };
    wire::SteerSignal { parameters }
}
