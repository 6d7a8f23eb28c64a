//! Watching: updates of a workflow and of its tasks, and log lines, through restarts of the engine.

use std::collections::HashSet;

use futures_util::{StreamExt, stream};
use switchboard_proto::goclaw::v1::{
    GetWorkflowStatusResponse, LogEntry, LogStreamRequest, LogStreamResponse, TaskProgressUpdate, TaskStatus,
    TaskStatusDetail, WatchTasksRequest, WatchWorkflowRequest, WorkflowStatusUpdate,
};
use tonic::Streaming;

use super::delivered::Delivered;
use super::resumed::{Source, resumed};
use super::{Updates, Workflows, is_terminal};
use crate::{Client, Error};

/// What the engine says when it has nothing to say.
const HEARTBEAT: &str = "heartbeat";

impl Workflows {
    /// Watches a workflow: its present state, then every change of it, once and in order; ends after the terminal one.
    ///
    /// With a `from_sequence` above 0 it begins with what came after that number. A broken stream is resumed
    /// behind the last update, until [`crate::Config::resume_within`] has passed without a word.
    ///
    /// # Errors
    /// [`Error`] if the stream does not start, with NOT_FOUND for an unknown workflow and INVALID_ARGUMENT
    /// (`SEQUENCE_EXPIRED`, `SEQUENCE_IN_FUTURE`) for a number that the engine does not have. Later failures are the
    /// stream's last item.
    pub async fn watch(
        &self,
        workflow_id: &str,
        from_sequence: i64,
    ) -> Result<Updates<WorkflowStatusUpdate>, Error> {
        let source = WorkflowSource {
            workflows: self.clone(),
            id: workflow_id.to_owned(),
            last: from_sequence,
            state: None,
            over: false,
        };
        resumed(self.client.clone(), source).await
    }

    /// Watches tasks of a workflow, all of them if `task_ids` is empty: every change, once and in order; ends when the
    /// workflow has ended.
    ///
    /// Without a `from_sequence` it begins with the present state of each task, without results (ask
    /// [`Workflows::task_result`]); updates that complete a task have its result if that is not large. Streams are
    /// resumed as by [`Workflows::watch`].
    ///
    /// # Errors
    /// As [`Workflows::watch`]; INVALID_ARGUMENT for an unknown task.
    pub async fn watch_tasks(
        &self,
        workflow_id: &str,
        task_ids: &[String],
        from_sequence: i64,
    ) -> Result<Updates<TaskProgressUpdate>, Error> {
        // The states come in one message: a stream that broke amid them could not be resumed without a gap.
        let (first, last) = match from_sequence {
            0 => {
                let status = self.status(workflow_id).await?;
                let last = status.sequence_number;
                // An engine without the numbers sends the states itself.
                (if last > 0 { present(status, task_ids) } else { Vec::new() }, last)
            }
            sequence => (Vec::new(), sequence),
        };
        let source = TaskSource {
            workflows: self.clone(),
            id: workflow_id.to_owned(),
            task_ids: task_ids.to_vec(),
            done: last,
            current: last,
            tasks: HashSet::new(),
        };
        let following = resumed(self.client.clone(), source).await?;
        Ok(Updates::new(stream::iter(first.into_iter().map(Ok)).chain(following).boxed()))
    }

    /// Log lines of a workflow, those that are kept and then new ones; ends when the workflow has ended. The request
    /// says from which level and of which tasks.
    ///
    /// A broken stream is resumed as by [`Workflows::watch`], and lines that were given out are not given out again.
    ///
    /// # Errors
    /// As [`Workflows::watch`].
    pub async fn logs(&self, request: LogStreamRequest) -> Result<Updates<LogEntry>, Error> {
        let source = LogSource { workflows: self.clone(), request, delivered: Delivered::default() };
        resumed(self.client.clone(), source).await
    }
}

struct WorkflowSource {
    workflows: Workflows,
    id: String,
    /// Number of the last update.
    last: i64,
    /// Status and detail of the last update.
    state: Option<(i32, i32)>,
    over: bool,
}

impl Source for WorkflowSource {
    type Message = WorkflowStatusUpdate;
    type Item = WorkflowStatusUpdate;

    async fn open(&mut self, client: &Client) -> Result<Streaming<WorkflowStatusUpdate>, Error> {
        let request = WatchWorkflowRequest { workflow_id: self.id.clone(), resume_from_sequence: self.last };
        let send = |channel, request| {
            let mut stub = self.workflows.streaming_stub(channel);
            async move { stub.watch_workflow(request).await }
        };
        client.opened(request, send).await
    }

    fn take(&mut self, update: WorkflowStatusUpdate) -> Vec<WorkflowStatusUpdate> {
        if self.last > 0 && update.sequence_number <= self.last {
            return Vec::new();
        }
        self.last = update.sequence_number;
        let state = (update.status, update.detail);
        self.over = is_terminal(update.status());
        // It says that nothing up to its number is missing. Somebody may have cancelled with that word for a reason.
        let changes_nothing = self.state.replace(state).is_none_or(|before| before == state);
        if update.message == HEARTBEAT && changes_nothing && !self.over {
            return Vec::new();
        }
        vec![update]
    }

    fn is_over(&self) -> bool {
        self.over
    }
}

/// One event may change several tasks: their updates have one number, and only the next number says that all are there.
struct TaskSource {
    workflows: Workflows,
    id: String,
    task_ids: Vec<String>,
    /// Everything up to this number has been taken.
    done: i64,
    /// Number of the last update.
    current: i64,
    /// Tasks that have had an update with it.
    tasks: HashSet<String>,
}

impl Source for TaskSource {
    type Message = TaskProgressUpdate;
    type Item = TaskProgressUpdate;

    async fn open(&mut self, client: &Client) -> Result<Streaming<TaskProgressUpdate>, Error> {
        let request = WatchTasksRequest {
            workflow_id: self.id.clone(),
            task_ids: self.task_ids.clone(),
            terminal_only: false,
            resume_from_sequence: self.done,
        };
        let send = |channel, request| {
            let mut stub = self.workflows.streaming_stub(channel);
            async move { stub.watch_tasks(request).await }
        };
        client.opened(request, send).await
    }

    fn take(&mut self, update: TaskProgressUpdate) -> Vec<TaskProgressUpdate> {
        let sequence = update.sequence_number;
        if update.task_id.is_empty() {
            // A heartbeat: nothing up to its number is missing.
            if sequence >= self.current {
                (self.done, self.current) = (sequence, sequence);
                self.tasks.clear();
            }
            return Vec::new();
        }
        if sequence < self.current || sequence <= self.done && self.done > 0 {
            return Vec::new();
        }
        if sequence > self.current {
            // Filters leave numbers out, so that the one before this one is as good as the one before that was seen.
            self.done = self.done.max(sequence - 1);
            self.current = sequence;
            self.tasks.clear();
        }
        match self.tasks.insert(update.task_id.clone()) {
            true => vec![update],
            false => Vec::new(),
        }
    }
}

struct LogSource {
    workflows: Workflows,
    request: LogStreamRequest,
    delivered: Delivered,
}

impl Source for LogSource {
    type Message = LogStreamResponse;
    type Item = LogEntry;

    async fn open(&mut self, client: &Client) -> Result<Streaming<LogStreamResponse>, Error> {
        self.delivered.rewind();
        let send = |channel, request: tonic::Request<LogStreamRequest>| {
            let mut stub = self.workflows.streaming_stub(channel);
            async move { stub.stream_logs(request.map(|first| stream::iter([first]))).await }
        };
        client.opened(self.request.clone(), send).await
    }

    fn take(&mut self, message: LogStreamResponse) -> Vec<LogEntry> {
        let mut entries = message.entries;
        entries.retain(|entry| self.delivered.is_new(entry));
        entries
    }
}

/// The present states of tasks as updates.
fn present(status: GetWorkflowStatusResponse, task_ids: &[String]) -> Vec<TaskProgressUpdate> {
    let GetWorkflowStatusResponse { workflow_id, sequence_number, updated_at, tasks, .. } = status;
    let wanted = |task: &TaskStatusDetail| task_ids.is_empty() || task_ids.contains(&task.task_id);
    let update = |task: TaskStatusDetail| TaskProgressUpdate {
        sequence_number,
        timestamp: updated_at,
        workflow_id: workflow_id.clone(),
        task_id: task.task_id,
        status: task.status,
        progress_percent: task.progress_percent,
        message: match TaskStatus::try_from(task.status) {
            Ok(TaskStatus::Failed) => task.error_message,
            _ => task.progress_message,
        },
        detail: task.detail,
        attempt: task.attempt,
        result_bytes: task.result_bytes,
        error_code: task.error_code,
        child_workflow_id: task.child_workflow_id,
        next_attempt_at: task.next_attempt_at,
        ..TaskProgressUpdate::default()
    };
    tasks.into_iter().filter(wanted).map(update).collect()
}
