//! A backend that goes away takes its calls with it, and nothing else; the next call finds it again.

use crate::support::*;
use switchboard_http2::frame::{self, kind};
use switchboard_proto::agentplatform::TaskResponse;

#[test]
fn a_connection_lost_in_the_middle_of_a_stream_ends_it_with_a_status() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            let mut out = call.begin(&[("x-head", "1")]);
            out.send(b"part").await.unwrap();
            out.reset_by_peer().await;
        })
        .await;
        let router = TestRouter::start().await;
        router.set_instances("agent-echo", vec![Instance::new("echo-7", backend.addr)]);
        let client = Client::connect(router.addr).await;
        let call = client.begin(STREAM_TASK, &[], &task("echo", "x")).await;
        let (_request, mut response) = call.response().await.unwrap();
        assert_eq!(response.messages.next().await.unwrap().unwrap(), "part");
        backend.cut();
        let answer = response.finish().await.unwrap();
        assert_eq!((answer.status(), answer.reason().as_str()), (14, "CONNECTION_LOST"), "{answer:?}");
        assert_eq!((answer.fact("instance").as_str(), answer.trailers_only), ("echo-7", false));
        assert!(answer.message().contains("echo-7"), "{}", answer.message());
        router.settled().await;
    });
}

#[test]
fn all_calls_of_the_lost_connection_end_and_the_next_one_reconnects() {
    run(async {
        let backend = Backend::start(async |call: Incoming| {
            if call.head.uri.path() == STREAM_TASK { call.hang().await } else { call.echo("echo").await }
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        let request = task("echo", "x");
        let calls = (0..20).map(|_| client.unary(STREAM_TASK, &[], &request));
        let cut = async {
            until(20, || backend.open_streams()).await;
            backend.cut();
        };
        let (answers, ()) = tokio::join!(futures_util::future::join_all(calls), cut);
        for answer in answers {
            assert_eq!((answer.status(), answer.reason().as_str()), (14, "CONNECTION_LOST"));
        }
        let answer = client.unary(EXECUTE_TASK, &[], &request).await;
        assert_eq!(answer.decode::<TaskResponse>().output, "echo: x");
        assert_eq!((backend.connections(), backend.open_connections()), (2, 1));
        router.settled().await;
    });
}

#[test]
fn a_backend_that_was_restarted_is_called_again() {
    run(async {
        let first = Backend::echo("first").await;
        let addr = first.addr;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[addr]);
        let client = Client::connect(router.addr).await;
        assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        first.kill().await;
        until(0, || router.metric("switchboard_upstream_connections")).await;
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
        assert_eq!((answer.status(), answer.reason().as_str()), (14, "CONNECT_FAILED"));
        // The registry still lists it, as the only instance: its back-off holds nobody up.
        let second = Backend::again(addr, |call| call.echo("second")).await;
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
        assert_eq!(answer.decode::<TaskResponse>().output, "second: x");
        assert_eq!(second.connections(), 1);
    });
}

#[test]
fn after_the_first_failure_a_dead_instance_gets_no_calls_until_its_pause_ends() {
    run(async {
        let (alive, dead) = (Backend::echo("alive").await, Backend::echo("dead").await);
        let router = TestRouter::start().await;
        router.set("agent-echo", &[alive.addr, dead.addr]);
        let client = Client::connect(router.addr).await;
        until(true, || alive.streams() == 0 && dead.streams() == 0).await;
        while alive.connections() == 0 || dead.connections() == 0 {
            assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        }
        dead.kill().await;
        until(1, || router.metric("switchboard_upstream_connections")).await;
        let failures = || router.metric("switchboard_upstream_connect_failures_total");
        // An instance that was the slower one before its death may be passed over for some seconds.
        while failures() == 0 {
            assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        }
        for _ in 0..500 {
            assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        }
        let failures = failures();
        // 100 ms, 200, 400, 800: whatever the machine's speed, few fall into these calls.
        assert!((1..=6).contains(&failures), "{failures}");
        assert_eq!(router.metric("switchboard_retries_total"), failures);
    });
}

#[test]
fn a_backend_that_breaks_http2_loses_its_connection_and_its_calls_get_a_status() {
    run(async {
        let peer = Peer::start().await;
        let router = TestRouter::start().await;
        router.set_instances("agent-echo", vec![Instance::new("odd-1", peer.addr)]);
        let client = Client::connect(router.addr).await;
        let call = tokio::spawn(async move { client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await });
        let mut wire = peer.accept_http2(&[]).await;
        wire.wait(kind::HEADERS).await;
        // DATA on a stream that was never opened.
        wire.send(|out| frame::write_data(out, 99, b"x", false)).await;
        let answer = call.await.unwrap();
        assert_eq!((answer.status(), answer.reason().as_str()), (14, "CONNECTION_LOST"), "{answer:?}");
        assert_eq!(answer.fact("instance"), "odd-1");
        assert_eq!(wire.wait(kind::GOAWAY).await.go_away().1, 1);
        wire.rest().await;
        assert_eq!(router.metric("switchboard_upstream_protocol_errors_total"), 1);
    });
}

#[test]
fn response_headers_beyond_the_limit_cost_that_call_only() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            let long = "x".repeat(20_000);
            let all = [("x-1", long.as_str()), ("x-2", &long), ("x-3", &long), ("x-4", &long)];
            match call.head.headers.get("x-large") {
                Some(_) => call.trailers_only(&all),
                None => call.echo("echo").await,
            }
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        for _ in 0..3 {
            let answer = client.unary(EXECUTE_TASK, &[("x-large", "1")], &task("echo", "x")).await;
            assert_eq!((answer.status(), answer.reason().as_str()), (13, "BAD_RESPONSE"), "{answer:?}");
            assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        }
        assert_eq!(backend.connections(), 1);
    });
}

#[test]
fn a_backend_that_breaks_the_protocol_on_one_stream_loses_that_call_only() {
    run(async {
        let peer = Peer::start().await;
        let router = TestRouter::start().await;
        router.set_instances("agent-echo", vec![Instance::new("odd-1", peer.addr)]);
        let client = Client::connect(router.addr).await;
        let request = task("echo", "x");
        let script = async {
            let mut wire = peer.accept_http2(&[]).await;
            let first = wire.wait(kind::HEADERS).await.stream;
            let second = wire.wait(kind::HEADERS).await.stream;
            // DATA before any headers.
            wire.send(|out| frame::write_data(out, first, b"x", false)).await;
            let ok = wire.block(&[(":status", "200"), ("grpc-status", "0")]);
            wire.send(|out| frame::write_headers(out, second, &ok, true, true)).await;
            wire
        };
        let calls = futures_util::future::join(
            client.unary(EXECUTE_TASK, &[], &request),
            client.unary(EXECUTE_TASK, &[], &request),
        );
        let ((one, two), _wire) = tokio::join!(calls, script);
        let mut answers = [one.status(), two.status()];
        answers.sort_unstable();
        assert_eq!(answers, [0, 13]);
        assert_eq!(router.metric("switchboard_upstream_protocol_errors_total"), 0);
    });
}
