//! `call` and `ls` against a backend at the other end of the line; a backend answers its own calls directly.

use std::net::SocketAddr;

use switchboard_backend::{Backend, RegistryConfig, Running};
use tokio::runtime::Runtime;

use crate::process::{Finished, run, run_with_input};

/// One backend in this process, registered nowhere.
struct Alone {
    _runtime: Runtime,
    _running: Running,
    endpoint: String,
}

impl Alone {
    fn start(backend: impl FnOnce() -> Backend) -> Self {
        let runtime = Runtime::new().expect("threads can be had");
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        // Port 9 (discard) stands for a registry that never answers.
        let registry = RegistryConfig::at("127.0.0.1:9").expect("an address");
        let running = runtime.block_on(async { backend().listen(loopback).registry(registry).start().await });
        let running = running.expect("port 0 is free");
        let endpoint = running.addr().to_string();
        Self { _runtime: runtime, _running: running, endpoint }
    }

    fn run(&self, args: &[&str]) -> Finished {
        run(["--endpoint", &self.endpoint].iter().chain(args))
    }
}

#[test]
fn agent_output_alone_is_printed() {
    let echo = Alone::start(echo_agent::backend);
    assert_eq!(echo.run(&["call", "echo-agent", "hello"]).output(), "Echo: hello\n");
    assert_eq!(echo.run(&["call", "echo", "no ending"]).output(), "Echo: no ending\n");
    assert_eq!(echo.run(&["call", "echo-agent", "--stream", "one two"]).output(), "one\ntwo\n");
    let status = echo.run(&["call", "echo-agent", "--status"]).output();
    assert!(status.starts_with("status: healthy\n"), "{status}");
}

#[test]
fn input_is_read_from_a_pipe() {
    let echo = Alone::start(echo_agent::backend);
    let args = ["--endpoint", &echo.endpoint, "call", "echo-agent", "-"];
    assert_eq!(run_with_input(args, "from a pipe\n").output(), "Echo: from a pipe\n");
    let large = "x".repeat(1 << 20);
    assert_eq!(run_with_input(args, &large).output(), format!("Echo: {large}\n"));
}

#[test]
fn json_holds_the_whole_answer() {
    let echo = Alone::start(echo_agent::backend);
    let call = ["call", "echo-agent", "hi", "--json", "-p", "a=1", "--task-id", "t9"];
    let json: serde_json::Value = serde_json::from_str(&echo.run(&call).output()).unwrap();
    assert_eq!(json["output"], "Echo: hi");
    assert_eq!((&json["task_id"], &json["success"]), (&"t9".into(), &true.into()));
    assert_eq!(json["metadata"]["a"], "1");
    let lines = echo.run(&["call", "echo-agent", "--stream", "--json", "one two"]).output();
    let chunks: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((chunks.len(), &chunks[1]["is_final"]), (2, &true.into()));
}

#[test]
fn details_go_to_standard_error_when_asked_for() {
    let echo = Alone::start(echo_agent::backend);
    let done = echo.run(&["-v", "call", "echo-agent", "hello", "--task-id", "t9"]);
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "Echo: hello\n"));
    assert!(done.stderr.contains("t9"), "{}", done.stderr);
}

#[test]
fn tool_is_called_by_operation_and_its_refusal_is_exit_code_1() {
    let weather = Alone::start(|| weather_tool::backend(weather_tool::WeatherTool::default()));
    let ok =
        weather.run(&["call", "weather-tool", "--op", "get_weather", "--param", "location=Rome"]).output();
    assert!(ok.contains("Rome"), "{ok}");
    let said = weather.run(&["call", "weather-tool", "--op", "get_weather"]).failure(1);
    assert!(said.contains("Location parameter is required"), "{said}");
}

#[test]
fn worker_task_is_answered_and_its_status_kept() {
    let worker = Alone::start(|| {
        let router = itinerary_worker::RouterEndpoint::new("127.0.0.1:9").expect("an address");
        itinerary_worker::backend(router)
    });
    let plan = worker
        .run(&[
            "call",
            "itinerary-worker",
            "--param",
            "destination=Rome",
            "--param",
            "days=1",
            "--task-id",
            "t",
        ])
        .output();
    assert!(plan.starts_with("1 day in Rome"), "{plan}");
    let status = worker.run(&["call", "itinerary-worker", "--status", "--task-id", "t"]).output();
    assert!(status.starts_with("status: completed\n") && status.ends_with(&plan), "{status}");
    let said = worker.run(&["call", "itinerary-worker", "--status", "--task-id", "other"]).failure(5);
    assert!(said.contains("no task") && said.contains("NOT_FOUND, TASK_UNKNOWN"), "{said}");
    let said = worker.run(&["call", "itinerary-worker"]).failure(1);
    assert!(said.contains("Destination parameter is required"), "{said}");
}

#[test]
fn deadline_ends_a_call_with_4() {
    let worker = Alone::start(|| {
        let router = itinerary_worker::RouterEndpoint::new("127.0.0.1:9").expect("an address");
        itinerary_worker::backend(router)
    });
    let slow =
        ["call", "itinerary-worker", "-p", "destination=Rome", "-p", "pace_ms=10000", "--deadline", "100ms"];
    let said = worker.run(&slow).failure(4);
    assert!(said.contains("DEADLINE_EXCEEDED") && said.contains("next:"), "{said}");
}

#[test]
fn failure_is_told_without_a_debug_dump() {
    // A backend is no router: it lists nothing, and serves one kind only.
    let echo = Alone::start(echo_agent::backend);
    let said = echo.run(&["ls", "agents"]).failure(12);
    assert!(said.contains("answered by the router") && said.contains("UNIMPLEMENTED"), "{said}");
    for dump in ["Status {", "MetadataMap", "Some(", "source:"] {
        assert!(!said.contains(dump), "{said}");
    }
}
