//! Calls for a service that the directory does not hold wait, bounded, for one look-up that serves them all.

use crate::support::*;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use switchboard_proto::agentplatform::TaskResponse;
use switchboard_router::link::{Lookup, Update};

const PARKED: &str = "switchboard_calls_parked";

/// Begins `count` calls for `echo-agent` and waits until they are parked.
async fn park(router: &TestRouter, client: &Client, count: u64) -> Vec<Call> {
    let mut calls = Vec::new();
    for _ in 0..count {
        calls.push(client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await);
    }
    until(count, || router.metric(PARKED)).await;
    calls
}

async fn answers(calls: Vec<Call>) -> Vec<Answer> {
    let answers = futures_util::future::join_all(calls.into_iter().map(Call::answer)).await;
    answers.into_iter().map(Result::unwrap).collect()
}

fn service() -> Lookup {
    Lookup::Service("agent-echo".into())
}

#[test]
fn many_calls_cause_one_look_up_and_its_snapshot_answers_them_all() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::start().await;
        router.otherwise(Reply::Silence);
        let client = Client::connect(router.addr).await;
        let calls = park(&router, &client, 100).await;
        assert_eq!(router.lookups("agent-echo"), 1);
        router.set("agent-echo", &[echo.addr]);
        for answer in answers(calls).await {
            assert_eq!(answer.decode::<TaskResponse>().output, "echo: x");
        }
        // Known now: nobody asks again.
        assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        assert_eq!(router.lookups("agent-echo"), 1);
        router.settled().await;
    });
}

#[test]
fn the_answer_that_nobody_is_registered_ends_them_all() {
    run(async {
        let router = TestRouter::start().await;
        router.otherwise(Reply::Silence);
        let client = Client::connect(router.addr).await;
        let calls = park(&router, &client, 10).await;
        router.send(|| Update::Missing(service(), Arc::default()));
        for answer in answers(calls).await {
            assert_eq!((answer.status(), answer.reason().as_str()), (5, "ID_UNKNOWN"));
        }
        // The next one asks again.
        let calls = park(&router, &client, 1).await;
        until(2, || router.lookups("agent-echo")).await;
        drop(calls);
        router.settled().await;
    });
}

#[test]
fn a_registry_that_cannot_be_asked_is_unavailable_and_says_why() {
    run(async {
        let router = TestRouter::start().await;
        router.otherwise(Reply::Failed);
        let client = Client::connect(router.addr).await;
        for path in [EXECUTE_TASK, BIDI] {
            let answer = client.unary(path, &[], &task("echo", "x")).await;
            assert_eq!((answer.status(), answer.reason().as_str()), (14, "REGISTRY_UNREACHABLE"), "{path}");
            assert!(answer.message().contains("connection refused"), "{}", answer.message());
            assert!(answer.details().retry_after().is_some());
        }
        router.settled().await;
    });
}

#[test]
fn a_registry_that_does_not_answer_is_unavailable_after_the_wait() {
    run(async {
        let router = TestRouter::with(|config| config.lookup_wait = Duration::from_millis(200)).await;
        router.otherwise(Reply::Silence);
        let client = Client::connect(router.addr).await;
        for path in [EXECUTE_TASK, BIDI] {
            let began = Instant::now();
            let answer = client.unary(path, &[], &task("echo", "x")).await;
            assert_eq!((answer.status(), answer.reason().as_str()), (14, "REGISTRY_UNREACHABLE"), "{path}");
            let took = began.elapsed();
            assert!(took >= Duration::from_millis(195) && took < Duration::from_secs(2), "{took:?}");
        }
        router.settled().await;
    });
}

#[test]
fn an_instance_that_comes_within_the_wait_gets_the_call() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::with(|config| config.no_endpoint_wait = Duration::from_secs(60)).await;
        router.set("agent-echo", &[]);
        let client = Client::connect(router.addr).await;
        let calls = park(&router, &client, 5).await;
        // Other news do not end the wait.
        router.publish();
        router.set("agent-other", &[echo.addr]);
        until(5, || router.metric(PARKED)).await;
        router.set("agent-echo", &[echo.addr]);
        for answer in answers(calls).await {
            assert_eq!(answer.decode::<TaskResponse>().output, "echo: x");
        }
        router.settled().await;
    });
}

#[test]
fn news_do_not_begin_the_wait_anew() {
    run(async {
        let router = TestRouter::with(|config| config.no_endpoint_wait = Duration::from_millis(300)).await;
        router.set("agent-echo", &[]);
        let client = Client::connect(router.addr).await;
        let began = Instant::now();
        let calls = park(&router, &client, 1).await;
        let publishing = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            loop {
                ticks.tick().await;
                router.publish();
            }
        };
        let answers = tokio::select! {
            answers = answers(calls) => answers,
            () = publishing => unreachable!(),
        };
        assert_eq!(answers[0].reason(), "NO_HEALTHY_INSTANCE");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    });
}

#[test]
fn calls_beyond_the_limit_are_refused_with_resource_exhausted() {
    run(async {
        let router = TestRouter::with(|config| config.queue_per_service = 3).await;
        router.otherwise(Reply::Silence);
        let client = Client::connect(router.addr).await;
        let calls = park(&router, &client, 3).await;
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
        assert_eq!((answer.status(), answer.reason().as_str()), (8, "PARKED_FULL"), "{answer:?}");
        // The limit is one service's.
        let call = client.begin(EXECUTE_TASK, &[], &task("other", "x")).await;
        until(4, || router.metric(PARKED)).await;
        drop((calls, call));
        router.settled().await;
    });
}

#[test]
fn calls_whose_wait_ended_do_not_count_against_the_limit() {
    run(async {
        let router = TestRouter::with(|config| {
            config.queue_per_service = 2;
            config.no_endpoint_wait = Duration::from_millis(20);
        })
        .await;
        router.set("agent-echo", &[]);
        let client = Client::connect(router.addr).await;
        for _ in 0..10 {
            let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
            assert_eq!((answer.status(), answer.reason().as_str()), (14, "NO_HEALTHY_INSTANCE"));
        }
    });
}

#[test]
fn a_service_that_leaves_the_registry_while_calls_wait_is_asked_for_again() {
    run(async {
        let router = TestRouter::with(|config| config.no_endpoint_wait = Duration::from_secs(60)).await;
        router.set("agent-echo", &[]);
        let client = Client::connect(router.addr).await;
        let calls = park(&router, &client, 2).await;
        assert_eq!(router.lookups("agent-echo"), 1);
        router.remove("agent-echo");
        for answer in answers(calls).await {
            assert_eq!((answer.status(), answer.reason().as_str()), (5, "ID_UNKNOWN"), "{answer:?}");
        }
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
        assert_eq!(answer.reason(), "ID_UNKNOWN");
    });
}

#[test]
fn a_stale_entry_is_used_and_asked_for_once() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::start().await;
        router.fresh_until(1);
        router.set("agent-echo", &[echo.addr]);
        let client = Client::connect(router.addr).await;
        assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        // Each call uses what is there; each publication may be followed by one more look-up.
        for _ in 0..5 {
            assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        }
        let lookups = steady(|| router.lookups("agent-echo")).await;
        assert!((2..=7).contains(&lookups), "{lookups}");
        router.fresh_until(u64::MAX);
        router.publish();
        let before = steady(|| router.lookups("agent-echo")).await;
        for _ in 0..5 {
            assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        }
        assert_eq!(router.lookups("agent-echo"), before);
    });
}
