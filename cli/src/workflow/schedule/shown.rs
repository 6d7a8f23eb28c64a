//! Schedules as people read them, and as JSON. Times are those of the clock on the reader's wall.

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};
use switchboard_proto::goclaw::v1::{OverlapPolicy, Schedule, ScheduleSpec};

use super::super::{json as as_json, words};

/// What time it is, and where.
pub(super) struct Clock {
    now: Timestamp,
    zone: TimeZone,
}

impl Clock {
    /// This machine's; UTC if it does not say where it is.
    pub(super) fn here() -> Self {
        Self { now: Timestamp::now(), zone: TimeZone::try_system().unwrap_or(TimeZone::UTC) }
    }

    /// `in 1h29m (Mon 2026-11-23 08:00:00 CET)`.
    fn moment(&self, at: &prost_types::Timestamp) -> String {
        let ms = words::millis(at);
        let left = ms.saturating_sub(self.now.as_millisecond());
        let distance = match left {
            0.. => format!("in {}", words::duration(left)),
            _ => format!("{} ago", words::duration(left.saturating_neg())),
        };
        match Timestamp::from_millisecond(ms) {
            Ok(at) => {
                let local = at.to_zoned(self.zone.clone());
                format!("{distance} ({})", local.strftime("%a %Y-%m-%d %H:%M:%S %Z"))
            }
            // Beyond the year 9999.
            Err(_) => distance,
        }
    }
}

/// `0 8 * * 1-5 Europe/Rome`, or `every 10m00s`.
fn when(spec: &ScheduleSpec) -> String {
    match (spec.cron.as_str(), spec.time_zone.as_str()) {
        ("", _) => format!("every {}", words::duration(spec.interval_ms)),
        (cron, "") => words::plain(&format!("{cron} UTC")),
        (cron, zone) => words::plain(&format!("{cron} {zone}")),
    }
}

fn overlap(spec: &ScheduleSpec) -> String {
    match OverlapPolicy::try_from(spec.overlap_policy) {
        Ok(OverlapPolicy::Unspecified | OverlapPolicy::Skip) => "skip".to_owned(),
        Ok(OverlapPolicy::Allow) => "allow".to_owned(),
        Ok(OverlapPolicy::CancelOther) => "cancel-other".to_owned(),
        Err(_) => spec.overlap_policy.to_string(),
    }
}

fn state(schedule: &Schedule) -> String {
    match (schedule.paused, schedule.note.as_str(), &schedule.next_run_at) {
        (true, "", _) => "paused".to_owned(),
        (true, note, _) => words::plain(&format!("paused: {note}")),
        (false, _, Some(_)) => "active".to_owned(),
        (false, _, None) => "over".to_owned(),
    }
}

fn workflow_name(spec: &ScheduleSpec) -> String {
    spec.workflow.as_ref().map(|workflow| words::plain(&workflow.name)).unwrap_or_default()
}

/// `schedule trip runs next in 1h29m (Mon 2026-11-23 08:00:00 CET)`.
pub(super) fn line(schedule: &Schedule, clock: &Clock) -> String {
    let id = words::plain(&schedule.schedule_id);
    match &schedule.next_run_at {
        Some(next) if !schedule.paused => format!("schedule {id} runs next {}", clock.moment(next)),
        _ => format!("schedule {id} is {}", state(schedule)),
    }
}

/// All that is known, a line each.
pub(super) fn text(schedule: &Schedule, clock: &Clock) -> String {
    let spec = schedule.spec.clone().unwrap_or_default();
    let mut text = String::new();
    let mut say = |name: &str, value: String| {
        if !value.is_empty() {
            text.push_str(&format!("{name}: {value}\n"));
        }
    };
    let time = |at: &Option<prost_types::Timestamp>| at.as_ref().map(|at| clock.moment(at));
    let some_duration = |ms: i64| if ms > 0 { words::duration(ms) } else { String::new() };
    say("schedule", words::plain(&schedule.schedule_id));
    say("workflow", workflow_name(&spec));
    say("when", when(&spec));
    say("jitter", some_duration(spec.jitter_ms));
    say("overlap", overlap(&spec));
    say("catch-up", some_duration(spec.catch_up_ms));
    say("begins", time(&spec.start_at).unwrap_or_default());
    say("ends", time(&spec.end_at).unwrap_or_default());
    say("state", state(schedule));
    if !schedule.paused {
        say("note", words::plain(&schedule.note));
    }
    say("next run", time(&schedule.next_run_at).unwrap_or_else(|| "-".to_owned()));
    let last = time(&schedule.last_run_at).map(|at| format!("{at}, workflow {}", schedule.last_workflow_id));
    say("last run", last.map_or("-".to_owned(), |last| words::plain(&last)));
    say("runs", format!("{}, and {} left out", schedule.runs_total, schedule.skipped_total));
    say("created", time(&schedule.created_at).unwrap_or_default());
    say("owner", words::plain(&schedule.owner));
    text
}

pub(super) fn table(schedules: &[Schedule], clock: &Clock) -> String {
    let head = ["SCHEDULE", "WORKFLOW", "WHEN", "RUNS", "NEXT", "STATE"].map(str::to_owned);
    let row = |schedule: &Schedule| {
        let spec = schedule.spec.clone().unwrap_or_default();
        [
            words::plain(&schedule.schedule_id),
            workflow_name(&spec),
            when(&spec),
            schedule.runs_total.to_string(),
            schedule.next_run_at.as_ref().map_or("-".to_owned(), |at| clock.moment(at)),
            state(schedule),
        ]
    };
    let rows: Vec<_> = std::iter::once(head).chain(schedules.iter().map(row)).collect();
    words::table(&rows)
}

pub(super) fn json(schedule: &Schedule) -> Value {
    let spec = schedule.spec.clone().unwrap_or_default();
    json!({
        "schedule_id": schedule.schedule_id,
        "workflow_name": spec.workflow.as_ref().map(|workflow| &workflow.name),
        "cron": spec.cron,
        "interval_ms": spec.interval_ms,
        "time_zone": spec.time_zone,
        "jitter_ms": spec.jitter_ms,
        "catch_up_ms": spec.catch_up_ms,
        "start_at": as_json::time(spec.start_at.as_ref()),
        "end_at": as_json::time(spec.end_at.as_ref()),
        "overlap_policy": overlap(&spec),
        "paused": schedule.paused,
        "note": schedule.note,
        "created_at": as_json::time(schedule.created_at.as_ref()),
        "next_run_at": as_json::time(schedule.next_run_at.as_ref()),
        "last_run_at": as_json::time(schedule.last_run_at.as_ref()),
        "last_workflow_id": schedule.last_workflow_id,
        "runs_total": schedule.runs_total,
        "skipped_total": schedule.skipped_total,
        "owner": schedule.owner,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_how_far_it_is_and_what_the_clock_on_the_wall_shows_then() {
        let now: Timestamp = "2026-11-22T05:30:30Z".parse().unwrap();
        let clock = Clock { now, zone: TimeZone::get("Europe/Rome").unwrap() };
        for (at, words) in [
            ("2026-11-22T07:00:00Z", "in 1h29m (Sun 2026-11-22 08:00:00 CET)"),
            ("2026-11-22T05:30:20Z", "10.0s ago (Sun 2026-11-22 06:30:20 CET)"),
            ("2027-07-01T06:00:00Z", "in 221d00h (Thu 2027-07-01 08:00:00 CEST)"),
        ] {
            assert_eq!(clock.moment(&at.parse().unwrap()), words);
        }
    }
}
