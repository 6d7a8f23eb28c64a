//! Each way a call can fail has a counter of its own: why, by whom, with which status (router/ERRORS.md).

use crate::support::*;
use bytes::Bytes;
use h2::Reason;
use std::time::Duration;
use switchboard_http2::frame;

fn failures(reason: &str, origin: &str, code: u8) -> String {
    format!("switchboard_call_failures_total{{reason=\"{reason}\",origin=\"{origin}\",code=\"{code}\"}}")
}

/// Waits until the failure is counted that often, and so that no other is.
async fn counted(router: &TestRouter, failure: &str, expected: u64) {
    until((failure, expected), || (failure, router.metric(failure))).await;
}

/// A backend that does what the header says.
async fn backend() -> Backend {
    Backend::start(async |mut call: Incoming| {
        match call.head.headers.get("x-do").map(|what| what.to_str().expect("ASCII").to_owned()).as_deref() {
            Some("reset") => call.reset(Reason::INTERNAL_ERROR),
            Some("calm") => call.reset(Reason::ENHANCE_YOUR_CALM),
            Some("refuse") => call.reset(Reason::REFUSED_STREAM),
            Some("no-status") => drop(call.begin(&[]).raw(Bytes::from_static(b"\0\0\0\0\0"), true).await),
            Some("bare") => call.trailers_only(&[]),
            Some("hang") => call.hang().await,
            Some(status) => call.trailers_only(&[("grpc-status", status)]),
            None => call.echo("echo").await,
        }
    })
    .await
}

#[test]
fn failures_of_backends_are_told_apart() {
    run(async {
        let backend = backend().await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        let request = task("echo", "x");
        for what in ["5", "7", "7", "99", "no-status", "bare", "reset", "calm", "refuse"] {
            // Those that are reset have no answer.
            let _ = client.try_unary(EXECUTE_TASK, &[("x-do", what)], &request).await;
        }
        assert_eq!(client.unary(EXECUTE_TASK, &[], &request).await.status(), 0);
        for (failure, expected) in [
            (failures("BACKEND_STATUS", "backend", 5), 1),
            (failures("BACKEND_STATUS", "backend", 7), 2),
            // A code that gRPC does not have is UNKNOWN to its clients.
            (failures("BACKEND_STATUS", "backend", 2), 1),
            (failures("BACKEND_NO_STATUS", "backend", 2), 2),
            (failures("BACKEND_RESET", "backend", 13), 1),
            (failures("BACKEND_RESET", "backend", 8), 1),
            (failures("STREAM_REFUSED", "router", 14), 1),
            (failures("BACKEND_STATUS", "backend", 0), 0),
        ] {
            counted(&router, &failure, expected).await;
        }
    });
}

#[test]
fn clients_that_end_their_calls_are_no_failure_of_anybody_else() {
    run(async {
        let backend = backend().await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let request = task("echo", "x");
        let hang = [("x-do", "hang")];
        let one = Client::connect(router.addr).await;
        let mut call = one.begin(EXECUTE_TASK, &hang, &request).await;
        until(1, || backend.open_streams()).await;
        call.reset(Reason::CANCEL);
        counted(&router, &failures("CLIENT_CANCELLED", "client", 1), 1).await;
        let other = Client::connect(router.addr).await;
        let _calls = [
            other.begin(EXECUTE_TASK, &hang, &request).await,
            other.begin(EXECUTE_TASK, &hang, &request).await,
        ];
        until(2, || backend.open_streams()).await;
        other.disconnect();
        counted(&router, &failures("CLIENT_GONE", "client", 1), 2).await;
        let mut wire = Wire::client(router.addr).await;
        let block = wire.request_block(STREAM_TASK);
        wire.send(|out| {
            frame::write_headers(out, 1, &block, false, true);
            // An increment of zero is the stream's own fault (RFC 9113 section 6.9).
            frame::write_window_update(out, 1, 0);
        })
        .await;
        counted(&router, &failures("CLIENT_BROKE", "client", 1), 1).await;
        assert_eq!(router.metric(&failures("CLIENT_CANCELLED", "client", 1)), 1);
        router.settled().await;
    });
}

#[test]
fn errors_of_the_router_are_counted_by_their_reason() {
    run(async {
        let (backend, dead) = (backend().await, Backend::echo("dead").await);
        let dead_addr = dead.addr;
        dead.kill().await;
        let router = TestRouter::with(|config| config.first_message_wait = Duration::from_millis(100)).await;
        router.set("agent-echo", &[backend.addr]);
        router.set("agent-dead", &[dead_addr]);
        router.set("agent-none", &[]);
        let client = Client::connect(router.addr).await;
        for (headers, id, reason, code) in [
            (&[][..], "", "ID_MISSING", 3),
            (&[], "UPPER", "ID_ILL_FORMED", 3),
            (&[("x-switchboard-target", "b-agent")], "a-agent", "ID_MISMATCH", 3),
            (&[], "ehco", "ID_UNKNOWN", 5),
            (&[], "none", "NO_HEALTHY_INSTANCE", 14),
            (&[], "dead", "CONNECT_FAILED", 14),
            (&[("x-do", "hang"), ("grpc-timeout", "50m")], "echo", "DEADLINE_EXCEEDED", 4),
            (&[("grpc-timeout", "x")], "echo", "BAD_TIMEOUT", 3),
        ] {
            let answer = client.unary(EXECUTE_TASK, headers, &task(id, "x")).await;
            assert_eq!((answer.status(), answer.reason().as_str()), (i32::from(code), reason));
            counted(&router, &failures(reason, "router", code), 1).await;
        }
        assert_eq!(client.unary("/demo.No/Such", &[], &task("", "")).await.status(), 12);
        counted(&router, &failures("GRPC_SERVICE_UNKNOWN", "router", 12), 1).await;
        let call = client.open(EXECUTE_TASK, &[]).await.unwrap();
        assert_eq!(call.answer().await.unwrap().reason(), "FIRST_MESSAGE_TIMEOUT");
        counted(&router, &failures("FIRST_MESSAGE_TIMEOUT", "router", 4), 1).await;
        let get = client.request("GET", EXECUTE_TASK, &[], true).await.unwrap();
        assert_eq!(get.response().await.unwrap().1.http_status, 405);
        counted(&router, &failures("NOT_GRPC", "router", 2), 1).await;
        let call = client.begin(STREAM_TASK, &[("x-do", "hang")], &task("echo", "x")).await;
        until(1, || backend.open_streams()).await;
        backend.cut();
        assert_eq!(call.answer().await.unwrap().reason(), "CONNECTION_LOST");
        counted(&router, &failures("CONNECTION_LOST", "router", 14), 1).await;
        router.otherwise(Reply::Failed);
        let answer = client.unary(EXECUTE_TASK, &[], &task("unheard-of", "x")).await;
        assert_eq!(answer.reason(), "REGISTRY_UNREACHABLE");
        counted(&router, &failures("REGISTRY_UNREACHABLE", "router", 14), 1).await;
    });
}
