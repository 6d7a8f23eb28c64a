//! The service over gRPC, with a test in the engine's place.

use prost::Message;
use switchboard_proto::goclaw::v1::worker_service_client::WorkerServiceClient;
use switchboard_proto::rpc;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Server};
use tonic::{Code, Status};
use workflow_machine::SignalKind;

use super::*;
use crate::attempt::{Executor, Kept, Report, Untaken};
use crate::executor::Settings;
use crate::executor::tests::{Engine, NOWHERE, attempt, function};

async fn worker(engine: &Engine) -> WorkerServiceClient<Channel> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let service = service(engine.executors.functions().clone());
    tokio::spawn(
        Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)),
    );
    WorkerServiceClient::connect(address).await.unwrap().max_encoding_message_size(64 << 20)
}

fn poll(queues: &[&str]) -> wire::PollTasksRequest {
    let queues = queues.iter().map(|queue| (*queue).to_owned()).collect();
    wire::PollTasksRequest { worker_id: "host-1".to_owned(), queues, max_in_flight: 2 }
}

fn reason(status: &Status) -> String {
    let details = rpc::Status::decode(status.details()).unwrap();
    let info = details.error_info().unwrap();
    assert_eq!(info.domain, rpc::WORKFLOW_DOMAIN);
    info.reason
}

fn fields(status: &Status) -> Vec<String> {
    assert_eq!((status.code(), reason(status).as_str()), (Code::InvalidArgument, "VALIDATION_FAILED"));
    let violations = rpc::Status::decode(status.details()).unwrap().field_violations();
    violations.into_iter().map(|violation| violation.field).collect()
}

/// An engine, a worker's client, and the lease of a task that it has polled.
async fn leased() -> (Engine, WorkerServiceClient<Channel>, wire::TaskLease) {
    let engine = Engine::new(NOWHERE, Settings::default());
    let mut client = worker(&engine).await;
    engine.executors.run(attempt("a", function("images")));
    let mut tasks = client.poll_tasks(poll(&["images"])).await.unwrap().into_inner();
    let lease = tasks.message().await.unwrap().unwrap().lease.unwrap();
    (engine, client, lease)
}

#[tokio::test]
async fn task_comes_with_all_that_a_worker_needs() {
    let mut engine = Engine::new(NOWHERE, Settings::default());
    let mut client = worker(&engine).await;
    let mut tasks = client.poll_tasks(poll(&["images"])).await.unwrap().into_inner();
    let mut a = attempt("a", function("images"));
    a.run.deadline = Some(1_500);
    engine.executors.run(a);
    let task = tasks.message().await.unwrap().unwrap();
    let lease = wire::TaskLease { workflow_id: "wf".to_owned(), task_id: "a".to_owned(), epoch: 7 };
    let text = |text: &str| text.to_owned();
    let expected = wire::PolledTask {
        lease: Some(lease.clone()),
        queue: text("images"),
        workflow_name: text("journey"),
        operation: text("resize"),
        input_json: br#"{"image":"a.png"}"#.to_vec(),
        parameters: [(text("width"), text("640"))].into(),
        metadata: [(text("team"), text("travel"))].into(),
        attempt: 1,
        deadline: Some(Timestamp { seconds: 1, nanos: 500_000_000 }),
        lease_ms: 30_000,
        idempotency_key: text("wf/a"),
        traceparent: String::new(),
    };
    assert_eq!(task, expected);

    let request = wire::CompleteRequest {
        lease: Some(lease),
        result_json: br#"{"ok":1}"#.to_vec(),
        ..Default::default()
    };
    let (answer, (id, report)) =
        tokio::join!(client.complete(request.clone()), engine.answered(Ok(Kept::default())));
    answer.unwrap();
    assert!(id == attempt("a", function("images")).id());
    assert!(matches!(report, Report::Completed { result } if result == br#"{"ok":1}"#[..]));
    client.complete(request).await.unwrap();
    engine.executors.drain(std::time::Duration::ZERO).await;
    assert!(tasks.message().await.unwrap().is_none(), "the stream ends with OK when the engine stops");
}

#[tokio::test]
async fn heartbeat_brings_what_the_worker_has_to_know() {
    let (engine, mut client, lease) = leased().await;
    let id = attempt("a", function("images")).id();
    engine.executors.signal(&id, SignalKind::Steer, br#"{"quality": 9, "mode": "fast"}"#[..].into());
    engine.executors.signal(&id, SignalKind::Steer, b"plain"[..].into());
    engine.executors.stop(&id, 15_000);
    let beat =
        wire::TaskHeartbeat { lease: Some(lease.clone()), progress_percent: 40, message: String::new() };
    let request =
        |worker: &str| wire::HeartbeatRequest { worker_id: worker.to_owned(), tasks: vec![beat.clone()] };
    let mut results = client.heartbeat(request("host-1")).await.unwrap().into_inner().results;
    let result = results.remove(0);
    assert_eq!((result.lease, result.stale, result.cancel_requested), (Some(lease), false, true));
    let signals: Vec<_> = result.signals.into_iter().map(|signal| signal.parameters).collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        signals,
        [[pair("quality", "9"), pair("mode", "fast")].into(), [pair("payload", "plain")].into()]
    );
    let results = client.heartbeat(request("host-2")).await.unwrap().into_inner().results;
    assert!(results[0].stale, "it is another worker's");
}

#[tokio::test]
async fn failure_is_passed_on_with_its_wishes() {
    let (mut engine, mut client, lease) = leased().await;
    let request = wire::FailRequest {
        lease: Some(lease),
        message: "disk full".to_owned(),
        retry_after_ms: 700,
        ..Default::default()
    };
    let taken = Ok(Kept { will_retry: true });
    let (answer, (_, report)) = tokio::join!(client.fail(request), engine.answered(taken));
    assert!(answer.unwrap().into_inner().will_retry);
    let Report::Failed { error } = report else { panic!("{report:?}") };
    assert_eq!((error.code.as_str(), error.message.as_str()), ("UNKNOWN", "disk full"));
    assert!(error.retryable && error.retry_after_ms == 700);
}

#[tokio::test]
async fn answer_that_is_not_taken_says_why() {
    let (mut engine, mut client, lease) = leased().await;
    for (untaken, code, expected) in [
        (Untaken::Closed, Code::Unavailable, "ENGINE_STOPPING"),
        (Untaken::Stale("epoch 8 counts".to_owned()), Code::FailedPrecondition, "STALE_EPOCH"),
        (Untaken::NotRunning("wf".into()), Code::FailedPrecondition, "WORKFLOW_NOT_RUNNING"),
    ] {
        let request = wire::CompleteRequest { lease: Some(lease.clone()), ..Default::default() };
        let (answer, (_, report)) = tokio::join!(client.complete(request), engine.answered(Err(untaken)));
        assert!(matches!(report, Report::Completed { result } if result == b"null"[..]));
        let status = answer.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (code, expected));
    }
}

#[tokio::test]
async fn lines_go_to_the_log_within_their_bounds() {
    let (mut engine, mut client, lease) = leased().await;
    let entry = |message: String, level: wire::LogLevel| wire::LogEntry {
        timestamp: Some(Timestamp { seconds: 2, nanos: 5_000_000 }),
        level: level.into(),
        message,
        fields: [("key".to_owned(), "v".repeat(2_000))].into(),
        ..Default::default()
    };
    let entries = vec![
        entry("short".to_owned(), wire::LogLevel::Error),
        entry("ä".repeat(9_000), wire::LogLevel::Unspecified),
    ];
    let request = wire::LogRequest { lease: Some(lease.clone()), entries };
    assert_eq!(client.log(request).await.unwrap().into_inner().dropped, 0);
    for (expected_level, bytes) in [(4, 5), (2, 8_192)] {
        let (_, report) = engine.answered(Ok(Kept::default())).await;
        let Report::Log { at, level, message, fields } = report else { panic!("{report:?}") };
        assert_eq!((at, level, message.len(), fields[0].1.len()), (2_005, expected_level, bytes, 1_024));
    }
    let unknown = wire::TaskLease { epoch: 6, ..lease };
    let request = wire::LogRequest { lease: Some(unknown), entries: Vec::new() };
    assert_eq!(reason(&client.log(request).await.unwrap_err()), "STALE_EPOCH");
}

#[tokio::test]
async fn lines_are_dropped_and_counted_while_the_engine_is_behind() {
    let (_engine, mut client, lease) = leased().await;
    let mut dropped = 0;
    for _ in 0..crate::attempt::MAX_REPORTS / 100 + 1 {
        let request = wire::LogRequest { lease: Some(lease.clone()), entries: vec![Default::default(); 100] };
        dropped += client.log(request).await.unwrap().into_inner().dropped;
    }
    assert!(dropped >= i32::try_from(crate::attempt::MAX_REPORTS / 4).unwrap(), "{dropped}");
}

#[tokio::test]
async fn wrong_requests_name_their_fields() {
    let (mut engine, mut client, lease) = leased().await;
    let request = wire::PollTasksRequest { max_in_flight: 1_001, ..Default::default() };
    assert_eq!(
        fields(&client.poll_tasks(request).await.unwrap_err()),
        ["worker_id", "queues", "max_in_flight"]
    );
    let request = poll(&["", &"q".repeat(101)]);
    assert_eq!(fields(&client.poll_tasks(request).await.unwrap_err()), ["queues[0]", "queues[1]"]);

    let beat = wire::TaskHeartbeat { progress_percent: 101, ..Default::default() };
    let request = wire::HeartbeatRequest { worker_id: "w".to_owned(), tasks: vec![beat.clone()] };
    let expected = ["tasks[0].progress_percent", "tasks[0].lease"];
    assert_eq!(fields(&client.heartbeat(request).await.unwrap_err()), expected);
    let request = wire::HeartbeatRequest { worker_id: "w".to_owned(), tasks: vec![beat; 1_001] };
    assert_eq!(fields(&client.heartbeat(request).await.unwrap_err()), ["tasks"]);

    let with = |result: Vec<u8>| wire::CompleteRequest {
        lease: Some(lease.clone()),
        result_json: result,
        ..Default::default()
    };
    for result in [b"{".to_vec(), b"plain".to_vec(), vec![b' '; (16 << 20) + 1]] {
        assert_eq!(fields(&client.complete(with(result)).await.unwrap_err()), ["result_json"]);
    }
    let request = wire::FailRequest { retry_after_ms: -1, ..Default::default() };
    assert_eq!(fields(&client.fail(request).await.unwrap_err()), ["lease", "retry_after_ms"]);
    let entries = vec![wire::LogEntry::default(); 101];
    let request = wire::LogRequest { lease: Some(lease), entries };
    assert_eq!(fields(&client.log(request).await.unwrap_err()), ["entries"]);
    assert!(engine.is_silent());
}
