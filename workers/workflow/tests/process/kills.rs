//! kill -9 under load, again and again: nothing that was acknowledged is lost, no key makes two workflows, and everything ends.
//!
//! `WORKFLOW_KILLS=100` kills more often, `WORKFLOW_SEED=7` at other moments.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use switchboard_proto::goclaw::v1::{
    GetWorkflowStatusRequest, ListWorkflowsRequest, TaskStatus, WorkflowStatus,
    workflow_service_client::WorkflowServiceClient,
};
use switchboard_testkit::{eventually, free_port};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::engine::{Engine, PATIENCE, channel, submit, work};

const SUBMITTERS: usize = 8;
/// Workflows that may be under way, about: a start reads them all, and more of them would test nothing more.
const UNDER_WAY: usize = 200;

/// A key's workflow, as each acknowledgement named it.
type Acknowledged = Arc<Mutex<HashMap<String, HashSet<String>>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_everything_ends() {
    let kills: usize = std::env::var("WORKFLOW_KILLS").map_or(16, |kills| kills.parse().unwrap());
    let seed = std::env::var("WORKFLOW_SEED").map_or(7, |seed| seed.parse().unwrap());
    println!("WORKFLOW_KILLS={kills} WORKFLOW_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let channel = channel(port);
    let mut engine = Engine::start(folder.path(), port);

    let acknowledged = Acknowledged::default();
    let room = Arc::new(Semaphore::new(UNDER_WAY));
    let mut load = JoinSet::new();
    for submitter in 0..SUBMITTERS {
        let (channel, acknowledged, room) = (channel.clone(), acknowledged.clone(), room.clone());
        load.spawn(async move {
            let mut client = WorkflowServiceClient::new(channel);
            for n in 0.. {
                let key = format!("{submitter}-{n}");
                room.acquire().await.unwrap().forget();
                for _ in 0..1 + usize::from(n % 8 == 0) {
                    let id = submit(&mut client, &key).await;
                    acknowledged.lock().unwrap().entry(key.clone()).or_default().insert(id);
                }
            }
        });
    }
    let mut workers = JoinSet::new();
    (0..2).for_each(|number| drop(workers.spawn(work(channel.clone(), number, room.clone()))));

    for kill in 0..kills {
        // Some are acknowledged between two kills, so that there is something to lose. Now and then it dies as it starts.
        let before = acknowledged.lock().unwrap().len();
        let more = if kill % 8 == 7 { 0 } else { random.random_range(1..40) };
        if more == 0 {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..200))).await;
        }
        let probe = async || match acknowledged.lock().unwrap().len() - before {
            new if new >= more => Ok(()),
            new => Err(format!("{new} of {more} after kill {kill}")),
        };
        eventually(PATIENCE, probe).await.unwrap();
        engine.kill();
        engine = Engine::start(folder.path(), port);
    }
    load.abort_all();
    while load.join_next().await.is_some() {}

    let acknowledged = acknowledged.lock().unwrap().clone();
    let ids: HashSet<&String> = acknowledged.values().flatten().collect();
    assert!(acknowledged.values().all(|ids| ids.len() == 1), "a key has one workflow");
    assert_eq!(ids.len(), acknowledged.len(), "a workflow has one key");
    let mut client = WorkflowServiceClient::new(channel);
    for id in ids {
        let request = GetWorkflowStatusRequest { workflow_id: id.clone(), include_input: false };
        let probe = async || match client.clone().get_workflow_status(request.clone()).await {
            Ok(found) if found.get_ref().status() == WorkflowStatus::Completed => Ok(found.into_inner()),
            other => Err(format!("{id}: {other:?}")),
        };
        let found = eventually(PATIENCE, probe).await.unwrap();
        assert!(found.tasks.iter().all(|task| task.status() == TaskStatus::Completed), "{found:?}");
    }
    // Those whose acknowledgement was lost are there at most once each: one per submitter that was cut at the end.
    let all = client.list_workflows(ListWorkflowsRequest::default()).await.unwrap().into_inner();
    let total = all.pagination.unwrap().total_count as usize;
    assert!((acknowledged.len()..=acknowledged.len() + SUBMITTERS).contains(&total), "{total}");
    println!("{} acknowledged, {total} there", acknowledged.len());
}
