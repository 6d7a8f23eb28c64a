//! Workers: `agentplatform.TaskWorker`.

use switchboard_proto::agentplatform::task_worker_client::TaskWorkerClient;
use switchboard_proto::agentplatform::{
    ListWorkersRequest, TaskRequest, TaskResponse, TaskStatusRequest, TaskStatusResponse, WorkerInfo,
};
use tonic::transport::Channel;

use crate::call::Repeat;
use crate::{Client, Error};

impl Client {
    /// Runs a task on a worker (`itinerary-worker`) and waits for its result.
    ///
    /// `worker_id` replaces the task's `agent_id`. Without a `task_id` the task gets a random one, so
    /// that its state can be asked for: calls with one `task_id` reach one instance.
    ///
    /// # Errors
    /// [`Error`]; never tried again unless nothing was processed. A worker that ran and failed answers
    /// with `success` false, which is `Ok` here.
    pub async fn process_task(&self, worker_id: &str, mut task: TaskRequest) -> Result<TaskResponse, Error> {
        task.agent_id = worker_id.to_owned();
        if task.task_id.is_empty() {
            task.task_id = format!("task-{:016x}", rand::random::<u64>());
        }
        let send = |channel, request| {
            let mut stub = self.workers(channel);
            async move { stub.process_task(request).await }
        };
        self.unary(Repeat::Never, task, send).await
    }

    /// Asks a worker for the state of a task: progress while it runs, the result afterwards. Idempotent.
    ///
    /// An empty `worker_id` lets the router ask every worker.
    ///
    /// # Errors
    /// [`Error`], with NOT_FOUND for a task that the worker does not know (any more).
    pub async fn task_status(&self, worker_id: &str, task_id: &str) -> Result<TaskStatusResponse, Error> {
        let request = TaskStatusRequest { task_id: task_id.to_owned(), worker_id: worker_id.to_owned() };
        let send = |channel, request| {
            let mut stub = self.workers(channel);
            async move { stub.get_task_status(request).await }
        };
        self.unary(Repeat::Idempotent, request, send).await
    }

    /// Lists workers that have a healthy instance; `filter` is a substring of ID, name, capability or
    /// tag. Idempotent.
    ///
    /// # Errors
    /// [`Error`], after the attempts that the retry policy allows.
    pub async fn list_workers(&self, filter: &str) -> Result<Vec<WorkerInfo>, Error> {
        let request = ListWorkersRequest { filter: filter.to_owned() };
        let send = |channel, request| {
            let mut stub = self.workers(channel);
            async move { stub.list_workers(request).await }
        };
        Ok(self.unary(Repeat::Idempotent, request, send).await?.workers)
    }

    fn workers(&self, channel: Channel) -> TaskWorkerClient<Channel> {
        TaskWorkerClient::new(channel)
            .max_decoding_message_size(self.max_message_bytes)
            .max_encoding_message_size(self.max_message_bytes)
    }
}
