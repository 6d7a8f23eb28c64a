//! A call that is declared idempotent has a second attempt where the first failed before its first message; any other
//! call reaches a backend once (complaints 50-52, 71).

use crate::support::*;
use bytes::Bytes;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use switchboard_proto::agentplatform::{StatusRequest, TaskRequest, TaskResponse};
use switchboard_router::Config;

const GET_STATUS: &str = "/agentplatform.AgentService/GetStatus";

/// How a backend fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Response headers, then the status in trailers, without a message.
    Trailers,
    /// The status in the only headers.
    TrailersOnly,
    /// A message, then the status.
    AfterMessage,
    /// Nothing; the test cuts the connection.
    Silence,
}

/// Two backends of one service that fail together: the first `failures` calls, wherever they come, fail.
struct Pair {
    backends: [Backend; 2],
    /// When each call came.
    executed: Arc<Mutex<Vec<Instant>>>,
}

impl Pair {
    async fn failing(failures: usize, way: Way, fields: &'static [(&'static str, &'static str)]) -> Self {
        let left = Arc::new(AtomicUsize::new(failures));
        let executed: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let (count, times) = (left.clone(), executed.clone());
        let handler = move |mut call: Incoming| {
            let (left, executed) = (count.clone(), times.clone());
            async move {
                executed.lock().expect("no handler panics").push(Instant::now());
                if left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_err() {
                    return call.echo("echo").await;
                }
                // A body of several messages is read whole.
                while way != Way::Silence && matches!(call.messages.next().await, Ok(Some(_))) {}
                match way {
                    Way::Trailers => call.begin(&[]).finish(fields),
                    Way::TrailersOnly => call.trailers_only(fields),
                    Way::AfterMessage => {
                        let mut out = call.begin(&[]);
                        let _ = out.send(b"").await;
                        out.finish(fields);
                    }
                    Way::Silence => call.hang().await,
                }
            }
        };
        Pair { backends: [Backend::start(handler.clone()).await, Backend::start(handler).await], executed }
    }

    fn executions(&self) -> usize {
        self.executed.lock().expect("no handler panics").len()
    }

    /// Values of `grpc-previous-rpc-attempts` of all calls, sorted; empty where there was none.
    fn previous_attempts(&self) -> Vec<String> {
        let requests = self.backends.iter().flat_map(Backend::requests);
        let value = |head: http::request::Parts| match head.headers.get("grpc-previous-rpc-attempts") {
            Some(value) => value.to_str().expect("ASCII").to_owned(),
            None => String::new(),
        };
        let mut values: Vec<String> = requests.map(value).collect();
        values.sort();
        values
    }

    /// A router with the service `agent-echo`, declared idempotent or not.
    async fn router(&self, idempotent: bool, adjust: impl FnOnce(&mut Config)) -> (TestRouter, Client) {
        let router = TestRouter::with(adjust).await;
        if idempotent {
            router.set_idempotent("agent-echo");
        }
        router.set("agent-echo", &self.backends.each_ref().map(|backend| backend.addr));
        router.set_grpc("demo.Echo", "agent-echo");
        let client = Client::connect(router.addr).await;
        (router, client)
    }
}

const UNAVAILABLE: &[(&str, &str)] = &[("grpc-status", "14"), ("grpc-message", "original")];

#[test]
fn unavailable_before_a_message_is_tried_again_for_a_declared_service() {
    run(async {
        for way in [Way::Trailers, Way::TrailersOnly] {
            let pair = Pair::failing(1, way, UNAVAILABLE).await;
            let (router, client) = pair.router(true, |_| {}).await;
            let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
            assert_eq!(answer.decode::<TaskResponse>().output, "echo: x", "{way:?}");
            // At the other instance, which is told.
            assert_eq!(pair.backends.each_ref().map(Backend::streams), [1, 1]);
            assert_eq!(pair.previous_attempts(), ["", "1"]);
            assert_eq!(router.metric("switchboard_retries_total"), 1);
            router.settled().await;
        }
    });
}

#[test]
fn a_method_without_side_effects_is_tried_again_and_others_of_its_service_are_not() {
    run(async {
        for way in [Way::Trailers, Way::TrailersOnly] {
            let pair = Pair::failing(2, way, UNAVAILABLE).await;
            let (_router, client) = pair.router(false, |_| {}).await;
            let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
            assert_eq!((answer.status(), answer.message().as_str()), (14, "original"));
            assert_eq!(pair.executions(), 1);
            let request = StatusRequest { agent_id: "echo".to_owned() };
            assert_eq!(client.unary(GET_STATUS, &[], &request).await.status(), 0);
            assert_eq!(pair.executions(), 3);
        }
    });
}

#[test]
fn the_only_instance_is_tried_again() {
    run(async {
        let pair = Pair::failing(1, Way::Trailers, UNAVAILABLE).await;
        let (router, client) = pair.router(true, |_| {}).await;
        router.set("agent-echo", &[pair.backends[0].addr]);
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
        assert_eq!(answer.decode::<TaskResponse>().output, "echo: x");
        assert_eq!(pair.backends.each_ref().map(Backend::streams), [2, 0]);
    });
}

#[test]
fn a_call_that_nobody_declared_idempotent_is_executed_once_whatever_comes() {
    run(async {
        for way in [Way::Trailers, Way::TrailersOnly, Way::AfterMessage, Way::Silence] {
            for path in [EXECUTE_TASK, STREAM_TASK] {
                let pair = Pair::failing(usize::MAX, way, UNAVAILABLE).await;
                let (router, client) = pair.router(false, |_| {}).await;
                let request = task("echo", "x");
                let cut = async {
                    if way == Way::Silence {
                        until(1, || pair.executions()).await;
                        pair.backends.iter().for_each(Backend::cut);
                    }
                };
                let (answer, ()) = tokio::join!(client.unary(path, &[], &request), cut);
                assert_eq!(answer.status(), 14, "{way:?} {path}");
                router.settled().await;
                assert_eq!(pair.executions(), 1, "{way:?} {path}");
                assert_eq!(router.metric("switchboard_retries_total"), 0);
            }
        }
    });
}

#[test]
fn another_status_than_unavailable_is_no_reason_to_try_again() {
    run(async {
        for fields in [&[("grpc-status", "13")], &[("grpc-status", "8")], &[("grpc-status", "4")]] {
            for way in [Way::Trailers, Way::TrailersOnly] {
                let pair = Pair::failing(usize::MAX, way, fields).await;
                let (_router, client) = pair.router(true, |_| {}).await;
                let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
                assert_eq!(answer.status().to_string(), fields[0].1);
                assert_eq!(pair.executions(), 1, "{fields:?} {way:?}");
            }
        }
    });
}

#[test]
fn the_first_message_commits_and_the_headers_do_not() {
    run(async {
        let pair = Pair::failing(usize::MAX, Way::AfterMessage, UNAVAILABLE).await;
        let (router, client) = pair.router(true, |_| {}).await;
        let answer = client.unary(STREAM_TASK, &[], &task("echo", "x")).await;
        assert_eq!((answer.status(), answer.messages.len()), (14, 1), "{answer:?}");
        assert_eq!((pair.executions(), router.metric("switchboard_retries_total")), (1, 0));
    });
}

#[test]
fn a_client_that_waits_for_the_headers_before_it_goes_on_gets_them() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            let mut out = call.begin(&[("x-head", "1")]);
            while let Ok(Some(message)) = call.messages.next().await {
                let _ = out.send(&message).await;
            }
            out.finish(&[("grpc-status", "0")]);
        })
        .await;
        let router = TestRouter::start().await;
        router.set_idempotent("agent-echo");
        router.set("agent-echo", &[backend.addr]);
        router.set_grpc("demo.Echo", "agent-echo");
        let client = Client::connect(router.addr).await;
        let call = client.open(BIDI, &[]).await.unwrap();
        let (mut request, mut response) = call.response().await.unwrap();
        assert_eq!(response.headers["x-head"], "1");
        request.send_data(frame(b"after"), true).unwrap();
        assert_eq!(response.messages.next().await.unwrap().unwrap(), "after");
        assert_eq!(response.finish().await.unwrap().status(), 0);
    });
}

#[test]
fn headers_that_were_kept_arrive_with_the_first_message() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            let mut out = call.begin(&[("x-head", "1")]);
            let _: Option<TaskRequest> = call.messages.decode().await.unwrap();
            let _ = out.send(b"chunk").await;
            out.finish(&[("grpc-status", "5"), ("x-tail", "2")]);
        })
        .await;
        let router = TestRouter::start().await;
        router.set_idempotent("agent-echo");
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
        assert_eq!((answer.status(), answer.trailers_only), (5, false));
        assert_eq!(
            (&answer.headers["x-head"], &answer.trailers["x-tail"]),
            (&"1".parse().unwrap(), &"2".parse().unwrap())
        );
        assert_eq!(answer.messages, ["chunk"]);
    });
}

#[test]
fn the_last_answer_of_a_call_that_keeps_failing_arrives_whole() {
    run(async {
        let fields = &[("grpc-status", "14"), ("grpc-message", "original"), ("x-tail", "2")];
        for (way, trailers_only) in [(Way::Trailers, false), (Way::TrailersOnly, true)] {
            for (attempts, expected) in [(1, 1), (2, 2), (3, 3)] {
                let pair = Pair::failing(usize::MAX, way, fields).await;
                let (router, client) = pair.router(true, |config| config.retry_attempts = attempts).await;
                let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
                assert_eq!((answer.status(), answer.trailers_only), (14, trailers_only), "{answer:?}");
                assert_eq!(
                    (answer.message().as_str(), &answer.trailers["x-tail"]),
                    ("original", &"2".parse().unwrap())
                );
                assert_eq!(pair.executions(), expected);
                assert_eq!(pair.previous_attempts(), ["", "1", "2"][..expected]);
                router.settled().await;
            }
        }
    });
}

#[test]
fn a_service_that_always_fails_is_asked_at_most_a_fifth_more_and_three_times() {
    run(async {
        let pair = Pair::failing(usize::MAX, Way::Trailers, UNAVAILABLE).await;
        let (router, client) = pair.router(true, |config| config.retry_attempts = 5).await;
        let request = task("echo", "x");
        for _ in 0..10 {
            let calls = (0..10).map(|_| client.unary(EXECUTE_TASK, &[], &request));
            for answer in futures_util::future::join_all(calls).await {
                assert_eq!(answer.status(), 14);
            }
        }
        let (executions, retries) = (pair.executions(), router.metric("switchboard_retries_total"));
        assert!((110..=123).contains(&executions), "{executions}");
        assert_eq!(executions as u64, 100 + retries);
        assert!(router.metric("switchboard_retries_over_budget_total") >= 77);
    });
}

#[test]
fn pushback_sets_the_pause() {
    run(async {
        let fields = &[("grpc-status", "14"), ("grpc-retry-pushback-ms", "400")];
        for way in [Way::Trailers, Way::TrailersOnly] {
            let pair = Pair::failing(1, way, fields).await;
            let (_router, client) = pair.router(true, |_| {}).await;
            let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
            assert_eq!(answer.status(), 0, "{way:?}");
            let times = pair.executed.lock().unwrap().clone();
            // Back-off by itself is at most 50 ms; the router's clock counts whole ms.
            assert!(times[1] - times[0] >= Duration::from_millis(398), "{:?}", times[1] - times[0]);
        }
    });
}

#[test]
fn pushback_that_is_no_pause_forbids_the_retry() {
    run(async {
        let minus = &[("grpc-status", "14"), ("grpc-retry-pushback-ms", "-1")];
        let word = &[("grpc-status", "14"), ("grpc-retry-pushback-ms", "never")];
        for fields in [minus, word] {
            for way in [Way::Trailers, Way::TrailersOnly] {
                let pair = Pair::failing(1, way, fields).await;
                let (_router, client) = pair.router(true, |_| {}).await;
                let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
                assert_eq!((answer.status(), pair.executions()), (14, 1), "{fields:?} {way:?}");
            }
        }
    });
}

#[test]
fn a_pause_that_the_deadline_does_not_allow_means_the_first_answer() {
    run(async {
        let fields =
            &[("grpc-status", "14"), ("grpc-message", "original"), ("grpc-retry-pushback-ms", "60000")];
        let pair = Pair::failing(1, Way::Trailers, fields).await;
        let (_router, client) = pair.router(true, |_| {}).await;
        let answer = client.unary(EXECUTE_TASK, &[("grpc-timeout", "30S")], &task("echo", "x")).await;
        assert_eq!((answer.status(), answer.message().as_str()), (14, "original"));
        assert_eq!(pair.executions(), 1);
    });
}

#[test]
fn a_call_given_up_during_the_pause_is_not_sent_again() {
    run(async {
        let fields = &[("grpc-status", "14"), ("grpc-retry-pushback-ms", "300")];
        let pair = Pair::failing(1, Way::Trailers, fields).await;
        let (router, client) = pair.router(true, |_| {}).await;
        let mut call = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
        call.half_close();
        until(1, || router.metric("switchboard_retries_total")).await;
        drop(call);
        router.settled().await;
        // Past the pause, as the next call with one shows: it is the second that a backend sees.
        let again = Pair::failing(1, Way::Trailers, fields).await;
        router.set("agent-other", &again.backends.each_ref().map(|backend| backend.addr));
        router.set_idempotent("agent-other");
        assert_eq!(client.unary(EXECUTE_TASK, &[], &task("other", "x")).await.status(), 0);
        assert_eq!((pair.executions(), again.executions()), (1, 2));
    });
}

#[test]
fn a_body_within_the_replay_cap_is_sent_again_whole_and_a_longer_one_is_not() {
    run(async {
        for (length, expected) in [(900, 2), (5_000, 1)] {
            let pair = Pair::failing(1, Way::Trailers, UNAVAILABLE).await;
            let (_router, client) = pair.router(true, |config| config.replay_max_bytes = 1_000).await;
            let input = "x".repeat(length);
            let answer = client.unary(EXECUTE_TASK, &[], &task("echo", &input)).await;
            assert_eq!(pair.executions(), expected);
            match expected {
                2 => assert_eq!(answer.decode::<TaskResponse>().output, format!("echo: {input}")),
                _ => assert_eq!((answer.status(), answer.message().as_str()), (14, "original")),
            }
        }
    });
}

#[test]
fn a_body_of_several_messages_is_sent_again_in_order() {
    run(async {
        let failed = Arc::new(AtomicUsize::new(0));
        let count = failed.clone();
        let handler = move |mut call: Incoming| {
            let count = count.clone();
            async move {
                let messages = call.messages.rest().await.unwrap();
                let mut out = call.begin(&[]);
                if count.fetch_add(1, SeqCst) == 0 {
                    return out.finish(UNAVAILABLE);
                }
                for message in messages {
                    let _ = out.send(&message).await;
                }
                out.finish(&[("grpc-status", "0")]);
            }
        };
        let backends = [Backend::start(handler.clone()).await, Backend::start(handler).await];
        let router = TestRouter::start().await;
        router.set_idempotent("agent-echo");
        router.set("agent-echo", &backends.each_ref().map(|backend| backend.addr));
        router.set_grpc("demo.Echo", "agent-echo");
        let client = Client::connect(router.addr).await;
        let sent: Vec<Bytes> = (0..50u8).map(|n| Bytes::from(vec![n; 1_000])).collect();
        let body: Vec<u8> = sent.iter().flat_map(|message| frame(message)).collect();
        let answer = client.send_all(BIDI, &[], body.into()).await.unwrap();
        assert_eq!((answer.status(), failed.load(SeqCst)), (0, 2));
        assert_eq!(answer.messages, sent);
    });
}

#[test]
fn a_connection_lost_before_the_response_is_no_loss_to_an_idempotent_call() {
    run(async {
        let pair = Pair::failing(1, Way::Silence, &[]).await;
        let (router, client) = pair.router(true, |_| {}).await;
        let request = task("echo", "x");
        let cut = async {
            until(1, || pair.executions()).await;
            pair.backends.iter().for_each(Backend::cut);
        };
        let (answer, ()) = tokio::join!(client.unary(EXECUTE_TASK, &[], &request), cut);
        assert_eq!(answer.decode::<TaskResponse>().output, "echo: x");
        assert_eq!((pair.executions(), router.metric("switchboard_retries_total")), (2, 1));
        router.settled().await;
    });
}
