//! A start with what has gathered.

use super::{
    requests::{BATCH, Tasks, batch},
    site::{Engine, Lab},
    table::{Table, Target},
};
use crate::run::{interrupt, say};
use anyhow::{Result, ensure};
use switchboard_proto::goclaw::v1::batch_service_client::BatchServiceClient;
use tokio::task::JoinSet;

const LIVE: usize = 10_000;
/// Batches under way.
const AT_ONCE: usize = 8;
/// Workflows between two lines about them.
const STEP: usize = 100_000;

pub(super) fn measure(lab: &Lab, table: &mut Table) -> Result<()> {
    let finished = if lab.quick { 50_000 } else { 1_000_000 };
    let mut engine = lab.engine("restart")?;
    fill(lab, &engine, Tasks::Noop, finished)?;
    fill(lab, &engine, Tasks::Function, LIVE)?;
    engine.stop();
    let what = format!("start with {finished} workflows that ended and {LIVE} that live, after a stop");
    let took = engine.start()?;
    table.row(what, took.as_secs_f64(), "s", Target::AtMost(10.0));
    let live = engine.metric("workflow_engine_live_workflows")?;
    ensure!(live == LIVE as f64, "{live} workflows live after the start, not {LIVE}");
    table.row("  resident memory then", engine.resident()? as f64 / f64::from(1 << 20), "MiB", Target::None);
    engine.kill()?;
    let took = engine.start()?;
    table.row("  after kill -9", took.as_secs_f64(), "s", Target::AtMost(10.0));
    engine.stop();
    Ok(())
}

/// Submits so many workflows in batches.
fn fill(lab: &Lab, engine: &Engine<'_>, tasks: Tasks, count: usize) -> Result<()> {
    let channel = engine.channel()?;
    let message = batch(tasks);
    for step in 0..count.div_ceil(STEP) {
        interrupt::check()?;
        let batches = STEP.min(count - step * STEP) / BATCH;
        lab.run(async {
            let mut calls = JoinSet::new();
            for _ in 0..batches {
                if calls.len() >= AT_ONCE
                    && let Some(called) = calls.join_next().await
                {
                    called??;
                }
                let (mut client, message) = (BatchServiceClient::new(channel.clone()), message.clone());
                calls.spawn(async move { client.submit_workflows(message).await.map(drop) });
            }
            while let Some(called) = calls.join_next().await {
                called??;
            }
            Ok::<_, anyhow::Error>(())
        })?;
        say(&format!("{} of {count} workflows are there", (step * STEP + batches * BATCH)));
    }
    Ok(())
}
