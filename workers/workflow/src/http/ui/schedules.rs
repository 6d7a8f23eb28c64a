//! Schedules: what starts by the clock, when it did, and when it will.

use switchboard_proto::goclaw::v1::{
    ListSchedulesRequest, ListSchedulesResponse, OverlapPolicy, PaginationRequest, Schedule,
};
use tonic::Code;

use super::{
    Failure, Visit,
    frame::{Page, Section, cell, done, table},
    html::{Element, Url, element, link, text},
    state::State,
    tasks::plural,
    time,
};

const LIST: &str = "/goclaw.v1.ScheduleService/ListSchedules";

/// Lines of a page.
const PAGE: i32 = 100;
/// How often the list is fetched anew.
const EVERY_MS: u32 = 5_000;

pub(super) async fn show(visit: &Visit) -> Result<Page, Failure> {
    let pagination = PaginationRequest { page_size: PAGE, page_token: visit.asked("page").to_owned() };
    let request = ListSchedulesRequest { pagination: Some(pagination) };
    let page = Page::new("Schedules", Section::Schedules).child(text("h1", "Schedules"));
    let listed: ListSchedulesResponse = match visit.caller.typed(LIST, &request).await {
        Err(status) if status.code() == Code::Unimplemented => {
            let words = "This engine starts nothing by the clock: its version has no schedules.";
            return Ok(page.child(element("div").class("card empty").child(text("p", words).class("lead"))));
        }
        listed => listed?,
    };
    let page = page.every_ms(EVERY_MS).children(done(visit));
    let found = listed.pagination.unwrap_or_default();
    if listed.schedules.is_empty() {
        let card = element("div")
            .class("card empty")
            .child(text("p", "No schedules yet.").class("lead"))
            .child(text("p", "Make one of a workflow's file:"))
            .child(
                element("pre")
                    .child(text("code", "switchboard workflow schedule create FILE --cron '0 8 * * 1-5'")),
            );
        return Ok(page.child(card));
    }
    let count = usize::try_from(found.total_count).unwrap_or(listed.schedules.len());
    let older = (!found.next_page_token.is_empty()).then(|| {
        link(&Url::ui(&["schedules"]).with("page", &found.next_page_token), "More").attr("rel", "next")
    });
    let columns = ["Status", "Schedule", "When", "Next run", "Last run", "Runs", "Do"];
    Ok(page
        .child(text("p", plural(count, "schedule")).class("count"))
        .child(table("Schedules", &columns, listed.schedules.iter().map(row)))
        .child(element("nav").class("pages").attr("aria-label", "Pages").children(older)))
}

fn row(schedule: &Schedule) -> Element {
    let id = schedule.schedule_id.as_str();
    let spec = schedule.spec.clone().unwrap_or_default();
    let (state, word) = match (schedule.paused, &schedule.next_run_at) {
        (true, _) => (State::Paused, "Paused"),
        (false, Some(_)) => (State::Running, "Active"),
        (false, None) => (State::Completed, "Over"),
    };
    let badge = element("span")
        .class(&format!("state {}", state.tone()))
        .child(state.icon())
        .child(text("span", word));
    let name = spec.workflow.as_ref().map(|workflow| workflow.name.as_str()).unwrap_or_default();
    let what = element("div")
        .child(text("bdi", id).class("name"))
        .child(text("bdi", name).class("more"))
        .children((!schedule.note.is_empty()).then(|| text("span", &schedule.note).class("more")));
    let zone = if spec.time_zone.is_empty() { "UTC" } else { spec.time_zone.as_str() };
    let when = match spec.cron.as_str() {
        "" => text("span", format!("every {}", time::span(spec.interval_ms))),
        cron => element("span").child(text("code", cron)).text(" ").text(zone),
    };
    let overlap = match OverlapPolicy::try_from(spec.overlap_policy).unwrap_or_default() {
        OverlapPolicy::Unspecified | OverlapPolicy::Skip => "left out while the last runs",
        OverlapPolicy::Allow => "runs beside the last",
        OverlapPolicy::CancelOther => "cancels the last run",
    };
    let last = match schedule.last_workflow_id.as_str() {
        "" => time::ago(schedule.last_run_at.as_ref()),
        run => element("a")
            .to("href", &Url::ui(&["workflows", run]))
            .child(time::ago(schedule.last_run_at.as_ref())),
    };
    let runs = match schedule.skipped_total {
        0 => schedule.runs_total.to_string(),
        skipped => format!("{}, {skipped} skipped", schedule.runs_total),
    };
    element("tr")
        .attr("id", format!("schedule-{id}"))
        .child(cell(badge))
        .child(element("th").attr("scope", "row").child(what))
        .child(cell(element("div").child(when).child(text("span", overlap).class("more"))))
        .child(cell(time::ago(schedule.next_run_at.as_ref())))
        .child(cell(last))
        .child(text("td", runs))
        .child(cell(actions(id, schedule.paused)))
}

fn actions(id: &str, paused: bool) -> Element {
    let button = |act: &'static str, words: &str| {
        let name = format!("{words} {id}");
        let class = if act == "delete" { "small danger" } else { "small" };
        text("button", words).attr("name", "do").attr("value", act).attr("aria-label", name).class(class)
    };
    let other = if paused { button("resume", "Resume") } else { button("pause", "Pause") };
    let delete = element("details")
        .class("confirm")
        .attr("id", format!("delete-{id}"))
        .child(text("summary", "Delete…").attr("aria-label", format!("Delete {id}…")))
        .child(
            element("div")
                .class("form")
                .child(text("p", "Runs that have begun go on. This cannot be undone."))
                .child(button("delete", "Delete")),
        );
    element("form")
        .class("actions")
        .attr("method", "post")
        .child(element("input").attr("type", "hidden").attr("name", "schedule").attr("value", id))
        .child(button("trigger", "Run now"))
        .child(other)
        .child(delete)
}
