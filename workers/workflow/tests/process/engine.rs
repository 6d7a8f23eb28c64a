//! The process, and those who give it work.

use std::{
    fs::File,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use switchboard_proto::goclaw::v1::{
    CompleteRequest, PollTasksRequest, SubmitWorkflowRequest, TaskDefinition,
    worker_service_client::WorkerServiceClient, workflow_service_client::WorkflowServiceClient,
};
use switchboard_testkit::eventually;
use tokio::sync::Semaphore;
use tonic::{
    Request, Status,
    transport::{Channel, Endpoint},
};

/// Anything that takes longer has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The process, killed when dropped.
pub(crate) struct Engine(Child);

impl Engine {
    /// Starts it on `folder/data`; what it says is in `folder/log`.
    pub(crate) fn start(folder: &Path, port: u16) -> Self {
        let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_workflow-worker"));
        command.arg("--data").arg(folder.join("data")).args(["--listen", &format!("127.0.0.1:{port}")]);
        // There is no registry: it serves all the same.
        command.args(["--consul", "http://127.0.0.1:1", "--router", "127.0.0.1:1"]);
        command.args(["--http", "off", "--metrics", "off"]);
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn();
        Self(child.unwrap())
    }

    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// SIGTERM, and how it ends.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        // The command instead of a system call: this workspace has no unsafe code.
        assert!(Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap().success());
        let ended = async || self.0.try_wait().unwrap().ok_or("it runs");
        eventually(PATIENCE, ended).await.unwrap()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It may have ended.
        let _ = (self.0.kill(), self.0.wait());
    }
}

/// A channel to whatever listens on the port.
pub(crate) fn channel(port: u16) -> Channel {
    Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap().connect_lazy()
}

/// A step that is over at once, one for an external worker, and one more.
pub(crate) fn workflow() -> SubmitWorkflowRequest {
    let tasks = vec![task("a", &[], "noop"), task("f", &["a"], "function"), task("z", &["f"], "noop")];
    SubmitWorkflowRequest { name: "process".to_owned(), tasks, ..SubmitWorkflowRequest::default() }
}

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
pub(crate) async fn submit(client: &mut WorkflowServiceClient<Channel>, key: &str) -> String {
    loop {
        let mut request = Request::new(workflow());
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

/// Takes tasks and completes them, for ever; each makes room for another workflow.
pub(crate) async fn work(channel: Channel, number: usize, room: Arc<Semaphore>) {
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
            let request = CompleteRequest { lease: task.lease, result_json, ..CompleteRequest::default() };
            // Whether it was taken is seen by whether the task comes again.
            let _ = client.complete(request).await;
            room.add_permits(1);
        }
    }
}
