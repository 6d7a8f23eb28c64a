//! When a workflow is submitted: the key `schedule`.

use switchboard_proto::goclaw::v1::{CreateScheduleRequest, OverlapPolicy, ScheduleSpec};

use crate::{
    keys::{Field, Keys, Report},
    value,
};

const OVERLAP_POLICIES: [(&str, OverlapPolicy); 3] = [
    ("skip", OverlapPolicy::Skip),
    ("allow", OverlapPolicy::Allow),
    ("cancel_other", OverlapPolicy::CancelOther),
];

/// Reads a schedule; its workflow is the file's.
pub(crate) fn read(report: &mut Report, field: &Field<'_>) -> Option<CreateScheduleRequest> {
    let expected = "a mapping such as {id: nightly, cron: \"0 3 * * *\"}";
    let mut keys = Keys::open(report, field, "schedule", expected)?;
    let mut spec = ScheduleSpec::default();
    let mut request = CreateScheduleRequest::default();
    if let Some(field) = keys.need(report, "id", "schedule_id", "a name for the schedule") {
        request.schedule_id = value::text(report, &field).unwrap_or_default();
    }
    let cron = keys.take(report, "cron", "spec.cron");
    let every = keys.take(report, "every", "spec.interval_ms");
    if cron.is_some() == every.is_some() {
        let message = "expected either `cron` (\"0 3 * * *\") or `every` (a duration such as 15m)";
        report.problem(&keys.path("cron"), keys.place(), message);
    }
    if let Some(field) = cron {
        spec.cron = value::text(report, &field).unwrap_or_default();
        if let Some(message) = wrong_shape(&spec.cron) {
            report.problem(&field.path, field.node.place, message);
        }
    }
    if let Some(field) = every {
        let ms = value::milliseconds(report, &field);
        if ms.is_some_and(|ms| ms < 1_000) {
            report.expected(&field, "at least 1s");
        }
        spec.interval_ms = ms.unwrap_or_default();
    }
    if let Some(field) = keys.take(report, "time_zone", "spec.time_zone") {
        spec.time_zone = value::text(report, &field).unwrap_or_default();
    }
    if let Some(field) = keys.take(report, "jitter", "spec.jitter_ms") {
        spec.jitter_ms = value::milliseconds(report, &field).unwrap_or_default();
    }
    if let Some(field) = keys.take(report, "start_at", "spec.start_at") {
        spec.start_at = value::timestamp(report, &field);
    }
    if let Some(field) = keys.take(report, "end_at", "spec.end_at") {
        spec.end_at = value::timestamp(report, &field);
    }
    if let Some(field) = keys.take(report, "overlap_policy", "spec.overlap_policy") {
        spec.overlap_policy = value::word(report, &field, &OVERLAP_POLICIES).unwrap_or_default().into();
    }
    if let Some(field) = keys.take(report, "catch_up", "spec.catch_up_ms") {
        spec.catch_up_ms = value::milliseconds(report, &field).unwrap_or_default();
    }
    if let Some(field) = keys.take(report, "paused", "paused") {
        request.paused = value::truth(report, &field).unwrap_or_default();
    }
    if let Some(field) = keys.take(report, "note", "note") {
        request.note = value::text(report, &field).unwrap_or_default();
    }
    keys.close(report, |_| None);
    request.spec = Some(spec);
    Some(request)
}

/// Looks at the shape only; what the fields may hold is the engine's to say.
fn wrong_shape(cron: &str) -> Option<String> {
    const NAMED: [&str; 5] = ["@hourly", "@daily", "@weekly", "@monthly", "@yearly"];
    let fields = cron.split_whitespace().count();
    if cron.starts_with('@') {
        return (!NAMED.contains(&cron))
            .then(|| format!("expected five fields or one of {}", NAMED.join(", ")));
    }
    (fields != 5).then(|| format!("expected five fields (minute hour day month weekday), got {fields}"))
}
