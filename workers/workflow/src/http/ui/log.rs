//! Log lines of a workflow or a task: the latest, with what the engine itself did.

use std::{collections::VecDeque, time::Duration};

use prost::Message;
use switchboard_proto::goclaw::v1::{LogEntry, LogLevel, LogStreamRequest, LogStreamResponse};
use tonic::Status;

use super::{
    Failure, Visit,
    frame::{Page, Section, section, trail},
    html::{Element, Url, element, link, text},
    state::State,
    tasks::page_of,
    time, workflow,
};
use crate::http::call::decoded;

const LOGS: &str = "/goclaw.v1.StreamingService/StreamLogs";

/// Lines that are shown.
const MAX_LINES: usize = 300;
/// How long the stream may be silent before all that was kept has come.
const QUIET: Duration = Duration::from_millis(60);
/// How long lines are read at most.
const READ: Duration = Duration::from_secs(2);
pub(super) async fn show(visit: &Visit) -> Result<Page, Failure> {
    let seen = workflow::look(visit).await?;
    let id = seen.workflow_id.as_str();
    let state = State::of_workflow(seen.status, seen.detail);
    let above = [(Url::ui(&[]), "Workflows".to_owned()), (Url::ui(&["workflows", id]), seen.name.clone())];
    Ok(Page::new(format!("Log · {}", seen.name), Section::Workflows)
        .follow(workflow::follow(&seen, state))
        .child(trail(above, "Log"))
        .child(text("h1", "Log"))
        .child(workflow::tabs(id, "Log"))
        .child(section_of(visit, id, None, !state.is_terminal()).await?))
}

/// The section with the latest lines, of one task or of all. `live` lines may still come: then the script follows them.
pub(super) async fn section_of(
    visit: &Visit,
    id: &str,
    task: Option<&str>,
    live: bool,
) -> Result<Element, Failure> {
    let section = section("log", if task.is_some() { "Log" } else { "Lines" });
    let (lines, more) = match live && visit.follows_log {
        true => Default::default(),
        false => read(visit, id, task).await?,
    };
    let note = match (lines.is_empty(), more) {
        (true, _) => text("p", "Nothing was written yet.").class("help none-yet"),
        (_, true) => text("p", format!("The latest {MAX_LINES} lines.")).class("help"),
        (_, false) => element("p").class("help"),
    };
    let lines =
        element("ol").class("lines").children(lines.iter().map(|line| shown(id, line, task.is_none())));
    let mut lines = element("div")
        .class("log")
        .attr("tabindex", 0)
        .attr("role", "region")
        .attr("aria-label", "Log lines")
        .child(note)
        .child(lines);
    if live {
        let stream = Url::api(&["workflows", id, "logs"])
            .with("level", "debug")
            .with("task", task.unwrap_or_default());
        lines = lines.attr("data-own", "").attr("data-log", stream.as_str()).attr("data-max", MAX_LINES);
    }
    Ok(section.child(lines))
}

/// The latest lines, and whether there were more.
async fn read(visit: &Visit, id: &str, task: Option<&str>) -> Result<(VecDeque<LogEntry>, bool), Status> {
    let request = LogStreamRequest {
        workflow_id: id.to_owned(),
        min_level: LogLevel::Debug.into(),
        task_ids: task.map(str::to_owned).into_iter().collect(),
    };
    let mut stream = visit.caller.stream(LOGS, request.encode_to_vec().into()).await?;
    let mut lines = VecDeque::new();
    let mut more = false;
    let all = async {
        // A stream that has ended, or is silent, has said all that was kept. `message` loses nothing when dropped.
        while let Ok(message) = tokio::time::timeout(QUIET, stream.message()).await {
            let Some(message) = message? else { break };
            for entry in decoded::<LogStreamResponse>(&message)?.entries {
                lines.push_back(entry);
                if lines.len() > MAX_LINES {
                    lines.pop_front();
                    more = true;
                }
            }
        }
        Ok::<_, Status>(())
    };
    if let Ok(read) = tokio::time::timeout(READ, all).await {
        read?;
    }
    Ok((lines, more))
}

fn shown(id: &str, line: &LogEntry, names_task: bool) -> Element {
    let (tone, word) = match LogLevel::try_from(line.level).unwrap_or_default() {
        LogLevel::Unspecified | LogLevel::Info => ("info", "info"),
        LogLevel::Debug => ("debug", "debug"),
        LogLevel::Warn => ("warn", "warn"),
        LogLevel::Error => ("bad", "error"),
    };
    let task = (names_task && !line.task_id.is_empty())
        .then(|| link(&page_of(id, &line.task_id), &line.task_id).class("task"));
    // The number of its event says nothing that the order does not.
    let fields = line.fields.iter().filter(|(name, _)| *name != "sequence");
    let fields = fields.map(|(name, value)| text("span", format!(" {name}={value}")).class("more"));
    element("li")
        .child(time::clock(line.timestamp.as_ref()))
        .text(" ")
        .child(text("span", word).class(&format!("level {tone}")))
        .text(" ")
        .children(task)
        .text(" ")
        .child(text("span", &line.message).class("message"))
        .children(fields)
}
