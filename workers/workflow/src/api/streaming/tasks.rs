//! WatchTasks: the states of tasks.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use switchboard_proto::goclaw::v1::{self, TaskProgressUpdate};
use workflow_machine::{Event, EventKind, TaskDetail, TaskView, Workflow, WorkflowId};

use super::follow::{Begun, Follower, fold};
use crate::api::{
    Api, shown,
    status::{Problem, cut},
};

/// Results that go with an update; larger ones are asked for.
const MAX_RESULT_BYTES: usize = 256 << 10;

/// Tells of the states of tasks.
pub(super) struct TaskFollower {
    api: Api,
    id: WorkflowId,
    /// Tasks that are asked for, with their items; `None` for all.
    wanted: Option<HashSet<String>>,
    terminal_only: bool,
    /// Attempts of tasks that are not over.
    attempts: HashMap<String, u32>,
}

/// Begins the stream: with the present state of each task asked for, or behind the sequence `after`.
pub(super) async fn begin(
    api: &Api,
    id: &WorkflowId,
    after: u64,
    task_ids: Vec<String>,
    terminal_only: bool,
) -> Result<Begun<TaskFollower>, Problem> {
    let workflow = api.engine.read(id, Workflow::clone).await?;
    if let Some((at, task)) = task_ids.iter().enumerate().find(|(_, task)| workflow.task(task).is_none()) {
        let reason = format!("the workflow has no task {}", cut(task, 120));
        return Err(Problem::invalid(&format!("task_ids[{at}]"), reason));
    }
    let mut follower = TaskFollower {
        api: api.clone(),
        id: id.clone(),
        wanted: (!task_ids.is_empty()).then(|| task_ids.iter().cloned().collect()),
        terminal_only,
        attempts: HashMap::new(),
    };
    if after > 0 {
        let watch = api.engine.watch(id, after).await?;
        let (attempts, head) = fold(api, id, after, HashMap::new(), count).await?;
        follower.attempts = attempts;
        let over = workflow.status().is_terminal() && workflow.last_seq() == after && head == after;
        return Ok(Begun { follower, first: Vec::new(), watch: (!over).then_some(watch) });
    }
    let mut first = Vec::new();
    let named = task_ids.iter().filter_map(|task| Some((task.as_str(), workflow.task(task)?)));
    let all = workflow.tasks().filter(|_| task_ids.is_empty());
    for (task, view) in named.chain(all) {
        if view.attempt > 0 && !view.status().is_terminal() {
            follower.attempts.insert(task.to_owned(), view.attempt);
        }
        if !terminal_only || view.status().is_terminal() {
            first.push(follower.present(&workflow, task, &view));
        }
    }
    let over = workflow.status().is_terminal();
    let watch = if over { None } else { Some(api.engine.watch(id, workflow.last_seq()).await?) };
    Ok(Begun { follower, first, watch })
}

/// Counts the attempts of tasks that are not over.
fn count(attempts: &mut HashMap<String, u32>, event: &Event) {
    let attempt = match &event.kind {
        Some(EventKind::TaskStarted(started)) => Some(started.attempt),
        Some(EventKind::TaskCompensating(started)) => Some(started.attempt),
        Some(
            EventKind::TaskCompleted(_)
            | EventKind::TaskFailed(_)
            | EventKind::TaskSkipped(_)
            | EventKind::TaskCancelled(_)
            | EventKind::TaskCompensated(_)
            | EventKind::TaskCompensationFailed(_),
        ) => None,
        _ => return,
    };
    match (event.task(), attempt) {
        (Some(task), Some(attempt)) => drop(attempts.insert(task.to_owned(), attempt)),
        (Some(task), None) => drop(attempts.remove(task)),
        (None, _) => {}
    }
}

impl TaskFollower {
    /// The update that says what a task is now.
    fn present(&self, workflow: &Workflow, task: &str, view: &TaskView<'_>) -> TaskProgressUpdate {
        let message = view.error.map_or(view.message, |error| error.message.as_str());
        let mut update = TaskProgressUpdate {
            sequence_number: workflow.last_seq() as i64,
            timestamp: shown::some_time(workflow.updated_at()),
            message: message.to_owned(),
            progress_percent: shown::number(view.percent),
            attempt: shown::number(view.attempt),
            error_code: view.error.map(|error| error.code.clone()).unwrap_or_default(),
            child_workflow_id: view.child.map(ToString::to_string).unwrap_or_default(),
            next_attempt_at: view.until.filter(|_| view.detail == TaskDetail::Retrying).map(shown::time),
            ..self.blank(task, view.detail)
        };
        set_result(&mut update, view.result);
        update
    }

    fn blank(&self, task: &str, detail: TaskDetail) -> TaskProgressUpdate {
        TaskProgressUpdate {
            workflow_id: self.id.to_string(),
            task_id: task.to_owned(),
            status: shown::task_status(detail.status()).into(),
            detail: shown::task_detail(detail).into(),
            ..TaskProgressUpdate::default()
        }
    }

    fn is_wanted(&self, task: &str) -> bool {
        let Some(wanted) = &self.wanted else { return true };
        wanted.contains(task) || task.split_once('[').is_some_and(|(task, _)| wanted.contains(task))
    }

    /// What an event makes of a task, with what goes with it.
    async fn changed(&self, event: &Event) -> Result<Option<TaskProgressUpdate>, Problem> {
        let Some((task, detail)) = event.task_change() else { return Ok(None) };
        let mut update =
            TaskProgressUpdate { message: event.message().to_owned(), ..self.blank(task, detail) };
        if let Some(error) = event.error() {
            update.error_code = error.code.clone();
        }
        match &event.kind {
            Some(EventKind::TaskStarted(event)) => update.child_workflow_id = event.child.clone(),
            Some(EventKind::TaskCompleted(event)) => {
                update.progress_percent = 100;
                // What a signal brought, or items made, is not in the event.
                if event.signal != 0 || (event.epoch == 0 && event.result.is_empty()) {
                    let task = event.task.clone();
                    let result = self.api.engine.read(&self.id, move |workflow| {
                        workflow.task(&task).map(|view| view.result.clone()).unwrap_or_default()
                    });
                    set_result(&mut update, &result.await?);
                } else {
                    set_result(&mut update, &event.result);
                }
            }
            Some(EventKind::TaskRetrying(event)) => update.next_attempt_at = shown::some_time(event.retry_at),
            Some(EventKind::TaskCompensationRetrying(event)) => {
                update.next_attempt_at = shown::some_time(event.retry_at);
            }
            Some(EventKind::TaskExpanded(event)) => update.message = format!("{} items", event.items.len()),
            Some(EventKind::TaskProgressed(event)) => update.progress_percent = shown::number(event.percent),
            // It changes no state.
            Some(EventKind::TaskSignalled(_)) => return Ok(None),
            _ => {}
        }
        Ok(Some(update))
    }

    /// The tasks that another run begins again.
    async fn reset(&self, positions: Vec<u32>) -> Result<Vec<TaskProgressUpdate>, Problem> {
        let names = self.api.engine.read(&self.id, move |workflow| {
            let tasks = &workflow.spec().tasks;
            let named = positions.iter().filter_map(|at| tasks.get(*at as usize));
            named.map(|task| task.id.clone()).collect::<Vec<_>>()
        });
        let names = names.await?;
        let wanted = names.iter().filter(|task| self.is_wanted(task));
        Ok(wanted.map(|task| self.blank(task, TaskDetail::Pending)).collect())
    }
}

fn set_result(update: &mut TaskProgressUpdate, result: &Bytes) {
    update.result_bytes = result.len() as i64;
    if result.len() <= MAX_RESULT_BYTES {
        update.result_data = result.to_vec();
    }
}

impl Follower for TaskFollower {
    type Message = TaskProgressUpdate;

    async fn messages(&mut self, event: Event) -> Result<(Vec<TaskProgressUpdate>, bool), Problem> {
        let Some(kind) = &event.kind else { return Ok((Vec::new(), false)) };
        let end = matches!(
            kind,
            EventKind::WorkflowCompleted(_) | EventKind::WorkflowFailed(_) | EventKind::WorkflowCancelled(_)
        );
        let before = event.task().and_then(|task| self.attempts.get(task).copied());
        count(&mut self.attempts, &event);
        let mut updates = match kind {
            EventKind::Reopened(event) => {
                self.reset(event.reset.iter().chain(&event.resumed).copied().collect()).await?
            }
            _ if event.task().is_some_and(|task| self.is_wanted(task)) => {
                self.changed(&event).await?.into_iter().collect()
            }
            _ => Vec::new(),
        };
        let terminal = [v1::TaskStatus::Completed, v1::TaskStatus::Failed, v1::TaskStatus::Cancelled];
        updates.retain(|update| !self.terminal_only || terminal.contains(&update.status()));
        for update in &mut updates {
            update.sequence_number = event.seq as i64;
            update.timestamp = shown::some_time(event.at);
            let attempt = self.attempts.get(&update.task_id).copied().or(before);
            update.attempt = shown::number(attempt.unwrap_or(0));
        }
        Ok((updates, end))
    }

    fn heartbeat(&self, sequence: u64) -> TaskProgressUpdate {
        TaskProgressUpdate {
            sequence_number: sequence as i64,
            workflow_id: self.id.to_string(),
            message: "heartbeat".to_owned(),
            ..TaskProgressUpdate::default()
        }
    }
}
