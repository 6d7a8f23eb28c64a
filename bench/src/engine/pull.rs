//! Tasks that external workers pull and answer, and how soon after a submission the first of them is there.

use super::{
    requests::{BATCH, QUEUE, Tasks, batch, chain},
    site::Lab,
    table::{Table, Target},
};
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};
use switchboard_proto::goclaw::v1::{
    CompleteRequest, PollTasksRequest, PolledTask, batch_service_client::BatchServiceClient,
    worker_service_client::WorkerServiceClient, workflow_service_client::WorkflowServiceClient,
};
use tokio::{task::JoinSet, time};
use tonic::{Streaming, transport::Channel};

/// External workers, each with a connection of its own.
const WORKERS: usize = 4;
/// The most that one may have at once.
const IN_FLIGHT: i32 = 1_000;
/// Without a task for so long something is lost.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn measure(lab: &Lab, table: &mut Table) -> Result<()> {
    let mut engine = lab.engine("pull")?;
    let workflows = if lab.quick { 5_000 } else { 30_000 };
    let channels = (0..WORKERS).map(|_| engine.channel()).collect::<Result<Vec<_>>>()?;
    let took = lab.run(drain(channels, workflows))?;
    table.row(
        "tasks that 4 external workers pull and complete, one call each",
        (3 * workflows) as f64 / took.as_secs_f64(),
        "per s",
        Target::None,
    );
    let events = engine.metric("workflow_engine_events_total")?;
    engine.stop();
    // Those of the submissions, which came before.
    let events = events - 2.0 * workflows as f64;
    table.row("  events of them", events / took.as_secs_f64(), "per s", Target::None);

    let mut engine = lab.engine("dispatch")?;
    let times = if lab.quick { 300 } else { 2_000 };
    let mut waits = lab.run(dispatches(engine.channel()?, engine.channel()?, times))?;
    engine.stop();
    waits.sort_unstable();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    table.row("from a submission to its first task at a worker, p50", at(0.5), "ms", Target::AtMost(2.0));
    table.row("  p99", at(0.99), "ms", Target::None);
    Ok(())
}

/// Submits workflows, then starts workers, and gives how long it took them to answer all tasks.
async fn drain(channels: Vec<Channel>, workflows: usize) -> Result<Duration> {
    let mut client = BatchServiceClient::new(channels[0].clone());
    for _ in 0..workflows / BATCH {
        client.submit_workflows(batch(Tasks::Function)).await?;
    }
    let mut workers = JoinSet::new();
    let began = Instant::now();
    let mut streams = Vec::new();
    for (at, channel) in channels.iter().enumerate() {
        streams.push(poll(channel.clone(), at, IN_FLIGHT).await?);
    }
    for (stream, channel) in streams.into_iter().zip(channels) {
        workers.spawn(work(stream, WorkerServiceClient::new(channel)));
    }
    // Each worker ends when it has heard nothing for a while; the time until its last answer counts.
    let (mut done, mut last) = (0, began);
    while let Some(worker) = workers.join_next().await {
        let (tasks, ended) = worker??;
        done += tasks;
        last = last.max(ended);
    }
    ensure!(done == 3 * workflows, "{done} tasks were answered, not {}", 3 * workflows);
    Ok(last - began)
}

async fn poll(channel: Channel, worker: usize, in_flight: i32) -> Result<Streaming<PolledTask>> {
    let request = PollTasksRequest {
        worker_id: format!("bench-{worker}"),
        queues: vec![QUEUE.to_owned()],
        max_in_flight: in_flight,
    };
    Ok(WorkerServiceClient::new(channel).poll_tasks(request).await?.into_inner())
}

/// Answers every task with a call of its own.
async fn work(
    mut tasks: Streaming<PolledTask>,
    client: WorkerServiceClient<Channel>,
) -> Result<(usize, Instant)> {
    let mut answers = JoinSet::new();
    let (mut done, mut last) = (0, Instant::now());
    loop {
        tokio::select! {
            biased;
            Some(answered) = answers.join_next() => {
                answered??;
                done += 1;
                last = Instant::now();
            }
            task = time::timeout(Duration::from_secs(2), tasks.message()) => {
                let Ok(task) = task else { return Ok((done, last)) };
                let task = task?.context("the engine ended the stream of tasks")?;
                let mut client = client.clone();
                answers.spawn(async move {
                    let request = CompleteRequest { lease: task.lease, result_json: b"1".to_vec(), ..Default::default() };
                    client.complete(request).await.map(drop)
                });
            }
        }
    }
}

/// Submits workflows one after the other to an idle engine, and gives how long after each call began its first task came.
async fn dispatches(caller: Channel, worker: Channel, times: usize) -> Result<Vec<Duration>> {
    let mut tasks = poll(worker.clone(), 0, 1).await?;
    let mut worker = WorkerServiceClient::new(worker);
    let mut waits = Vec::with_capacity(times);
    for _ in 0..times {
        let mut client = WorkflowServiceClient::new(caller.clone());
        let began = Instant::now();
        let submitted =
            tokio::spawn(async move { client.submit_workflow(chain(Tasks::Function)).await.map(drop) });
        for task in 0..3 {
            let next = time::timeout(PATIENCE, tasks.message()).await??;
            if task == 0 {
                waits.push(began.elapsed());
            }
            let lease = next.context("the engine ended the stream of tasks")?.lease;
            let request = CompleteRequest { lease, result_json: b"1".to_vec(), ..Default::default() };
            worker.complete(request).await?;
        }
        submitted.await??;
    }
    Ok(waits)
}
