//! An old connection is asked to reconnect, by GOAWAY alone: no call is ended by it (complaints 23, 32, 33).

use crate::support::*;
use bytes::Bytes;
use std::time::{Duration, Instant};
use switchboard_http2::frame::{self, MAX_31, kind};
use tokio::time::timeout;

async fn echo_messages(mut call: Incoming) {
    if call.head.uri.path() == EXECUTE_TASK {
        return call.echo("echo").await;
    }
    let mut out = call.begin(&[]);
    while let Ok(Some(message)) = call.messages.next().await {
        if out.send(&message).await.is_err() {
            return;
        }
    }
    out.finish(&[("grpc-status", "0")]);
}

async fn router(age_ms: u64) -> TestRouter {
    TestRouter::with(|config| config.connection_age = Duration::from_millis(age_ms)).await
}

/// Waits for the first GOAWAY; the connection's age then.
async fn age(wire: &mut Wire, began: Instant) -> Duration {
    assert_eq!(wire.wait(kind::GOAWAY).await.go_away(), (MAX_31, 0));
    began.elapsed()
}

#[test]
fn an_old_connection_is_asked_to_leave_in_two_steps() {
    run(async {
        let router = router(200).await;
        let began = Instant::now();
        let mut wire = Wire::client(router.addr).await;
        let age = age(&mut wire, began).await;
        assert!(age >= Duration::from_millis(180), "{age:?}");
        let payload: [u8; 8] = wire.wait(kind::PING).await.payload.try_into().unwrap();
        wire.send(|out| frame::write_ping(out, payload, true)).await;
        assert_eq!(wire.wait(kind::GOAWAY).await.go_away(), (0, 0));
        assert_eq!(wire.rest().await, []);
    });
}

#[test]
fn a_running_stream_outlives_the_age_of_its_connection() {
    run(async {
        let backend = Backend::start(echo_messages).await;
        let router = router(100).await;
        router.set("agent-x", &[backend.addr]);
        router.set_grpc("demo.Echo", "agent-x");
        let client = Client::connect(router.addr).await;
        let began = Instant::now();
        let mut call = client.open(BIDI, &[]).await.unwrap();
        call.send(b"0").await.unwrap();
        let (mut request, mut response) = call.response().await.unwrap();
        assert_eq!(response.messages.next().await.unwrap().unwrap(), "0");
        while began.elapsed() < Duration::from_millis(600) {
            request.send_data(crate::support::frame(b"more"), false).unwrap();
            assert_eq!(response.messages.next().await.unwrap().unwrap(), "more");
        }
        // It takes no further call, but the one that runs ends as its peers wish.
        assert!(client.open(BIDI, &[]).await.is_err());
        assert!(!client.is_closed());
        request.send_data(Bytes::new(), true).unwrap();
        assert_eq!(response.finish().await.unwrap().status(), 0);
        assert_eq!(client.closed().await, None);
        until(0, || router.metric("switchboard_downstream_connections")).await;
    });
}

#[test]
fn a_client_that_reconnects_when_it_is_asked_loses_no_call() {
    run(async {
        let backend = Backend::start(echo_messages).await;
        let router = router(60).await;
        router.set("agent-echo", &[backend.addr]);
        let (mut client, mut answered, mut moves) = (Client::connect(router.addr).await, 0, 0);
        while moves < 6 {
            match client.try_unary(EXECUTE_TASK, &[], &task("echo", "x")).await {
                Ok(answer) => {
                    assert_eq!(answer.status(), 0);
                    answered += 1;
                }
                // The connection takes no more calls: this one was not sent.
                Err(gone) => {
                    assert_eq!(gone, Gone(Some(h2::Reason::NO_ERROR)));
                    client = Client::connect(router.addr).await;
                    moves += 1;
                }
            }
        }
        assert_eq!(backend.streams(), answered);
        assert!(answered >= moves);
    });
}

#[test]
fn connections_opened_together_are_asked_at_different_times() {
    run(async {
        let router = router(1_000).await;
        let asked = (0..100).map(|_| async {
            let began = Instant::now();
            let mut wire = Wire::client(router.addr).await;
            age(&mut wire, began).await
        });
        let ages = futures_util::future::join_all(asked).await;
        let (first, last) = (ages.iter().min().unwrap(), ages.iter().max().unwrap());
        assert!(*first >= Duration::from_millis(900), "{first:?}");
        assert!(*last - *first >= Duration::from_millis(100), "{first:?} to {last:?}");
        // Not in a few bunches either.
        let mut tens: Vec<u128> = ages.iter().map(|age| age.as_millis() / 10).collect();
        tens.sort_unstable();
        tens.dedup();
        assert!(tens.len() >= 8, "{tens:?}");
    });
}

#[test]
fn zero_asks_nobody() {
    run(async {
        let backend = Backend::start(echo_messages).await;
        let router = router(0).await;
        router.set("agent-echo", &[backend.addr]);
        let mut wire = Wire::client(router.addr).await;
        let client = Client::connect(router.addr).await;
        assert!(timeout(Duration::from_millis(300), wire.wait(kind::GOAWAY)).await.is_err());
        assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
    });
}
