//! A stream on which nothing passes is ended with a status after its time, and never before (complaints 39-41).

use crate::support::*;
use std::time::{Duration, Instant};
use tokio::time::{interval, timeout};

/// Echoes messages, but those that begin with `quiet`.
async fn echo_unless_quiet(mut call: Incoming) {
    let mut out = call.begin(&[]);
    while let Ok(Some(message)) = call.messages.next().await {
        if message.starts_with(b"quiet") {
            continue;
        }
        if out.send(&message).await.is_err() {
            return;
        }
    }
    out.finish(&[("grpc-status", "0")]);
}

async fn router(idle: Duration) -> (TestRouter, Backend) {
    let backend = Backend::start(echo_unless_quiet).await;
    let router = TestRouter::with(|config| config.stream_idle = idle).await;
    router.set("agent-x", &[backend.addr]);
    router.set_grpc("demo.Echo", "agent-x");
    (router, backend)
}

#[test]
fn a_stream_on_which_nothing_passes_is_ended_with_a_status() {
    run(async {
        let (router, backend) = router(Duration::from_millis(150)).await;
        let client = Client::connect(router.addr).await;
        let mut call = client.open(BIDI, &[]).await.unwrap();
        call.send(b"one").await.unwrap();
        let (_request, mut response) = call.response().await.unwrap();
        let quiet_since = Instant::now();
        assert_eq!(response.messages.next().await.unwrap().unwrap(), "one");
        let answer = response.finish().await.unwrap();
        assert_eq!((answer.status(), answer.reason().as_str()), (4, "STREAM_IDLE"), "{answer:?}");
        assert_eq!(answer.fact("service"), "agent-x");
        // The response's headers may have come some milliseconds before.
        assert!(quiet_since.elapsed() >= Duration::from_millis(100), "{:?}", quiet_since.elapsed());
        until(0, || backend.open_streams()).await;
        router.settled().await;
    });
}

#[test]
fn messages_in_one_direction_are_enough() {
    run(async {
        let (router, _backend) = router(Duration::from_millis(600)).await;
        let client = Client::connect(router.addr).await;
        let mut call = client.open(BIDI, &[]).await.unwrap();
        call.send(b"one").await.unwrap();
        let (mut request, mut response) = call.response().await.unwrap();
        assert_eq!(response.messages.next().await.unwrap().unwrap(), "one");
        let mut ticks = interval(Duration::from_millis(20));
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(1_500) {
            ticks.tick().await;
            request.send_data(frame(b"quiet"), false).unwrap();
        }
        request.send_data(frame(b"two"), true).unwrap();
        assert_eq!(response.messages.next().await.unwrap().unwrap(), "two");
        assert_eq!(response.finish().await.unwrap().status(), 0);
        router.settled().await;
    });
}

#[test]
fn zero_bears_silence_for_ever() {
    run(async {
        let (router, _backend) = router(Duration::ZERO).await;
        let client = Client::connect(router.addr).await;
        let mut call = client.open(BIDI, &[]).await.unwrap();
        call.send(b"one").await.unwrap();
        let (mut request, mut response) = call.response().await.unwrap();
        assert_eq!(response.messages.next().await.unwrap().unwrap(), "one");
        assert!(timeout(Duration::from_millis(400), response.messages.next()).await.is_err());
        request.send_data(frame(b"two"), true).unwrap();
        assert_eq!(response.messages.next().await.unwrap().unwrap(), "two");
        assert_eq!(response.finish().await.unwrap().status(), 0);
    });
}
