//! The memory budget: windows shrink, new calls are refused, and who holds most goes first (complaints 57, 58).

use crate::support::*;
use bytes::Bytes;
use std::time::Duration;
use switchboard_http2::{ErrorCode, frame as http2};
use switchboard_router::Config;

const MIB: usize = 1 << 20;
/// Bytes of a whole `StreamTask` answer: messages with their prefixes.
const WHOLE: usize = 64 * MIB + 64 * 16 * 5;

/// A backend that answers `StreamTask` with 64 MiB or as much as is taken, and `bidi` with one message of 900 KiB.
async fn producer() -> Backend {
    Backend::start(async |mut call: Incoming| match call.head.uri.path() {
        EXECUTE_TASK => call.echo("echo").await,
        STREAM_TASK => {
            let mut out = call.begin(&[]);
            for _ in 0..64 * 16 {
                if out.send(&[7; MIB / 16]).await.is_err() {
                    return;
                }
            }
            out.finish(&[("grpc-status", "0")]);
        }
        _ => {
            let mut out = call.begin(&[]);
            if out.send(&[9; 900 << 10]).await.is_ok() {
                out.finish(&[("grpc-status", "0")]);
            }
        }
    })
    .await
}

async fn router(budget: usize, adjust: impl FnOnce(&mut Config)) -> (TestRouter, Backend) {
    let backend = producer().await;
    let router = TestRouter::with(|config| {
        config.memory_budget = budget;
        adjust(config);
    })
    .await;
    router.set("agent-echo", &[backend.addr]);
    router.set_grpc("demo.Echo", "agent-echo");
    (router, backend)
}

/// A client whose application does not read: it has begun this many streams.
async fn stalled(router: &TestRouter, streams: usize) -> Vec<(Client, Response)> {
    let mut all = Vec::new();
    for _ in 0..streams {
        let client = Client::with(router.addr, |_| {}).await;
        let call = client.begin(STREAM_TASK, &[], &task("echo", "x")).await;
        let (_, response) = call.response().await.expect("a response begins");
        all.push((client, response));
    }
    all
}

fn held(router: &TestRouter) -> u64 {
    router.metric("switchboard_buffered_bytes")
}

fn shrunk(router: &TestRouter) -> u64 {
    router.metric("switchboard_threads_with_shrunk_windows")
}

#[test]
fn windows_shrink_while_memory_is_short_and_grow_back() {
    run(async {
        let (router, _backend) = router(8 * MIB, |_| {}).await;
        let slow = stalled(&router, 7).await;
        until(1, || shrunk(&router)).await;
        // Those that come now hold 64 KiB and not a MiB.
        let before = held(&router);
        let more = stalled(&router, 10).await;
        steady(|| held(&router)).await;
        assert!(held(&router) < before + 10 * (300 << 10), "{} after {before}", held(&router));
        // Nobody is refused yet, and a stream that is read gets on with the small window.
        let reader = Client::connect(router.addr).await;
        let call = reader.begin(STREAM_TASK, &[], &task("echo", "x")).await;
        let (_, mut response) = call.response().await.unwrap();
        assert_eq!(response.messages.drain().await, WHOLE);
        assert_eq!(router.metric("switchboard_calls_ended_for_memory_total"), 0);
        // One of the first is read after all: what it missed comes whole, with window enough.
        let (client, mut late) = slow.into_iter().next().unwrap();
        assert_eq!(late.messages.drain().await, WHOLE);
        drop((client, late, more));
        until(0, || shrunk(&router)).await;
        let (client, mut again) = stalled(&router, 1).await.pop().unwrap();
        until(true, || held(&router) > 700 << 10).await;
        assert_eq!(again.messages.drain().await, WHOLE);
        drop(client);
    });
}

#[test]
fn beyond_the_budget_who_holds_most_ends_with_a_reason() {
    run(async {
        // Windows cannot shrink in time: the producer is faster than a measurement.
        let (router, _backend) = router(4 * MIB, |_| {}).await;
        let mut slow = stalled(&router, 12).await;
        until(true, || router.metric("switchboard_calls_ended_for_memory_total") > 0).await;
        until(true, || held(&router) <= 4 * MIB as u64).await;
        let calm = Client::connect(router.addr).await;
        // A refusal says when to come again.
        for _ in 0..20 {
            let answer = calm.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
            assert!(answer.status() == 0 || answer.reason() == "MEMORY_BUDGET", "{answer:?}");
        }
        let mut ended = 0;
        for (_, response) in &mut slow {
            // What is left of the stream is a beginning; its end says why.
            let got = response.messages.drain().await;
            let trailers = response.messages.trailers().await.unwrap();
            match trailers.get("grpc-status").map(|status| status.as_bytes()) {
                Some(b"8") => {
                    ended += 1;
                    assert!(got < WHOLE);
                    let message = trailers["grpc-message"].to_str().unwrap();
                    assert!(message.contains("its peer did not take"), "{message}");
                }
                status => assert_eq!((status, got), (Some(&b"0"[..]), WHOLE)),
            }
        }
        assert!(ended > 0);
        router.settled().await;
        until(true, || held(&router) < MIB as u64).await;
        assert_eq!(calm.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
    });
}

#[test]
fn complete_responses_that_nobody_takes_are_given_up_too() {
    run(async {
        let (router, backend) = router(3 * MIB, |_| {}).await;
        let mut wire = Wire::client(router.addr).await;
        // The client takes no DATA at all; the calls are over for the instance, and for the router but for their bytes.
        wire.send(|out| http2::write_settings(out, &[(http2::setting::INITIAL_WINDOW_SIZE, 0)])).await;
        let message = frame(b"x");
        for calls in 1..=40 {
            let stream = 2 * calls - 1;
            let block = wire.request_block(BIDI);
            wire.send(|out| {
                http2::write_headers(out, stream, &block, false, true);
                http2::write_data(out, stream, &message, true);
            })
            .await;
            until(true, || backend.streams() >= calls as usize || held(&router) > 2 * MIB as u64).await;
            if calls <= 2 {
                // These hold most, and are over.
                until(0, || backend.open_streams()).await;
            }
        }
        let code = loop {
            let reset = wire.wait(http2::kind::RST_STREAM).await;
            if reset.word(0) != 0 {
                break reset.word(0);
            }
        };
        assert_eq!(code, ErrorCode::ENHANCE_YOUR_CALM.0);
        until(true, || held(&router) <= 3 * MIB as u64).await;
        assert!(router.metric("switchboard_calls_ended_for_memory_total") > 0);
        drop(wire);
        until(0, || backend.open_streams()).await;
        until(0, || held(&router)).await;
    });
}

#[test]
fn uploads_that_wait_for_an_instance_count_and_end_first() {
    run(async {
        let (router, _backend) = router(2 * MIB, |config| {
            config.no_endpoint_wait = Duration::from_secs(60);
        })
        .await;
        router.set("agent-absent", &[]);
        let client = Client::connect(router.addr).await;
        let mut calls = Vec::new();
        for _ in 0..6 {
            let mut call = client.begin(STREAM_TASK, &[], &task("absent", "x")).await;
            // One stream's window at most; the task is the first message.
            let upload = tokio::spawn(async move {
                let _ = call.raw(Bytes::from(vec![0; 800 << 10]), false).await;
                call.answer().await
            });
            calls.push(upload);
        }
        until(true, || router.metric("switchboard_calls_ended_for_memory_total") > 0).await;
        until(true, || held(&router) <= 2 * MIB as u64).await;
        let (mut ended, mut waiting) = (0, 0);
        for call in calls {
            match tokio::time::timeout(Duration::from_millis(200), call).await {
                Ok(answer) => {
                    let answer = answer.unwrap().unwrap();
                    let reasons = ["MEMORY_HELD", "MEMORY_BUDGET"];
                    assert!(reasons.contains(&answer.reason().as_str()), "{answer:?}");
                    ended += 1;
                }
                Err(_waits) => waiting += 1,
            }
        }
        assert!(ended > 0 && waiting > 0, "{ended} ended, {waiting} wait");
    });
}
