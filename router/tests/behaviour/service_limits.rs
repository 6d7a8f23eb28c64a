//! What a service says of its calls in the registry's meta, routers hold them to: deadlines, silence, message sizes, calls
//! that wait and calls in flight. Versions and weights are of the instances.

use crate::support::*;
use bytes::Bytes;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use switchboard_proto::agentplatform::TaskResponse;
use switchboard_router::directory::Limits;
use tokio::task::JoinHandle;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A router with `agent-echo` at one instance, under limits.
async fn router(backend: &Backend, limits: Limits) -> (TestRouter, Arc<Client>) {
    let router = TestRouter::start().await;
    router.set_instances("agent-echo", vec![Instance::new("a", backend.addr).capacity(100)]);
    router.set_grpc("demo.Echo", "agent-echo");
    router.set_limits("agent-echo", limits);
    let client = Arc::new(Client::connect(router.addr).await);
    (router, client)
}

fn spawn(client: &Arc<Client>) -> JoinHandle<Answer> {
    let client = client.clone();
    tokio::spawn(async move { client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await })
}

/// Echoes messages of streams.
async fn echo(mut call: Incoming) {
    let mut out = call.begin(&[]);
    while let Ok(Some(message)) = call.messages.next().await {
        let _ = out.send(&message).await;
    }
    out.finish(&[("grpc-status", "0")]);
}

#[test]
fn timeout_is_the_deadline_of_unary_calls_without_one() {
    run(async {
        let backend = Backend::start(Incoming::hang).await;
        let (router, client) = router(&backend, Limits { timeout: Some(ms(150)), ..Limits::default() }).await;
        let began = Instant::now();
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
        assert_eq!((answer.status(), answer.reason().as_str()), (4, "DEADLINE_EXCEEDED"), "{answer:?}");
        assert!(began.elapsed() >= ms(149), "{:?}", began.elapsed());
        // The instance knows how long it has.
        let left: u64 = backend.last_header("grpc-timeout").trim_end_matches('m').parse().unwrap();
        assert!((1..=145).contains(&left), "{left}");
        // A default, no cap; and streams have none.
        let slow = client.begin(EXECUTE_TASK, &[("grpc-timeout", "100S")], &task("echo", "x")).await;
        let stream = client.begin(STREAM_TASK, &[], &task("echo", "x")).await;
        until(2, || backend.open_streams()).await;
        assert!(tokio::time::timeout(ms(400), slow.answer()).await.is_err());
        assert_eq!(backend.last_header("grpc-timeout"), "");
        drop(stream);
        router.settled().await;
    });
}

#[test]
fn timeout_max_caps_what_clients_ask_for() {
    run(async {
        let backend = Backend::start(Incoming::hang).await;
        let limits = Limits { timeout: Some(ms(900_000)), timeout_max: Some(ms(150)), ..Limits::default() };
        let (router, client) = router(&backend, limits).await;
        for headers in [&[][..], &[("grpc-timeout", "100S")]] {
            let began = Instant::now();
            let answer = client.unary(EXECUTE_TASK, headers, &task("echo", "x")).await;
            assert_eq!((answer.status(), answer.reason().as_str()), (4, "DEADLINE_EXCEEDED"), "{answer:?}");
            assert!(began.elapsed() >= ms(149), "{:?}", began.elapsed());
        }
        let shorter = client.unary(EXECUTE_TASK, &[("grpc-timeout", "20m")], &task("echo", "x")).await;
        assert_eq!(shorter.status(), 4);
        let stream = client.begin(STREAM_TASK, &[("grpc-timeout", "100S")], &task("echo", "x")).await;
        assert!(tokio::time::timeout(ms(400), stream.answer()).await.is_err(), "a stream is not ended by it");
        router.settled().await;
    });
}

#[test]
fn stream_idle_is_the_services_own() {
    run(async {
        let backend = Backend::start(echo).await;
        let (router, client) =
            router(&backend, Limits { stream_idle: Some(ms(150)), ..Limits::default() }).await;
        let mut call = client.open(BIDI, &[]).await.unwrap();
        call.send(b"one").await.unwrap();
        let (_request, mut response) = call.response().await.unwrap();
        assert_eq!(response.messages.next().await.unwrap().unwrap(), "one");
        let answer = response.finish().await.unwrap();
        assert_eq!((answer.status(), answer.reason().as_str()), (4, "STREAM_IDLE"), "{answer:?}");
        assert!(answer.message().contains("150ms"), "{}", answer.message());
        router.settled().await;
    });
}

#[test]
fn messages_beyond_max_message_bytes_are_refused_in_both_directions() {
    run(async {
        let backend = Backend::start(echo).await;
        let limits = Limits { max_message_bytes: Some(1_000), ..Limits::default() };
        let (router, client) = router(&backend, limits).await;
        // Any number of messages that fit pass.
        let mut call = client.open(BIDI, &[]).await.unwrap();
        for _ in 0..50 {
            call.send(&[7; 1_000]).await.unwrap();
        }
        let (mut request, mut response) = call.response().await.unwrap();
        for _ in 0..50 {
            assert_eq!(response.messages.next().await.unwrap().unwrap().len(), 1_000);
        }
        // The next does not, and nothing of it arrives.
        request.send_data(frame(&[7; 1_001]), false).unwrap();
        let answer = response.finish().await.unwrap();
        assert_eq!((answer.status(), answer.reason().as_str()), (8, "MESSAGE_TOO_LONG"), "{answer:?}");
        assert_eq!((answer.fact("length").as_str(), answer.fact("limit").as_str()), ("1001", "1000"));
        assert_eq!(answer.fact("service"), "agent-echo");
        assert!(answer.message().contains("request"), "{}", answer.message());
        // A first message is refused before any instance sees it.
        let before = backend.streams();
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo", &"x".repeat(2_000))).await;
        assert_eq!((answer.status(), answer.reason().as_str()), (8, "MESSAGE_TOO_LONG"), "{answer:?}");
        assert_eq!(backend.streams(), before);
        router.settled().await;
    });
}

#[test]
fn a_response_beyond_the_limit_ends_with_a_status_and_is_no_fault_of_the_instance() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            let _: switchboard_proto::agentplatform::TaskRequest = call.decode().await;
            call.reply(&TaskResponse { output: "y".repeat(5_000), ..TaskResponse::default() }).await;
        })
        .await;
        // The router's own limit, without any of the service.
        let router = TestRouter::with(|config| config.max_message_bytes = 4_000).await;
        let other = Backend::echo("b").await;
        router.set("agent-echo", &[backend.addr, other.addr]);
        let client = Client::connect(router.addr).await;
        while backend.streams() < 10 {
            let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
            if answer.status() != 0 {
                assert_eq!(
                    (answer.status(), answer.reason().as_str()),
                    (8, "MESSAGE_TOO_LONG"),
                    "{answer:?}"
                );
                assert!(answer.message().contains("response"), "{}", answer.message());
                assert!(answer.messages.is_empty());
            }
        }
        assert_eq!(router.metric("switchboard_ejections_total"), 0);
        router.settled().await;
    });
}

#[test]
fn an_answer_that_is_no_grpc_passes_as_it_is() {
    run(async {
        let page = Bytes::from_static(b"<html>a proxy of your own says no</html>");
        let text = page.clone();
        let backend = Backend::start(move |mut call: Incoming| {
            let text = text.clone();
            async move {
                let _ = call.begin(&[]).raw(text, true).await;
            }
        })
        .await;
        let limits = Limits { max_message_bytes: Some(10), ..Limits::default() };
        let (_router, client) = router(&backend, limits).await;
        let mut call = client.open(BIDI, &[]).await.unwrap();
        call.half_close();
        let (_request, mut response) = call.response().await.unwrap();
        assert_eq!(response.messages.drain().await, page.len());
    });
}

#[test]
fn max_calls_bounds_the_calls_in_flight_over_the_router() {
    run(async {
        let backend = Backend::start(Incoming::hang).await;
        let (router, client) = router(&backend, Limits { max_calls: Some(3), ..Limits::default() }).await;
        let calls: Vec<_> = (0..3).map(|_| spawn(&client)).collect();
        until(3, || backend.open_streams()).await;
        let refused = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
        assert_eq!(
            (refused.status(), refused.reason().as_str()),
            (8, "SERVICE_CALLS_IN_FLIGHT"),
            "{refused:?}"
        );
        assert_eq!(refused.trailers["grpc-retry-pushback-ms"], "100");
        assert_eq!((refused.fact("service").as_str(), refused.fact("limit").as_str()), ("agent-echo", "3"));
        // Other services have their own.
        let other = Backend::echo("other").await;
        router.set("agent-other", &[other.addr]);
        assert_eq!(client.unary(EXECUTE_TASK, &[], &task("other", "x")).await.status(), 0);
        // A call that ends, however it does, makes room.
        for call in calls {
            call.abort();
        }
        until(0, || backend.open_streams()).await;
        let calls: Vec<_> = (0..3).map(|_| spawn(&client)).collect();
        until(3, || backend.open_streams()).await;
        assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 8);
        backend.cut();
        for call in calls {
            assert_eq!(call.await.unwrap().status(), 14);
        }
        // A limit that goes leaves nothing behind.
        router.set_limits("agent-echo", Limits::default());
        let calls: Vec<_> = (0..5).map(|_| spawn(&client)).collect();
        until(5, || backend.open_streams()).await;
        calls.iter().for_each(JoinHandle::abort);
        router.settled().await;
    });
}

#[test]
fn max_queue_bounds_the_calls_that_wait() {
    run(async {
        let backend = Backend::start(Incoming::hang).await;
        let (router, client) = router(&backend, Limits { max_queue: Some(2), ..Limits::default() }).await;
        router.set_instances("agent-echo", vec![Instance::new("a", backend.addr).capacity(1)]);
        let calls: Vec<_> = (0..3).map(|_| spawn(&client)).collect();
        until((1, 2), || (backend.open_streams(), router.metric("switchboard_calls_parked"))).await;
        let refused = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
        assert_eq!((refused.status(), refused.reason().as_str()), (8, "QUEUE_FULL"), "{refused:?}");
        assert!(refused.message().contains('2'), "{}", refused.message());
        calls.iter().for_each(JoinHandle::abort);
        router.settled().await;
    });
}

#[test]
fn a_version_is_shared_by_weight_and_an_unknown_one_is_said_so() {
    run(async {
        let (old, big, small) =
            (Backend::echo("v1").await, Backend::echo("v2").await, Backend::echo("v2").await);
        let router = TestRouter::start().await;
        router.set_instances(
            "agent-echo",
            vec![
                Instance::new("old", old.addr).version("v1").weight(5),
                Instance::new("big", big.addr).version("v2").weight(9),
                Instance::new("small", small.addr).version("v2").weight(1),
            ],
        );
        let client = Client::connect(router.addr).await;
        for _ in 0..400 {
            let answer = client.unary(EXECUTE_TASK, &[], &task("echo-agent@v2", "x")).await;
            assert_eq!(answer.decode::<TaskResponse>().output, "v2: x");
        }
        assert_eq!((old.streams(), big.streams() + small.streams()), (0, 400));
        assert!((15..=75).contains(&small.streams()), "{} of 400 at a weight of 1 in 10", small.streams());
        // Of all versions, without one in the ID: 5 to 9 to 1.
        for _ in 0..300 {
            assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo-agent", "x")).await.status(), 0);
        }
        assert!((60..=140).contains(&old.streams()), "{} of 300 at a weight of 5 in 15", old.streams());
        let unknown = client.unary(EXECUTE_TASK, &[], &task("echo-agent@v3", "x")).await;
        assert_eq!((unknown.status(), unknown.reason().as_str()), (14, "NO_HEALTHY_INSTANCE"), "{unknown:?}");
        assert!(unknown.message().contains("version v3"), "{}", unknown.message());
        assert_eq!(unknown.fact("instances_known"), "3");
        // One that is rolled out while the call waits gets it.
        let waiting =
            tokio::spawn(async move { client.unary(EXECUTE_TASK, &[], &task("echo-agent@v3", "x")).await });
        until(1, || router.metric("switchboard_calls_parked")).await;
        let new = Backend::echo("v3").await;
        router.set_instances("agent-echo", vec![Instance::new("new", new.addr).version("v3")]);
        assert_eq!(waiting.await.unwrap().decode::<TaskResponse>().output, "v3: x");
    });
}
