//! Ten thousand streams that follow workflows.

use super::{
    requests::{Tasks, batch},
    site::Lab,
    table::{Table, Target},
};
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};
use switchboard_proto::goclaw::v1::{
    CancelWorkflowsRequest, WatchWorkflowRequest, WorkflowStatus, batch_service_client::BatchServiceClient,
    streaming_service_client::StreamingServiceClient,
};
use tokio::{task::JoinSet, time};
use tonic::transport::Channel;

/// A connection takes 1,000 streams at most.
const CONNECTIONS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn measure(lab: &Lab, table: &mut Table) -> Result<()> {
    let mut engine = lab.engine("watch")?;
    let streams = if lab.quick { 2_000 } else { 10_000 };
    let channels = (0..CONNECTIONS).map(|_| engine.channel()).collect::<Result<Vec<_>>>()?;
    let mut client = BatchServiceClient::new(channels[0].clone());
    let submitted = lab.run(client.submit_workflows(batch(Tasks::Function)))?.into_inner();
    let ids: Vec<_> = submitted.results.into_iter().map(|result| result.workflow_id).collect();

    let before = engine.resident()?;
    let began = Instant::now();
    let mut watchers = lab.run(open(&channels, &ids, streams))?;
    let opened = began.elapsed();
    let each = engine.resident()?.saturating_sub(before) as f64 / streams as f64 / 1024.0;

    let began = Instant::now();
    lab.run(async {
        let request = CancelWorkflowsRequest { workflow_ids: ids, force: true, timeout_seconds: 0 };
        client.cancel_workflows(request).await?;
        while let Some(watcher) = watchers.join_next().await {
            watcher??;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    let told = began.elapsed();
    engine.stop();
    table.row(
        "concurrent watch streams, on 20 connections",
        streams as f64,
        "streams",
        Target::AtLeast(10_000.0),
    );
    table.row("  opened", streams as f64 / opened.as_secs_f64(), "per s", Target::None);
    table.row("  memory of the engine per stream", each, "KiB", Target::None);
    table.row(
        "  100 workflows cancelled, all streams told and ended after",
        told.as_secs_f64(),
        "s",
        Target::None,
    );
    Ok(())
}

/// Opens streams, and gives them once each has its first message.
async fn open(channels: &[Channel], ids: &[String], streams: usize) -> Result<JoinSet<Result<()>>> {
    let mut opening = JoinSet::new();
    for at in 0..streams {
        let mut client = StreamingServiceClient::new(channels[at % channels.len()].clone());
        let workflow_id = ids[at % ids.len()].clone();
        opening.spawn(async move {
            let request = WatchWorkflowRequest { workflow_id, resume_from_sequence: 0 };
            let mut updates = client.watch_workflow(request).await?.into_inner();
            updates.message().await?.context("a stream without a first message")?;
            Ok::<_, anyhow::Error>(updates)
        });
    }
    let mut watchers = JoinSet::new();
    while let Some(opened) = opening.join_next().await {
        let mut updates = opened??;
        watchers.spawn(async move {
            let mut last = WorkflowStatus::Unspecified;
            while let Some(update) = time::timeout(PATIENCE, updates.message()).await?? {
                last = update.status();
            }
            ensure!(last == WorkflowStatus::Cancelled, "a stream ended with {last:?}");
            Ok(())
        });
    }
    Ok(watchers)
}
