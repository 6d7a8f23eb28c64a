//! The list: newest first, by status, name, age and label.

use std::collections::BTreeMap;

use prost_types::Timestamp;
use switchboard_proto::goclaw::v1::{
    ListWorkflowsRequest, ListWorkflowsResponse, PaginationRequest, WorkflowFilter, WorkflowStatus,
    WorkflowSummary,
};
use tonic::Status;

use super::{
    Failure, Visit,
    frame::{Page, Section, cell, table},
    html::{Element, Url, element, link, text},
    state::State,
    time,
};
use crate::{api::status::cut, http::answer::LIST};

/// Lines of a page.
const PAGE: i32 = 50;
/// How much a line says of why a workflow failed, in characters: its own page says all.
const MAX_WHY: usize = 160;
/// How often the list is fetched anew.
const EVERY_MS: u32 = 2_000;

/// A status as the address has it, and as people do.
const STATUSES: [(&str, &str, WorkflowStatus); 6] = [
    ("", "All", WorkflowStatus::Unspecified),
    ("running", "Running", WorkflowStatus::Running),
    ("pending", "Pending", WorkflowStatus::Pending),
    ("completed", "Completed", WorkflowStatus::Completed),
    ("failed", "Failed", WorkflowStatus::Failed),
    ("cancelled", "Cancelled", WorkflowStatus::Cancelled),
];

/// How long ago a workflow may have been created, in seconds.
const AGES: [(&str, &str, i64); 5] = [
    ("", "any time", 0),
    ("1h", "the last hour", 3_600),
    ("24h", "the last 24 hours", 86_400),
    ("7d", "the last 7 days", 7 * 86_400),
    ("30d", "the last 30 days", 30 * 86_400),
];

pub(super) async fn show(visit: &Visit) -> Result<Page, Failure> {
    let (filter, narrowed, wrong) = filter(visit);
    let asked = visit.asked("status");
    let status = STATUSES.iter().find(|(name, ..)| *name == asked).map_or(0, |(.., status)| *status as i32);
    let pagination = PaginationRequest { page_size: PAGE, page_token: visit.asked("page").to_owned() };
    let request = ListWorkflowsRequest {
        pagination: Some(pagination),
        status_filter: status,
        filter: Some(filter.clone()),
    };
    let listed: ListWorkflowsResponse = visit.caller.typed(LIST, &request).await?;
    let found = listed.pagination.unwrap_or_default();
    // Counts of each status are exact and cost nothing, unless something else narrows the choice.
    let counts = if narrowed { Vec::new() } else { counts(visit).await? };

    let mut page = Page::new("Workflows", Section::Workflows).every_ms(EVERY_MS);
    page = page.child(text("h1", "Workflows")).child(tabs(visit, status, &counts)).child(form(visit));
    page = page.children(wrong.map(|words| text("p", words).class("note bad").attr("role", "alert")));
    let total = match found.total_count {
        -1 => "More than 10,000 workflows".to_owned(),
        1 => "1 workflow".to_owned(),
        count => format!("{} workflows", grouped(count)),
    };
    let total = text("p", total).class("count").attr("role", "status").attr("id", "total");
    if listed.workflows.is_empty() {
        return Ok(page.child(total.class("unseen")).child(empty(visit, narrowed || status != 0)));
    }
    let owners = listed.workflows.iter().any(|workflow| !workflow.owner.is_empty());
    let mut columns = vec!["Status", "Workflow", "Tasks", "Created", "Took"];
    if owners {
        columns.push("Owner");
    }
    let rows = listed.workflows.iter().map(|workflow| row(workflow, owners));
    let newest = (!visit.asked("page").is_empty()).then(|| link(&here(visit, ""), "Newest"));
    let older = (!found.next_page_token.is_empty())
        .then(|| link(&here(visit, &found.next_page_token), "Older").attr("rel", "next"));
    let pages = element("nav").class("pages").attr("aria-label", "Pages").children(newest).children(older);
    Ok(page.child(total).child(table("Workflows", &columns, rows)).child(pages))
}

/// The filter that the address asks for, whether it leaves anything out, and what is wrong with it.
fn filter(visit: &Visit) -> (WorkflowFilter, bool, Option<String>) {
    let mut filter =
        WorkflowFilter { name_prefix: visit.asked("name").to_owned(), ..WorkflowFilter::default() };
    let age = AGES.iter().find(|(name, ..)| *name == visit.asked("since")).map_or(0, |(.., age)| *age);
    if age > 0 {
        filter.created_after = Some(Timestamp { seconds: time::now() / 1_000 - age, nanos: 0 });
    }
    let label = visit.asked("label");
    let wrong = match label.split_once('=') {
        Some((name, value)) => {
            filter.attributes = BTreeMap::from([(name.trim().to_owned(), value.trim().to_owned())]);
            None
        }
        None if label.is_empty() => None,
        None => Some(format!("“{label}” is no label: write name=value.")),
    };
    let narrowed = !filter.name_prefix.is_empty() || age > 0 || !filter.attributes.is_empty();
    (filter, narrowed, wrong)
}

async fn counts(visit: &Visit) -> Result<Vec<i32>, Status> {
    let count = async |status: WorkflowStatus| {
        let request = ListWorkflowsRequest {
            pagination: Some(PaginationRequest { page_size: 1, ..PaginationRequest::default() }),
            status_filter: status as i32,
            filter: None,
        };
        let listed: ListWorkflowsResponse = visit.caller.typed(LIST, &request).await?;
        Ok(listed.pagination.unwrap_or_default().total_count)
    };
    futures_util::future::try_join_all(STATUSES.map(|(.., status)| count(status))).await
}

/// The address of this list at a page of it.
fn here(visit: &Visit, page: &str) -> Url {
    let kept = ["status", "name", "since", "label"];
    kept.iter().fold(Url::ui(&[]), |url, name| url.with(name, visit.asked(name))).with("page", page)
}

fn tabs(visit: &Visit, chosen: i32, counts: &[i32]) -> Element {
    let tabs = STATUSES.iter().enumerate().map(|(index, (name, words, status))| {
        let kept = ["name", "since", "label"];
        let url = kept
            .iter()
            .fold(Url::ui(&[]).with("status", name), |url, name| url.with(name, visit.asked(name)));
        let mut tab = element("a").to("href", &url).child(text("span", words));
        if let Some(count) = counts.get(index) {
            tab = tab.text(" ").child(text("span", grouped(*count)).class("number"));
        }
        if *status as i32 == chosen {
            tab = tab.attr("aria-current", "true");
        }
        element("li").child(tab)
    });
    let tabs = element("ul").children(tabs);
    element("nav").class("tabs").attr("id", "tabs").attr("aria-label", "By status").child(tabs)
}

fn form(visit: &Visit) -> Element {
    let field = |name: &'static str, words: &str, hint: &str| {
        let input = element("input")
            .attr("type", "search")
            .attr("name", name)
            .attr("id", name)
            .attr("value", visit.asked(name))
            .attr("placeholder", hint)
            .attr("maxlength", 260)
            .attr("autocomplete", "off")
            .attr("spellcheck", "false");
        element("div").class("field").child(text("label", words).attr("for", name)).child(input)
    };
    let ages = AGES.iter().map(|(name, words, _)| {
        text("option", words).attr("value", name).flag("selected", *name == visit.asked("since"))
    });
    let since = element("div")
        .class("field")
        .child(text("label", "Created in").attr("for", "since"))
        .child(element("select").attr("name", "since").attr("id", "since").children(ages));
    let status = visit.asked("status");
    let status = (!status.is_empty())
        .then(|| element("input").attr("type", "hidden").attr("name", "status").attr("value", status));
    element("form")
        .class("filter")
        .attr("role", "search")
        .attr("aria-label", "Filter")
        .attr("id", "filter")
        .to("action", &Url::ui(&[]))
        .children(status)
        .child(field("name", "Name begins with", "order-"))
        .child(field("label", "Label", "name=value"))
        .child(since)
        .child(text("button", "Filter").attr("type", "submit"))
}

fn row(workflow: &WorkflowSummary, owners: bool) -> Element {
    let id = workflow.workflow_id.as_str();
    let state = State::of_workflow(workflow.status, workflow.detail);
    let name = element("a")
        .class("name")
        .to("href", &Url::ui(&["workflows", id]))
        .child(text("bdi", &workflow.name));
    let labels = workflow.attributes.iter().map(|(name, value)| {
        let url = Url::ui(&[]).with("label", &format!("{name}={value}"));
        link(&url, format!("{name}={value}")).class("label")
    });
    let why = (!workflow.error_message.is_empty())
        .then(|| text("span", cut(&workflow.error_message, MAX_WHY)).class("more why"));
    let what = element("div").child(name).child(text("span", id).class("id")).children(why).children(labels);
    let ended = workflow.finished_at.as_ref().filter(|_| state.is_terminal());
    let begun = workflow.started_at.as_ref().or(ended.and(workflow.created_at.as_ref()));
    element("tr")
        .attr("id", format!("row-{id}"))
        .child(cell(state.badge()))
        .child(text("th", "").attr("scope", "row").child(what))
        .child(cell(progress(workflow)))
        .child(cell(time::ago(workflow.created_at.as_ref())))
        .child(cell(time::took(begun, ended)))
        .children(owners.then(|| text("td", &workflow.owner)))
}

fn progress(workflow: &WorkflowSummary) -> Element {
    let WorkflowSummary { tasks_total: total, tasks_completed: completed, tasks_failed: failed, .. } =
        workflow;
    let words = match failed {
        0 => format!("{completed} of {total}"),
        failed => format!("{completed} of {total}, {failed} failed"),
    };
    element("div").class("progress").child(bar(*completed, *failed, *total)).child(text("span", words))
}

/// A bar of what has completed and what has failed; words beside it say the same.
pub(super) fn bar(completed: i32, failed: i32, total: i32) -> Element {
    let share = |count: i32| f64::from(count.max(0)) * 100.0 / f64::from(total.max(1));
    let part = |tone: &'static str, from: f64, width: f64| {
        element("rect")
            .class(tone)
            .attr("x", format!("{from:.2}"))
            .attr("width", format!("{width:.2}"))
            .attr("height", 6)
    };
    let (good, bad) = (share(completed), share(failed));
    element("svg")
        .class("bar")
        .attr("viewBox", "0 0 100 6")
        .attr("preserveAspectRatio", "none")
        .attr("aria-hidden", "true")
        .child(part("track", 0.0, 100.0))
        .child(part("good", 0.0, good))
        .child(part("bad", good, bad))
}

fn empty(visit: &Visit, narrowed: bool) -> Element {
    let card = element("div").class("card empty");
    if narrowed || !visit.asked("page").is_empty() {
        return card
            .child(text("p", "No workflow matches.").class("lead"))
            .child(element("p").child(link(&Url::ui(&[]), "Show all")));
    }
    card.child(text("p", "No workflows yet.").class("lead")).child(text("p", "Run one from a file:")).child(
        element("pre")
            .child(text("code", "switchboard workflow run workers/workflow/examples/itinerary.yaml")),
    )
}

/// `1,234,567`.
pub(super) fn grouped(count: impl Into<i64>) -> String {
    let count: i64 = count.into();
    let digits = count.unsigned_abs().to_string();
    let mut shown = if count < 0 { "-".to_owned() } else { String::new() };
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}
