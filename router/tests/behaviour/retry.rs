//! A call that no backend can have processed goes to another instance, once; any other never.

use crate::support::*;
use bytes::Bytes;
use h2::Reason;
use std::time::Duration;
use switchboard_http2::frame::{self, kind, setting};
use switchboard_proto::agentplatform::{TaskRequest, TaskResponse};

/// A router with instance `b` known and one call hanging there, so that the next pick falls on another.
async fn loaded(b: &Backend, client_of: &TestRouter) -> Call {
    client_of.set_instances("agent-echo", vec![Instance::new("b", b.addr)]);
    let client = Client::connect(client_of.addr).await;
    let call = client.begin(EXECUTE_TASK, &[("x-hang", "1")], &task("echo", "x")).await;
    until(1, || b.open_streams()).await;
    // The call keeps its client's connection open.
    tokio::spawn(async move {
        let _client = client;
        std::future::pending::<()>().await;
    });
    call
}

/// Echoes, or hangs where it is asked to.
async fn echo_or_hang(call: Incoming) {
    if call.head.headers.contains_key("x-hang") {
        call.hang().await;
    } else {
        call.echo("b").await;
    }
}

#[test]
fn a_refused_connect_sends_the_call_to_the_other_instance() {
    run(async {
        let b = Backend::start(echo_or_hang).await;
        let router = TestRouter::start().await;
        let _hanging = loaded(&b, &router).await;
        let dead = Instance::new("a", nowhere().await);
        router.set_instances("agent-echo", vec![dead.clone(), Instance::new("b", b.addr)]);
        let client = Client::connect(router.addr).await;
        // More than is kept for a retry: nothing of it was sent, so it may all be sent now.
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo", &"x".repeat(300_000))).await;
        assert_eq!(answer.decode::<TaskResponse>().output.len(), 300_003);
        assert_eq!(router.metric("switchboard_retries_total"), 1);
        assert_eq!(router.metric("switchboard_upstream_connect_failures_total"), 1);
        // The instance is passed over for a while: no call is held up by it now.
        for _ in 0..3 {
            assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        }
        assert_eq!(router.open_at("a", dead.addr), 0);
    });
}

#[test]
fn the_only_instance_refusing_the_connect_is_unavailable_with_the_reason() {
    run(async {
        let router = TestRouter::start().await;
        router.set_instances("agent-echo", vec![Instance::new("a", nowhere().await)]);
        let client = Client::connect(router.addr).await;
        for _ in 0..3 {
            let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
            assert_eq!((answer.status(), answer.reason().as_str()), (14, "CONNECT_FAILED"), "{answer:?}");
            assert_eq!((answer.fact("service"), answer.fact("instance")), ("agent-echo".into(), "a".into()));
            assert!(answer.message().contains("refused"), "{}", answer.message());
        }
        router.settled().await;
    });
}

#[test]
fn when_both_instances_refuse_the_connect_the_call_fails() {
    run(async {
        let router = TestRouter::start().await;
        let dead = vec![Instance::new("a", nowhere().await), Instance::new("c", nowhere().await)];
        router.set_instances("agent-echo", dead);
        let client = Client::connect(router.addr).await;
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
        assert_eq!((answer.status(), answer.reason().as_str()), (14, "CONNECT_FAILED"));
        assert_eq!(router.metric("switchboard_retries_total"), 1);
    });
}

#[test]
fn an_instance_that_never_sends_settings_counts_as_a_failed_connect() {
    run(async {
        let b = Backend::start(echo_or_hang).await;
        let router = TestRouter::with(|config| config.connect_timeout = Duration::from_millis(200)).await;
        let _hanging = loaded(&b, &router).await;
        let mute = Peer::start().await;
        router.set_instances("agent-echo", vec![Instance::new("a", mute.addr), Instance::new("b", b.addr)]);
        let client = Client::connect(router.addr).await;
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
        assert_eq!(answer.decode::<TaskResponse>().output, "b: x");
        assert_eq!(router.metric("switchboard_upstream_connect_failures_total"), 1);
        router.set_instances("agent-echo", vec![Instance::new("a", mute.addr)]);
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
        assert_eq!((answer.status(), answer.reason().as_str()), (14, "CONNECT_FAILED"));
    });
}

#[test]
fn an_instance_that_does_not_speak_http2_counts_as_a_failed_connect() {
    run(async {
        let router = TestRouter::start().await;
        let peer = Peer::start().await;
        router.set_instances("agent-echo", vec![Instance::new("a", peer.addr)]);
        let client = Client::connect(router.addr).await;
        let call = tokio::spawn(async move { client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await });
        let mut wire = peer.accept().await;
        wire.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        let answer = call.await.unwrap();
        assert_eq!((answer.status(), answer.reason().as_str()), (14, "CONNECT_FAILED"), "{answer:?}");
        wire.rest().await;
    });
}

#[test]
fn a_refused_stream_is_sent_once_more_elsewhere() {
    run(async {
        let b = Backend::start(echo_or_hang).await;
        let refusing = Backend::start(async |mut call: Incoming| call.reset(Reason::REFUSED_STREAM)).await;
        let router = TestRouter::start().await;
        let _hanging = loaded(&b, &router).await;
        let a = Instance::new("a", refusing.addr);
        router.set_instances("agent-echo", vec![a, Instance::new("b", b.addr)]);
        let client = Client::connect(router.addr).await;
        let input = "y".repeat(60_000);
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo", &input)).await;
        assert!(answer.decode::<TaskResponse>().output == format!("b: {input}"));
        assert_eq!((refusing.streams(), router.metric("switchboard_retries_total")), (1, 1));
        // Refused by both: two attempts, no third.
        let c = Backend::start(async |mut call: Incoming| call.reset(Reason::REFUSED_STREAM)).await;
        let both = vec![Instance::new("a", refusing.addr), Instance::new("c", c.addr)];
        router.set_instances("agent-echo", both);
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
        assert_eq!((answer.status(), answer.reason().as_str()), (14, "STREAM_REFUSED"));
        assert_eq!((refusing.streams(), c.streams()), (2, 1));
    });
}

#[test]
fn a_call_that_is_sent_again_goes_on_with_what_its_client_sends_later() {
    run(async {
        let b = Backend::start(async |mut call: Incoming| {
            if call.head.headers.contains_key("x-hang") {
                return call.hang().await;
            }
            let messages = call.messages.rest().await.unwrap();
            call.reply(&task("", &format!("{messages:?}"))).await;
        })
        .await;
        let refusing = Backend::start(async |mut call: Incoming| call.reset(Reason::REFUSED_STREAM)).await;
        let router = TestRouter::start().await;
        let _hanging = loaded(&b, &router).await;
        let both = vec![Instance::new("a", refusing.addr), Instance::new("b", b.addr)];
        router.set_instances("agent-echo", both);
        router.set_grpc("demo.Echo", "agent-echo");
        let client = Client::connect(router.addr).await;
        let mut call = client.open(BIDI, &[]).await.unwrap();
        call.send(b"one").await.unwrap();
        until(2, || b.open_streams()).await;
        call.send(b"two").await.unwrap();
        call.half_close();
        let answer = call.answer().await.unwrap();
        assert_eq!(answer.decode::<TaskRequest>().input, "[b\"one\", b\"two\"]");
    });
}

#[test]
fn a_stream_above_the_last_one_of_a_goaway_is_sent_elsewhere() {
    run(async {
        let b = Backend::start(echo_or_hang).await;
        let router = TestRouter::start().await;
        let _hanging = loaded(&b, &router).await;
        let leaving = Peer::start().await;
        let both = vec![Instance::new("a", leaving.addr), Instance::new("b", b.addr)];
        router.set_instances("agent-echo", both);
        let client = Client::connect(router.addr).await;
        let call = tokio::spawn(async move { client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await });
        let mut wire = leaving.accept_http2(&[]).await;
        wire.wait(kind::HEADERS).await;
        wire.send(|out| frame::write_goaway(out, 0, 0, b"leaving")).await;
        assert_eq!(call.await.unwrap().decode::<TaskResponse>().output, "b: x");
        assert_eq!(router.metric("switchboard_retries_total"), 1);
        // Nothing is left to do there.
        assert!(wire.rest().await.iter().all(|frame| frame.kind != kind::HEADERS));
    });
}

#[test]
fn a_stream_that_the_goaway_includes_is_finished_there() {
    run(async {
        let peer = Peer::start().await;
        let router = TestRouter::start().await;
        router.set_instances("agent-echo", vec![Instance::new("a", peer.addr)]);
        let client = Client::connect(router.addr).await;
        let call = tokio::spawn(async move { client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await });
        let mut wire = peer.accept_http2(&[]).await;
        let stream = wire.wait(kind::HEADERS).await.stream;
        let block =
            wire.block(&[(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "0")]);
        wire.send(|out| {
            frame::write_goaway(out, stream, 0, b"leaving");
            frame::write_headers(out, stream, &block, true, true);
        })
        .await;
        assert_eq!(call.await.unwrap().status(), 0);
        assert_eq!(router.metric("switchboard_retries_total"), 0);
        wire.rest().await;
    });
}

#[test]
fn no_stream_is_opened_on_a_connection_after_its_goaway() {
    run(async {
        let backend = Backend::start(echo_or_hang).await;
        let router = TestRouter::start().await;
        let hanging = loaded(&backend, &router).await;
        backend.go_away();
        let client = Client::connect(router.addr).await;
        // The GOAWAY is on its way; whichever connection each call took, none is lost.
        for _ in 0..50 {
            assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        }
        until(2, || backend.connections()).await;
        // The old connection's stream runs on.
        assert_eq!(backend.open_streams(), 1);
        drop(hanging);
        until(1, || backend.open_connections()).await;
    });
}

#[test]
fn a_call_that_may_have_been_processed_is_never_sent_again() {
    run(async {
        for way in ["reset", "status", "cut"] {
            let handler = move |mut call: Incoming| async move {
                assert!(call.messages.next().await.unwrap().is_some());
                match way {
                    "reset" => call.reset(Reason::INTERNAL_ERROR),
                    "status" => call.trailers_only(&[("grpc-status", "14")]),
                    _ => {
                        call.reset_by_peer().await;
                    }
                }
            };
            let (a, b) = (Backend::start(handler).await, Backend::start(handler).await);
            let router = TestRouter::start().await;
            router.set("agent-echo", &[a.addr, b.addr]);
            let client = Client::connect(router.addr).await;
            let request = task("echo", "x");
            let call = client.try_unary(EXECUTE_TASK, &[], &request);
            let cut = async {
                if way == "cut" {
                    until(1, || a.open_streams() + b.open_streams()).await;
                    a.cut();
                    b.cut();
                }
            };
            let (answer, ()) = tokio::join!(call, cut);
            match way {
                "reset" => assert_eq!(answer.unwrap_err(), Gone(Some(Reason::INTERNAL_ERROR))),
                _ => assert_eq!(answer.unwrap().status(), 14),
            }
            assert_eq!((a.streams() + b.streams(), way), (1, way));
            assert_eq!(router.metric("switchboard_retries_total"), 0, "{way}");
        }
    });
}

#[test]
fn a_refused_call_whose_body_is_no_longer_held_is_not_sent_again() {
    run(async {
        let handler = async |mut call: Incoming| {
            // Refuses after all of a body beyond the replay cap has passed.
            let mut seen = 0;
            while seen < 200_000 {
                seen += call.messages.next().await.unwrap().unwrap().len();
            }
            call.reset(Reason::REFUSED_STREAM);
        };
        let (a, b) = (Backend::start(handler).await, Backend::start(handler).await);
        let router = TestRouter::start().await;
        router.set("agent-echo", &[a.addr, b.addr]);
        router.set_grpc("demo.Echo", "agent-echo");
        let client = Client::connect(router.addr).await;
        let body: Bytes = frame(&[1; 10_000]).repeat(20).into();
        let answer = client.send_all(BIDI, &[], body).await.unwrap();
        assert_eq!((answer.status(), answer.reason().as_str()), (14, "STREAM_REFUSED"), "{answer:?}");
        assert_eq!(a.streams() + b.streams(), 1);
        router.settled().await;
    });
}

#[test]
fn an_instance_that_allows_no_stream_at_all_holds_calls_until_their_deadline() {
    run(async {
        let peer = Peer::start().await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[peer.addr]);
        let client = Client::connect(router.addr).await;
        let call = tokio::spawn(async move {
            client.unary(EXECUTE_TASK, &[("grpc-timeout", "500m")], &task("echo", "x")).await
        });
        let _wire = peer.accept_http2(&[(setting::MAX_CONCURRENT_STREAMS, 0)]).await;
        assert_eq!(call.await.unwrap().status(), 4);
        router.settled().await;
    });
}
