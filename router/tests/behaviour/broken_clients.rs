//! A client that breaks the protocol loses its own connection, with the reason, and costs nobody else anything.

use crate::support::*;
use bytes::Bytes;
use prost::Message;
use std::future::Future;
use switchboard_http2::{
    ErrorCode,
    frame::{self, flag, kind, setting},
};

/// Runs an attack on a router while another client goes on calling it, and returns what the attack returned.
async fn beside_a_calm_client<T, F: Future<Output = T>>(attack: impl FnOnce(std::net::SocketAddr) -> F) -> T {
    let echo = Backend::start(async |call: Incoming| {
        if call.head.uri.path() == STREAM_TASK { call.hang().await } else { call.echo("echo").await }
    })
    .await;
    let router = TestRouter::start().await;
    router.set("agent-echo", &[echo.addr]);
    let calm = Client::connect(router.addr).await;
    let request = task("echo", "x");
    let calling = async {
        loop {
            assert_eq!(calm.unary(EXECUTE_TASK, &[], &request).await.status(), 0);
        }
    };
    let result = tokio::select! {
        result = attack(router.addr) => result,
        () = calling => unreachable!(),
    };
    for _ in 0..10 {
        assert_eq!(calm.unary(EXECUTE_TASK, &[], &request).await.status(), 0);
    }
    until(1, || router.metric("switchboard_downstream_connections")).await;
    router.settled().await;
    result
}

/// Writes the frames of an attack.
type Frames = fn(&mut Vec<u8>);
/// Writes one round of a flood; it gets the header block of a request and the number of a new stream.
type Flood = fn(&mut Vec<u8>, &[u8], u32);

/// Sends frames and returns the code of the GOAWAY that ends the connection.
async fn goaway_after(wire: &mut Wire, frames: impl FnOnce(&mut Vec<u8>)) -> ErrorCode {
    wire.send(frames).await;
    let frames = wire.rest().await;
    let goaway = frames.iter().rfind(|frame| frame.kind == kind::GOAWAY);
    ErrorCode(goaway.unwrap_or_else(|| panic!("no GOAWAY: {frames:?}")).go_away().1)
}

#[test]
fn garbage_in_place_of_the_preface() {
    run(async {
        for garbage in
            [&b"GET / HTTP/1.1\r\nhost: router\r\n\r\n"[..], &[0; 64], b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"]
        {
            let code = beside_a_calm_client(async |addr| {
                let mut wire = Wire::connect(addr).await;
                goaway_after(&mut wire, |out| out.extend_from_slice(garbage)).await
            })
            .await;
            assert_eq!(code, ErrorCode::PROTOCOL_ERROR, "{garbage:?}");
        }
    });
}

#[test]
fn frames_that_break_the_rules() {
    run(async {
        beside_a_calm_client(async |addr| {
            let oversized = |out: &mut Vec<u8>| {
                frame::write_header(out, 16_385, kind::DATA, 0, 1);
                out.resize(out.len() + 16_385, 0);
            };
            let mut wire = Wire::client(addr).await;
            assert_eq!(goaway_after(&mut wire, oversized).await, ErrorCode::FRAME_SIZE_ERROR);
            let cases: [(Frames, ErrorCode); 8] = [
                (|out| frame::write_data(out, 1, b"x", false), ErrorCode::PROTOCOL_ERROR),
                (|out| frame::write_data(out, 0, b"x", false), ErrorCode::PROTOCOL_ERROR),
                (|out| frame::write_rst_stream(out, 7, 8), ErrorCode::PROTOCOL_ERROR),
                (|out| frame::write_headers(out, 1, &[0xff; 20], true, true), ErrorCode::COMPRESSION_ERROR),
                (|out| frame::write_continuation(out, 1, b"", true), ErrorCode::PROTOCOL_ERROR),
                (|out| frame::write_window_update(out, 0, frame::MAX_31), ErrorCode::FLOW_CONTROL_ERROR),
                (|out| frame::write_header(out, 0, kind::PING, 0, 0), ErrorCode::FRAME_SIZE_ERROR),
                (
                    |out| frame::write_settings(out, &[(setting::MAX_FRAME_SIZE, 1)]),
                    ErrorCode::PROTOCOL_ERROR,
                ),
            ];
            for (index, (frames, expected)) in cases.into_iter().enumerate() {
                let mut wire = Wire::client(addr).await;
                assert_eq!(goaway_after(&mut wire, frames).await, expected, "case {index}");
            }
        })
        .await;
    });
}

#[test]
fn a_client_that_breaks_the_rules_in_the_middle_of_its_calls_has_them_cancelled() {
    run(async {
        beside_a_calm_client(async |addr| {
            let mut wire = Wire::client(addr).await;
            let message = crate::support::frame(&task("echo", "x").encode_to_vec());
            for stream in [1, 3, 5] {
                let block = wire.request_block(STREAM_TASK);
                wire.send(|out| {
                    frame::write_headers(out, stream, &block, false, true);
                    frame::write_data(out, stream, &message, false);
                })
                .await;
            }
            let code = goaway_after(&mut wire, |out| frame::write_header(out, 0, kind::PING, 0, 0)).await;
            assert_eq!(code, ErrorCode::FRAME_SIZE_ERROR);
        })
        .await;
    });
}

#[test]
fn a_header_list_over_64_kib_costs_its_own_call_first_and_then_the_connection() {
    run(async {
        beside_a_calm_client(async |addr| {
            let mut wire = Wire::client(addr).await;
            let value = "v".repeat(1_000);
            for (stream, fields) in [(1, 70), (3, 10)] {
                let mut block = wire.request_block(EXECUTE_TASK);
                let names: Vec<String> = (0..fields).map(|i| format!("x-{i}")).collect();
                // Never indexed, so that both sides' tables stay as they are.
                for name in &names {
                    block.push(0x10);
                    block.push(u8::try_from(name.len()).unwrap());
                    block.extend_from_slice(name.as_bytes());
                    // 1,000 as an integer with a prefix of seven bits.
                    block.extend_from_slice(&[0x7f, 0xe9, 0x06]);
                    block.extend_from_slice(value.as_bytes());
                }
                let message = crate::support::frame(&task("echo", "x").encode_to_vec());
                wire.send(|out| {
                    let mut fragments = block.chunks(16_384).enumerate().peekable();
                    while let Some((index, fragment)) = fragments.next() {
                        let last = fragments.peek().is_none();
                        match index {
                            0 => frame::write_headers(out, stream, fragment, false, last),
                            _ => frame::write_continuation(out, stream, fragment, last),
                        }
                    }
                    frame::write_data(out, stream, &message, true);
                })
                .await;
                if stream == 1 {
                    let reset = wire.wait(kind::RST_STREAM).await;
                    assert_eq!(reset.stream, 1);
                } else {
                    let headers = wire.wait(kind::HEADERS).await;
                    assert_eq!(headers.stream, 3);
                }
            }
            // A block without end is another matter.
            let block = wire.request_block(EXECUTE_TASK);
            let code = goaway_after(&mut wire, |out| {
                frame::write_headers(out, 5, &block, true, false);
                for _ in 0..20 {
                    frame::write_continuation(out, 5, &[0; 16_384], false);
                }
            })
            .await;
            assert!([ErrorCode::ENHANCE_YOUR_CALM, ErrorCode::COMPRESSION_ERROR].contains(&code), "{code}");
        })
        .await;
    });
}

#[test]
fn floods_end_with_enhance_your_calm() {
    run(async {
        beside_a_calm_client(async |addr| {
            let flood = async |frames: Flood| {
                let mut wire = Wire::client(addr).await;
                let block = wire.request_block(STREAM_TASK);
                // The second time the block is all indices, so that it may be repeated.
                let again = wire.request_block(STREAM_TASK);
                wire.send(|out| frame::write_headers(out, 1, &block, false, true)).await;
                goaway_after(&mut wire, |out| (1..20_000).for_each(|n| frames(out, &again, n * 2 + 1))).await
            };
            let floods: [(&str, Flood); 8] = [
                ("CONTINUATION", |out, block, stream| match stream {
                    3 => frame::write_headers(out, 3, block, true, false),
                    _ => frame::write_continuation(out, 3, b"", false),
                }),
                // Calls that are under way: one that has its answer costs its client no less than the router.
                ("rapid reset", |out, block, stream| {
                    frame::write_headers(out, stream, block, false, true);
                    frame::write_rst_stream(out, stream, 8);
                }),
                ("PING", |out, _, _| frame::write_ping(out, [0; 8], false)),
                ("SETTINGS", |out, _, _| frame::write_settings(out, &[])),
                ("empty DATA", |out, _, _| frame::write_data(out, 1, b"", false)),
                ("PRIORITY", |out, _, stream| frame::write_priority(out, stream, 0, 1)),
                ("WINDOW_UPDATE", |out, _, _| frame::write_window_update(out, 0, 1)),
                ("unknown", |out, _, _| frame::write_header(out, 0, 0xee, flag::ACK, 0)),
            ];
            for (name, frames) in floods {
                assert_eq!(flood(frames).await, ErrorCode::ENHANCE_YOUR_CALM, "{name}");
            }
        })
        .await;
    });
}

#[test]
fn streams_beyond_the_limit_are_refused_one_by_one() {
    run(async {
        let hanging = Backend::start(Incoming::hang).await;
        let router = TestRouter::with(|config| config.downstream_http2.max_concurrent_streams = 10).await;
        router.set("agent-echo", &[hanging.addr]);
        let mut wire = Wire::client(router.addr).await;
        let message = crate::support::frame(&task("echo", "x").encode_to_vec());
        for n in 0..12 {
            let block = wire.request_block(EXECUTE_TASK);
            wire.send(|out| {
                frame::write_headers(out, 2 * n + 1, &block, false, true);
                frame::write_data(out, 2 * n + 1, &message, true);
            })
            .await;
        }
        for stream in [21, 23] {
            let reset = wire.wait(kind::RST_STREAM).await;
            assert_eq!((reset.stream, ErrorCode(reset.word(0))), (stream, ErrorCode::REFUSED_STREAM));
        }
        until(10, || hanging.open_streams()).await;
    });
}

#[test]
fn a_client_that_vanishes_at_any_point_leaves_nothing_behind() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        let mut bytes = frame::PREFACE.to_vec();
        frame::write_settings(&mut bytes, &[]);
        let mut script = Wire::connect(router.addr).await;
        let block = script.request_block(EXECUTE_TASK);
        frame::write_headers(&mut bytes, 1, &block, false, true);
        frame::write_data(&mut bytes, 1, &crate::support::frame(&task("echo", "x").encode_to_vec()), true);
        for end in 0..=bytes.len() {
            let mut wire = Wire::connect(router.addr).await;
            wire.write(&bytes[..end]).await;
        }
        drop(script);
        until(0, || router.metric("switchboard_downstream_connections")).await;
        router.settled().await;
    });
}

#[test]
fn connections_that_come_and_go_never_cost_another_one_its_socket() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        let request = task("echo", "x");
        let visits = (0..20).map(|_| async {
            for _ in 0..25 {
                let client = Client::connect(router.addr).await;
                assert_eq!(client.unary(EXECUTE_TASK, &[], &request).await.status(), 0);
                client.disconnect();
            }
        });
        futures_util::future::join_all(visits).await;
        assert_eq!(router.metric("switchboard_downstream_connections_total"), 500);
        until(0, || router.metric("switchboard_downstream_connections")).await;
    });
}

#[test]
fn connections_beyond_the_limit_are_closed_at_once() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::with(|config| config.max_connections = 3).await;
        router.set("agent-echo", &[echo.addr]);
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(Wire::client(router.addr).await);
        }
        let mut refused = Wire::connect(router.addr).await;
        assert_eq!(refused.rest().await, []);
        assert_eq!(router.metric("switchboard_downstream_connections_refused_total"), 1);
        // One leaves, the next one comes in.
        held.pop();
        until(2, || router.metric("switchboard_downstream_connections")).await;
        let client = Client::connect(router.addr).await;
        assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
    });
}

#[test]
fn one_source_cannot_take_all_connections() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::with(|config| {
            config.workers = 2;
            config.max_connections_per_source = 3;
        })
        .await;
        router.set("agent-echo", &[echo.addr]);
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(Wire::client(router.addr).await);
        }
        assert_eq!(Wire::connect(router.addr).await.rest().await, []);
        // Another address of the loopback network is another source.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
        let client = Client::on(socket.connect(router.addr).await.unwrap(), |_| {}).await;
        assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        // The place of one that leaves is free as soon as its socket is closed.
        held.pop();
        let served = async || {
            let client = Client::connect(router.addr).await;
            client.try_unary(EXECUTE_TASK, &[], &task("echo", "x")).await.map(|answer| answer.status())
        };
        let limit = std::time::Duration::from_secs(10);
        assert_eq!(switchboard_testkit::eventually(limit, served).await.unwrap(), 0);
    });
}

#[test]
fn a_client_that_sends_more_than_its_window_loses_its_stream_or_connection() {
    run(async {
        let stalled = Backend::start(Incoming::hang).await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[stalled.addr]);
        let mut wire = Wire::client(router.addr).await;
        let block = wire.request_block(STREAM_TASK);
        let mut body = crate::support::frame(&task("echo", "x").encode_to_vec()).to_vec();
        body.extend_from_slice(&Bytes::from(vec![0; 16_000]));
        wire.send(|out| frame::write_headers(out, 1, &block, false, true)).await;
        for _ in 0..2_000 {
            wire.send(|out| frame::write_data(out, 1, &body, false)).await;
        }
        // 32 MB against a stream window of 1 MiB.
        let ended = loop {
            match wire.frame().await {
                Some(frame) if frame.kind == kind::RST_STREAM || frame.kind == kind::GOAWAY => break frame,
                Some(_) => {}
                None => panic!("closed without a word"),
            }
        };
        let code = if ended.kind == kind::GOAWAY { ended.word(4) } else { ended.word(0) };
        assert_eq!(ErrorCode(code), ErrorCode::FLOW_CONTROL_ERROR, "{ended:?}");
        until(0, || stalled.open_streams()).await;
    });
}
