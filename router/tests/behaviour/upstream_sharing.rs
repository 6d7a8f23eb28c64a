//! Calls share connections to a backend; more are opened when the backend's or the router's limit says so.

use crate::support::*;
use bytes::Bytes;
use std::sync::Arc;
use switchboard_proto::agentplatform::TaskResponse;
use tokio::sync::{Barrier, Semaphore};

#[test]
fn many_calls_of_many_clients_share_one_connection() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        let mut clients = Vec::new();
        for _ in 0..10 {
            clients.push(Client::connect(router.addr).await);
        }
        let request = task("echo", "x");
        for _ in 0..10 {
            let calls = clients.iter().map(|client| client.unary(EXECUTE_TASK, &[], &request));
            for answer in futures_util::future::join_all(calls).await {
                assert_eq!(answer.decode::<TaskResponse>().output, "echo: x");
            }
        }
        assert_eq!((echo.connections(), echo.streams()), (1, 100));
    });
}

#[test]
fn calls_beyond_the_streams_of_a_connection_open_another() {
    run(async {
        let backend = Backend::start(Incoming::hang).await;
        let router = TestRouter::with(|config| config.streams_per_upstream_connection = 20).await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        let mut calls = Vec::new();
        for (count, connections) in [(20, 1), (21, 2), (50, 3)] {
            while calls.len() < count {
                let call = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
                calls.push(call);
            }
            until(count, || backend.open_streams()).await;
            assert_eq!(backend.connections(), connections, "for {count} calls");
        }
    });
}

#[test]
fn fifty_streams_run_at_a_time_against_a_backend_that_allows_ten_per_connection() {
    run(async {
        let all = Arc::new(Barrier::new(50));
        let backend = Backend::with(
            |builder| {
                builder.max_concurrent_streams(10);
            },
            move |mut call: Incoming| {
                let all = all.clone();
                async move {
                    let mut out = call.begin(&[]);
                    // Nobody goes on before all are here.
                    all.wait().await;
                    while let Some(message) = call.messages.next().await.unwrap() {
                        out.send(&message).await.unwrap();
                    }
                    out.finish(&[("grpc-status", "0")]);
                }
            },
        )
        .await;
        let router = TestRouter::start().await;
        router.set("agent-x", &[backend.addr]);
        router.set_grpc("demo.Echo", "agent-x");
        let client = Client::connect(router.addr).await;
        let body: Bytes = frame(b"beat").repeat(10).into();
        let calls = (0..50).map(|_| client.send_all(BIDI, &[], body.clone()));
        for answer in futures_util::future::join_all(calls).await {
            let answer = answer.unwrap();
            assert_eq!((answer.status(), answer.messages.len()), (0, 10));
        }
        assert_eq!(backend.connections(), 5);
        router.settled().await;
    });
}

#[test]
fn calls_beyond_all_connections_wait_their_turn_and_all_finish() {
    run(async {
        let gate = Arc::new(Semaphore::new(0));
        let opened = gate.clone();
        let backend = Backend::with(
            |builder| {
                builder.max_concurrent_streams(10);
            },
            move |call: Incoming| {
                let gate = opened.clone();
                async move {
                    gate.acquire().await.unwrap().forget();
                    call.echo("echo").await;
                }
            },
        )
        .await;
        let router = TestRouter::with(|config| config.connections_per_endpoint = 2).await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        let requests: Vec<_> = (0..50).map(|i| task("echo", &i.to_string())).collect();
        let calls = requests.iter().map(|request| client.unary(EXECUTE_TASK, &[], request));
        let release = async {
            until(20, || backend.open_streams()).await;
            until(30, || router.metric("switchboard_calls_queued")).await;
            gate.add_permits(50);
        };
        let (answers, ()) = tokio::join!(futures_util::future::join_all(calls), release);
        for (i, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer.decode::<TaskResponse>().output, format!("echo: {i}"));
        }
        assert_eq!((backend.connections(), backend.most_streams()), (2, 20));
        router.settled().await;
    });
}

#[test]
fn a_queue_that_is_full_refuses_with_resource_exhausted() {
    run(async {
        let backend = Backend::with(
            |builder| {
                builder.max_concurrent_streams(1);
            },
            Incoming::hang,
        )
        .await;
        let router = TestRouter::with(|config| {
            config.connections_per_endpoint = 1;
            config.queue_per_service = 3;
        })
        .await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        let mut calls = Vec::new();
        for _ in 0..4 {
            let call = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
            calls.push(call);
            // The first gets the stream, then three wait.
            until(1, || backend.open_streams()).await;
        }
        until(3, || router.metric("switchboard_calls_queued")).await;
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
        assert_eq!((answer.status(), answer.reason().as_str()), (8, "QUEUE_FULL"), "{answer:?}");
        // The place of one that leaves is taken by the oldest that waits.
        drop(calls.remove(0));
        until(2, || backend.streams()).await;
        until(2, || router.metric("switchboard_calls_queued")).await;
    });
}
