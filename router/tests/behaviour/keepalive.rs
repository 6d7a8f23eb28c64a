//! Peers that are gone without a word are found out by PING, and those that live are left alone (complaints 39, 48).

use crate::support::*;
use std::time::{Duration, Instant};
use switchboard_http2::{
    ErrorCode,
    frame::{self, flag, kind},
};
use tokio::time::timeout;

/// An answer that is in time even on a busy machine.
const PATIENT: Duration = Duration::from_secs(20);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Pings clients after that silence; they have that long to answer.
async fn towards_clients(silence: Duration, answer: Duration) -> TestRouter {
    TestRouter::with(|config| (config.downstream_ping, config.ping_timeout) = (silence, answer)).await
}

/// The same, instances.
async fn towards_instances(silence: Duration, answer: Duration) -> TestRouter {
    TestRouter::with(|config| {
        (config.upstream_ping, config.ping_timeout) = (silence, answer);
        config.connect_timeout = ms(300);
    })
    .await
}

/// Waits for a PING that asks.
async fn asked(wire: &mut Wire) -> [u8; 8] {
    loop {
        let ping = wire.wait(kind::PING).await;
        if ping.flags & flag::ACK == 0 {
            return ping.payload.try_into().expect("a PING has eight bytes");
        }
    }
}

async fn answer(wire: &mut Wire, payload: [u8; 8]) {
    wire.send(|out| frame::write_ping(out, payload, true)).await;
}

/// Answers the stream with status 0 and no message.
async fn finish(wire: &mut Wire, stream: u32) {
    let block = wire.block(&[(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "0")]);
    wire.send(|out| frame::write_headers(out, stream, &block, true, true)).await;
}

#[test]
fn a_client_that_does_not_answer_is_given_up_and_its_calls_with_it() {
    run(async {
        let backend = Backend::start(Incoming::hang).await;
        let router = towards_clients(ms(60), ms(60)).await;
        router.set("agent-x", &[backend.addr]);
        router.set_grpc("demo.Echo", "agent-x");
        let mut wire = Wire::client(router.addr).await;
        let block = wire.request_block(BIDI);
        wire.send(|out| frame::write_headers(out, 1, &block, false, true)).await;
        until(1, || backend.open_streams()).await;
        asked(&mut wire).await;
        assert!(wire.rest().await.iter().all(|frame| frame.kind != kind::PING), "it is asked once");
        until(0, || backend.open_streams()).await;
        until(0, || router.metric("switchboard_downstream_connections")).await;
        router.settled().await;
    });
}

#[test]
fn a_client_that_answers_may_be_silent_for_as_long_as_it_likes() {
    run(async {
        let router = towards_clients(ms(30), PATIENT).await;
        let mut wire = Wire::client(router.addr).await;
        for _ in 0..6 {
            let payload = asked(&mut wire).await;
            answer(&mut wire, payload).await;
        }
        // Another word than the answer is a sign of life as well.
        asked(&mut wire).await;
        wire.send(|out| frame::write_ping(out, *b"mine----", false)).await;
        asked(&mut wire).await;
        assert_eq!(router.metric("switchboard_downstream_connections"), 1);
    });
}

#[test]
fn a_stream_is_held_through_silence_by_pings_alone() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            let mut out = call.begin(&[]);
            while let Ok(Some(message)) = call.messages.next().await {
                let _ = out.send(&message).await;
            }
            out.finish(&[("grpc-status", "0")]);
        })
        .await;
        let router = TestRouter::with(|config| {
            (config.downstream_ping, config.upstream_ping) = (ms(30), ms(30));
            config.ping_timeout = PATIENT;
        })
        .await;
        router.set("agent-x", &[backend.addr]);
        router.set_grpc("demo.Echo", "agent-x");
        let client = Client::connect(router.addr).await;
        let mut call = client.open(BIDI, &[]).await.unwrap();
        call.send(b"before").await.unwrap();
        let (mut request, mut response) = call.response().await.unwrap();
        assert_eq!(response.messages.next().await.unwrap().unwrap(), "before");
        // Some ten PINGs to the client and three to the instance, all answered by the HTTP/2 stacks.
        assert!(timeout(ms(400), response.messages.next()).await.is_err());
        request.send_data(crate::support::frame(b"after"), true).unwrap();
        assert_eq!(response.messages.next().await.unwrap().unwrap(), "after");
        assert_eq!(response.finish().await.unwrap().status(), 0);
    });
}

#[test]
fn an_instance_is_asked_only_while_it_has_streams() {
    run(async {
        let peer = Peer::start().await;
        let router = towards_instances(ms(50), PATIENT).await;
        router.set("agent-echo", &[peer.addr]);
        let client = Client::connect(router.addr).await;
        let call = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
        let mut wire = peer.accept_http2(&[]).await;
        let stream = wire.wait(kind::HEADERS).await.stream;
        // A call takes as long as it takes if its instance lives.
        for _ in 0..3 {
            let payload = asked(&mut wire).await;
            answer(&mut wire, payload).await;
        }
        finish(&mut wire, stream).await;
        assert_eq!(call.answer().await.unwrap().status(), 0);
        router.settled().await;
        // What was sent before the end of the stream may still come, nothing else.
        let mut late = 0;
        while let Ok(frame) = timeout(ms(300), wire.frame()).await {
            let frame = frame.expect("the connection stays");
            if frame.kind == kind::PING {
                late += 1;
                answer(&mut wire, frame.payload.try_into().unwrap()).await;
            }
        }
        assert!(late <= 1, "{late}");
        // After such a silence the next stream comes with a question.
        let call = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
        let stream = wire.wait(kind::HEADERS).await.stream;
        let payload = asked(&mut wire).await;
        answer(&mut wire, payload).await;
        finish(&mut wire, stream).await;
        assert_eq!(call.answer().await.unwrap().status(), 0);
    });
}

#[test]
fn a_stream_that_stays_silent_costs_no_more_pings_than_grpc_servers_permit() {
    run(async {
        let peer = Peer::start().await;
        let router = towards_instances(ms(30), PATIENT).await;
        router.set("agent-x", &[peer.addr]);
        router.set_grpc("demo.Echo", "agent-x");
        let client = Client::connect(router.addr).await;
        let mut call = client.open(BIDI, &[]).await.unwrap();
        call.send(b"watch").await.unwrap();
        let mut wire = peer.accept_http2(&[]).await;
        let stream = wire.wait(kind::HEADERS).await.stream;
        let block = wire.block(&[(":status", "200"), ("content-type", "application/grpc")]);
        wire.send(|out| frame::write_headers(out, stream, &block, false, true)).await;
        for _ in 0..2 {
            for _ in 0..3 {
                let payload = asked(&mut wire).await;
                answer(&mut wire, payload).await;
            }
            while let Ok(frame) = timeout(ms(200), wire.frame()).await {
                assert_ne!(frame.expect("the connection stays").kind, kind::PING, "a fourth one");
            }
            // After a word of theirs such servers forget what they counted.
            wire.send(|out| frame::write_data(out, stream, &crate::support::frame(b"news"), false)).await;
        }
    });
}

#[test]
fn a_silent_connection_is_given_up_even_if_its_calls_have_ended() {
    run(async {
        let peer = Peer::start().await;
        let router = towards_instances(ms(50), ms(500)).await;
        router.set("agent-echo", &[peer.addr]);
        let client = Client::connect(router.addr).await;
        let call = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
        let mut wire = peer.accept_http2(&[]).await;
        asked(&mut wire).await;
        drop(call);
        // Not the next call has to find it out.
        until(0, || router.metric("switchboard_upstream_connections")).await;
        assert!(wire.rest().await.iter().all(|frame| frame.kind != kind::PING), "it is asked once");
        let call = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
        let mut wire = peer.accept_http2(&[]).await;
        let stream = wire.wait(kind::HEADERS).await.stream;
        finish(&mut wire, stream).await;
        assert_eq!(call.answer().await.unwrap().status(), 0);
    });
}

#[test]
fn an_instance_that_takes_nothing_is_given_up_though_it_has_no_stream() {
    run(async {
        let peer = Peer::start().await;
        let router = towards_instances(ms(1_000), ms(200)).await;
        router.set("agent-x", &[peer.addr]);
        router.set_grpc("demo.Echo", "agent-x");
        let client = Client::connect(router.addr).await;
        let mut call = client.open(BIDI, &[]).await.unwrap();
        let mut wire = peer.accept_http2(&[(frame::setting::INITIAL_WINDOW_SIZE, 1 << 30)]).await;
        wire.send(|out| frame::write_window_update(out, 0, 1 << 30)).await;
        // More than the sockets hold; from here on nobody reads.
        let upload = tokio::spawn(async move { call.raw(vec![7; 64 << 20].into(), false).await });
        let written = || router.metric("switchboard_upstream_written_bytes_total");
        // On busy cores it may take its time to begin.
        until(true, || written() > 1 << 20).await;
        let sent = steady(written).await;
        assert!(sent < 64 << 20, "{sent}");
        upload.abort();
        until(0, || router.metric("switchboard_calls_in_flight")).await;
        until(0, || router.metric("switchboard_upstream_connections")).await;
    });
}

#[test]
fn calls_at_an_instance_that_fell_silent_end_and_the_next_go_elsewhere() {
    run(async {
        let (hole, live) = (Peer::start().await, Backend::echo("live").await);
        let router = towards_instances(ms(60), ms(60)).await;
        router.set_instances("agent-echo", vec![Instance::new("hole", hole.addr)]);
        let client = Client::connect(router.addr).await;
        let first = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
        let mut wire = hole.accept_http2(&[]).await;
        wire.wait(kind::HEADERS).await;
        router.set_instances(
            "agent-echo",
            vec![Instance::new("hole", hole.addr), Instance::new("live", live.addr)],
        );
        let answer = first.answer().await.unwrap();
        assert_eq!((answer.status(), answer.reason().as_str()), (14, "CONNECTION_LOST"), "{answer:?}");
        assert_eq!(answer.fact("instance"), "hole");
        assert!(answer.message().contains("PING"), "{}", answer.message());
        // New connections to it come no further than the kernel.
        for _ in 0..20 {
            assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        }
        assert_eq!(live.streams(), 20);
        router.settled().await;
    });
}

#[test]
fn an_idempotent_call_at_an_instance_that_fell_silent_is_answered_by_another() {
    run(async {
        let (hole, live) = (Peer::start().await, Backend::echo("live").await);
        let router = towards_instances(ms(60), ms(60)).await;
        router.set_idempotent("agent-echo");
        router.set_instances("agent-echo", vec![Instance::new("hole", hole.addr)]);
        let client = Client::connect(router.addr).await;
        let first = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
        let mut wire = hole.accept_http2(&[]).await;
        wire.wait(kind::HEADERS).await;
        router.set_instances(
            "agent-echo",
            vec![Instance::new("hole", hole.addr), Instance::new("live", live.addr)],
        );
        assert_eq!(first.answer().await.unwrap().status(), 0);
        assert_eq!(live.streams(), 1);
    });
}

#[test]
fn an_instance_that_calls_it_too_much_is_asked_half_as_often_each_time() {
    run(async {
        let peer = Peer::start().await;
        let router = towards_instances(ms(60), PATIENT).await;
        router.set("agent-echo", &[peer.addr]);
        let client = Client::connect(router.addr).await;
        for interval in [ms(60), ms(120), ms(240)] {
            let call = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
            let began = Instant::now();
            let mut wire = peer.accept_http2(&[]).await;
            let stream = wire.wait(kind::HEADERS).await.stream;
            asked(&mut wire).await;
            // The router's clock counts whole ms.
            assert!(began.elapsed() + ms(2) >= interval, "{:?} of {interval:?}", began.elapsed());
            // As gRPC servers do it: streams may end, and the connection does.
            let code = ErrorCode::ENHANCE_YOUR_CALM;
            wire.send(|out| frame::write_goaway(out, stream, code.0, b"too_many_pings")).await;
            finish(&mut wire, stream).await;
            assert_eq!(call.answer().await.unwrap().status(), 0);
            wire.rest().await;
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn the_kernel_looks_after_both_sides_too() {
    run(async {
        let peer = Peer::start().await;
        let router = TestRouter::start().await;
        router.set("agent-x", &[peer.addr]);
        router.set_grpc("demo.Echo", "agent-x");
        let client = Client::connect(router.addr).await;
        let _call = client.open(BIDI, &[]).await.unwrap();
        let _wire = peer.accept_http2(&[]).await;
        // proc(5): after the queues come the timer that runs (02 is keepalive) and the time until it fires.
        let kept = |ours: &str, port: u16| {
            let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux has it");
            let port = format!(":{port:04X}");
            table.lines().any(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let side = if ours == "local" { 1 } else { 2 };
                fields.get(side).is_some_and(|address| address.ends_with(&port))
                    && fields.get(3) == Some(&"01")
                    && fields.get(5).is_some_and(|timer| timer.starts_with("02:"))
            })
        };
        until(true, || kept("local", router.addr.port())).await;
        until(true, || kept("remote", peer.addr.port())).await;
    });
}
