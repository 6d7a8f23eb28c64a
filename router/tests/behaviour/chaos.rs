//! Everything at once, at random from a seed: whatever happens, nothing is left over and the router goes on.

use crate::support::*;
use bytes::Bytes;
use h2::Reason;
use prost::Message;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering::SeqCst},
};

/// A backend that does to each call what its dice say.
async fn moody(seed: u64) -> Backend {
    let dice = Mutex::new(StdRng::seed_from_u64(seed));
    Backend::with(
        |builder| {
            builder.max_concurrent_streams(40);
        },
        move |mut call: Incoming| {
            let (mood, size) = {
                let mut dice = dice.lock().expect("no handler panics");
                (dice.random_range(0..10), dice.random_range(0..200_000))
            };
            async move {
                match mood {
                    0 => call.reset(Reason::REFUSED_STREAM),
                    1 => call.reset(Reason::INTERNAL_ERROR),
                    2 => call.trailers_only(&[("grpc-status", "7")]),
                    3 => call.hang().await,
                    4 | 5 => {
                        let mut out = call.begin(&[]);
                        // A caller that gave up ends this with an error, which is fine.
                        let _ = out.send(&vec![1; size]).await;
                        out.finish(&[("grpc-status", "0")]);
                    }
                    6 => {
                        let mut out = call.begin(&[]);
                        let _ = out.send(&vec![1; size]).await;
                        out.reset(Reason::CANCEL);
                    }
                    7 => {
                        call.messages.drain().await;
                        call.trailers_only(&[("grpc-status", "0")]);
                    }
                    _ => call.echo("echo").await,
                }
            }
        },
    )
    .await
}

/// A client that makes calls and gives some of them up.
async fn restless(addr: std::net::SocketAddr, seed: u64, answered: &AtomicU64) {
    let mut dice = StdRng::seed_from_u64(seed);
    for _ in 0..6 {
        let client = Client::connect(addr).await;
        for _ in 0..dice.random_range(1..8) {
            let id = ["echo", "echo", "echo", "other", "nobody", "", "empty"][dice.random_range(0..7)];
            let path = [EXECUTE_TASK, STREAM_TASK, BIDI, PROCESS_TASK][dice.random_range(0..4)];
            let timeout = ["5m", "50m", "500m"][dice.random_range(0..3)];
            let Ok(mut call) = client.open(path, &[("grpc-timeout", timeout)]).await else { break };
            let body = frame(&task(id, &"x".repeat(dice.random_range(0..100_000))).encode_to_vec());
            let cut = dice.random_range(0..body.len());
            match dice.random_range(0..6) {
                // Gives up in the middle of the first message, or after it.
                0 => {
                    let _ = call.raw(body.slice(..cut), false).await;
                    call.reset(Reason::CANCEL);
                }
                1 => {
                    let _ = call.raw(body, false).await;
                    call.reset(Reason::CANCEL);
                }
                // Ends the request in the middle.
                2 => {
                    let _ = call.raw(body.slice(..cut), true).await;
                    answered.fetch_add(u64::from(call.answer().await.is_ok()), SeqCst);
                }
                // Reads the headers only.
                3 => {
                    let _ = call.raw(body, true).await;
                    let _ = call.response().await;
                }
                _ => {
                    let _ = call.raw(body, true).await;
                    answered.fetch_add(u64::from(call.answer().await.is_ok()), SeqCst);
                }
            }
        }
        if dice.random_bool(0.5) {
            client.disconnect();
        }
    }
}

#[test]
fn after_any_mixture_of_failures_nothing_is_left_over() {
    run(async {
        let backends = [moody(1).await, moody(2).await, moody(3).await];
        let router = TestRouter::with(|config| {
            config.workers = 2;
            config.connections_per_endpoint = 2;
        })
        .await;
        let addrs = backends.each_ref().map(|backend| backend.addr);
        let dead = nowhere().await;
        router.set("agent-echo", &addrs);
        router.set("worker-echo", &addrs[..2]);
        router.set("agent-other", &[addrs[2], dead]);
        router.set("agent-empty", &[]);
        router.set_grpc("demo.Echo", "agent-echo");
        let answered = AtomicU64::new(0);
        let clients = (0..16).map(|seed| restless(router.addr, 100 + seed, &answered));
        let disturbance = async {
            let mut dice = StdRng::seed_from_u64(99);
            let mut ticks = tokio::time::interval(std::time::Duration::from_millis(10));
            loop {
                ticks.tick().await;
                match dice.random_range(0..4) {
                    0 => backends[dice.random_range(0..3)].cut(),
                    1 => router.set("agent-echo", &addrs[..dice.random_range(1..4)]),
                    2 => router.set("agent-other", &[[addrs[2], dead][dice.random_range(0..2)]]),
                    _ => router.publish(),
                }
            }
        };
        tokio::select! {
            _ = futures_util::future::join_all(clients) => {}
            () = disturbance => unreachable!(),
        }
        assert!(answered.load(SeqCst) > 100, "{answered:?}");
        router.settled().await;
        until(0, || router.metric("switchboard_downstream_connections")).await;
        // It works as on the first day.
        let echo = Backend::echo("echo").await;
        router.set_instances("agent-echo", vec![Instance::new("new", echo.addr)]);
        let client = Client::connect(router.addr).await;
        for _ in 0..10 {
            assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        }
        // Connections to instances that left are gone as well.
        router.set("agent-other", &[]);
        router.set("worker-echo", &[]);
        for backend in &backends {
            until(0, || backend.open_connections()).await;
        }
    });
}

#[test]
fn many_uploads_against_a_low_limit_of_streams_all_finish() {
    run(async {
        let backend = Backend::with(
            |builder| {
                builder.max_concurrent_streams(10);
            },
            async |mut call: Incoming| {
                let length = call.messages.drain().await;
                call.reply(&task("", &length.to_string())).await;
            },
        )
        .await;
        let router = TestRouter::with(|config| config.connections_per_endpoint = 2).await;
        router.set("agent-echo", &[backend.addr]);
        let clients = [Client::connect(router.addr).await, Client::connect(router.addr).await];
        let body: Bytes = frame(&task("echo", &"u".repeat(256 << 10)).encode_to_vec());
        let calls = (0..200).map(|i| clients[i % 2].send_all(EXECUTE_TASK, &[], body.clone()));
        for answer in futures_util::future::join_all(calls).await {
            let request: switchboard_proto::agentplatform::TaskRequest = answer.unwrap().decode();
            assert_eq!(request.input, body.len().to_string());
        }
        assert_eq!(backend.connections(), 2);
        router.settled().await;
    });
}
