//! The end is announced in two steps, costs no call, and when it comes after all it comes with a status.

use crate::support::*;
use bytes::Bytes;
use prost::Message;
use std::time::Duration;
use switchboard_http2::frame::{self, MAX_31, kind};
use switchboard_router::link::Update;

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

#[test]
fn an_idle_connection_gets_both_goaways_and_is_closed() {
    run(async {
        let router = TestRouter::start().await;
        let mut wire = Wire::client(router.addr).await;
        router.send(|| Update::Drain);
        assert_eq!(wire.wait(kind::GOAWAY).await.go_away(), (MAX_31, 0));
        let ping = wire.wait(kind::PING).await;
        let payload: [u8; 8] = ping.payload.try_into().unwrap();
        wire.send(|out| frame::write_ping(out, payload, true)).await;
        assert_eq!(wire.wait(kind::GOAWAY).await.go_away(), (0, 0));
        assert_eq!(wire.rest().await, []);
    });
}

#[test]
fn a_client_that_does_not_answer_the_ping_gets_the_second_goaway_after_the_gap() {
    run(async {
        let router = TestRouter::with(|config| config.drain_goaway_gap = Duration::from_millis(100)).await;
        let mut wire = Wire::client(router.addr).await;
        router.send(|| Update::Drain);
        assert_eq!(wire.wait(kind::GOAWAY).await.go_away(), (MAX_31, 0));
        assert_eq!(wire.wait(kind::GOAWAY).await.go_away(), (0, 0));
        wire.rest().await;
    });
}

#[test]
fn calls_that_arrive_between_the_two_goaways_are_served() {
    run(async {
        let echo = Backend::start(echo_messages).await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        let mut wire = Wire::client(router.addr).await;
        router.send(|| Update::Drain);
        wire.wait(kind::GOAWAY).await;
        let payload: [u8; 8] = wire.wait(kind::PING).await.payload.try_into().unwrap();
        let block = wire.request_block(EXECUTE_TASK);
        let message = crate::support::frame(&task("echo", "x").encode_to_vec());
        wire.send(|out| {
            frame::write_headers(out, 1, &block, false, true);
            frame::write_data(out, 1, &message, true);
            frame::write_ping(out, payload, true);
        })
        .await;
        let frames = wire.rest().await;
        let last = frames.iter().find(|frame| frame.kind == kind::GOAWAY).unwrap();
        assert_eq!(last.go_away(), (1, 0));
        assert!(frames.iter().any(|frame| frame.kind == kind::HEADERS && frame.ends_stream()), "{frames:?}");
    });
}

#[test]
fn a_running_stream_goes_on_to_its_end_and_the_connection_closes_then() {
    run(async {
        let echo = Backend::start(echo_messages).await;
        let router = TestRouter::start().await;
        router.set("agent-x", &[echo.addr]);
        router.set_grpc("demo.Echo", "agent-x");
        let client = Client::connect(router.addr).await;
        let mut call = client.open(BIDI, &[]).await.unwrap();
        call.send(b"before").await.unwrap();
        let (mut request, mut response) = call.response().await.unwrap();
        assert_eq!(response.messages.next().await.unwrap().unwrap(), "before");
        router.send(|| Update::Drain);
        for i in 0..20 {
            let message = i.to_string();
            request.send_data(frame_of(&message), false).unwrap();
            assert_eq!(response.messages.next().await.unwrap().unwrap(), message);
        }
        assert!(!client.is_closed());
        request.send_data(Bytes::new(), true).unwrap();
        assert_eq!(response.finish().await.unwrap().status(), 0);
        assert_eq!(client.closed().await, None);
        until(0, || router.metric("switchboard_downstream_connections")).await;
    });
}

fn frame_of(message: &str) -> Bytes {
    crate::support::frame(message.as_bytes())
}

#[test]
fn a_connection_made_during_the_drain_is_told_and_its_call_is_served() {
    run(async {
        let echo = Backend::start(echo_messages).await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        router.send(|| Update::Drain);
        // Everything at once: the call is sent before the GOAWAY can be seen.
        let mut wire = Wire::connect(router.addr).await;
        let block = wire.request_block(EXECUTE_TASK);
        let message = crate::support::frame(&task("echo", "x").encode_to_vec());
        wire.send(|out| {
            out.extend_from_slice(frame::PREFACE);
            frame::write_settings(out, &[]);
            frame::write_headers(out, 1, &block, false, true);
            frame::write_data(out, 1, &message, true);
        })
        .await;
        assert_eq!(wire.wait(kind::GOAWAY).await.go_away(), (MAX_31, 0));
        let payload: [u8; 8] = wire.wait(kind::PING).await.payload.try_into().unwrap();
        wire.send(|out| frame::write_ping(out, payload, true)).await;
        let frames = wire.rest().await;
        assert!(frames.iter().any(|frame| frame.kind == kind::HEADERS && frame.ends_stream()), "{frames:?}");
        assert!(frames.iter().any(|frame| frame.kind == kind::GOAWAY && frame.go_away() == (1, 0)));
    });
}

#[test]
fn a_drain_under_load_costs_no_call() {
    run(async {
        let echo = Backend::start(echo_messages).await;
        let (old, new) = (TestRouter::start().await, TestRouter::start().await);
        old.set("agent-echo", &[echo.addr]);
        new.set("agent-echo", &[echo.addr]);
        let mut loads = Vec::new();
        for _ in 0..8 {
            let (old, new) = (old.addr, new.addr);
            loads.push(tokio::spawn(async move {
                let (mut client, mut moved) = (Client::connect(old).await, 0);
                while moved < 20 {
                    match client.try_unary(EXECUTE_TASK, &[], &task("echo", "x")).await {
                        Ok(answer) => {
                            assert_eq!(answer.status(), 0);
                            moved += usize::from(moved > 0);
                        }
                        // The connection takes no more calls: this one was not sent.
                        Err(gone) => {
                            assert_eq!((gone, moved), (Gone(Some(h2::Reason::NO_ERROR)), 0));
                            client = Client::connect(new).await;
                            moved = 1;
                        }
                    }
                }
            }));
        }
        until(true, || echo.streams() > 100).await;
        old.send(|| Update::Drain);
        for load in loads {
            load.await.unwrap();
        }
        until(0, || old.metric("switchboard_downstream_connections")).await;
    });
}

#[test]
fn a_stop_ends_the_remaining_calls_with_a_status() {
    run(async {
        let hanging = Backend::start(async |mut call: Incoming| {
            let mut out = call.begin(&[]);
            out.send(b"part").await.unwrap();
            out.reset_by_peer().await;
        })
        .await;
        let router = TestRouter::start().await;
        router.otherwise(Reply::Silence);
        router.set("agent-echo", &[hanging.addr]);
        let client = Client::connect(router.addr).await;
        let request = task("echo", "x");
        let begun = client.unary(STREAM_TASK, &[], &request);
        let unknown = task("unknown", "x");
        let parked = client.unary(EXECUTE_TASK, &[], &unknown);
        let stop = async {
            until(1, || hanging.open_streams()).await;
            until(1, || router.metric("switchboard_calls_parked")).await;
            router.send(|| Update::Stop);
        };
        let (begun, parked, ()) = tokio::join!(begun, parked, stop);
        for answer in [&begun, &parked] {
            assert_eq!((answer.status(), answer.reason().as_str()), (14, "ROUTER_SHUTDOWN"), "{answer:?}");
            assert!(answer.details().retry_after().is_some());
        }
        assert_eq!(begun.messages.len(), 1);
        assert_eq!(client.closed().await, None);
        until(0, || hanging.open_streams()).await;
    });
}
