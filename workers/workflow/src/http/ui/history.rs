//! What happened to a workflow, event by event.

use switchboard_proto::goclaw::v1::{GetHistoryRequest, GetHistoryResponse, HistoryEvent, PaginationRequest};

use super::{
    Failure, Visit,
    frame::{Page, Section, cell, section, table, trail},
    html::{Element, Url, element, link, text},
    state::State,
    tasks::{page_of, plural},
    time, workflow,
};

pub(super) const HISTORY: &str = "/goclaw.v1.WorkflowControlService/GetHistory";

/// Events of a page.
const PAGE: i32 = 200;

pub(super) async fn show(visit: &Visit) -> Result<Page, Failure> {
    let seen = workflow::look(visit).await?;
    let id = seen.workflow_id.as_str();
    let after = visit.asked("after").parse().unwrap_or(0_i64).max(0);
    let request = GetHistoryRequest {
        workflow_id: id.to_owned(),
        after_sequence: after,
        pagination: Some(PaginationRequest { page_size: PAGE, ..PaginationRequest::default() }),
    };
    let read: GetHistoryResponse = visit.caller.typed(HISTORY, &request).await?;
    let more = read.pagination.as_ref().is_some_and(|page| !page.next_page_token.is_empty());
    let here = |after: i64| Url::ui(&["workflows", id, "history"]).with("after", &after.to_string());
    let first = (after > 0).then(|| link(&Url::ui(&["workflows", id, "history"]), "First"));
    let next = read.events.last().filter(|_| more).map(|last| link(&here(last.sequence_number), "Next"));
    let pages = element("nav").class("pages").attr("aria-label", "Pages").children(first).children(next);
    let head = usize::try_from(seen.sequence_number).unwrap_or_default();
    let rows = read.events.iter().map(|event| row(id, event));
    let state = State::of_workflow(seen.status, seen.detail);
    let above = [(Url::ui(&[]), "Workflows".to_owned()), (Url::ui(&["workflows", id]), seen.name.clone())];
    Ok(Page::new(format!("History · {}", seen.name), Section::Workflows)
        .follow(workflow::follow(&seen, state))
        .child(trail(above, "History"))
        .child(text("h1", "History"))
        .child(workflow::tabs(id, "History"))
        .child(
            section("events", "Events")
                .child(text("p", plural(head, "event")).class("count"))
                .child(table("Events", &["Number", "Time", "What", "Task", "Attempt", "Data"], rows))
                .child(pages),
        ))
}

fn row(id: &str, event: &HistoryEvent) -> Element {
    let task = match event.task_id.as_str() {
        "" => text("span", ""),
        task => link(&page_of(id, task), task),
    };
    let attempt = if event.attempt == 0 { String::new() } else { event.attempt.to_string() };
    let data = match event.data_json.as_slice() {
        b"" | b"{}" => text("span", ""),
        data => {
            let shown = serde_json::from_slice::<serde_json::Value>(data)
                .and_then(|value| serde_json::to_string_pretty(&value))
                .unwrap_or_default();
            let name = format!("Data of event {}", event.sequence_number);
            element("details")
                .attr("id", format!("data-{}", event.sequence_number))
                .child(text("summary", "Show").attr("aria-label", name))
                .child(element("pre").child(text("code", shown)))
        }
    };
    element("tr")
        .attr("id", format!("event-{}", event.sequence_number))
        .child(text("th", event.sequence_number).attr("scope", "row"))
        .child(cell(time::at(event.timestamp.as_ref())))
        .child(text("td", event.r#type.replace('_', " ")))
        .child(cell(task))
        .child(text("td", attempt))
        .child(cell(data))
}
