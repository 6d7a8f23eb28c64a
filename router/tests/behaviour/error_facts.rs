//! Errors that teach: an error about a service says what the router knows of it at that moment.

use crate::support::*;
use bytes::Bytes;
use h2::Reason;
use std::time::Duration;

/// Known, healthy and ejected instances, as the error has them.
fn instances(answer: &Answer) -> [String; 3] {
    ["instances_known", "instances_healthy", "instances_ejected"].map(|key| answer.fact(key))
}

/// The facts that every error about `echo-agent` has.
fn check(answer: &Answer, code: i32, reason: &str, counts: [&str; 3]) {
    assert_eq!((answer.status(), answer.reason().as_str()), (code, reason), "{answer:?}");
    assert_eq!((answer.fact("id").as_str(), answer.fact("service").as_str()), ("echo-agent", "agent-echo"));
    assert_eq!(instances(answer), counts, "{reason}");
    assert_eq!(answer.fact("last_seen_seconds_ago"), "0", "{reason}");
    assert_eq!(answer.fact("request_id"), "r-1", "{reason}");
}

const ID: (&str, &str) = ("x-request-id", "r-1");

/// A backend that does what the header says, and hangs otherwise.
async fn backend() -> Backend {
    Backend::start(async |mut call: Incoming| {
        match call.head.headers.get("x-do").map(|what| what.to_str().expect("ASCII").to_owned()).as_deref() {
            Some("refuse") => call.reset(Reason::REFUSED_STREAM),
            Some("break") => call.reset(Reason::NO_ERROR),
            Some("fail") => call.trailers_only(&[("grpc-status", "14")]),
            _ => call.hang().await,
        }
    })
    .await
}

#[test]
fn errors_of_an_instance_name_it_and_count_the_others() {
    run(async {
        let backend = backend().await;
        let router = TestRouter::with(|config| config.stream_idle = Duration::from_millis(150)).await;
        router.set_instances("agent-echo", vec![Instance::new("echo-7", backend.addr)]);
        let client = Client::connect(router.addr).await;
        let request = task("echo", "x");
        for (headers, code, reason) in [
            (&[ID, ("x-do", "refuse")][..], 14, "STREAM_REFUSED"),
            (&[ID, ("x-do", "break")], 13, "BAD_RESPONSE"),
            (&[ID, ("grpc-timeout", "50m")], 4, "DEADLINE_EXCEEDED"),
            (&[ID], 4, "STREAM_IDLE"),
        ] {
            let answer = client.unary(EXECUTE_TASK, headers, &request).await;
            check(&answer, code, reason, ["1", "1", "0"]);
            assert_eq!(answer.fact("instance"), "echo-7", "{reason}");
        }
        let call = client.begin(STREAM_TASK, &[ID], &request).await;
        until(1, || backend.open_streams()).await;
        backend.cut();
        let answer = call.answer().await.unwrap();
        check(&answer, 14, "CONNECTION_LOST", ["1", "1", "0"]);
        assert_eq!(answer.fact("instance"), "echo-7");
    });
}

#[test]
fn a_service_without_instance_is_told_apart_from_one_that_cannot_be_reached() {
    run(async {
        let dead = Backend::echo("dead").await;
        let addr = dead.addr;
        dead.kill().await;
        let router = TestRouter::start().await;
        router.set_instances("agent-echo", vec![Instance::new("echo-7", addr)]);
        let client = Client::connect(router.addr).await;
        let answer = client.unary(EXECUTE_TASK, &[ID], &task("echo", "x")).await;
        check(&answer, 14, "CONNECT_FAILED", ["1", "1", "0"]);
        assert_eq!(answer.fact("instance"), "echo-7");
        let answer = client.unary(EXECUTE_TASK, &[ID], &task("echo-agent@v9", "x")).await;
        assert_eq!(
            (answer.reason().as_str(), answer.fact("id").as_str()),
            ("NO_HEALTHY_INSTANCE", "echo-agent@v9")
        );
        assert_eq!(instances(&answer), ["1", "1", "0"], "one there is, of another version");
        router.set("agent-echo", &[]);
        let answer = client.unary(EXECUTE_TASK, &[ID], &task("echo", "x")).await;
        check(&answer, 14, "NO_HEALTHY_INSTANCE", ["0", "0", "0"]);
        assert_eq!(answer.fact("instance"), "");
        // What is not in the directory has no counts, but a name.
        router.otherwise(Reply::Failed);
        let answer = client.unary(EXECUTE_TASK, &[], &task("other", "x")).await;
        assert_eq!(
            (answer.reason().as_str(), answer.fact("id").as_str()),
            ("REGISTRY_UNREACHABLE", "other-agent")
        );
        assert_eq!(
            (answer.fact("service").as_str(), answer.fact("instances_known").as_str()),
            ("agent-other", "")
        );
    });
}

#[test]
fn ejected_instances_are_counted() {
    run(async {
        let (one, other) = (backend().await, backend().await);
        let router = TestRouter::start().await;
        router.set("agent-echo", &[one.addr, other.addr]);
        let client = Client::connect(router.addr).await;
        let fails = [("x-do", "fail")];
        while router.metric("switchboard_ejections_total") == 0 {
            assert_eq!(client.unary(EXECUTE_TASK, &fails, &task("echo", "x")).await.status(), 14);
        }
        let late = [ID, ("grpc-timeout", "50m")];
        let answer = client.unary(EXECUTE_TASK, &late, &task("echo", "x")).await;
        check(&answer, 4, "DEADLINE_EXCEEDED", ["2", "2", "1"]);
    });
}

#[test]
fn a_deadline_says_what_was_waited_for() {
    run(async {
        let backend = backend().await;
        // Accepts, and says nothing.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let router = TestRouter::with(|config| {
            config.queue_per_service = 1;
            config.no_endpoint_wait = Duration::from_secs(30);
        })
        .await;
        router.set_instances("agent-full", vec![Instance::new("full", backend.addr).capacity(1)]);
        router.set("agent-silent", &[silent.local_addr().unwrap()]);
        router.set("agent-none", &[]);
        router.otherwise(Reply::Silence);
        let client = Client::connect(router.addr).await;
        let _first = client.begin(EXECUTE_TASK, &[], &task("full", "x")).await;
        until(1, || backend.open_streams()).await;
        for (id, waited_for) in [
            ("full", "room at an instance"),
            ("silent", "a connection to the instance"),
            ("none", "a healthy instance"),
            ("unheard-of", "the registry"),
        ] {
            let answer = client.unary(EXECUTE_TASK, &[("grpc-timeout", "80m")], &task(id, "x")).await;
            assert_eq!(
                (answer.reason().as_str(), answer.fact("waited_for").as_str()),
                ("DEADLINE_EXCEEDED", waited_for)
            );
        }
        let mut trickle = client.open(EXECUTE_TASK, &[("grpc-timeout", "80m")]).await.unwrap();
        trickle.raw(Bytes::from_static(b"\0\0\0"), false).await.unwrap();
        assert_eq!(trickle.answer().await.unwrap().fact("waited_for"), "the first message");
        // One waits for room, which is all that may.
        let _second = client.begin(EXECUTE_TASK, &[], &task("full", "x")).await;
        until(1, || router.metric("switchboard_calls_parked")).await;
        let answer = client.unary(EXECUTE_TASK, &[], &task("full", "x")).await;
        assert_eq!((answer.status(), answer.reason().as_str()), (8, "QUEUE_FULL"));
        assert_eq!(
            (answer.fact("id").as_str(), instances(&answer)),
            ("full-agent", ["1", "1", "0"].map(str::to_owned))
        );
    });
}

#[test]
fn errors_of_the_caller_say_nothing_of_the_service() {
    run(async {
        let router = TestRouter::start().await;
        router.set("agent-echo", &[]);
        let client = Client::connect(router.addr).await;
        let target = [("x-switchboard-target", "other-agent")];
        let answer = client.unary(EXECUTE_TASK, &target, &task("echo", "x")).await;
        assert_eq!(
            (answer.reason().as_str(), instances(&answer)),
            ("ID_MISMATCH", [const { String::new() }; 3])
        );
    });
}
