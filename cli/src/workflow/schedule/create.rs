//! `schedule create`: the workflow of a file with its times, from the file, the command line or both.

use switchboard_client::{Error as CallError, Schedules};
use switchboard_proto::goclaw::v1::{CreateScheduleRequest, OverlapPolicy, SubmitWorkflowRequest};

use super::super::{Error, file};
use super::told;
use crate::args::{CreateSchedule, Overlap};
use crate::failure::Failure;

/// Makes a schedule and says when it runs.
pub(super) async fn run(args: CreateSchedule, as_json: bool, schedules: &Schedules) -> Result<(), Failure> {
    let (read, workflow) = file::with_input(&args.path, args.input.as_deref(), &args.params)?;
    let request = request(read.schedule().cloned().unwrap_or_default(), workflow, &args)?;
    let made = match &args.idempotency_key {
        Some(key) => schedules.create_with_key(key, request).await,
        None => schedules.create(request).await,
    };
    told(&made.map_err(|error| refused(error, &read, &args))?, as_json)
}

/// The file's schedule, changed as the command line says.
fn request(
    mut request: CreateScheduleRequest,
    workflow: SubmitWorkflowRequest,
    args: &CreateSchedule,
) -> Result<CreateScheduleRequest, Failure> {
    let mut spec = request.spec.take().unwrap_or_default();
    if let Some(cron) = &args.cron {
        cron.clone_into(&mut spec.cron);
        spec.interval_ms = 0;
    }
    if let Some(every) = args.every {
        spec.interval_ms = every;
        // Whose zone goes with it.
        (spec.cron, spec.time_zone) = Default::default();
    }
    if spec.cron.is_empty() && spec.interval_ms == 0 {
        return Err(Failure::Usage(
            "when? say --cron '0 8 * * 1-5' or --every 10m, or give the file a `schedule`".to_owned(),
        ));
    }
    if let Some(zone) = &args.zone {
        zone.clone_into(&mut spec.time_zone);
    }
    if let Some(overlap) = args.overlap {
        spec.set_overlap_policy(match overlap {
            Overlap::Skip => OverlapPolicy::Skip,
            Overlap::Allow => OverlapPolicy::Allow,
            Overlap::CancelOther => OverlapPolicy::CancelOther,
        });
    }
    spec.jitter_ms = args.jitter.unwrap_or(spec.jitter_ms);
    spec.catch_up_ms = args.catch_up.unwrap_or(spec.catch_up_ms);
    spec.start_at = args.start_at.or(spec.start_at);
    spec.end_at = args.end_at.or(spec.end_at);
    spec.workflow = Some(workflow);
    request.spec = Some(spec);
    request.paused |= args.paused;
    if let Some(id) = &args.id {
        id.clone_into(&mut request.schedule_id);
    }
    if let Some(note) = &args.note {
        note.clone_into(&mut request.note);
    }
    Ok(request)
}

/// The engine's refusal in the words of the command line and of the file, if it names fields of them.
fn refused(error: CallError, read: &file::FromFile, args: &CreateSchedule) -> Failure {
    if error.violations().is_empty() {
        return error.into();
    }
    let line = |violation: &switchboard_proto::rpc::FieldViolation| {
        let (field, reason) = (violation.field.as_str(), violation.description.as_str());
        if let Some(field) = field.strip_prefix("spec.workflow.") {
            return read.wrong(field, reason);
        }
        match flag(field, args) {
            Some(flag) => format!("{flag}: {reason}"),
            None => {
                let key = field.strip_prefix("spec.").unwrap_or(field);
                format!("schedule.{key}: {reason} ({})", read.place(&format!("schedule.{field}")))
            }
        }
    };
    let lines: Vec<_> = error.violations().iter().map(line).collect();
    Error::Refused(lines.join("\n")).into()
}

/// The option that set a field of the request.
fn flag(field: &str, args: &CreateSchedule) -> Option<&'static str> {
    let (flag, given) = match field {
        "schedule_id" => ("--id", args.id.is_some()),
        "note" => ("--note", args.note.is_some()),
        "spec.cron" => ("--cron", args.cron.is_some()),
        "spec.interval_ms" => ("--every", args.every.is_some()),
        "spec.time_zone" => ("--zone", args.zone.is_some()),
        "spec.jitter_ms" => ("--jitter", args.jitter.is_some()),
        "spec.catch_up_ms" => ("--catch-up", args.catch_up.is_some()),
        "spec.start_at" => ("--start-at", args.start_at.is_some()),
        "spec.end_at" => ("--end-at", args.end_at.is_some()),
        "spec.overlap_policy" => ("--overlap", args.overlap.is_some()),
        _ => return None,
    };
    given.then_some(flag)
}
