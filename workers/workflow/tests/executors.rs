//! The engine with its real executors: a worker of the mesh, an external worker that pulls, a retry between them.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its scene has failed")]

use std::sync::Arc;
use std::time::Duration;

use switchboard_backend::{Backend, Mode, PolicySettings, RegistryConfig, Rights, Running};
use switchboard_proto::goclaw::v1::worker_service_client::WorkerServiceClient;
use switchboard_proto::goclaw::v1::workflow_service_server::WorkflowService;
use switchboard_proto::goclaw::v1::{
    CompleteRequest, FailRequest, GetWorkflowStatusRequest, PollTasksRequest, PolledTask,
};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Streaming};
use workflow_machine::{
    Call, CallKind, Child, Function, Input, RetryPolicy, Spec, Status, TaskSpec, Work, Workflow, WorkflowId,
};
use workflow_store::MemoryStore;
use workflow_worker::api::{self, Api, worker};
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

async fn start(router: &str, rights: Option<Rights>) -> (Engine, WorkerServiceClient<Channel>, Api) {
    let (reports, inbox) = Reports::channel();
    let calls = Calls::through(router, switchboard_client::Config::default()).unwrap();
    let calls = match rights {
        Some(rights) => calls.within(rights),
        None => calls,
    };
    let settings = executor::Settings::default();
    let executors = Executors::new(settings, calls, reports, Handle::current()).unwrap();
    let functions = executors.functions().clone();
    let service = worker::service(functions.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(
        Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)),
    );
    let store = Arc::new(MemoryStore::default());
    let start = move || Engine::start(store, Settings::default(), Arc::new(executors), inbox);
    let engine = tokio::task::spawn_blocking(start).await.unwrap().unwrap();
    let api = Api::start(engine.clone(), api::Settings::default()).await.unwrap().with_workers(functions);
    (engine, WorkerServiceClient::connect(address).await.unwrap(), api)
}

const NOWHERE: &str = "127.0.0.1:1";

async fn itinerary() -> Running {
    itinerary_worker::backend(itinerary_worker::RouterEndpoint::new(NOWHERE).unwrap())
        .listen("127.0.0.1:0".parse().unwrap())
        .registry(RegistryConfig::at(NOWHERE).unwrap())
        .start()
        .await
        .unwrap()
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
    let itinerary = itinerary().await;
    let (engine, mut client, api) = start(&itinerary.addr().to_string(), None).await;
    let poll = PollTasksRequest {
        worker_id: "painter".to_owned(),
        queues: vec!["images".to_owned()],
        max_in_flight: 1,
    };
    let mut tasks = client.poll_tasks(poll).await.unwrap().into_inner();
    let taken = engine.submit(vec![Submission { id: None, spec: journey() }], false, None).await.unwrap();
    let [Ok(Submitted { id, .. })] = &taken[..] else { panic!("{taken:?}") };

    let holder = async || {
        let request = GetWorkflowStatusRequest { workflow_id: id.to_string(), include_input: false };
        let status = api.get_workflow_status(Request::new(request)).await.unwrap().into_inner();
        status.tasks[1].worker_id.clone()
    };
    let first = next(&mut tasks).await;
    assert_eq!(holder().await, "painter");
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
    assert_eq!(holder().await, "", "nobody has it any more");
    client.complete(complete).await.unwrap();
    let result = engine.read(id, |workflow| workflow.task("picture").map(|task| task.result.clone())).await;
    assert_eq!(result.unwrap().unwrap(), br#""a.png""#[..]);
}

#[tokio::test]
async fn failure_without_another_attempt_says_so() {
    let (engine, mut client, _) = start(NOWHERE, None).await;
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

/// What the engine has to go by, and changes of it.
async fn policy(directory: &tempfile::TempDir, rights: &Rights) -> Running {
    let tokens = directory.path().join("tokens.toml");
    let entry = "[[tokens]]\ntoken = \"0123456789abcdef-ann\"\nname = \"ann\"\nroles = [\"admin\"]\n";
    std::fs::write(&tokens, entry).unwrap();
    let policy = directory.path().join("policy.toml");
    std::fs::write(&policy, "[[rules]]\nallow = [\"role:planner\"]\nids = [\"itinerary-worker\"]\n").unwrap();
    let settings = PolicySettings {
        mode: Mode::Any,
        tokens: Some(tokens),
        policy: Some(policy),
        ..PolicySettings::default()
    };
    Backend::worker("workflow")
        .listen("127.0.0.1:0".parse().unwrap())
        .registry(RegistryConfig::at(NOWHERE).unwrap())
        .policy(settings)
        .rights(rights.clone())
        .start()
        .await
        .unwrap()
}

#[tokio::test]
async fn the_engine_calls_for_nobody_what_he_may_not_call_himself() {
    let itinerary = itinerary().await;
    let rights = Rights::default();
    let (engine, _client, _) = start(&itinerary.addr().to_string(), Some(rights.clone())).await;
    let mut plan = journey();
    plan.tasks.truncate(1);
    plan.tasks[0].retry = Some(Box::new(RetryPolicy { max_attempts: 5, ..RetryPolicy::default() }));
    let child = Child { spec: Some(Box::new(plan.clone())) };
    let child = TaskSpec { id: "child".to_owned(), work: Some(Work::Child(child)), ..TaskSpec::default() };
    let submit = async |tasks: Vec<TaskSpec>, owner: &str, role: &str| {
        let spec = Spec {
            name: "of".to_owned(),
            tasks,
            owner: owner.to_owned(),
            owner_roles: vec![role.to_owned()],
            ..Spec::default()
        };
        let taken = engine.submit(vec![Submission { id: None, spec }], false, None).await.unwrap();
        taken[0].clone().unwrap().id
    };
    // Before the policy was read nobody knows who may: its tasks wait.
    let early = submit(plan.tasks.clone(), "eve", "guest").await;
    let directory = tempfile::tempdir().unwrap();
    let running = policy(&directory, &rights).await;
    status(&engine, &early, Status::Failed).await;
    let (code, words, attempt) = engine
        .read(&early, |workflow| {
            let task = workflow.task("plan").unwrap();
            let error = task.error.unwrap();
            (error.code.clone(), error.message.clone(), task.attempt)
        })
        .await
        .unwrap();
    assert_eq!((code.as_str(), attempt), ("PERMISSION_DENIED", 1), "{words}");
    assert!(
        words.contains("eve") && words.contains("itinerary-worker") && words.contains("policy"),
        "{words}"
    );

    for task in [plan.tasks[0].clone(), child.clone()] {
        let allowed = submit(vec![task.clone()], "ben", "planner").await;
        status(&engine, &allowed, Status::Completed).await;
        for (owner, role) in [("eve", "guest"), ("", "planner")] {
            let denied = submit(vec![task.clone()], owner, role).await;
            status(&engine, &denied, Status::Failed).await;
        }
    }
    let changed = "[[rules]]\nallow = [\"eve\"]\n";
    std::fs::write(directory.path().join("policy.toml"), changed).unwrap();
    running.reload();
    let again = async || {
        let id = submit(plan.tasks.clone(), "eve", "guest").await;
        let mut watch = engine.watch(&id, 0).await.unwrap();
        loop {
            match watch.next().await.unwrap().workflow_change() {
                Some((Status::Completed, _)) => return Ok(()),
                Some((ended, _)) if ended.is_terminal() => return Err(ended),
                _ => {}
            }
        }
    };
    switchboard_testkit::eventually(PATIENCE, again).await.unwrap();
    // Those that were submitted before are judged as the policy is when they are run again.
    engine.tell(&early, Input::Retry { from: None, reason: String::new() }).await.unwrap();
    status(&engine, &early, Status::Completed).await;
}
