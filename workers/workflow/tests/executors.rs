//! The engine with its real executors: a worker of the mesh, an external worker that pulls, a retry between them.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its scene has failed")]

use std::sync::Arc;
use std::time::Duration;

use switchboard_backend::RegistryConfig;
use switchboard_proto::goclaw::v1::worker_service_client::WorkerServiceClient;
use switchboard_proto::goclaw::v1::{CompleteRequest, FailRequest, PollTasksRequest, PolledTask};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Server};
use tonic::{Code, Streaming};
use workflow_machine::{
    Call, CallKind, Function, RetryPolicy, Spec, Status, TaskSpec, Work, Workflow, WorkflowId,
};
use workflow_store::MemoryStore;
use workflow_worker::api::worker;
use workflow_worker::attempt::Reports;
use workflow_worker::engine::{Engine, Settings, Submitted};
use workflow_worker::executor::{self, Calls, Executors};
use workflow_worker::spec::Submission;

const PATIENCE: Duration = Duration::from_secs(20);

/// Plans a journey by `itinerary-worker`, and has a picture of it made by whoever polls `images`, twice if need be.
fn journey() -> Spec {
    let parameters = [("destination", "Rome"), ("days", "2")];
    let plan = Call {
        kind: CallKind::Worker.into(),
        target: "itinerary-worker".to_owned(),
        parameters: parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..Call::default()
    };
    let picture = Function {
        queue: "images".to_owned(),
        operation: "draw".to_owned(),
        input: r#"{"of": "{{tasks.plan.result}}"}"#.into(),
        ..Function::default()
    };
    let retry = RetryPolicy { max_attempts: 2, initial_ms: 1, ..RetryPolicy::default() };
    let tasks = vec![
        TaskSpec { id: "plan".to_owned(), work: Some(Work::Call(plan)), ..TaskSpec::default() },
        TaskSpec {
            id: "picture".to_owned(),
            dependencies: vec!["plan".to_owned()],
            work: Some(Work::Function(picture)),
            retry: Some(Box::new(retry)),
            metadata: [("size".to_owned(), "large".to_owned())].into(),
            ..TaskSpec::default()
        },
    ];
    Spec { name: "journey".to_owned(), tasks, ..Spec::default() }
}

async fn start(router: &str) -> (Engine, WorkerServiceClient<Channel>) {
    let (reports, inbox) = Reports::channel();
    let calls = Calls::through(router, switchboard_client::Config::default()).unwrap();
    let settings = executor::Settings::default();
    let executors = Executors::new(settings, calls, reports, Handle::current()).unwrap();
    let service = worker::service(executors.functions().clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(
        Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)),
    );
    let store = Arc::new(MemoryStore::default());
    let start = move || Engine::start(store, Settings::default(), Arc::new(executors), inbox);
    let engine = tokio::task::spawn_blocking(start).await.unwrap().unwrap();
    (engine, WorkerServiceClient::connect(address).await.unwrap())
}

async fn next(tasks: &mut Streaming<PolledTask>) -> PolledTask {
    tokio::time::timeout(PATIENCE, tasks.message()).await.expect("a task comes").unwrap().unwrap()
}

async fn status(engine: &Engine, id: &WorkflowId, wanted: Status) {
    let probe = async || match engine.read(id, Workflow::status).await {
        Ok(status) if status == wanted => Ok(()),
        other => Err(format!("{other:?}")),
    };
    switchboard_testkit::eventually(PATIENCE, probe).await.unwrap();
}

#[tokio::test]
async fn workflow_goes_through_a_worker_of_the_mesh_and_one_that_pulls() {
    let nowhere = "127.0.0.1:1";
    let itinerary = itinerary_worker::backend(itinerary_worker::RouterEndpoint::new(nowhere).unwrap())
        .listen("127.0.0.1:0".parse().unwrap())
        .registry(RegistryConfig::at(nowhere).unwrap())
        .start()
        .await
        .unwrap();
    let (engine, mut client) = start(&itinerary.addr().to_string()).await;
    let poll = PollTasksRequest {
        worker_id: "painter".to_owned(),
        queues: vec!["images".to_owned()],
        max_in_flight: 1,
    };
    let mut tasks = client.poll_tasks(poll).await.unwrap().into_inner();
    let taken = engine.submit(vec![Submission { id: None, spec: journey() }], false, None).await.unwrap();
    let [Ok(Submitted { id, .. })] = &taken[..] else { panic!("{taken:?}") };

    let first = next(&mut tasks).await;
    assert_eq!((first.workflow_name.as_str(), first.attempt), ("journey", 1));
    assert_eq!(first.metadata["size"], "large");
    let input: serde_json::Value = serde_json::from_slice(&first.input_json).unwrap();
    assert!(input["of"].as_str().unwrap().starts_with("2 days in Rome"), "{input}");
    let fail = FailRequest { lease: first.lease.clone(), code: "BUSY".to_owned(), ..FailRequest::default() };
    assert!(client.fail(fail.clone()).await.unwrap().into_inner().will_retry);

    let second = next(&mut tasks).await;
    assert_eq!((second.attempt, &second.idempotency_key), (2, &first.idempotency_key));
    let late = CompleteRequest { lease: first.lease, ..CompleteRequest::default() };
    assert_eq!(
        client.complete(late).await.unwrap_err().code(),
        Code::FailedPrecondition,
        "another epoch counts"
    );
    let complete = CompleteRequest {
        lease: second.lease,
        result_json: br#""a.png""#.to_vec(),
        ..CompleteRequest::default()
    };
    client.complete(complete.clone()).await.unwrap();
    status(&engine, id, Status::Completed).await;
    client.complete(complete).await.unwrap();
    let result = engine.read(id, |workflow| workflow.task("picture").map(|task| task.result.clone())).await;
    assert_eq!(result.unwrap().unwrap(), br#""a.png""#[..]);
}

#[tokio::test]
async fn failure_without_another_attempt_says_so() {
    let (engine, mut client) = start("127.0.0.1:1").await;
    let mut spec = journey();
    let mut picture = spec.tasks.remove(1);
    picture.dependencies.clear();
    picture.work = Some(Work::Function(Function { queue: "images".to_owned(), ..Function::default() }));
    spec.tasks = vec![picture];
    let taken = engine.submit(vec![Submission { id: None, spec }], false, None).await.unwrap();
    let [Ok(Submitted { id, .. })] = &taken[..] else { panic!("{taken:?}") };
    let queues = vec!["images".to_owned()];
    let poll = PollTasksRequest { worker_id: "painter".to_owned(), queues, max_in_flight: 1 };
    let lease = next(&mut client.poll_tasks(poll).await.unwrap().into_inner()).await.lease;
    let fail = FailRequest { lease, non_retryable: true, ..FailRequest::default() };
    assert!(!client.fail(fail).await.unwrap().into_inner().will_retry);
    status(&engine, id, Status::Failed).await;
}
