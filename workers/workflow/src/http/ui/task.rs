//! One task, or one item of a task that runs for each of many: attempts, result, error, log.

use prost::Message;
use prost_types::Timestamp;
use serde_json::Value;
use switchboard_proto::goclaw::v1::{
    GetHistoryRequest, GetHistoryResponse, GetTaskResultRequest, GetTaskResultResponse,
    GetWorkflowStatusResponse, HistoryEvent, PaginationRequest, TaskProgressUpdate, TaskStatusDetail,
    WatchTasksRequest, WorkflowStatus,
};
use tonic::Status;

use super::{
    Failure, Visit,
    frame::{Page, Section, cell, done, facts, section, table, trail},
    history::HISTORY,
    html::{Element, Url, element, link, text},
    log,
    state::State,
    tasks::{links, page_of, plural, says, state},
    time, workflow,
    workflows::grouped,
};
use crate::{api::status::cut, http::call::decoded};

const RESULT: &str = "/goclaw.v1.WorkflowService/GetTaskResult";
const WATCH_TASKS: &str = "/goclaw.v1.StreamingService/WatchTasks";

/// How much of a result stands on the page, in characters.
const MAX_RESULT: usize = 20_000;
/// Items that are shown.
const MAX_ITEMS: usize = 100;
/// Events that are looked through for attempts, in pages of 1,000.
const HISTORY_PAGES: usize = 5;
/// Attempts that are shown, the latest.
const MAX_ATTEMPTS: usize = 50;
/// How often the page is fetched anew beside what events say.
const EVERY_MS: u32 = 5_000;

pub(super) async fn show(visit: &Visit) -> Result<Page, Failure> {
    let workflow = workflow::look(visit).await?;
    let (id, name) = (workflow.workflow_id.as_str(), visit.named("task"));
    let task = found(visit, &workflow, name).await?;
    let state = state(&task);
    let request = GetTaskResultRequest { workflow_id: id.to_owned(), task_id: name.to_owned() };
    let result: GetTaskResultResponse = visit.caller.typed(RESULT, &request).await?;
    let over = State::of_workflow(workflow.status, workflow.detail);
    let events = Url::api(&["workflows", id, "tasks", "events"])
        .with("task", name.split('[').next().unwrap_or_default())
        .with("last_event_id", &workflow.sequence_number.to_string());
    let title = if task.name.is_empty() { name } else { &task.name };
    let above =
        [(Url::ui(&[]), "Workflows".to_owned()), (Url::ui(&["workflows", id]), workflow.name.clone())];
    let heading = element("div")
        .class("title")
        .child(element("h1").child(text("bdi", title)))
        .child(element("p").attr("id", "state").attr("role", "status").child(state.badge()));
    let problem = (!task.error_message.is_empty()).then(|| {
        let mut words = element("span");
        if !task.error_code.is_empty() {
            words = words.child(text("code", &task.error_code)).text(" ");
        }
        let words = words.text(&task.error_message);
        element("p").class("note bad").attr("id", "problem").child(State::Failed.icon()).child(words)
    });
    Ok(Page::new(format!("{title} · {}", workflow.name), Section::Workflows)
        .follow((!over.is_terminal()).then_some(events))
        .every_ms(if over.is_terminal() { 0 } else { EVERY_MS })
        .child(trail(above, title))
        .child(element("div").class("heading").child(heading).child(actions(&workflow, &task, state)))
        .children(done(visit))
        .children(problem)
        .child(about(&workflow, &task, state))
        .child(outcome(id, name, &result))
        .children(items(visit, id, &task).await?)
        .children(attempts(visit, id, name).await?)
        .child(log::section_of(visit, id, Some(name), !over.is_terminal()).await?))
}

/// The task of this name; items are no tasks of the submission, but are followed as such.
async fn found(
    visit: &Visit,
    workflow: &GetWorkflowStatusResponse,
    name: &str,
) -> Result<TaskStatusDetail, Failure> {
    if let Some(task) = workflow.tasks.iter().find(|task| task.task_id == name) {
        return Ok(task.clone());
    }
    let unknown = || Status::not_found(format!("the workflow has no task {}", cut(name, 120)));
    let (of, _) = name.split_once('[').ok_or_else(unknown)?;
    let whole = workflow.tasks.iter().find(|task| task.task_id == of).ok_or_else(unknown)?;
    let item = present(visit, &workflow.workflow_id, vec![name.to_owned()]).await.map_err(|_| unknown())?;
    let item = item.into_iter().next().ok_or_else(unknown)?;
    let failed = State::of_task(item.status, item.detail).tone() == "bad";
    Ok(TaskStatusDetail {
        task_id: name.to_owned(),
        name: name.to_owned(),
        status: item.status,
        detail: item.detail,
        attempt: item.attempt,
        error_message: if failed { item.message.clone() } else { String::new() },
        progress_message: if failed { String::new() } else { item.message },
        error_code: item.error_code,
        progress_percent: item.progress_percent,
        child_workflow_id: item.child_workflow_id,
        next_attempt_at: item.next_attempt_at,
        items_total: 0,
        items_completed: 0,
        started_at: None,
        completed_at: None,
        result_bytes: item.result_bytes,
        ..whole.clone()
    })
}

/// What tasks are now, in the order asked for.
async fn present(visit: &Visit, id: &str, tasks: Vec<String>) -> Result<Vec<TaskProgressUpdate>, Status> {
    let wanted = tasks.len();
    let request = WatchTasksRequest {
        workflow_id: id.to_owned(),
        task_ids: tasks,
        terminal_only: false,
        resume_from_sequence: 0,
    };
    let mut stream = visit.caller.stream(WATCH_TASKS, request.encode_to_vec().into()).await?;
    let mut states = Vec::with_capacity(wanted);
    while states.len() < wanted
        && let Some(update) = stream.message().await?
    {
        states.push(decoded(&update)?);
    }
    Ok(states)
}

fn about(workflow: &GetWorkflowStatusResponse, task: &TaskStatusDetail, state: State) -> Element {
    let id = workflow.workflow_id.as_str();
    let ended = task.completed_at.as_ref().filter(|_| state.is_terminal());
    let what = match (task.target.as_str(), task.operation.as_str()) {
        ("", "") => task.r#type.clone(),
        ("", operation) => format!("{} {operation}", task.r#type),
        (target, "") => format!("{} {target}", task.r#type),
        (target, operation) => format!("{} {target} / {operation}", task.r#type),
    };
    let attempts = match (task.attempt, task.max_attempts) {
        (0, max) => format!("none yet of {max}"),
        (attempt, max) => format!("{attempt} of {max}"),
    };
    let after: Vec<&String> = workflow
        .tasks
        .iter()
        .filter(|other| other.dependencies.contains(&task.task_id))
        .map(|other| &other.task_id)
        .collect();
    let mut known = vec![
        ("ID", text("code", &task.task_id)),
        ("Does", text("span", what)),
        ("Attempts", text("span", attempts)),
        ("Started", time::at(task.started_at.as_ref())),
        ("Took", time::took(task.started_at.as_ref(), ended)),
        ("Lane", text("span", &task.lane)),
    ];
    if !task.dependencies.is_empty() {
        known.push(("Waits for", links(id, &task.dependencies)));
    }
    if !after.is_empty() {
        known.push(("Then", links(id, after)));
    }
    if task.next_attempt_at.is_some() {
        known.push(("Goes on", time::ago(task.next_attempt_at.as_ref())));
    }
    if !task.child_workflow_id.is_empty() {
        let url = Url::ui(&["workflows", &task.child_workflow_id]);
        known.push(("Child workflow", link(&url, &task.child_workflow_id)));
    }
    if !task.worker_id.is_empty() {
        known.push(("Worker", text("bdi", &task.worker_id)));
    }
    if task.priority != 0 {
        known.push(("Priority", text("span", task.priority)));
    }
    let progress = says(task);
    if task.error_message.is_empty() && !progress.is_empty() {
        known.push(("Progress", text("span", progress)));
    }
    section("about", "About").class("card").child(facts(known).attr("id", "facts"))
}

fn outcome(id: &str, name: &str, result: &GetTaskResultResponse) -> Element {
    let section = section("result", "Result");
    let ended = State::of_task(result.status, result.detail).is_terminal();
    let raw = link(&Url::api(&["workflows", id, "tasks", name, "result"]), "As JSON");
    if result.result_data.is_empty() {
        return match result.result_bytes {
            0 if ended => section.child(text("p", "It left none.").class("help")),
            0 => section.child(text("p", "There is none yet.").class("help")),
            bytes => {
                let words = format!("{} bytes: too large for this page.", grouped(bytes));
                section.child(text("p", words).class("help"))
            }
        };
    }
    let shown = match serde_json::from_slice::<Value>(&result.result_data) {
        Ok(value) => serde_json::to_string_pretty(&value).unwrap_or_default(),
        Err(_) => String::from_utf8_lossy(&result.result_data).into_owned(),
    };
    let code = element("pre")
        .attr("tabindex", 0)
        .attr("role", "region")
        .attr("aria-label", "Result")
        .child(text("code", cut(&shown, MAX_RESULT)));
    let size = format!("{} bytes · ", grouped(result.result_bytes));
    section.child(code).child(text("p", size).class("help").child(raw))
}

/// The items of a task that runs for each of many.
async fn items(visit: &Visit, id: &str, task: &TaskStatusDetail) -> Result<Option<Element>, Failure> {
    let Some(total) = usize::try_from(task.items_total).ok().filter(|total| *total > 0) else {
        return Ok(None);
    };
    let names = (0..total.min(MAX_ITEMS)).map(|index| format!("{}[{index}]", task.task_id)).collect();
    let rows: Vec<Element> = present(visit, id, names)
        .await?
        .into_iter()
        .map(|item| {
            let attempt = if item.attempt == 0 { String::new() } else { item.attempt.to_string() };
            element("tr")
                .attr("id", format!("item-{}", item.task_id))
                .child(cell(State::of_task(item.status, item.detail).badge()))
                .child(
                    element("th")
                        .attr("scope", "row")
                        .child(link(&page_of(id, &item.task_id), &item.task_id)),
                )
                .child(text("td", attempt))
                .child(text("td", item.message).class("says"))
        })
        .collect();
    let shown = rows.len();
    let words = match shown < total {
        true => format!("The first {shown} of {}, {} completed", grouped(total as i64), task.items_completed),
        false => format!("{}, {} completed", plural(total, "item"), task.items_completed),
    };
    let table = table("Items", &["Status", "Item", "Attempt", "Says"], rows);
    Ok(Some(section("items", "Items").child(text("p", words).class("count")).child(table)))
}

/// One attempt, as its events tell of it.
struct Attempt {
    number: i32,
    undo: bool,
    began: Option<Timestamp>,
    ended: Option<Timestamp>,
    state: State,
    words: String,
}

async fn attempts(visit: &Visit, id: &str, name: &str) -> Result<Option<Element>, Failure> {
    let (mut attempts, mut after, mut whole) = (Vec::new(), 0, false);
    for _ in 0..HISTORY_PAGES {
        let request = GetHistoryRequest {
            workflow_id: id.to_owned(),
            after_sequence: after,
            pagination: Some(PaginationRequest { page_size: 1_000, ..PaginationRequest::default() }),
        };
        let read: GetHistoryResponse = visit.caller.typed(HISTORY, &request).await?;
        for event in read.events.iter().filter(|event| event.task_id == name) {
            told(&mut attempts, event);
        }
        let more = read.pagination.is_some_and(|page| !page.next_page_token.is_empty());
        match read.events.last().filter(|_| more) {
            Some(last) => after = last.sequence_number,
            None => {
                whole = true;
                break;
            }
        }
    }
    if attempts.is_empty() {
        return Ok(None);
    }
    let section = section("attempts", "Attempts");
    let note = (!whole).then(|| {
        let words = format!("Of the first {} events of the workflow; its history has all.", grouped(after));
        text("p", words).class("help")
    });
    let rows = attempts.iter().rev().take(MAX_ATTEMPTS).map(|attempt| {
        let number = match attempt.undo {
            true => format!("{} (undo)", attempt.number),
            false => attempt.number.to_string(),
        };
        element("tr")
            .child(text("th", number).attr("scope", "row"))
            .child(cell(attempt.state.badge()))
            .child(cell(time::at(attempt.began.as_ref())))
            .child(cell(time::took(attempt.began.as_ref(), attempt.ended.as_ref())))
            .child(text("td", &attempt.words).class("says"))
    });
    let table = table("Attempts", &["Attempt", "Outcome", "Started", "Took", "Says"], rows);
    Ok(Some(section.children(note).child(table)))
}

/// Takes an event into the attempts that it begins or ends.
fn told(attempts: &mut Vec<Attempt>, event: &HistoryEvent) {
    let state = match event.r#type.as_str() {
        begun @ ("task_started" | "task_compensating") => {
            attempts.push(Attempt {
                number: event.attempt,
                undo: begun == "task_compensating",
                began: event.timestamp,
                ended: None,
                state: State::Running,
                words: String::new(),
            });
            return;
        }
        "task_completed" => State::Completed,
        "task_compensated" => State::Compensated,
        "task_retrying" | "task_compensation_retrying" | "task_failed" => State::Failed,
        "task_compensation_failed" => State::CompensationFailed,
        "task_cancelled" | "task_lost" => State::Cancelled,
        _ => return,
    };
    let Some(attempt) = attempts.last_mut().filter(|attempt| attempt.ended.is_none()) else { return };
    attempt.ended = event.timestamp;
    attempt.state = state;
    let data: Value = serde_json::from_slice(&event.data_json).unwrap_or_default();
    let error =
        |field: &str| data.pointer(&format!("/error/{field}")).and_then(Value::as_str).unwrap_or_default();
    attempt.words = match (error("code"), error("message")) {
        ("", "") if event.r#type == "task_lost" => "its executor was lost; it is made again".to_owned(),
        ("", message) => message.to_owned(),
        (code, message) => format!("{code}: {message}"),
    };
}

/// What the task's state allows.
fn actions(workflow: &GetWorkflowStatusResponse, task: &TaskStatusDetail, state: State) -> Element {
    let mut actions = element("div").class("actions").attr("id", "actions");
    let status = WorkflowStatus::try_from(workflow.status).unwrap_or_default();
    let whole = !task.task_id.contains('[');
    if matches!(status, WorkflowStatus::Failed | WorkflowStatus::Cancelled) && whole {
        let words = "Runs this task again, with all that depend on it, and what else did not complete.";
        actions = actions.child(workflow::confirmed(
            "retry",
            "Retry from here",
            words,
            "Retry from here",
            false,
            None,
        ));
    }
    if task.r#type == "wait_signal" && state == State::Waiting {
        actions = actions.child(signal(&task.target));
    }
    actions
}

fn signal(name: &str) -> Element {
    let payload = element("textarea")
        .attr("name", "payload")
        .attr("id", "payload")
        .attr("rows", 4)
        .attr("spellcheck", "false")
        .attr("placeholder", "{\"approved\": true}");
    let form = element("form")
        .attr("method", "post")
        .child(text(
            "p",
            format!("The task waits for the signal “{name}”. What comes with it is its result."),
        ))
        .child(element("input").attr("type", "hidden").attr("name", "signal").attr("value", name))
        .child(text("label", "Payload, as JSON (optional)").attr("for", "payload"))
        .child(payload)
        .child(text("button", "Send signal").attr("name", "do").attr("value", "signal").class("main"));
    element("details")
        .class("confirm")
        .attr("id", "signal-form")
        .child(text("summary", "Send signal…"))
        .child(form)
}
