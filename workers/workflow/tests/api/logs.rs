//! StreamLogs.

use switchboard_proto::goclaw::v1::{
    LogEntry, LogLevel, LogStreamRequest, LogStreamResponse, WorkflowStatus,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::scene::{PATIENCE, Scene, call, noop, reason, workflow, wrong_fields};

struct Logs {
    requests: Option<mpsc::Sender<LogStreamRequest>>,
    stream: Streaming<LogStreamResponse>,
    ready: Vec<LogEntry>,
}

impl Logs {
    async fn open(scene: &Scene, id: &str) -> Self {
        let (requests, stream) = mpsc::channel(8);
        requests.send(filter(id, LogLevel::Unspecified, &[])).await.unwrap();
        let stream = scene.streams().stream_logs(ReceiverStream::new(stream)).await.unwrap().into_inner();
        Self { requests: Some(requests), stream, ready: Vec::new() }
    }

    async fn ask(&self, level: LogLevel, tasks: &[&str]) {
        self.requests.as_ref().unwrap().send(filter("", level, tasks)).await.unwrap();
    }

    /// The next entry; `None` when the stream ended with OK.
    async fn next(&mut self) -> Option<LogEntry> {
        while self.ready.is_empty() {
            let message = tokio::time::timeout(PATIENCE, self.stream.message()).await.unwrap();
            self.ready = message.unwrap()?.entries;
        }
        Some(self.ready.remove(0))
    }

    /// Reads until this was said.
    async fn until(&mut self, message: &str) -> LogEntry {
        loop {
            let entry = self.next().await.expect("the stream goes on");
            if entry.message == message {
                return entry;
            }
        }
    }
}

fn filter(id: &str, level: LogLevel, tasks: &[&str]) -> LogStreamRequest {
    LogStreamRequest {
        workflow_id: id.to_owned(),
        min_level: level.into(),
        task_ids: tasks.iter().map(|&task| task.to_owned()).collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_9_lines_and_transitions_flow_and_a_half_closed_stream_lives_to_the_end() {
    let scene = Scene::start().await;
    let id = scene.submit(workflow([call("a", "hold", &[])])).await;
    scene.held("a").await;
    scene.log("a", 2, "before anybody looked").await;
    let mut logs = Logs::open(&scene, &id).await;
    logs.until("before anybody looked").await;
    logs.until("task started").await;
    logs.requests = None;
    scene.log("a", 2, "after the half close").await;
    let entry = logs.until("after the half close").await;
    assert_eq!(
        (entry.task_id.as_str(), entry.level(), entry.fields["key"].as_str()),
        ("a", LogLevel::Info, "value")
    );
    scene.complete("a", "1").await;
    logs.until("task completed").await;
    logs.until("workflow completed").await;
    assert_eq!(logs.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_changes_for_what_follows() {
    let scene = Scene::start().await;
    let id = scene.submit(workflow([call("a", "hold", &[]), call("b", "hold", &[])])).await;
    scene.held("a").await;
    scene.held("b").await;
    let mut logs = Logs::open(&scene, &id).await;
    scene.log("a", 1, "debug is not asked for").await;
    scene.log("a", 2, "first").await;
    while logs.next().await.unwrap().message != "first" {}
    logs.ask(LogLevel::Debug, &["b"]).await;
    // The change has arrived when its effect is seen.
    let mut seen = String::new();
    while !seen.starts_with("b ") {
        scene.log("b", 1, "b debug").await;
        seen = tokio::select! {
            entry = logs.next() => entry.unwrap().message,
            () = tokio::time::sleep(std::time::Duration::from_millis(100)) => String::new(),
        };
    }
    scene.log("a", 4, "of another task").await;
    scene.log("b", 4, "b error").await;
    loop {
        let entry = logs.next().await.unwrap();
        assert_eq!(entry.task_id, "b", "{entry:?}");
        if entry.message == "b error" {
            break;
        }
    }
    logs.requests.as_ref().unwrap().send(filter("another", LogLevel::Info, &[])).await.unwrap();
    let refused = logs.stream.message().await.unwrap_err();
    assert_eq!(wrong_fields(&refused), ["workflow_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_workflow_that_ended_is_given_in_order_and_ends() {
    let scene = Scene::start().await;
    let id = scene.submit(workflow([noop("a")])).await;
    scene.until(&id, WorkflowStatus::Completed).await;
    let mut logs = Logs::open(&scene, &id).await;
    let mut said = Vec::new();
    while let Some(entry) = logs.next().await {
        said.push(entry.message);
    }
    assert_eq!(
        (said[0].as_str(), said.last().unwrap().as_str()),
        ("workflow submitted", "workflow completed")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_of_no_workflow_are_refused() {
    let scene = Scene::start().await;
    let mut logs = Logs::open(&scene, "none").await;
    let unknown = logs.stream.message().await.unwrap_err();
    assert_eq!((unknown.code(), reason(&unknown).0.as_str()), (Code::NotFound, "WORKFLOW_NOT_FOUND"));
    let mut logs = Logs::open(&scene, "").await;
    assert_eq!(wrong_fields(&logs.stream.message().await.unwrap_err()), ["workflow_id"]);
}
