//! Every call is counted once, with its service, method, status, and who made the status.

use crate::support::*;
use h2::Reason;

/// The counter of calls with these labels.
fn counter(service: &str, method: &str, code: u8, origin: &str) -> String {
    format!(
        "switchboard_calls_total{{service=\"{service}\",method=\"{method}\",code=\"{code}\",origin=\"{origin}\"}}"
    )
}

#[test]
fn calls_are_counted_by_outcome_and_origin() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            match call.head.headers.get("x-code").map(|code| code.to_str().unwrap().to_owned()) {
                None => call.hang().await,
                Some(code) if code == "0" => call.echo("echo").await,
                Some(code) => call.trailers_only(&[("grpc-status", &code)]),
            }
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        for code in ["0", "0", "0", "5", "14", "14"] {
            client.unary(EXECUTE_TASK, &[("x-code", code)], &task("echo", "x")).await;
        }
        client.unary(EXECUTE_TASK, &[("grpc-timeout", "50m")], &task("echo", "x")).await;
        client.unary(EXECUTE_TASK, &[], &task("nobody", "x")).await;
        client.unary(EXECUTE_TASK, &[], &task("", "x")).await;
        let target = [("x-switchboard-target", "echo-agent"), ("x-code", "0")];
        client.unary("/demo.Any/Thing", &target, &task("", "x")).await;
        let mut call = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
        until(1, || backend.open_streams()).await;
        call.reset(Reason::CANCEL);
        for (name, expected) in [
            (counter("agent-echo", EXECUTE_TASK, 0, "backend"), 3),
            (counter("agent-echo", EXECUTE_TASK, 5, "backend"), 1),
            (counter("agent-echo", EXECUTE_TASK, 14, "backend"), 2),
            (counter("agent-echo", EXECUTE_TASK, 4, "router"), 1),
            (counter("agent-echo", EXECUTE_TASK, 1, "client"), 1),
            // What never got to a service has none: a client's invention is no label.
            (counter("none", EXECUTE_TASK, 5, "router"), 1),
            (counter("none", EXECUTE_TASK, 3, "router"), 1),
            (counter("agent-echo", "other", 0, "backend"), 1),
            ("switchboard_call_duration_seconds_count{service=\"agent-echo\"}".to_owned(), 9),
            ("switchboard_call_duration_seconds_count{service=\"none\"}".to_owned(), 2),
        ] {
            until((&name, expected), || (&name, router.metric(&name))).await;
        }
        router.settled().await;
    });
}

#[test]
fn connections_and_bytes_are_counted() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        let client = Client::connect(router.addr).await;
        let size = 100_000;
        client.unary(EXECUTE_TASK, &[], &task("echo", &"x".repeat(size))).await;
        for name in ["downstream_read", "downstream_written", "upstream_read", "upstream_written"] {
            // The last bytes may be at the client before the worker thread has counted them.
            let range = size as u64..size as u64 + 5_000;
            let name = format!("switchboard_{name}_bytes_total");
            until((&name, true), || (&name, range.contains(&router.metric(&name)))).await;
        }
        assert_eq!(router.metric("switchboard_downstream_connections"), 1);
        assert_eq!(router.metric("switchboard_downstream_connections_total"), 1);
        assert_eq!(router.metric("switchboard_upstream_connections"), 1);
        assert_eq!(router.metric("switchboard_upstream_connections_total"), 1);
        client.disconnect();
        until(0, || router.metric("switchboard_downstream_connections")).await;
    });
}

#[test]
fn gauges_follow_calls_through_their_phases() {
    run(async {
        let hanging = Backend::start(Incoming::hang).await;
        let router = TestRouter::start().await;
        router.otherwise(Reply::Silence);
        let client = Client::connect(router.addr).await;
        let mut call = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
        let gauges = || {
            ["calls_in_flight", "calls_parked", "calls_queued"]
                .map(|name| router.metric(&format!("switchboard_{name}")))
        };
        until([1, 1, 0], gauges).await;
        router.set("agent-echo", &[hanging.addr]);
        until(1, || hanging.open_streams()).await;
        until([1, 0, 0], gauges).await;
        call.reset(Reason::CANCEL);
        until([0, 0, 0], gauges).await;
    });
}
