//! All tasks of a workflow as a table: what the graph says, in words.

use switchboard_proto::goclaw::v1::{GetWorkflowStatusResponse, TaskStatusDetail};

use super::{
    Visit,
    frame::{cell, section, table},
    html::{Element, Url, element, link, text},
    state::{State, in_words, tally},
    time,
    workflows::grouped,
};

/// Rows of a page.
const PAGE: usize = 200;
/// Dependencies that a row names.
const MAX_NAMED: usize = 8;

/// The state of a task.
pub(super) fn state(task: &TaskStatusDetail) -> State {
    State::of_task(task.status, task.detail)
}

/// The table with its filter.
pub(super) fn list(visit: &Visit, workflow: &GetWorkflowStatusResponse) -> Element {
    let id = workflow.workflow_id.as_str();
    let tally = tally(workflow.tasks.iter().map(state));
    let (prefix, chosen) = (visit.asked("task"), visit.asked("state"));
    let matches = |task: &&TaskStatusDetail| {
        let by_name = task.task_id.starts_with(prefix) || task.name.starts_with(prefix);
        by_name && (chosen.is_empty() || state(task).word() == chosen)
    };
    let found: Vec<&TaskStatusDetail> = workflow.tasks.iter().filter(matches).collect();
    let from =
        visit.asked("from").parse().unwrap_or(0_usize).min(found.len().saturating_sub(1)) / PAGE * PAGE;
    let to = found.len().min(from + PAGE);
    let shown = found.get(from..to).unwrap_or_default();
    let page = |from: usize, words: String| {
        let from = if from == 0 { String::new() } else { from.to_string() };
        let url = Url::ui(&["workflows", id]).with("task", prefix).with("state", chosen).with("from", &from);
        link(&url.at("tasks"), words)
    };
    let earlier = (from > 0).then(|| page(from - PAGE, format!("Previous {PAGE}")));
    let later = (to < found.len()).then(|| page(to, format!("Next {}", PAGE.min(found.len() - to))));
    let pages =
        element("nav").class("pages").attr("aria-label", "Pages of tasks").children(earlier).children(later);
    let has_filter = workflow.tasks.len() > 12 || !prefix.is_empty() || !chosen.is_empty();
    let count = match found.len() == workflow.tasks.len() {
        true => format!("{}: {}", plural(found.len(), "task"), in_words(&tally)),
        false => format!("{} of {}", grouped(found.len() as i64), plural(workflow.tasks.len(), "task")),
    };
    let columns = ["Status", "Task", "Waits for", "Attempt", "Started", "Took", "Says"];
    let rows = shown.iter().map(|task| row(id, task));
    section("tasks", "Tasks")
        .child(text("p", count).class("count"))
        .children(has_filter.then(|| form(id, prefix, chosen, &tally)))
        .child(table("Tasks", &columns, rows))
        .child(pages)
}

pub(super) fn plural(count: usize, word: &str) -> String {
    match count {
        1 => format!("1 {word}"),
        count => format!("{} {word}s", grouped(count as i64)),
    }
}

fn form(id: &str, prefix: &str, chosen: &str, tally: &[(State, usize)]) -> Element {
    let states = tally.iter().map(|(state, count)| {
        let words = format!("{} ({count})", state.word());
        text("option", words).attr("value", state.word()).flag("selected", state.word() == chosen)
    });
    let states = element("select")
        .attr("name", "state")
        .attr("id", "task-state")
        .child(text("option", "any").attr("value", ""))
        .children(states);
    let name = element("input")
        .attr("type", "search")
        .attr("name", "task")
        .attr("id", "task-name")
        .attr("value", prefix)
        .attr("autocomplete", "off")
        .attr("spellcheck", "false");
    let field = |label: &str, of: &'static str, input: Element| {
        element("div").class("field").child(text("label", label).attr("for", of)).child(input)
    };
    element("form")
        .class("filter")
        .attr("role", "search")
        .attr("aria-label", "Filter tasks")
        .attr("id", "task-filter")
        .to("action", &Url::ui(&["workflows", id]).at("tasks"))
        .child(field("Name begins with", "task-name", name))
        .child(field("Status", "task-state", states))
        .child(text("button", "Filter").attr("type", "submit"))
}

/// The page of a task.
pub(super) fn page_of(workflow: &str, task: &str) -> Url {
    Url::ui(&["workflows", workflow, "tasks", task])
}

/// Tasks by their links.
pub(super) fn links<'a>(workflow: &str, tasks: impl IntoIterator<Item = &'a String>) -> Element {
    let mut links = element("span").class("links");
    let mut left = 0;
    for (index, task) in tasks.into_iter().enumerate() {
        if index >= MAX_NAMED {
            left += 1;
            continue;
        }
        if index > 0 {
            links = links.text(", ");
        }
        links = links.child(link(&page_of(workflow, task), task));
    }
    match left {
        0 => links,
        left => links.text(format!(" and {left} more")),
    }
}

fn row(workflow: &str, task: &TaskStatusDetail) -> Element {
    let state = state(task);
    let mut name = element("div").child(link(&page_of(workflow, &task.task_id), &task.task_id).class("name"));
    if task.name != task.task_id {
        name = name.child(text("bdi", &task.name).class("more"));
    }
    let ended = task.completed_at.as_ref().filter(|_| state.is_terminal());
    element("tr")
        .attr("id", format!("task-{}", task.task_id))
        .child(cell(state.badge()))
        .child(element("th").attr("scope", "row").child(name))
        .child(cell(links(workflow, &task.dependencies)))
        .child(cell(attempts(task)))
        .child(cell(time::ago(task.started_at.as_ref())))
        .child(cell(time::took(task.started_at.as_ref(), ended)))
        .child(element("td").class("says").child(text("span", says(task))))
}

fn attempts(task: &TaskStatusDetail) -> Element {
    match (task.attempt, task.max_attempts) {
        (0, _) => text("span", ""),
        (attempt, max) if max > 1 => text("span", format!("{attempt} of {max}")),
        (attempt, _) => text("span", attempt),
    }
}

/// What there is to say of a task beside its state, in one line.
pub(super) fn says(task: &TaskStatusDetail) -> String {
    if !task.error_message.is_empty() {
        return task.error_message.clone();
    }
    if task.items_total > 0 {
        return format!("{} of {} items", task.items_completed, task.items_total);
    }
    if !task.progress_message.is_empty() {
        return match task.progress_percent {
            0 => task.progress_message.clone(),
            percent => format!("{percent} %: {}", task.progress_message),
        };
    }
    String::new()
}
