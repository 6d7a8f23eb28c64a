//! A schedule as the wire has it.

use prost::Message;
use switchboard_proto::goclaw::v1::{Schedule, ScheduleSpec};

use crate::{api::shown, engine::ScheduleState};

pub(super) fn schedule(state: ScheduleState) -> Schedule {
    Schedule {
        schedule_id: state.id,
        // As it came; what is kept was written by this service.
        spec: ScheduleSpec::decode(state.shown).ok(),
        paused: state.paused,
        note: state.note,
        created_at: shown::some_time(state.created_at),
        next_run_at: state.next_run_at.map(shown::time),
        last_run_at: shown::some_time(state.last_run_at),
        last_workflow_id: state.last_workflow,
        runs_total: i64::try_from(state.runs).unwrap_or(i64::MAX),
        skipped_total: i64::try_from(state.skipped).unwrap_or(i64::MAX),
        owner: state.owner,
    }
}
