//! kill -9 of the whole process under load, again and again: nothing that was acknowledged is lost, no key makes two workflows,
//! and everything ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its scene has failed")]

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use switchboard_proto::goclaw::v1::{
    CompleteRequest, GetWorkflowStatusRequest, ListWorkflowsRequest, PollTasksRequest, SubmitWorkflowRequest,
    TaskDefinition, TaskStatus, WorkflowStatus, worker_service_client::WorkerServiceClient,
    workflow_service_client::WorkflowServiceClient,
};
use switchboard_testkit::{eventually, free_port};
use tokio::{sync::Semaphore, task::JoinSet};
use tonic::{
    Request, Status,
    transport::{Channel, Endpoint},
};

const PATIENCE: Duration = Duration::from_secs(60);
const SUBMITTERS: usize = 8;
/// Workflows that may be under way, about: a start reads them all, and more of them would test nothing more.
const UNDER_WAY: usize = 200;

/// The process, killed when dropped.
struct Engine(Child);

impl Engine {
    fn start(folder: &Path, port: u16) -> Self {
        let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_workflow-worker"));
        command.arg("--data").arg(folder.join("data")).args(["--listen", &format!("127.0.0.1:{port}")]);
        // There is no registry: it serves all the same.
        command.args(["--consul", "http://127.0.0.1:1", "--router", "127.0.0.1:1"]);
        command.args(["--http", "off", "--metrics", "off"]);
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn();
        Self(child.unwrap())
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A key's workflow, as each acknowledgement named it.
type Acknowledged = Arc<Mutex<HashMap<String, HashSet<String>>>>;

fn task(id: &str, after: &[&str], kind: &str) -> TaskDefinition {
    TaskDefinition {
        id: id.to_owned(),
        dependencies: after.iter().map(|&id| id.to_owned()).collect(),
        r#type: kind.to_owned(),
        target: if kind == "function" { "q".to_owned() } else { String::new() },
        ..TaskDefinition::default()
    }
}

/// Submits under `key` until it is acknowledged.
async fn submit(client: &mut WorkflowServiceClient<Channel>, key: &str) -> String {
    loop {
        let tasks = vec![task("a", &[], "noop"), task("f", &["a"], "function"), task("z", &["f"], "noop")];
        let mut request =
            Request::new(SubmitWorkflowRequest { name: "kills".to_owned(), tasks, ..Default::default() });
        request.metadata_mut().insert("idempotency-key", key.parse().unwrap());
        match client.submit_workflow(request).await {
            Ok(answer) => return answer.into_inner().workflow_id,
            Err(status) => wait(&status).await,
        }
    }
}

/// The process is on its way back; anything else is a failure.
async fn wait(status: &Status) {
    let gone =
        [tonic::Code::Unavailable, tonic::Code::Unknown, tonic::Code::Cancelled, tonic::Code::Internal];
    assert!(gone.contains(&status.code()), "{status}");
    tokio::time::sleep(Duration::from_millis(10)).await;
}

/// Takes tasks and completes them, for ever.
async fn work(channel: Channel, number: usize, room: Arc<Semaphore>) {
    let mut client = WorkerServiceClient::new(channel);
    loop {
        let worker_id = format!("w{number}");
        let poll = PollTasksRequest { worker_id, queues: vec!["q".to_owned()], max_in_flight: 16 };
        let mut tasks = match client.poll_tasks(poll).await {
            Ok(stream) => stream.into_inner(),
            Err(status) => {
                wait(&status).await;
                continue;
            }
        };
        while let Ok(Some(task)) = tasks.message().await {
            let result_json = b"1".to_vec();
            let done = CompleteRequest { lease: task.lease, result_json, ..CompleteRequest::default() };
            // Whether it was taken is seen by whether the task comes again.
            let _ = client.complete(done).await;
            room.add_permits(1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_everything_ends() {
    let kills: usize = std::env::var("WORKFLOW_KILLS").map_or(8, |kills| kills.parse().unwrap());
    let seed = std::env::var("WORKFLOW_SEED").map_or(7, |seed| seed.parse().unwrap());
    println!("WORKFLOW_KILLS={kills} WORKFLOW_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let channel = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap().connect_lazy();
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
        // So much is acknowledged between two kills that there is something to lose, and some is under way.
        let before = acknowledged.lock().unwrap().len();
        let more = random.random_range(20..200);
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
