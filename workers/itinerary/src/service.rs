//! The worker's gRPC service: one task from its parameters to its answer, and the state of the tasks.
//!
//! A task dies with its call: a client that goes away stops it, and its status says so. What is wrong with
//! the parameters is said in the answer (`success` false, `error`); a gRPC error means that the task was not
//! taken on at all.

use std::time::Instant;

use switchboard_backend::status::{answered_by_router, invalid_argument, status};
use switchboard_client::Client;
use switchboard_proto::agentplatform::task_worker_server::TaskWorker;
use switchboard_proto::agentplatform::{
    ListWorkersRequest, ListWorkersResponse, TaskRequest, TaskResponse, TaskStatusRequest, TaskStatusResponse,
};
use tonic::{Code, Request, Response, Status};

use crate::history::{Begin, History, MAX_RUNNING, Running};
use crate::plan::Planner;
use crate::request;
use crate::weather::{self, Weather};

/// Enough for any generated ID, and a bound on what the history keeps of it.
const MAX_TASK_ID_BYTES: usize = 256;

/// `agentplatform.TaskWorker` of the itinerary worker.
#[derive(Clone, Debug)]
pub(crate) struct Itineraries {
    router: Client,
    history: History,
}

impl Itineraries {
    pub(crate) fn new(router: Client) -> Self {
        Self { router, history: History::default() }
    }

    /// Makes the plan, a day at a time.
    async fn plan(&self, request: &request::Request, running: &Running) -> crate::plan::Plan {
        let weather = weather::forecast(&self.router, &request.destination, request.days).await;
        if let Weather::Unavailable(why) = &weather {
            tracing::info!(%why, destination = %request.destination, "planning without weather");
        }
        let mut planner = Planner::new(request, weather);
        for day in 1..=request.days {
            running.progress(day);
            if !request.pace.is_zero() {
                tokio::time::sleep(request.pace).await;
            }
            planner.add_day();
        }
        planner.finish()
    }
}

#[tonic::async_trait]
impl TaskWorker for Itineraries {
    async fn process_task(&self, call: Request<TaskRequest>) -> Result<Response<TaskResponse>, Status> {
        let TaskRequest { mut task_id, parameters, session_id, .. } = call.into_inner();
        if task_id.len() > MAX_TASK_ID_BYTES {
            let words = format!("task_id is longer than {MAX_TASK_ID_BYTES} bytes");
            return Err(invalid_argument("task_id", words));
        }
        if task_id.is_empty() {
            task_id = format!("itinerary-{:016x}", rand::random::<u64>());
        }
        let answer = TaskResponse { task_id: task_id.clone(), session_id, ..TaskResponse::default() };
        let request = match request::Request::read(&parameters) {
            Ok(request) => request,
            Err(invalid) => {
                let answer = TaskResponse { error: invalid.to_string(), ..answer };
                self.history.refused(&answer, Instant::now());
                return Ok(Response::new(answer));
            }
        };
        let running = match self.history.begin(&task_id, &request, Instant::now()) {
            Begin::Run(running) => running,
            Begin::Answered(before) => return Ok(Response::new(*before)),
            Begin::AlreadyRunning => {
                let words = format!("task {task_id:?} is running; ask GetTaskStatus for its progress");
                return Err(refuse(Code::AlreadyExists, "TASK_RUNNING", words, &task_id));
            }
            Begin::OtherParameters => {
                let words =
                    format!("task {task_id:?} was completed with other parameters; use a new task_id");
                return Err(refuse(Code::AlreadyExists, "TASK_ID_REUSED", words, &task_id));
            }
            Begin::Full => {
                let words = format!("{MAX_RUNNING} tasks run on this instance; try again later");
                return Err(refuse(Code::ResourceExhausted, "TOO_MANY_TASKS", words, &task_id));
            }
        };
        let plan = self.plan(&request, &running).await;
        let weather = if plan.has_weather() { "forecast" } else { "unavailable" };
        let metadata = [
            ("itinerary".to_owned(), plan.json()),
            ("destination".to_owned(), request.destination.clone()),
            ("days".to_owned(), request.days.to_string()),
            ("weather".to_owned(), weather.to_owned()),
        ];
        let answer = TaskResponse { output: plan.text(), success: true, metadata: metadata.into(), ..answer };
        running.finish(&answer, Instant::now());
        Ok(Response::new(answer))
    }

    async fn get_task_status(
        &self,
        call: Request<TaskStatusRequest>,
    ) -> Result<Response<TaskStatusResponse>, Status> {
        let id = call.into_inner().task_id;
        if id.is_empty() {
            return Err(invalid_argument("task_id", "task_id is required"));
        }
        self.history.status(&id, Instant::now()).map(Response::new).ok_or_else(|| {
            // What is repeated in trailers has to fit them.
            let id: String = id.chars().take(MAX_TASK_ID_BYTES).collect();
            let words = format!("no task {id:?}: it never ran on this instance, or ended over an hour ago");
            refuse(Code::NotFound, "TASK_UNKNOWN", words, &id)
        })
    }

    async fn list_workers(
        &self,
        _: Request<ListWorkersRequest>,
    ) -> Result<Response<ListWorkersResponse>, Status> {
        Err(answered_by_router("ListWorkers"))
    }
}

/// A gRPC error about one task.
fn refuse(code: Code, reason: &str, words: String, task_id: &str) -> Status {
    status(code, reason, words, [("task_id", task_id)])
}
