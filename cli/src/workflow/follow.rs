//! Follows a workflow to its end: on a terminal as a picture of its tasks that changes, else as a line per change, or as
//! JSON.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use switchboard_client::{Updates, Workflows};
use switchboard_proto::goclaw::v1::{
    GetWorkflowStatusResponse, TaskProgressUpdate, WorkflowStatus, WorkflowStatusUpdate,
};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::terminal::Screen;
use super::view::{Task, View};
use super::{Error, draw, json, words};
use crate::args::Watch;
use crate::failure::Failure;
use crate::output;

/// Two streams tell of one workflow: what comes within this time is put in order before it is shown.
const GATHER: Duration = Duration::from_millis(30);

/// How often running times are drawn anew.
const REDRAW: Duration = Duration::from_millis(200);

/// Updates that are gathered at most.
const MAX_GATHERED: usize = 1_000;

/// How what happens is shown.
#[derive(Debug)]
pub(super) enum How {
    Silent,
    Json,
    Lines,
    Screen(Screen),
}

impl How {
    /// A picture on a terminal, lines elsewhere.
    pub(super) fn for_people() -> Self {
        if Screen::is_there() { Self::Screen(Screen::default()) } else { Self::Lines }
    }
}

enum Update {
    Workflow(WorkflowStatusUpdate),
    Task(TaskProgressUpdate),
}

impl Update {
    fn sequence(&self) -> i64 {
        match self {
            Self::Workflow(update) => update.sequence_number,
            Self::Task(update) => update.sequence_number,
        }
    }
}

/// Watches a workflow that is there already.
pub(super) async fn watch(args: Watch, workflows: &Workflows) -> Result<(), Failure> {
    let how = if args.json { How::Json } else { How::for_people() };
    let end = to_the_end(workflows, &args.id, how).await?;
    outcome(&end)
}

/// What the end of a workflow is to the shell.
pub(super) fn outcome(end: &GetWorkflowStatusResponse) -> Result<(), Failure> {
    let (id, message) = (end.workflow_id.clone(), end.error_message.clone());
    match end.status() {
        WorkflowStatus::Failed => Err(Error::Failed { id, message }.into()),
        WorkflowStatus::Cancelled => Err(Error::Cancelled { id, message }.into()),
        _ => Ok(()),
    }
}

/// Follows a workflow and gives its last state. Ctrl-C ends the watching, and not the workflow.
pub(super) async fn to_the_end(
    workflows: &Workflows,
    id: &str,
    mut how: How,
) -> Result<GetWorkflowStatusResponse, Failure> {
    tokio::select! {
        end = follow(workflows, id, &mut how) => end,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.map_err(Failure::Signals)?;
            Err(Error::Left { id: id.to_owned() }.into())
        }
    }
}

async fn follow(
    workflows: &Workflows,
    id: &str,
    how: &mut How,
) -> Result<GetWorkflowStatusResponse, Failure> {
    let status = workflows.status(id).await?;
    let mut view = View::of(&status);
    begin(how, &status, &view)?;
    if is_over(&status) {
        end(how, &status, &view)?;
        return Ok(status);
    }
    let after = status.sequence_number;
    let (workflow, tasks) =
        tokio::try_join!(workflows.watch(id, after), workflows.watch_tasks(id, &[], after))?;
    let mut streams = Streams { workflow: Some(workflow), tasks: Some(tasks), gathered: Vec::new() };
    let mut ticks = interval(REDRAW);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Both are cancel-safe: an update that is not taken here is taken next time.
        tokio::select! {
            gathered = streams.gather() => {
                let gathered = gathered?;
                if gathered.is_empty() {
                    break;
                }
                for update in gathered {
                    show(how, &mut view, &update)?;
                }
            }
            _ = ticks.tick(), if matches!(how, How::Screen(_)) => {}
        }
        if let How::Screen(screen) = how {
            screen.show(&draw::frame(&view, Screen::size(), now()))?;
        }
    }
    let status = workflows.status(id).await?;
    end(how, &status, &view)?;
    Ok(status)
}

/// The two streams of a workflow; each is `None` when it has ended.
struct Streams {
    workflow: Option<Updates<WorkflowStatusUpdate>>,
    tasks: Option<Updates<TaskProgressUpdate>>,
    /// Taken, and not given out yet.
    gathered: Vec<Update>,
}

impl Streams {
    /// The next update; nothing when both have ended. Cancel-safe.
    async fn next(&mut self) -> Result<Option<Update>, Failure> {
        loop {
            let update = match (&mut self.workflow, &mut self.tasks) {
                (None, None) => return Ok(None),
                (Some(workflow), None) => workflow.next().await.map(|update| update.map(Update::Workflow)),
                (None, Some(tasks)) => tasks.next().await.map(|update| update.map(Update::Task)),
                (Some(workflow), Some(tasks)) => tokio::select! {
                    update = workflow.next() => match update {
                        Some(update) => Some(update.map(Update::Workflow)),
                        None => {
                            self.workflow = None;
                            continue;
                        }
                    },
                    update = tasks.next() => match update {
                        Some(update) => Some(update.map(Update::Task)),
                        None => {
                            self.tasks = None;
                            continue;
                        }
                    },
                },
            };
            match update {
                Some(update) => return Ok(Some(update?)),
                None => (self.workflow, self.tasks) = (None, None),
            }
        }
    }

    /// What comes within a moment, in order; nothing when both have ended. Cancel-safe.
    async fn gather(&mut self) -> Result<Vec<Update>, Failure> {
        if self.gathered.is_empty() {
            let Some(first) = self.next().await? else { return Ok(Vec::new()) };
            self.gathered.push(first);
        }
        let until = Instant::now() + GATHER;
        while self.gathered.len() < MAX_GATHERED
            && let Ok(next) = timeout_at(until, self.next()).await
        {
            let Some(next) = next? else { break };
            self.gathered.push(next);
        }
        self.gathered.sort_by_key(Update::sequence);
        Ok(std::mem::take(&mut self.gathered))
    }
}

fn begin(how: &mut How, status: &GetWorkflowStatusResponse, view: &View) -> Result<(), Failure> {
    match how {
        How::Silent | How::Screen(_) => Ok(()),
        How::Json => output::print(&json::typed("state", json::status(status)).to_string()),
        How::Lines => {
            let (ended, all) = view.ended();
            let (name, id) = (words::plain(&view.name), words::plain(&view.id));
            output::print(&format!("workflow {id} ({name}) {}, {ended} of {all} tasks", view.state))
        }
    }
}

fn show(how: &mut How, view: &mut View, update: &Update) -> Result<(), Failure> {
    match update {
        Update::Workflow(update) => {
            view.workflow(update);
            let at = update.timestamp.as_ref().map_or(view.begin, words::millis);
            match how {
                How::Json => output::print(&json::workflow_update(update).to_string()),
                // The end has a line of its own.
                How::Lines if !is_terminal(update.status()) => {
                    output::print(&line(view, at, "workflow", &view.state, &words::plain(&update.message)))
                }
                _ => Ok(()),
            }
        }
        Update::Task(update) => {
            let at = update.timestamp.as_ref().map_or(view.begin, words::millis);
            let task = view.task(update).cloned();
            match (how, task) {
                (How::Json, _) => output::print(&json::task_update(update).to_string()),
                (How::Lines, Some(task)) => output::print(&task_line(view, at, &task)),
                _ => Ok(()),
            }
        }
    }
}

/// `+  1.2s  plan  RUNNING  attempt 2 of 3`.
fn task_line(view: &View, at: i64, task: &Task) -> String {
    let took = match task.took(at) {
        Some(took) if task.is_over() => format!("after {}", words::duration(took)),
        _ => String::new(),
    };
    let remarks = [took, task.remarks()].into_iter().filter(|text| !text.is_empty());
    line(view, at, &words::plain(&task.id), &task.state, &remarks.collect::<Vec<_>>().join(", "))
}

fn line(view: &View, at: i64, who: &str, state: &str, remarks: &str) -> String {
    let text = format!("{:>7}  {who}  {state}  {remarks}", format!("+{}", words::duration(at - view.begin)));
    text.trim_end().to_owned()
}

fn end(how: &mut How, status: &GetWorkflowStatusResponse, view: &View) -> Result<(), Failure> {
    let last = View::of(status);
    let at = status.finished_at.as_ref().or(status.updated_at.as_ref()).map_or(view.begin, words::millis);
    match how {
        How::Silent => Ok(()),
        How::Json => output::print(&json::typed("end", json::status(status)).to_string()),
        How::Lines => {
            let (ended, all) = last.ended();
            let took = words::duration(at - last.begin);
            output::print(&format!("workflow {} after {took}, {ended} of {all} tasks", last.state))
        }
        How::Screen(screen) => screen.show(&draw::frame(&last, Screen::size(), at)),
    }
}

fn is_over(status: &GetWorkflowStatusResponse) -> bool {
    is_terminal(status.status())
}

fn is_terminal(status: WorkflowStatus) -> bool {
    matches!(status, WorkflowStatus::Completed | WorkflowStatus::Failed | WorkflowStatus::Cancelled)
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
