//! The engine itself: how it is, what it counts, its lanes, and pausing it.

use switchboard_proto::goclaw::v1::{
    EngineState, GetEngineStatusRequest, GetEngineStatusResponse, GetLaneStatsRequest, GetLaneStatsResponse,
    LaneStats,
};

use super::{
    Failure, Visit,
    frame::{Page, Section, cell, done, facts, section, table},
    html::{Element, element, text},
    state::State,
    time, workflow,
    workflows::grouped,
};

const STATUS: &str = "/goclaw.v1.AdminService/GetEngineStatus";
const LANES: &str = "/goclaw.v1.AdminService/GetLaneStats";

/// How often the page is fetched anew: each time leaves two lines in the audit log.
const EVERY_MS: u32 = 10_000;

pub(super) async fn show(visit: &Visit) -> Result<Page, Failure> {
    let status: GetEngineStatusResponse = visit.caller.typed(STATUS, &GetEngineStatusRequest {}).await?;
    let request = GetLaneStatsRequest { lane_name: String::new() };
    let lanes: GetLaneStatsResponse = visit.caller.typed(LANES, &request).await?;
    let (state, words) = match EngineState::try_from(status.state).unwrap_or_default() {
        EngineState::Error => (State::Failed, "Failed"),
        EngineState::Stopped => (State::Cancelling, "Stopping"),
        _ if status.paused => (State::Paused, "Paused"),
        EngineState::Running => (State::Running, "Running"),
        EngineState::Unspecified | EngineState::Idle => (State::Completed, "Idle"),
    };
    let badge = element("span")
        .class(&format!("state {}", state.tone()))
        .child(state.icon())
        .child(text("span", words));
    let title = element("div")
        .class("title")
        .child(text("h1", "Engine"))
        .child(element("p").attr("id", "state").attr("role", "status").child(badge));
    let problem = (!status.last_error.is_empty())
        .then(|| text("p", &status.last_error).class("note bad").attr("id", "problem"));
    let rows = lanes.lanes.iter().map(lane);
    let columns = ["Lane", "State", "Running", "Queued", "Longest wait", "Starts / s", "Failing"];
    let lanes = section("lanes", "Lanes")
        .child(text("p", "Where tasks queue for a slot.").class("help"))
        .child(table("Lanes", &columns, rows));
    Ok(Page::new("Engine", Section::Engine)
        .every_ms(EVERY_MS)
        .child(element("div").class("heading").child(title).child(actions(status.paused)))
        .children(done(visit))
        .children(problem)
        .child(figures(&status))
        .child(lanes)
        .child(about(&status)))
}

fn actions(paused: bool) -> Element {
    let actions = element("div").class("actions").attr("id", "actions");
    if paused {
        let button = text("button", "Resume").attr("name", "do").attr("value", "resume").class("main");
        return actions.child(element("form").attr("method", "post").attr("id", "resume-form").child(button));
    }
    let words = "No task starts and no workflow is taken until it is resumed, also after a restart. What runs ends by itself.";
    actions.child(workflow::confirmed("pause", "Pause", words, "Pause engine", true, None))
}

fn figures(status: &GetEngineStatusResponse) -> Element {
    let Some(metrics) = &status.metrics else { return element("div") };
    let figures = [
        ("Live workflows", grouped(metrics.active_workflows)),
        ("Running tasks", grouped(metrics.running_tasks)),
        ("Queued tasks", grouped(metrics.queue_depth)),
        ("Completed", grouped(metrics.completed_workflows)),
        ("Failed", grouped(metrics.failed_workflows)),
        ("Cancelled", grouped(metrics.cancelled_workflows)),
    ];
    let figures = figures
        .into_iter()
        .map(|(words, figure)| element("div").child(text("dt", words)).child(text("dd", figure)));
    section("figures", "Figures").child(element("dl").class("figures").children(figures))
}

fn about(status: &GetEngineStatusResponse) -> Element {
    let mut known = vec![
        ("Up since", time::at(status.uptime_since.as_ref())),
        ("Version", text("span", &status.version)),
    ];
    if let Some(metrics) = &status.metrics {
        known.extend([
            ("Memory", text("span", bytes(metrics.memory_usage_bytes))),
            ("Processor", text("span", format!("{:.0} %", metrics.cpu_usage_percent))),
            ("On disk", text("span", bytes(metrics.store_bytes))),
            ("Streams", text("span", grouped(metrics.watch_streams))),
        ]);
    }
    section("about", "Process").class("card").child(facts(known))
}

fn lane(lane: &LaneStats) -> Element {
    let state = match (lane.paused, lane.running, lane.queue_depth) {
        (true, ..) => State::Paused,
        (_, 0, 0) => State::Completed,
        (_, 0, _) => State::Scheduled,
        _ => State::Running,
    };
    let words = if state == State::Completed { "Idle" } else { state.word() };
    let badge = element("span")
        .class(&format!("state {}", state.tone()))
        .child(state.icon())
        .child(text("span", words));
    let rate = match lane.rate_per_sec {
        rate if rate > 0.0 => format!("{:.1} of {rate:.0}", lane.throughput_per_sec),
        _ => format!("{:.1}", lane.throughput_per_sec),
    };
    let wait = if lane.queue_depth > 0 { time::span(lane.oldest_wait_ms) } else { String::new() };
    element("tr")
        .attr("id", format!("lane-{}", lane.lane_name))
        .child(text("th", &lane.lane_name).attr("scope", "row"))
        .child(cell(badge))
        .child(text("td", format!("{} of {}", grouped(lane.running), grouped(lane.worker_count))))
        .child(text("td", format!("{} of {}", grouped(lane.queue_depth), grouped(lane.capacity))))
        .child(text("td", wait))
        .child(text("td", rate))
        .child(text("td", format!("{:.0} %", lane.error_rate * 100.0)))
}

/// `1.5 MiB`.
fn bytes(count: i64) -> String {
    let mut size = count.max(0) as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if size < 1_024.0 {
            break;
        }
        (size, unit) = (size / 1_024.0, larger);
    }
    if unit == "B" { format!("{size:.0} B") } else { format!("{size:.1} {unit}") }
}
