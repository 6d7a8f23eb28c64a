//! Submissions: one by one and in batches; whole lives; the memory of what lives.

use super::{
    requests::{BATCH, Tasks, batch, chain},
    site::Lab,
    table::{Table, Target},
};
use anyhow::Result;

/// As the target says.
const CONNECTIONS: usize = 64;
const SUBMIT: &str = "/goclaw.v1.WorkflowService/SubmitWorkflow";
const SUBMIT_BATCH: &str = "/goclaw.v1.BatchService/SubmitWorkflows";

pub(super) fn measure(lab: &Lab, table: &mut Table) -> Result<()> {
    let mut engine = lab.engine("submit")?;
    let before = engine.resident()?;
    let load = engine.load(SUBMIT, &[chain(Tasks::Function)], CONNECTIONS, lab.seconds(6.0), 1.0)?;
    let live = engine.metric("workflow_engine_live_workflows")?;
    let each = (engine.resident()?.saturating_sub(before)) as f64 / live / 1024.0;
    engine.stop();
    let what = "durable submissions of three tasks, 64 connections";
    table.row(what, load.rps, "per s", Target::AtLeast(10_000.0));
    table.row("  p50", load.p50_us as f64 / 1000.0, "ms", Target::None);
    table.row("  p99", load.p99_us as f64 / 1000.0, "ms", Target::AtMost(25.0));
    table.row("  p99.9", load.p999_us as f64 / 1000.0, "ms", Target::None);
    table.row(
        "resident memory per live workflow, with its payload and the store's write buffers",
        each,
        "KiB",
        Target::AtMost(4.0),
    );

    let mut engine = lab.engine("batch")?;
    // 100,000 and more: the engine holds 200,000 that live.
    let load = engine.load(SUBMIT_BATCH, &[batch(Tasks::Function)], 8, lab.seconds(2.4), 0.3)?;
    engine.stop();
    let what = "workflows submitted in atomic batches of 100, 8 connections";
    table.row(what, load.rps * BATCH as f64, "per s", Target::AtLeast(40_000.0));
    table.row("  p99 of a batch", load.p99_us as f64 / 1000.0, "ms", Target::None);

    let mut engine = lab.engine("lives")?;
    let events = "workflow_engine_events_total";
    let (seconds, warmup) = (lab.seconds(5.0), 1.0);
    let load = engine.load(SUBMIT, &[chain(Tasks::Noop)], CONNECTIONS, seconds, warmup)?;
    let all = engine.metric(events)?;
    engine.stop();
    table.row("whole lives of three tasks that do nothing, 64 connections", load.rps, "per s", Target::None);
    // Events of a life, by the calls of the window.
    let lives = load.rps * (seconds + warmup);
    table.row("  events per life", all / lives, "events", Target::None);

    let mut engine = lab.engine("batch-lives")?;
    let load = engine.load(SUBMIT_BATCH, &[batch(Tasks::Noop)], 8, lab.seconds(5.0), 1.0)?;
    engine.stop();
    let lives = load.rps * BATCH as f64;
    table.row("the same, in batches of 100", lives, "per s", Target::None);
    // Each task begins and ends.
    table.row("  task transitions", lives * 6.0, "per s", Target::AtLeast(30_000.0));
    Ok(())
}
