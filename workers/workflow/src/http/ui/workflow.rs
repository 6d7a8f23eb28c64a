//! One workflow: what it is, its graph, its tasks, and what can be done to it.

use switchboard_proto::goclaw::v1::{
    CompensationPolicy, FailurePolicy, GetWorkflowStatusRequest, GetWorkflowStatusResponse, WorkflowDetail,
    WorkflowStatus,
};
use tonic::Status;

use super::{
    Failure, Visit, drawing,
    frame::{Page, Section, done, facts, section, trail},
    html::{Element, Url, element, link, text},
    state::State,
    tasks, time,
};
use crate::http::answer::STATUS;

/// How often a page is fetched anew beside what events say: for progress that is no event.
const EVERY_MS: u32 = 5_000;

pub(super) async fn show(visit: &Visit) -> Result<Page, Failure> {
    let workflow = look(visit).await?;
    let state = State::of_workflow(workflow.status, workflow.detail);
    let streams = follow(&workflow, state);
    let every = if state.is_terminal() { 0 } else { EVERY_MS };
    Ok(Page::new(&workflow.name, Section::Workflows)
        .follow(streams)
        .every_ms(every)
        .child(trail([(Url::ui(&[]), "Workflows".to_owned())], &workflow.name))
        .child(heading(&workflow, state))
        .children(done(visit))
        .children(problem(&workflow))
        .child(tabs(&workflow.workflow_id, "Overview"))
        .child(about(&workflow, state))
        .child(drawing::graph(&workflow))
        .child(tasks::list(visit, &workflow)))
}

/// The workflow that the path names.
pub(super) async fn look(visit: &Visit) -> Result<GetWorkflowStatusResponse, Status> {
    let workflow_id = visit.named("workflow").to_owned();
    visit.caller.typed(STATUS, &GetWorkflowStatusRequest { workflow_id, include_input: false }).await
}

/// The streams that tell of what follows, if anything may.
pub(super) fn follow(workflow: &GetWorkflowStatusResponse, state: State) -> Vec<Url> {
    if state.is_terminal() {
        return Vec::new();
    }
    let (id, after) = (workflow.workflow_id.as_str(), workflow.sequence_number.to_string());
    [Url::api(&["workflows", id, "events"]), Url::api(&["workflows", id, "tasks", "events"])]
        .map(|url| url.with("last_event_id", &after))
        .into()
}

fn heading(workflow: &GetWorkflowStatusResponse, state: State) -> Element {
    let title = element("div")
        .class("title")
        .child(element("h1").child(text("bdi", &workflow.name)))
        .child(element("p").attr("id", "state").attr("role", "status").child(state.badge()));
    element("div").class("heading").child(title).child(actions(workflow, state))
}

fn problem(workflow: &GetWorkflowStatusResponse) -> Option<Element> {
    (!workflow.error_message.is_empty()).then(|| {
        element("p")
            .class("note bad")
            .attr("id", "problem")
            .child(State::Failed.icon())
            .child(text("span", &workflow.error_message))
    })
}

/// The pages of one workflow.
pub(super) fn tabs(id: &str, here: &str) -> Element {
    let tabs = [
        ("Overview", Url::ui(&["workflows", id])),
        ("History", Url::ui(&["workflows", id, "history"])),
        ("Log", Url::ui(&["workflows", id, "log"])),
    ];
    let tabs = tabs.into_iter().map(|(words, url)| {
        let tab = link(&url, words);
        element("li").child(if words == here { tab.attr("aria-current", "page") } else { tab })
    });
    let tabs = element("ul").children(tabs);
    element("nav").class("tabs").attr("aria-label", "This workflow").child(tabs)
}

fn about(workflow: &GetWorkflowStatusResponse, state: State) -> Element {
    let ended = workflow.finished_at.as_ref().filter(|_| state.is_terminal());
    let begun = workflow.started_at.as_ref().or(ended.and(workflow.created_at.as_ref()));
    let parent = (!workflow.parent_workflow_id.is_empty()).then(|| {
        let url = Url::ui(&["workflows", &workflow.parent_workflow_id, "tasks", &workflow.parent_task_id]);
        ("Part of", link(&url, format!("{} / {}", workflow.parent_workflow_id, workflow.parent_task_id)))
    });
    let owner = (!workflow.owner.is_empty()).then(|| ("Owner", text("bdi", &workflow.owner)));
    let deadline = workflow.deadline.as_ref().filter(|_| !state.is_terminal());
    let deadline = deadline.map(|deadline| ("Must end", time::ago(Some(deadline))));
    let policy = match FailurePolicy::try_from(workflow.failure_policy).unwrap_or_default() {
        FailurePolicy::Unspecified | FailurePolicy::FailFastDrain => "Lets what runs end",
        FailurePolicy::FailFastCancel => "Cancels what runs",
        FailurePolicy::Continue => "Goes on with the rest",
    };
    let undo = match CompensationPolicy::try_from(workflow.compensation_policy).unwrap_or_default() {
        CompensationPolicy::Unspecified | CompensationPolicy::Auto => None,
        CompensationPolicy::Manual => Some("By hand"),
        CompensationPolicy::Skip => Some("Never"),
    };
    let priority = (workflow.priority != 0).then(|| ("Priority", text("span", workflow.priority)));
    let labels = workflow.attributes.iter().map(|(name, value)| {
        let label = format!("{name}={value}");
        link(&Url::ui(&[]).with("label", &label), label).class("label")
    });
    let labels = element("span").class("labels").children(labels);
    let labels = (!labels.is_empty()).then_some(("Labels", labels));
    let known = [
        ("ID", text("code", &workflow.workflow_id).class("long")),
        ("Created", time::at(workflow.created_at.as_ref())),
        ("Took", time::took(begun, ended)),
        ("Tasks ended", text("span", format!("{} %", workflow.progress_percent))),
    ];
    let known = known.into_iter().chain(parent).chain(owner).chain(deadline).chain(priority);
    let known = known.chain([("If a task fails", text("span", policy))]);
    let known = known.chain(undo.map(|undo| ("Undo", text("span", undo)))).chain(labels);
    let facts = facts(known).attr("id", "facts");
    let said = workflow
        .metadata
        .iter()
        .map(|(name, value)| element("div").child(text("dt", name)).child(text("dd", value)));
    let said = element("dl").class("facts").children(said);
    let said = (!said.is_empty()).then(|| {
        let summary = text("summary", "Metadata");
        element("details").attr("id", "metadata").child(summary).child(said)
    });
    section("about", "About").class("card").child(facts).children(said)
}

/// What the workflow's state allows.
fn actions(workflow: &GetWorkflowStatusResponse, state: State) -> Element {
    let detail = WorkflowDetail::try_from(workflow.detail).unwrap_or_default();
    let mut actions = element("div").class("actions").attr("id", "actions");
    if !state.is_terminal() {
        actions = match detail {
            WorkflowDetail::Paused => actions.child(at_once("resume", "Resume")),
            WorkflowDetail::Unspecified => actions.child(at_once("pause", "Pause")),
            _ => actions,
        };
        if detail == WorkflowDetail::PendingCompensation {
            let words = "Runs the undo of every task that has completed, the last one first.";
            actions = actions.child(confirmed("compensate", "Undo", words, "Undo", false, None));
        }
        actions = actions.child(cancel());
    }
    let status = WorkflowStatus::try_from(workflow.status).unwrap_or_default();
    let undone = matches!(detail, WorkflowDetail::Compensated | WorkflowDetail::CompensationFailed);
    if matches!(status, WorkflowStatus::Failed | WorkflowStatus::Cancelled) && !undone {
        let words = "Runs on from what did not complete. Completed tasks keep their results.";
        actions = actions.child(confirmed("retry", "Retry", words, "Retry workflow", false, None));
    }
    actions
}

fn cancel() -> Element {
    let choice = |value: &'static str, words: &str, chosen: bool| {
        let input = element("input").attr("type", "radio").attr("name", "force").attr("value", value);
        element("label").child(input.flag("checked", chosen)).text(" ").text(words)
    };
    let choices = element("fieldset")
        .child(text("legend", "Tasks that run"))
        .child(choice("false", "are told, and have 30 s to end", true))
        .child(choice("true", "are given up at once", false));
    let words = "No new task starts, and children are cancelled too.";
    confirmed("cancel", "Cancel", words, "Cancel workflow", true, Some(choices))
}

/// A button that acts at once: it takes nothing away.
fn at_once(act: &'static str, words: &str) -> Element {
    let button = text("button", words).attr("name", "do").attr("value", act);
    element("form").attr("method", "post").attr("id", format!("{act}-form")).child(button)
}

/// A button behind another one, so that nobody presses it by mistake. Works without script.
pub(super) fn confirmed(
    act: &'static str,
    words: &str,
    explained: &str,
    confirm: &str,
    dangerous: bool,
    more: Option<Element>,
) -> Element {
    let reason = format!("{act}-reason");
    let button = text("button", confirm).attr("name", "do").attr("value", act).class(if dangerous {
        "danger"
    } else {
        "main"
    });
    let input = element("input").attr("name", "reason").attr("id", &reason).attr("maxlength", 500);
    let form = element("form")
        .attr("method", "post")
        .child(text("p", explained))
        .children(more)
        .child(text("label", "Reason, for the history (optional)").attr("for", &reason))
        .child(input.attr("autocomplete", "off"))
        .child(button);
    element("details")
        .class("confirm")
        .attr("id", format!("{act}-form"))
        .child(text("summary", format!("{words}…")))
        .child(form)
}
