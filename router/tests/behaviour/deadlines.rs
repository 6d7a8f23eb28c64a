//! Deadlines are enforced, passed on reduced, and never invented for streams.

use crate::support::*;
use prost::Message;
use std::time::{Duration, Instant};

/// The milliseconds of a `grpc-timeout`.
fn millis(field: &str) -> u64 {
    let digits = field.strip_suffix('m').and_then(|digits| digits.parse().ok());
    digits.unwrap_or_else(|| panic!("{field:?} is not in ms"))
}

#[test]
fn a_hung_backend_ends_in_deadline_exceeded_on_time() {
    run(async {
        let backend = Backend::start(Incoming::hang).await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        let began = Instant::now();
        let answer = client.unary(EXECUTE_TASK, &[("grpc-timeout", "300m")], &task("echo", "x")).await;
        let took = began.elapsed();
        assert_eq!((answer.status(), answer.reason().as_str()), (4, "DEADLINE_EXCEEDED"), "{answer:?}");
        assert!(took >= Duration::from_millis(298) && took < Duration::from_millis(800), "{took:?}");
        assert_eq!(answer.fact("service"), "agent-echo");
        // The backend is told, and it saw less time than the client gave.
        until(0, || backend.open_streams()).await;
        assert!(millis(&backend.last_header("grpc-timeout")) < 300);
        router.settled().await;
    });
}

#[test]
fn a_deadline_in_the_middle_of_a_stream_comes_as_trailers() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            let mut out = call.begin(&[]);
            out.send(b"part").await.unwrap();
            out.reset_by_peer().await;
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        let answer = client.unary(STREAM_TASK, &[("grpc-timeout", "200m")], &task("echo", "x")).await;
        assert_eq!((answer.status(), answer.reason().as_str()), (4, "DEADLINE_EXCEEDED"));
        assert_eq!((answer.messages.len(), answer.trailers_only), (1, false));
        until(0, || backend.open_streams()).await;
        router.settled().await;
    });
}

#[test]
fn the_deadline_counts_while_a_call_is_not_routed_yet() {
    run(async {
        let mute = Peer::start().await;
        let router = TestRouter::with(|config| config.connect_timeout = Duration::from_secs(60)).await;
        router.otherwise(Reply::Silence);
        router.set("agent-mute", &[mute.addr]);
        let client = Client::connect(router.addr).await;
        let headers = [("grpc-timeout", "200000u")];
        // Parked, queued, and without a message.
        for id in ["unknown", "mute"] {
            let answer = client.unary(EXECUTE_TASK, &headers, &task(id, "x")).await;
            assert_eq!((answer.status(), answer.reason().as_str()), (4, "DEADLINE_EXCEEDED"), "{id}");
        }
        let call = client.open(EXECUTE_TASK, &headers).await.unwrap();
        assert_eq!(call.answer().await.unwrap().status(), 4);
        router.settled().await;
    });
}

#[test]
fn a_deadline_of_zero_is_over_at_once() {
    run(async {
        let router = TestRouter::start().await;
        router.otherwise(Reply::Silence);
        let client = Client::connect(router.addr).await;
        let answer = client.unary(EXECUTE_TASK, &[("grpc-timeout", "0n")], &task("unknown", "x")).await;
        assert_eq!(answer.status(), 4);
    });
}

#[test]
fn every_unit_is_understood_and_passed_on_as_what_is_left() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        let client = Client::connect(router.addr).await;
        for (timeout, ms) in
            [("1H", 3_600_000), ("2M", 120_000), ("30S", 30_000), ("20000m", 20_000), ("20000000u", 20_000)]
        {
            let answer = client.unary(EXECUTE_TASK, &[("grpc-timeout", timeout)], &task("echo", "x")).await;
            assert_eq!(answer.status(), 0);
            let left = millis(&echo.last_header("grpc-timeout"));
            assert!(left < ms && left > ms - 5_000, "{timeout} became {left}m");
            assert_eq!(echo.requests().last().unwrap().headers.get_all("grpc-timeout").iter().count(), 1);
        }
        // Three digits too many for milliseconds.
        client.unary(EXECUTE_TASK, &[("grpc-timeout", "99999999H")], &task("echo", "x")).await;
        assert!(echo.last_header("grpc-timeout").ends_with('S'));
    });
}

#[test]
fn a_unary_call_without_a_deadline_gets_the_default() {
    run(async {
        let backend = Backend::start(Incoming::hang).await;
        let router = TestRouter::with(|config| {
            config.default_unary_deadline = Duration::from_millis(200);
        })
        .await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
        assert_eq!((answer.status(), answer.reason().as_str()), (4, "DEADLINE_EXCEEDED"));
        assert!(millis(&backend.last_header("grpc-timeout")) < 200);
    });
}

#[test]
fn a_stream_without_a_deadline_gets_none() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            let mut out = call.begin(&[]);
            // Goes on until long after the default of unary calls.
            tokio::time::sleep(Duration::from_millis(400)).await;
            out.send(b"late").await.unwrap();
            out.finish(&[("grpc-status", "0")]);
        })
        .await;
        let router = TestRouter::with(|config| {
            config.default_unary_deadline = Duration::from_millis(50);
            config.first_message_wait = Duration::from_millis(100);
        })
        .await;
        router.set("agent-echo", &[backend.addr]);
        router.set_grpc("demo.Echo", "agent-echo");
        let client = Client::connect(router.addr).await;
        for path in [STREAM_TASK, BIDI] {
            let answer = client.unary(path, &[], &task("echo", "x")).await;
            assert_eq!((answer.status(), answer.messages.len()), (0, 1), "{path}");
            assert_eq!(backend.last_header("grpc-timeout"), "", "{path}");
        }
        // A stream whose client is silent after its first message lives as well.
        let mut call = client.open(BIDI, &[]).await.unwrap();
        call.send(b"first").await.unwrap();
        assert_eq!(call.answer().await.unwrap().status(), 0);
    });
}

#[test]
fn a_call_that_is_answered_in_time_is_not_ended_afterwards() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        let client = Client::connect(router.addr).await;
        let (short, long) = ([("grpc-timeout", "50m")], [("grpc-timeout", "10S")]);
        for _ in 0..20 {
            assert_eq!(client.unary(EXECUTE_TASK, &short, &task("echo", "x")).await.status(), 0);
        }
        // Another call takes over the place of those; their deadlines must not be its own.
        let mut call = client.open(EXECUTE_TASK, &long).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        call.send(&task("echo", "x").encode_to_vec()).await.unwrap();
        call.half_close();
        assert_eq!(call.answer().await.unwrap().status(), 0);
    });
}
