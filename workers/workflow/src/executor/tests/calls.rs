//! Calls: what goes out, what comes back, and what a failure says.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use serde_json::json;
use switchboard_backend::RegistryConfig;
use switchboard_proto::agentplatform::{TaskResponse, ToolResponse};
use switchboard_proto::rpc;
use tokio::net::{TcpListener, TcpStream};
use tonic::{Code, Status};
use workflow_machine::{Call, CallKind, Request, TaskError};

use super::backend::{Act, Backend};
use super::{Engine, NOWHERE, attempt, within};
use crate::attempt::{Executor, Kept, Report};
use crate::executor::Settings;

fn call(kind: CallKind, target: &str, operation: &str, input: &str, parameters: &[(&str, &str)]) -> Request {
    let parameter = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Request::Call(Call {
        kind: kind.into(),
        target: target.to_owned(),
        operation: operation.to_owned(),
        input: Bytes::copy_from_slice(input.as_bytes()),
        parameters: parameters.iter().map(parameter).collect(),
    })
}

fn echo(input: &str) -> Request {
    call(CallKind::Agent, "echo-agent", "", input, &[])
}

async fn engine(backend: &Backend) -> Engine {
    Engine::new(&backend.start().await, Settings::default())
}

fn parameters(map: &HashMap<String, String>) -> BTreeMap<&str, &str> {
    map.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[tokio::test]
async fn agent_gets_text_parameters_and_headers() {
    let backend = Backend::default();
    let mut engine = engine(&backend).await;
    let request = call(CallKind::Agent, "echo-agent", "greet", r#""say \"hi\"""#, &[("loud", "yes")]);
    engine.executors.run(within(attempt("greet", request), Duration::from_secs(60)));
    assert_eq!(engine.outcome().await.unwrap(), "Echo: say \"hi\"");

    let seen = &backend.seen()[0];
    assert_eq!((seen.method, seen.task.agent_id.as_str()), ("ExecuteTask", "echo-agent"));
    assert_eq!(
        seen.task.task_id, "wf/greet",
        "the same for every attempt, so that it finds the same instance"
    );
    assert_eq!(parameters(&seen.task.parameters), [("loud", "yes"), ("operation", "greet")].into());
    let headers =
        ["x-idempotency-key", "x-request-id", "x-workflow-id", "x-workflow-task", "x-workflow-attempt"];
    assert_eq!(headers.map(|name| seen.header(name)), ["wf/greet", "req-1", "wf", "greet", "1"]);
    assert!(!seen.header("grpc-timeout").is_empty(), "the backend knows how long we wait");
}

#[tokio::test]
async fn answers_become_json_or_text() {
    let answer = |output: &str| {
        Act::Answer(TaskResponse { output: output.to_owned(), success: true, ..TaskResponse::default() })
    };
    let backend = Backend::new([answer(r#"{"days":[1,2]}"#), answer("2 days in Rome"), answer("")]);
    let mut engine = engine(&backend).await;
    for (task, expected) in [("a", json!({"days": [1, 2]})), ("b", json!("2 days in Rome")), ("c", json!(""))]
    {
        engine.executors.run(attempt(task, echo("{\"a\": 1}")));
        assert_eq!(engine.outcome().await.unwrap(), expected);
    }
    assert_eq!(backend.seen()[0].task.input, "{\"a\": 1}", "what is no text is passed as JSON");
    assert_eq!(backend.seen()[0].header("grpc-timeout"), "", "no timeout, no deadline");
}

#[tokio::test]
async fn tool_gets_the_fields_of_its_input_as_parameters() {
    let answer =
        ToolResponse { success: true, result: r#"{"celsius":21}"#.to_owned(), ..ToolResponse::default() };
    let backend = Backend::new([Act::Tool(answer)]);
    let mut engine = engine(&backend).await;
    let input = r#"{"location": "Rome", "days": 3, "units": "F"}"#;
    let request = call(CallKind::Tool, "weather-tool", "get_forecast", input, &[("units", "C")]);
    engine.executors.run(attempt("weather", request));
    assert_eq!(engine.outcome().await.unwrap(), json!({"celsius": 21}));
    let seen = &backend.seen()[0];
    assert_eq!((seen.method, seen.tool.tool_id.as_str()), ("ExecuteTool", "weather-tool"));
    assert_eq!(seen.tool.operation, "get_forecast");
    let expected = [("days", "3"), ("location", "Rome"), ("units", "C")];
    assert_eq!(parameters(&seen.tool.parameters), expected.into(), "what the task names itself wins");
}

#[tokio::test]
async fn worker_gets_input_and_parameters() {
    let backend = Backend::default();
    let mut engine = engine(&backend).await;
    let request = call(CallKind::Worker, "itinerary-worker", "plan", r#"{"destination":"Rome"}"#, &[]);
    engine.executors.run(attempt("plan", request));
    engine.outcome().await.unwrap();
    let seen = &backend.seen()[0];
    assert_eq!((seen.method, seen.task.agent_id.as_str()), ("ProcessTask", "itinerary-worker"));
    assert_eq!(
        (seen.task.task_id.as_str(), seen.task.input.as_str()),
        ("wf/plan", r#"{"destination":"Rome"}"#)
    );
    assert_eq!(parameters(&seen.task.parameters), [("destination", "Rome"), ("operation", "plan")].into());
}

#[tokio::test]
async fn chunks_of_a_stream_are_lines_and_together_the_result() {
    let backend = Backend::new([Act::Chunks(vec!["Day 1. ", "", "Day 2."])]);
    let mut engine = engine(&backend).await;
    engine.executors.run(attempt("t", call(CallKind::Agent, "echo-agent", "stream", r#""x""#, &[])));
    let mut lines = Vec::new();
    let result = loop {
        match engine.answered(Ok(Kept::default())).await.1 {
            Report::Log { message, level: 2, .. } => lines.push(message),
            Report::Completed { result } => break result,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        (result, lines),
        (Bytes::from(r#""Day 1. Day 2.""#), vec!["Day 1. ".into(), "Day 2.".to_owned()])
    );
}

#[tokio::test]
async fn metadata_of_an_answer_is_a_line_of_the_log() {
    let metadata = HashMap::from([("model".to_owned(), "small".to_owned())]);
    let answer = TaskResponse { success: true, metadata, ..TaskResponse::default() };
    let backend = Backend::new([Act::Answer(answer)]);
    let mut engine = engine(&backend).await;
    engine.executors.run(attempt("t", echo("")));
    let (_, report) = engine.answered(Ok(Kept::default())).await;
    let Report::Log { fields, .. } = report else { panic!("{report:?}") };
    assert_eq!(fields, [("model".to_owned(), "small".to_owned())]);
}

#[tokio::test]
async fn answer_without_success_fails_as_the_backend_says() {
    let failed = |metadata: &[(&str, &str)]| {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Act::Answer(TaskResponse {
            error: "no such city".to_owned(),
            metadata: metadata.iter().map(pair).collect(),
            ..TaskResponse::default()
        })
    };
    let told = [("error_code", "BUSY"), ("retryable", "true"), ("retry_after_ms", "1500")];
    let backend = Backend::new([failed(&[]), failed(&told)]);
    let mut engine = engine(&backend).await;
    engine.executors.run(attempt("a", echo("")));
    let words = "echo-agent failed: no such city";
    assert_eq!(engine.outcome().await.unwrap_err(), TaskError::permanent("TASK_FAILED", words));
    engine.executors.run(attempt("b", echo("")));
    let expected = TaskError { retry_after_ms: 1_500, ..TaskError::retryable("BUSY", words) };
    assert_eq!(engine.outcome().await.unwrap_err(), expected);
}

#[tokio::test]
async fn status_says_whether_another_attempt_helps() {
    let status = |code: Code, reason: &str, wait: Option<Duration>| {
        let details = rpc::Status::new(code.into(), "words", reason, [], wait).encode_to_vec();
        Act::Fail(Status::with_details(code, "words", details.into()))
    };
    let second = Some(Duration::from_secs(1));
    let cases = [
        (Code::Unavailable, "NO_HEALTHY_INSTANCE", second, "UNAVAILABLE", true, 1_000),
        (Code::ResourceExhausted, "BUSY", None, "RESOURCE_EXHAUSTED", true, 0),
        (Code::Aborted, "RACE", None, "ABORTED", true, 0),
        (Code::DeadlineExceeded, "SLOW", None, "DEADLINE_EXCEEDED", true, 0),
        (Code::NotFound, "ID_UNKNOWN", None, "NOT_FOUND", false, 0),
        (Code::InvalidArgument, "BAD", None, "INVALID_ARGUMENT", false, 0),
        (Code::Internal, "BUG", None, "INTERNAL", false, 0),
        (Code::Unknown, "WHAT", None, "UNKNOWN", false, 0),
    ];
    let backend = Backend::new(cases.map(|(code, reason, wait, ..)| status(code, reason, wait)));
    let mut engine = engine(&backend).await;
    for (index, (_, reason, _, code, retryable, retry_after_ms)) in cases.into_iter().enumerate() {
        engine.executors.run(attempt(&format!("t{index}"), echo("")));
        let error = engine.outcome().await.unwrap_err();
        assert_eq!(
            (error.code.as_str(), error.retryable, error.retry_after_ms),
            (code, retryable, retry_after_ms)
        );
        assert_eq!(error.message, format!("call of echo-agent: words ({reason})"));
    }
}

#[tokio::test]
async fn router_that_is_away_is_worth_another_attempt() {
    let mut engine = Engine::new(NOWHERE, Settings::default());
    engine.executors.run(attempt("t", echo("")));
    let error = engine.outcome().await.unwrap_err();
    assert_eq!((error.code.as_str(), error.retryable), ("UNAVAILABLE", true));
    assert!(error.message.contains(NOWHERE), "{}", error.message);
}

#[tokio::test]
async fn connection_that_breaks_is_worth_another_attempt() {
    let backend = Backend::new([Act::Hang]);
    let (listener, target) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), backend.start().await);
    let address = listener.local_addr().unwrap().to_string();
    let relay = tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = TcpStream::connect(target).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    });
    let mut engine = Engine::new(&address, Settings::default());
    engine.executors.run(attempt("t", echo("")));
    backend.until(1, 1).await;
    relay.abort();
    let error = engine.outcome().await.unwrap_err();
    assert_eq!((error.code.as_str(), error.retryable), ("UNAVAILABLE", true), "{}", error.message);
}

#[tokio::test]
async fn call_that_hangs_ends_at_the_deadline_and_is_cancelled() {
    let backend = Backend::new([Act::Hang]);
    let mut engine = engine(&backend).await;
    engine.executors.run(within(attempt("t", echo("")), Duration::from_millis(300)));
    let error = engine.outcome().await.unwrap_err();
    assert_eq!((error.code.as_str(), error.retryable), ("DEADLINE_EXCEEDED", true));
    backend.until(1, 0).await;
}

#[tokio::test]
async fn deadline_that_has_passed_is_not_called_for() {
    let backend = Backend::default();
    let mut engine = engine(&backend).await;
    engine.executors.run(within(attempt("t", echo("")), Duration::ZERO));
    let error = engine.outcome().await.unwrap_err();
    assert_eq!((error.code.as_str(), backend.seen().len()), ("DEADLINE_EXCEEDED", 0));
}

#[tokio::test]
async fn large_results_are_taken_up_to_the_limit() {
    let output = |bytes: usize| {
        Act::Answer(TaskResponse { output: "x".repeat(bytes), success: true, ..TaskResponse::default() })
    };
    let backend = Backend::new([output(16 << 20), output((16 << 20) + 1), output(20 << 20)]);
    let mut engine = engine(&backend).await;
    engine.executors.run(attempt("fits", echo("")));
    assert_eq!(engine.outcome().await.unwrap().as_str().unwrap().len(), 16 << 20);
    for task in ["over", "far-over"] {
        engine.executors.run(attempt(task, echo("")));
        let error = engine.outcome().await.unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), ("RESULT_TOO_LARGE", false), "{}", error.message);
    }
}

/// What an engine does that crashed in the middle of a call and starts again.
#[tokio::test]
async fn worker_that_is_still_at_it_is_asked_until_it_answers() {
    let registry = RegistryConfig::at(NOWHERE).unwrap();
    let weather = itinerary_worker::RouterEndpoint::new(NOWHERE).unwrap();
    let worker = itinerary_worker::backend(weather)
        .listen("127.0.0.1:0".parse().unwrap())
        .registry(registry)
        .start()
        .await
        .unwrap();
    let address = worker.addr().to_string();
    let plan = [("destination", "Rome"), ("days", "2"), ("pace_ms", "200")];
    let request = call(CallKind::Worker, "itinerary-worker", "", "", &plan);
    let mut before = Engine::new(&address, Settings::default());
    let mut after = Engine::new(&address, Settings::default());
    before.executors.run(attempt("plan", request.clone()));
    // Both are at it: the second is told that the task runs, asks again, and gets the answer of the first.
    after.executors.run(attempt("plan", request));
    let plans = (before.outcome().await.unwrap(), after.outcome().await.unwrap());
    assert!(plans.0.as_str().unwrap().starts_with("2 days in Rome"), "{plans:?}");
    assert_eq!(plans.0, plans.1);
}
