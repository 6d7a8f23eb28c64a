//! From a request to a schedule, and everything that is wrong with the request, at once.

use prost::Message;
use prost_types::Timestamp;
use switchboard_proto::goclaw::v1::{
    CreateScheduleRequest, OverlapPolicy, ScheduleSpec, SubmitWorkflowRequest,
};
use workflow_machine::{Invalid, MAX_VIOLATIONS, Millis, Spec, Violation, Workflow, WorkflowId};

use crate::{
    engine::{NewSchedule, Overlap, Timing, wall},
    spec::{self, Submission},
};

/// Room for a time and a number in the identifiers of runs, which have at most 100.
const MAX_ID_CHARS: usize = 64;
/// Shortest interval.
const MIN_INTERVAL_MS: u64 = 1_000;
/// Longest delay: a day.
const MAX_JITTER_MS: u64 = 86_400_000;
/// Longest interval and catch-up, ten years: beyond it times lose their meaning.
const MAX_MS: u64 = 10 * 366 * 86_400_000;
/// Of a schedule that does not say how late a run may be.
const DEFAULT_CATCH_UP_MS: u64 = 60_000;

/// What is wrong, collected.
#[derive(Default)]
struct Wrong(Vec<Violation>);

impl Wrong {
    fn add(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        if self.0.len() < MAX_VIOLATIONS {
            self.0.push(Violation { field: field.into(), reason: reason.into() });
        }
    }

    /// A number of milliseconds between `least` and `most`, or 0.
    fn milliseconds(&mut self, value: i64, least: u64, most: u64, field: &str) -> u64 {
        match u64::try_from(value) {
            Ok(ms) if ms == 0 || (least..=most).contains(&ms) => ms,
            _ => {
                self.add(field, format!("{value} ms is out of range; use {least} to {most}"));
                0
            }
        }
    }

    /// Unix ms; 0 if there is none.
    fn time(&mut self, at: Option<Timestamp>, field: &str) -> Millis {
        /// The end of the year 9999, the last that a timestamp may name.
        const MAX_SECONDS: u64 = 253_402_300_799;
        let Some(at) = at else { return 0 };
        let seconds = u64::try_from(at.seconds).ok().filter(|seconds| (1..=MAX_SECONDS).contains(seconds));
        let millis = u64::try_from(at.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
        match seconds.zip(millis) {
            Some((seconds, nanos)) => seconds * 1_000 + nanos / 1_000_000,
            None => {
                self.add(field, "is no time between 1970 and 9999");
                0
            }
        }
    }
}

/// Reads a request. Who sent it is for the caller to add to the workflow.
///
/// # Errors
/// Everything that is wrong with it, in the words of the request.
pub(super) fn schedule(
    request: CreateScheduleRequest,
    settings: &spec::Settings,
) -> Result<NewSchedule, Invalid> {
    let mut wrong = Wrong::default();
    let CreateScheduleRequest { schedule_id, spec, paused, note } = request;
    let id = Some(schedule_id).filter(|id| !id.is_empty());
    if id.as_ref().is_some_and(|id| !is_id(id)) {
        let reason = "an ID has 1 to 64 of A-Z a-z 0-9 . _ : -; choose another, or leave it out";
        wrong.add("schedule_id", reason);
    }
    if let Err(reason) = super::note(&note) {
        wrong.add("note", reason);
    }
    let Some(spec) = spec else {
        wrong.add("spec", "is missing; say when, and which workflow");
        return Err(Invalid { violations: wrong.0 });
    };
    let shown = spec.encode_to_vec().into();
    let timing = timing(&spec, &mut wrong);
    let overlap = match OverlapPolicy::try_from(spec.overlap_policy) {
        Ok(OverlapPolicy::Unspecified | OverlapPolicy::Skip) => Overlap::Skip,
        Ok(OverlapPolicy::Allow) => Overlap::Allow,
        Ok(OverlapPolicy::CancelOther) => Overlap::CancelOther,
        Err(_) => {
            wrong.add("spec.overlap_policy", "not a value of OverlapPolicy; use 0 to 3");
            Overlap::Skip
        }
    };
    let catch_up_ms = match wrong.milliseconds(spec.catch_up_ms, 1, MAX_MS, "spec.catch_up_ms") {
        0 => DEFAULT_CATCH_UP_MS,
        ms => ms,
    };
    let workflow = workflow(spec.workflow, settings, &mut wrong);
    if !wrong.0.is_empty() {
        return Err(Invalid { violations: wrong.0 });
    }
    Ok(NewSchedule { id, timing, overlap, catch_up_ms, workflow, shown, paused, note })
}

fn is_id(id: &str) -> bool {
    id.len() <= MAX_ID_CHARS && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
}

fn timing(spec: &ScheduleSpec, wrong: &mut Wrong) -> Timing {
    let before = wrong.0.len();
    match (spec.cron.is_empty(), spec.interval_ms) {
        (true, 0) => wrong.add("spec", "says not when; set cron (\"0 8 * * 1-5\") or interval_ms"),
        (false, ms) if ms != 0 => wrong.add("spec.interval_ms", "is set beside cron; set one of them"),
        _ => {}
    }
    let timing = Timing {
        cron: spec.cron.clone(),
        interval_ms: wrong.milliseconds(spec.interval_ms, MIN_INTERVAL_MS, MAX_MS, "spec.interval_ms"),
        time_zone: spec.time_zone.clone(),
        jitter_ms: wrong.milliseconds(spec.jitter_ms, 1, MAX_JITTER_MS, "spec.jitter_ms"),
        start_at: wrong.time(spec.start_at, "spec.start_at"),
        end_at: wrong.time(spec.end_at, "spec.end_at"),
    };
    for (field, reason) in timing.check() {
        wrong.add(format!("spec.{field}"), reason);
    }
    if wrong.0.len() == before && !timing.fires_after(wall()) {
        match timing.end_at {
            0 => wrong.add("spec.cron", "never fires: there is no such day; use one that exists"),
            _ => wrong.add("spec.end_at", "no time is left before it; use a later one"),
        }
    }
    timing
}

/// Reads the workflow as a submission, with all that the state machine has to say.
fn workflow(workflow: Option<SubmitWorkflowRequest>, settings: &spec::Settings, wrong: &mut Wrong) -> Spec {
    let Some(mut workflow) = workflow else {
        wrong.add("spec.workflow", "is missing; say what is to be submitted");
        return Spec::default();
    };
    if !std::mem::take(&mut workflow.workflow_id).is_empty() {
        let reason = "must be empty: each run gets an ID of the schedule's and its time";
        wrong.add("spec.workflow.workflow_id", reason);
    }
    let read =
        Submission::read(workflow, settings).and_then(|Submission { spec, .. }| {
            match Workflow::submit(WorkflowId::new("none"), spec.clone(), 0) {
                Ok(_) => Ok(spec),
                Err(invalid) => Err(spec::in_words_of_request(invalid)),
            }
        });
    read.unwrap_or_else(|invalid| {
        for violation in invalid.violations {
            wrong.add(format!("spec.workflow.{}", violation.field), violation.reason);
        }
        Spec::default()
    })
}
