//! A disk that fills up under the process: nothing new is taken, what is there can be read, and when there is room again all
//! goes on, also behind a kill. The disk is a tmpfs whose size changes, so nothing is written to fill it.
//!
//! Who may not mount one is told so, and passes.

use std::{path::Path, process::Command, time::Duration};

use switchboard_proto::goclaw::v1::{
    CompleteRequest, GetWorkflowStatusRequest, PollTasksRequest, WorkflowStatus,
    worker_service_client::WorkerServiceClient, workflow_service_client::WorkflowServiceClient,
};
use switchboard_testkit::{eventually, free_port};
use tonic::{Code, Request, transport::Channel};

use crate::engine::{Engine, PATIENCE, channel, submit, workflow};

/// A file system of its own, gone when dropped.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(at: &'a Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=2g", "switchboard-test"]).arg(at).output();
        mounted.is_ok_and(|done| done.status.success()).then_some(Self(at))
    }

    fn resize(&self, mebibytes: u32) {
        let size = format!("remount,size={mebibytes}m");
        assert!(Command::new("mount").args(["-o", &size]).arg(self.0).status().unwrap().success());
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        // Lazily: the process may have its files open for a moment.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

async fn refusal(client: &WorkflowServiceClient<Channel>) -> Result<(), String> {
    match client.clone().submit_workflow(workflow()).await {
        Err(status) if status.code() == Code::ResourceExhausted => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

async fn status(client: &WorkflowServiceClient<Channel>, id: &str) -> WorkflowStatus {
    let request = GetWorkflowStatusRequest { workflow_id: id.to_owned(), include_input: false };
    client.clone().get_workflow_status(request).await.unwrap().into_inner().status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_takes_nothing_new_shows_what_is_there_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    let data = folder.path().join("data");
    let Some(disk) = Disk::mount(&data) else {
        eprintln!("skipped: mounting a tmpfs needs root, and is not allowed in every container");
        return;
    };
    let port = free_port();
    let mut engine = Engine::start(folder.path(), port);
    let mut client = WorkflowServiceClient::new(channel(port));
    let mut worker = WorkerServiceClient::new(channel(port));
    let (first, second) = (submit(&mut client, "first").await, submit(&mut client, "second").await);
    let poll = PollTasksRequest { worker_id: "w".to_owned(), queues: vec!["q".to_owned()], max_in_flight: 2 };
    let mut tasks = worker.poll_tasks(poll).await.unwrap().into_inner();
    let mut leases = Vec::new();
    while leases.len() < 2 {
        leases.push(tasks.message().await.unwrap().unwrap().lease);
    }
    let complete =
        |lease| CompleteRequest { lease, result_json: b"1".to_vec(), ..CompleteRequest::default() };
    let last = leases.pop().unwrap();
    let (other, ends) = match last.as_ref().unwrap().workflow_id == first {
        true => (first, second),
        false => (second, first),
    };

    // Little room: nothing new is taken, and what is under way can end.
    disk.resize(400);
    eventually(PATIENCE, async || refusal(&client).await).await.unwrap();
    worker.complete(complete(leases.pop().unwrap())).await.unwrap();
    assert_eq!(status(&client, &ends).await, WorkflowStatus::Completed);

    // None: what is under way waits for it, and reads do not.
    disk.resize(100);
    eventually(PATIENCE, async || refusal(&client).await).await.unwrap();
    // Until the measurement of before is too old to count.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut waits = Request::new(complete(last.clone()));
    waits.set_timeout(Duration::from_millis(500));
    let waited = worker.complete(waits).await.unwrap_err();
    assert!([Code::DeadlineExceeded, Code::Cancelled].contains(&waited.code()), "{waited}");
    assert_eq!(status(&client, &ends).await, WorkflowStatus::Completed);
    assert!(engine.is_running());

    // Room again.
    disk.resize(2_048);
    let ended = async || match status(&client, &other).await {
        WorkflowStatus::Completed => Ok(()),
        other => Err(other),
    };
    eventually(PATIENCE, ended).await.unwrap();
    let third = submit(&mut client, "third").await;

    // Full again, and killed: a start needs no room for what is there.
    disk.resize(100);
    engine.kill();
    let _engine = Engine::start(folder.path(), port);
    let request = GetWorkflowStatusRequest { workflow_id: third.clone(), include_input: false };
    let there = async || client.clone().get_workflow_status(request.clone()).await;
    eventually(PATIENCE, there).await.unwrap();
    assert_eq!(status(&client, &other).await, WorkflowStatus::Completed);
    eventually(PATIENCE, async || refusal(&client).await).await.unwrap();
    disk.resize(2_048);
    assert_eq!(submit(&mut client, "third").await, third);
}
