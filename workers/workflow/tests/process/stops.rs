//! SIGTERM under load, with a new process as soon as the old one has ended: clients that try again see no error, nothing is
//! lost, and nobody is waited for who will not go by himself.
//!
//! `WORKFLOW_STOPS=10` stops more often.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use switchboard_client::{Client, Config, RetryPolicy, Workflows};
use switchboard_proto::goclaw::v1::{CancelWorkflowRequest, ListWorkflowsRequest, WorkflowStatus};
use switchboard_testkit::{eventually, free_port};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::engine::{Engine, PATIENCE, channel, work, workflow};

const SUBMITTERS: usize = 8;
/// Between two stops.
const WORKFLOWS: usize = 60;
/// 2 s for those who come all the same, and some for a busy machine; calls and streams do not take longer to end.
const STOPS_WITHIN: Duration = Duration::from_secs(15);

fn client(port: u16) -> Workflows {
    let retry = RetryPolicy {
        max_attempts: NonZeroU32::new(1_000).unwrap(),
        base: Duration::from_millis(20),
        cap: Duration::from_millis(100),
    };
    let config = Config { retry, ..Config::default() };
    Client::connect_lazy_with(format!("http://127.0.0.1:{port}"), config).unwrap().workflows()
}

/// Runs workflows and watches each to its end, until there is no more to do.
async fn submitter(workflows: Workflows, more: Arc<Semaphore>, ended: Arc<Mutex<Vec<String>>>) {
    while let Ok(permit) = more.acquire().await {
        permit.forget();
        let submitted = workflows.submit(workflow()).await.expect("a client that tries again sees no error");
        let id = submitted.workflow_id;
        let mut updates = workflows.watch(&id, 0).await.expect("nor does who looks on");
        let (mut last, mut status) = (0, WorkflowStatus::Unspecified);
        while let Some(update) = updates.next().await {
            let update = update.expect("nor does who looks on");
            assert!(update.sequence_number > last, "{update:?} after {last}");
            (last, status) = (update.sequence_number, update.status());
        }
        assert_eq!(status, WorkflowStatus::Completed);
        ended.lock().unwrap().push(id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_fails_no_call_and_loses_nothing() {
    let stops: usize = std::env::var("WORKFLOW_STOPS").map_or(1, |stops| stops.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut engine = Engine::start(folder.path(), port);
    let workflows = client(port);
    let (more, ended) = (Arc::new(Semaphore::new(0)), Arc::new(Mutex::new(Vec::new())));
    let mut load = JoinSet::new();
    for _ in 0..SUBMITTERS {
        load.spawn(submitter(workflows.clone(), more.clone(), ended.clone()));
    }
    let mut workers = JoinSet::new();
    let channel = channel(port);
    (0..2).for_each(|number| drop(workers.spawn(work(channel.clone(), number, Arc::new(Semaphore::new(0))))));
    // Nobody does its second task: who watches it is there when the process stops.
    let mut waits = workflow();
    waits.tasks[1].target = "nobody".to_owned();
    let waiting = workflows.submit(waits).await.unwrap().workflow_id;
    let mut looks_on = workflows.watch(&waiting, 0).await.unwrap();
    looks_on.next().await.unwrap().unwrap();

    for stop in 0..stops {
        let before = ended.lock().unwrap().len();
        more.add_permits(WORKFLOWS);
        let probe = async || match ended.lock().unwrap().len() - before {
            new if new >= WORKFLOWS / 3 => Ok(()),
            new => Err(format!("{new} ended before stop {stop}")),
        };
        eventually(PATIENCE, probe).await.unwrap();
        let asked = Instant::now();
        let status = engine.terminate().await;
        let took = asked.elapsed();
        assert!(
            status.success(),
            "{status}: {}",
            std::fs::read_to_string(folder.path().join("log")).unwrap()
        );
        println!("stopped in {took:?}");
        assert!(took < STOPS_WITHIN, "it took {took:?} to stop");
        engine = Engine::start(folder.path(), port);
    }
    let all = async || match ended.lock().unwrap().len() {
        all if all == stops * WORKFLOWS => Ok(()),
        some => Err(some),
    };
    eventually(PATIENCE, all).await.unwrap();
    more.close();
    while let Some(submitter) = load.join_next().await {
        submitter.unwrap();
    }
    assert!(
        ended.lock().unwrap().iter().collect::<std::collections::HashSet<_>>().len() == stops * WORKFLOWS
    );
    // Who looked on before the stops sees the end behind them.
    let cancel =
        CancelWorkflowRequest { workflow_id: waiting, force: true, ..CancelWorkflowRequest::default() };
    workflows.cancel(cancel).await.unwrap();
    let mut last = WorkflowStatus::Unspecified;
    while let Some(update) = looks_on.next().await {
        last = update.unwrap().status();
    }
    assert_eq!(last, WorkflowStatus::Cancelled);
    let listed =
        ListWorkflowsRequest { status_filter: WorkflowStatus::Completed.into(), ..Default::default() };
    let page = workflows.list_page(listed).await.unwrap();
    assert_eq!(page.pagination.unwrap().total_count as usize, stops * WORKFLOWS, "each was submitted once");
}
