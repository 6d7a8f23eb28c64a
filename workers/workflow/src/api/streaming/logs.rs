//! StreamLogs: log lines, and transitions as log lines, through a filter that may change.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    time::Duration,
};

use switchboard_proto::goclaw::v1::{LogEntry, LogLevel, LogStreamRequest, LogStreamResponse};
use tokio::time::Instant;
use tonic::{Status, Streaming};
use workflow_machine::{Event, EventKind, TaskError, Workflow, WorkflowId};

use super::{Sender, outgoing::Untaken, over};
use crate::{
    api::{Api, shown, status::Problem, workflow_id},
    engine::{LogLines, LogWatch, Watch},
    log::Line,
};

/// Entries of one message.
const MAX_ENTRIES: usize = 100;
/// How long an entry may wait for others.
const BATCHED: Duration = Duration::from_millis(50);
/// How long the first request may take.
const FIRST_REQUEST: Duration = Duration::from_secs(30);
/// Tasks that a filter may name: as many as a workflow may have.
const MAX_FILTER_TASKS: usize = 10_000;

/// What the client wants to see.
#[derive(Debug)]
struct Filter {
    min_level: LogLevel,
    /// `None` for all.
    tasks: Option<HashSet<String>>,
}

/// One stream.
struct Stream {
    id: WorkflowId,
    filter: Filter,
    sender: Sender<LogStreamResponse>,
    batch: Vec<LogEntry>,
}

/// Why a stream is over.
enum End {
    Ok,
    Failed(Status),
}

impl<E: Into<Problem>> From<E> for End {
    fn from(error: E) -> Self {
        Self::Failed(error.into().into())
    }
}

pub(super) async fn run(
    api: Api,
    mut requests: Streaming<LogStreamRequest>,
    sender: Sender<LogStreamResponse>,
    heartbeat: Duration,
) {
    let first = tokio::time::timeout(FIRST_REQUEST, requests.message()).await;
    let begun = match first {
        Ok(Ok(Some(request))) => begin(&request),
        Ok(Err(status)) => return sender.fail(status),
        Ok(Ok(None)) | Err(_) => {
            Err(Problem::invalid("workflow_id", "is missing: the first request names the workflow"))
        }
    };
    let (id, filter) = match begun {
        Ok(begun) => begun,
        Err(problem) => return sender.fail(problem.into()),
    };
    let mut stream = Stream { id, filter, sender, batch: Vec::new() };
    if let Err(End::Failed(status)) = stream.follow(&api, requests, heartbeat).await {
        stream.sender.fail(status);
    }
}

fn begin(request: &LogStreamRequest) -> Result<(WorkflowId, Filter), Problem> {
    let id = workflow_id(&request.workflow_id, "workflow_id")?;
    let mut filter = Filter { min_level: LogLevel::Info, tasks: None };
    filter.change(request)?;
    Ok((id, filter))
}

impl Filter {
    fn change(&mut self, request: &LogStreamRequest) -> Result<(), Problem> {
        let level = LogLevel::try_from(request.min_level)
            .map_err(|_| Problem::invalid("min_level", "not a value of LogLevel; use 0 to 4"))?;
        if request.task_ids.len() > MAX_FILTER_TASKS {
            return Err(Problem::invalid(
                "task_ids",
                format!("more than {MAX_FILTER_TASKS}; use \"*\" for all"),
            ));
        }
        if level != LogLevel::Unspecified {
            self.min_level = level;
        }
        match request.task_ids.as_slice() {
            [] => {}
            tasks if tasks.iter().any(|task| task == "*") => self.tasks = None,
            tasks => self.tasks = Some(tasks.iter().cloned().collect()),
        }
        Ok(())
    }

    fn wants(&self, entry: &LogEntry) -> bool {
        let Some(tasks) = &self.tasks else { return entry.level >= self.min_level as i32 };
        let task = entry.task_id.as_str();
        let named =
            tasks.contains(task) || task.split_once('[').is_some_and(|(task, _)| tasks.contains(task));
        named && entry.level >= self.min_level as i32
    }
}

impl Stream {
    async fn follow(
        &mut self,
        api: &Api,
        mut requests: Streaming<LogStreamRequest>,
        heartbeat: Duration,
    ) -> Result<(), End> {
        let engine = &api.engine;
        let (head, has_ended) = engine
            .read(&self.id, |workflow: &Workflow| (workflow.last_seq(), workflow.status().is_terminal()))
            .await?;
        let mut events = engine.watch(&self.id, 0).await?;
        let mut logs = engine.watch_logs(&self.id, 0).await?;
        self.backlog(&mut events, &mut logs, head).await?;
        if has_ended {
            return self.end(&mut logs).await;
        }
        let mut half_closed = false;
        let mut flush_at = Instant::now();
        let mut silent_until = Instant::now() + heartbeat;
        loop {
            if self.batch.len() >= MAX_ENTRIES {
                self.flush().await?;
                silent_until = Instant::now() + heartbeat;
            }
            let was_empty = self.batch.is_empty();
            tokio::select! {
                request = requests.message(), if !half_closed => match request {
                    Ok(Some(request)) => self.change(&request)?,
                    Ok(None) => half_closed = true,
                    Err(status) => return Err(End::Failed(status)),
                },
                event = events.next() => {
                    let event = event?;
                    let is_end = is_end(&event);
                    self.push(transition(&self.id, &event));
                    if is_end {
                        return self.end(&mut logs).await;
                    }
                }
                () = logs.changed() => {
                    let lines = logs.kept(MAX_ENTRIES).await?;
                    self.push_lines(lines);
                }
                () = tokio::time::sleep_until(flush_at), if !was_empty => {
                    self.flush().await?;
                    silent_until = Instant::now() + heartbeat;
                }
                () = tokio::time::sleep_until(silent_until) => {
                    // Without entries: it says that the stream lives.
                    self.send(Vec::new()).await?;
                    silent_until = Instant::now() + heartbeat;
                }
                () = self.sender.gone() => return Err(End::Ok),
                why = over(engine) => return Err(why.into()),
            }
            if was_empty && !self.batch.is_empty() {
                flush_at = Instant::now() + BATCHED;
            }
        }
    }

    /// What was before the stream, in the order in which it happened.
    async fn backlog(&mut self, events: &mut Watch, logs: &mut LogWatch, head: u64) -> Result<(), End> {
        let mut event: Option<Event> = None;
        let mut lines: VecDeque<Line> = VecDeque::new();
        loop {
            if event.is_none() && events.sequence() < head {
                event = Some(events.next().await?);
            }
            if lines.is_empty() {
                let LogLines { dropped, lines: read } = logs.kept(MAX_ENTRIES).await?;
                self.push(lost(&self.id, dropped));
                lines = read.into();
            }
            let line_first = match (&event, lines.front()) {
                (None, None) => return self.flush().await,
                (Some(event), Some(line)) => line.at < event.at,
                (event, _) => event.is_none(),
            };
            if line_first {
                let entry = lines.pop_front().map(|line| written(&self.id, line));
                self.push(entry);
            } else if let Some(event) = event.take() {
                self.push(transition(&self.id, &event));
            }
            if self.batch.len() >= MAX_ENTRIES {
                self.flush().await?;
            }
        }
    }

    /// What is left when the workflow has ended.
    async fn end(&mut self, logs: &mut LogWatch) -> Result<(), End> {
        loop {
            let lines = logs.kept(MAX_ENTRIES).await?;
            let none = lines.lines.is_empty();
            self.push_lines(lines);
            self.flush().await?;
            if none {
                return Ok(());
            }
        }
    }

    fn change(&mut self, request: &LogStreamRequest) -> Result<(), Problem> {
        if !request.workflow_id.is_empty() && request.workflow_id != self.id.as_str() {
            let reason = "is another workflow's; open another stream for it";
            return Err(Problem::invalid("workflow_id", reason));
        }
        self.filter.change(request)
    }

    fn push(&mut self, entry: Option<LogEntry>) {
        self.batch.extend(entry.filter(|entry| self.filter.wants(entry)));
    }

    fn push_lines(&mut self, lines: LogLines) {
        self.push(lost(&self.id, lines.dropped));
        for line in lines.lines {
            let entry = written(&self.id, line);
            self.push(Some(entry));
        }
    }

    async fn flush(&mut self) -> Result<(), End> {
        let mut batch = std::mem::take(&mut self.batch);
        while !batch.is_empty() {
            let rest = batch.split_off(batch.len().min(MAX_ENTRIES));
            self.send(std::mem::replace(&mut batch, rest)).await?;
        }
        Ok(())
    }

    /// Waits for as long as the client takes: what the log lets go meanwhile is counted.
    async fn send(&self, entries: Vec<LogEntry>) -> Result<(), End> {
        match self.sender.send_patiently(LogStreamResponse { entries, error: None }).await {
            Ok(()) => Ok(()),
            Err(Untaken::Gone | Untaken::Slow) => Err(End::Ok),
        }
    }
}

fn is_end(event: &Event) -> bool {
    let kind = event.kind.as_ref();
    kind.is_some_and(|kind| {
        matches!(
            kind,
            EventKind::WorkflowCompleted(_) | EventKind::WorkflowFailed(_) | EventKind::WorkflowCancelled(_)
        )
    })
}

/// A line of the log.
fn written(id: &WorkflowId, line: Line) -> LogEntry {
    LogEntry {
        timestamp: shown::some_time(line.at),
        level: line.level as i32,
        workflow_id: id.to_string(),
        task_id: line.task,
        message: line.message,
        fields: line.fields.into_iter().collect(),
        attempt: 0,
    }
}

/// The entry that stands for lines which are not kept any more.
fn lost(id: &WorkflowId, dropped: u64) -> Option<LogEntry> {
    (dropped > 0).then(|| LogEntry {
        level: LogLevel::Warn.into(),
        workflow_id: id.to_string(),
        message: format!("{dropped} lines were dropped: the log keeps so many bytes, the newest"),
        fields: BTreeMap::from([("dropped".to_owned(), dropped.to_string())]),
        ..LogEntry::default()
    })
}

/// What an event is in words, if it is a transition.
fn transition(id: &WorkflowId, event: &Event) -> Option<LogEntry> {
    let mut fields = BTreeMap::from([("sequence".to_owned(), event.seq.to_string())]);
    let failed = |fields: &mut BTreeMap<String, String>, what: &str, error: &Option<TaskError>| match error {
        None => what.to_owned(),
        Some(error) => {
            fields.insert("error_code".to_owned(), error.code.clone());
            format!("{what}: {}", error.message)
        }
    };
    let because = |what: &str, reason: &str| match reason {
        "" => what.to_owned(),
        reason => format!("{what}: {reason}"),
    };
    let mut attempt = 0;
    let (level, message) = match event.kind.as_ref()? {
        EventKind::Submitted(_) => (LogLevel::Info, "workflow submitted".to_owned()),
        EventKind::WorkflowStarted(_) => (LogLevel::Info, "workflow started".to_owned()),
        EventKind::TaskStarted(event) => {
            attempt = shown::number(event.attempt);
            (LogLevel::Info, "task started".to_owned())
        }
        EventKind::TaskCompleted(_) => (LogLevel::Info, "task completed".to_owned()),
        EventKind::TaskRetrying(event) => {
            (LogLevel::Warn, failed(&mut fields, "task will be retried", &event.error))
        }
        EventKind::TaskScheduled(_) => (LogLevel::Debug, "task waits for a slot".to_owned()),
        EventKind::TaskLost(_) => (LogLevel::Warn, "attempt lost; it is made again".to_owned()),
        EventKind::TaskFailed(event) => (LogLevel::Error, failed(&mut fields, "task failed", &event.error)),
        EventKind::TaskSkipped(_) => (LogLevel::Info, because("task skipped", event.message())),
        EventKind::TaskCancelled(_) => (LogLevel::Warn, "task cancelled".to_owned()),
        EventKind::TaskExpanded(event) => (LogLevel::Info, format!("task has {} items", event.items.len())),
        EventKind::TaskProgressed(event) => {
            (LogLevel::Debug, because(&format!("{} %", event.percent), &event.message))
        }
        EventKind::TaskSignalled(_) => (LogLevel::Info, "task signalled".to_owned()),
        EventKind::SignalReceived(event) => (LogLevel::Info, format!("signal {} received", event.name)),
        EventKind::Paused(event) => (LogLevel::Info, because("workflow paused", &event.reason)),
        EventKind::Resumed(_) => (LogLevel::Info, "workflow resumed".to_owned()),
        EventKind::CancelRequested(event) => {
            (LogLevel::Warn, because("workflow is cancelled", &event.reason))
        }
        EventKind::WorkflowFailing(event) => {
            (LogLevel::Error, failed(&mut fields, "workflow fails", &event.error))
        }
        EventKind::CompensationAwaited(_) => (LogLevel::Warn, "workflow waits for compensation".to_owned()),
        EventKind::CompensationStarted(event) => {
            (LogLevel::Warn, because("compensation started", &event.reason))
        }
        EventKind::TaskCompensating(event) => {
            attempt = shown::number(event.attempt);
            (LogLevel::Info, "task is being undone".to_owned())
        }
        EventKind::TaskCompensationRetrying(event) => {
            (LogLevel::Warn, failed(&mut fields, "undoing the task will be retried", &event.error))
        }
        EventKind::TaskCompensated(_) => (LogLevel::Info, "task undone".to_owned()),
        EventKind::TaskCompensationFailed(event) => {
            (LogLevel::Error, failed(&mut fields, "task could not be undone", &event.error))
        }
        EventKind::WorkflowCompleted(_) => (LogLevel::Info, "workflow completed".to_owned()),
        EventKind::WorkflowFailed(event) => {
            (LogLevel::Error, failed(&mut fields, "workflow failed", &event.error))
        }
        EventKind::WorkflowCancelled(event) => (LogLevel::Warn, because("workflow cancelled", &event.reason)),
        EventKind::Reopened(event) => (LogLevel::Info, because("workflow retried", &event.reason)),
    };
    Some(LogEntry {
        timestamp: shown::some_time(event.at),
        level: level.into(),
        workflow_id: id.to_string(),
        task_id: event.task().unwrap_or_default().to_owned(),
        message,
        fields,
        attempt,
    })
}
