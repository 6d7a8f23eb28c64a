//! WatchWorkflow: the workflow's own state.

use switchboard_proto::goclaw::v1::WorkflowStatusUpdate;
use workflow_machine::{Event, EventKind, Millis, Status, Workflow, WorkflowDetail, WorkflowId};

use super::follow::{Begun, Follower, fold};
use crate::api::{Api, shown, status::Problem};

/// A workflow's state, as its events tell it.
#[derive(Debug)]
pub(super) struct State {
    status: Status,
    detail: WorkflowDetail,
    tasks: usize,
    ended: usize,
}

/// Tells of a workflow's state.
pub(super) struct WorkflowFollower {
    id: String,
    state: State,
    at: Millis,
}

/// Begins the stream: with the present state, or behind the sequence `after`.
pub(super) async fn begin(
    api: &Api,
    id: &WorkflowId,
    after: u64,
) -> Result<Begun<WorkflowFollower>, Problem> {
    if after > 0 {
        let watch = api.engine.watch(id, after).await?;
        let (state, head) = fold(api, id, after, State::new(), |state, event| {
            state.apply(event);
        })
        .await?;
        let over = state.status.is_terminal() && head == after;
        let follower = WorkflowFollower { id: id.to_string(), state, at: 0 };
        return Ok(Begun { follower, first: Vec::new(), watch: (!over).then_some(watch) });
    }
    let workflow = api.engine.read(id, Workflow::clone).await?;
    let state = State::of(&workflow);
    let over = workflow.status().is_terminal();
    let follower = WorkflowFollower { id: id.to_string(), state, at: workflow.updated_at() };
    let message = workflow.error().map_or_else(|| follower.state.words(), |error| error.message.clone());
    let update = follower.update(workflow.last_seq(), message);
    let watch = if over { None } else { Some(api.engine.watch(id, workflow.last_seq()).await?) };
    Ok(Begun { follower, first: vec![update], watch })
}

impl WorkflowFollower {
    fn update(&self, sequence: u64, message: String) -> WorkflowStatusUpdate {
        WorkflowStatusUpdate {
            sequence_number: sequence as i64,
            timestamp: shown::some_time(self.at),
            workflow_id: self.id.clone(),
            status: shown::status(self.state.status).into(),
            message,
            error: None,
            detail: shown::detail(self.state.detail).into(),
            progress_percent: shown::progress(self.state.ended, self.state.tasks),
        }
    }
}

impl Follower for WorkflowFollower {
    type Message = WorkflowStatusUpdate;

    async fn messages(&mut self, event: Event) -> Result<(Vec<WorkflowStatusUpdate>, bool), Problem> {
        self.at = event.at;
        if !self.state.apply(&event) {
            return Ok((Vec::new(), false));
        }
        let message = match event.message() {
            "" => self.state.words(),
            message => message.to_owned(),
        };
        let update = self.update(event.seq, message);
        Ok((vec![update], self.state.status.is_terminal()))
    }

    fn heartbeat(&self, sequence: u64) -> WorkflowStatusUpdate {
        self.update(sequence, "heartbeat".to_owned())
    }
}

impl State {
    pub(super) fn new() -> Self {
        Self { status: Status::Pending, detail: WorkflowDetail::Pending, tasks: 0, ended: 0 }
    }

    fn of(workflow: &Workflow) -> Self {
        Self {
            status: workflow.status(),
            detail: workflow.detail(),
            tasks: workflow.spec().tasks.len(),
            ended: workflow.tasks().filter(|(_, task)| task.status().is_terminal()).count(),
        }
    }

    /// Takes an event in; whether it changed the workflow's state.
    fn apply(&mut self, event: &Event) -> bool {
        match &event.kind {
            Some(EventKind::Submitted(submitted)) => {
                self.tasks = submitted.spec.as_ref().map_or(0, |spec| spec.tasks.len());
            }
            Some(EventKind::Reopened(event)) => {
                self.ended = self.ended.saturating_sub(event.reset.len() + event.resumed.len());
            }
            Some(
                EventKind::TaskCompleted(_)
                | EventKind::TaskFailed(_)
                | EventKind::TaskSkipped(_)
                | EventKind::TaskCancelled(_),
            ) => {
                // Items are part of their task.
                let is_item = event.task().is_some_and(|task| task.ends_with(']'));
                self.ended += usize::from(!is_item);
            }
            _ => {}
        }
        let change = event.workflow_change();
        if let Some((status, detail)) = change {
            (self.status, self.detail) = (status, detail);
        }
        change.is_some()
    }

    /// The state in words.
    fn words(&self) -> String {
        self.detail.to_string().to_lowercase().replace('_', " ")
    }
}
