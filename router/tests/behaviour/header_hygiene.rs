//! What a client may not say: headers that are the router's own, and bytes that are no header at all.

use crate::support::*;
use prost::Message;
use switchboard_http2::frame::{self, kind};

#[test]
fn headers_of_the_router_s_own_never_reach_a_backend() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        let client = Client::connect(router.addr).await;
        let headers = [
            ("x-switchboard-principal", "spiffe://switchboard/svc/admin"),
            ("x-switchboard-principal", "again"),
            ("x-switchboard-roles", "admin"),
            ("x-switchboard-source", "127.0.0.1"),
            ("x-switchboard-principal-bin", "AAEC"),
            ("x-switchboard-anything", "at all"),
            ("x-switchboard-", ""),
            ("x-switchboard-target", "echo-agent"),
            ("x-switchboardy", "is another name"),
        ];
        for path in [EXECUTE_TASK, "/demo.Any/Thing"] {
            let answer = client.unary(path, &headers, &task("echo", "x")).await;
            assert_eq!(answer.status(), 0, "{answer:?}");
            let requests = echo.requests();
            let got = &requests.last().unwrap().headers;
            let ours: Vec<_> =
                got.keys().filter(|name| name.as_str().starts_with("x-switchboard-")).collect();
            assert!(ours.is_empty(), "{ours:?}");
            assert_eq!(got["x-switchboardy"], "is another name");
        }
    });
}

/// What the h2 crate would not send: each is refused as a stream of its own, and the connection goes on.
#[test]
fn bytes_that_are_no_header_cost_their_own_call_only() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        let mut wire = Wire::client(router.addr).await;
        let begin = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", EXECUTE_TASK),
            (":authority", "router"),
            ("content-type", "application/grpc"),
        ];
        let bad = [
            ("x-request-id", "a\r\nx-switchboard-principal: admin"),
            ("x-request-id", "a\nb"),
            ("x-request-id", "a\0b"),
            ("x-any\r\nx-other", "1"),
            ("X-Switchboard-Principal", "admin"),
            ("X-SWITCHBOARD-TARGET", "other-agent"),
            ("x-switchboard-target", "echo-agent\r\n"),
            ("x-switchboard-target", " echo-agent"),
            ("x-switchboard-target", "echo-agent\t"),
            ("authorization", "Bearer a\r\nx-switchboard-roles: admin"),
            ("connection", "x-request-id"),
            ("transfer-encoding", "chunked"),
        ];
        let message = frame(&task("echo", "x").encode_to_vec());
        let mut stream = 1;
        for field in bad {
            let block = wire.block(&[&begin[..], &[field]].concat());
            wire.send(|out| {
                frame::write_headers(out, stream, &block, false, true);
                frame::write_data(out, stream, &message, true);
            })
            .await;
            let reset = wire.wait(kind::RST_STREAM).await;
            assert_eq!((reset.stream, reset.word(0)), (stream, 1), "{field:?}");
            stream += 2;
        }
        let block = wire.block(&begin);
        wire.send(|out| {
            frame::write_headers(out, stream, &block, false, true);
            frame::write_data(out, stream, &message, true);
        })
        .await;
        assert_eq!(wire.wait(kind::HEADERS).await.stream, stream);
        assert_eq!(echo.streams(), 1);
    });
}

/// Control characters that are legal in a header value are not legal in a request ID.
#[test]
fn a_request_id_with_control_characters_is_replaced_and_does_not_stand_in_the_answer() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        let mut wire = Wire::client(router.addr).await;
        let message = frame(&task("echo", "x").encode_to_vec());
        let long = "i".repeat(20_000);
        for (stream, id) in [(1, "a\x1b[2Jb"), (3, "a\u{7f}b"), (5, "a\x01"), (7, "ä"), (9, long.as_str())] {
            let block = wire.block(&[
                (":method", "POST"),
                (":scheme", "http"),
                (":path", EXECUTE_TASK),
                (":authority", "router"),
                ("content-type", "application/grpc"),
                ("x-request-id", id),
            ]);
            wire.send(|out| {
                frame::write_headers(out, stream, &block, false, true);
                frame::write_data(out, stream, &message, true);
            })
            .await;
            // Either it is no header value at all, or it is replaced.
            let end = loop {
                let frame = wire.frame().await.unwrap();
                if frame.stream == stream {
                    break frame;
                }
            };
            if end.kind == kind::HEADERS {
                let passed = echo.last_header("x-request-id");
                assert!(passed.len() == 32 && passed.bytes().all(|b| b.is_ascii_hexdigit()), "{passed:?}");
            } else {
                assert_eq!(end.kind, kind::RST_STREAM);
            }
        }
        router.settled().await;
    });
}
