//! Headers and trailers pass as they are, in both directions.

use crate::support::*;
use bytes::Bytes;
use prost::Message;
use switchboard_http2::frame::{self, kind};

#[test]
fn request_headers_reach_the_backend_as_they_were_sent() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        let client = Client::connect(router.addr).await;
        let big = "v".repeat(8_000);
        let headers = [
            ("x-bin-bin", "AAH/gA"),
            ("x-twice", "one"),
            ("x-twice", "two"),
            ("x-empty", ""),
            ("x-comma", "a,b, c"),
            ("x-big", big.as_str()),
            ("authorization", "Bearer secret"),
            ("user-agent", "grpc-test/1"),
            ("grpc-accept-encoding", "gzip,identity"),
        ];
        let answer = client.unary(EXECUTE_TASK, &headers, &task("echo", "x")).await;
        assert_eq!(answer.status(), 0);
        let requests = echo.requests();
        let got = &requests[0].headers;
        for (name, _) in headers {
            let sent: Vec<_> = headers.iter().filter(|(n, _)| *n == name).map(|(_, v)| *v).collect();
            assert_eq!(
                got.get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>(),
                sent,
                "{name}"
            );
        }
        assert_eq!(got["te"], "trailers");
        assert_eq!(got["content-type"], "application/grpc");
        assert_eq!(requests[0].uri.authority().unwrap(), "router");
        assert_eq!(requests[0].uri.path(), EXECUTE_TASK);
    });
}

#[test]
fn response_headers_and_trailers_reach_the_client_as_they_were_sent() {
    run(async {
        let trailer = "t".repeat(20_000);
        let value = trailer.clone();
        let backend = Backend::start(move |mut call: Incoming| {
            let value = value.clone();
            async move {
                let mut out =
                    call.begin(&[("x-head-bin", "AQI"), ("x-two", "1"), ("x-two", "2"), ("x-e", "")]);
                out.send(b"payload").await.unwrap();
                out.finish(&[
                    ("grpc-status", "0"),
                    ("x-tail-bin", "/w"),
                    ("x-tail", "a"),
                    ("x-tail", "b"),
                    ("x-long", &value),
                ]);
            }
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
        let all = |map: &http::HeaderMap, name: &str| -> Vec<String> {
            map.get_all(name).iter().map(|v| v.to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(all(&answer.headers, "x-head-bin"), ["AQI"]);
        assert_eq!(all(&answer.headers, "x-two"), ["1", "2"]);
        assert_eq!(all(&answer.headers, "x-e"), [""]);
        assert_eq!(answer.messages, [Bytes::from_static(b"payload")]);
        assert_eq!(all(&answer.trailers, "x-tail-bin"), ["/w"]);
        assert_eq!(all(&answer.trailers, "x-tail"), ["a", "b"]);
        assert_eq!(all(&answer.trailers, "x-long"), [trailer]);
    });
}

#[test]
fn trailers_of_60_kib_pass() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            let long = "x".repeat(59_000);
            call.begin(&[]).finish(&[("grpc-status", "9"), ("x-long", &long)]);
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::with(router.addr, |builder| {
            builder.max_header_list_size(1 << 20);
        })
        .await;
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
        assert_eq!((answer.status(), answer.trailers["x-long"].len()), (9, 59_000));
    });
}

/// Complaint 38: above the limit the client still gets the original status.
#[test]
fn trailers_beyond_the_limit_keep_their_status_and_the_beginning_of_its_message() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            let (message, long) = ("m".repeat(3_000), "x".repeat(40_000));
            let end = [("grpc-status", "9"), ("grpc-message", &message), ("x-1", &long), ("x-2", &long)];
            match call.head.headers.get("x-trailers-only") {
                Some(_) => call.trailers_only(&end),
                None => call.begin(&[]).finish(&end),
            }
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        for headers in [&[][..], &[("x-trailers-only", "1")]] {
            let answer = client.unary(EXECUTE_TASK, headers, &task("echo", "x")).await;
            assert_eq!(answer.status(), 9, "{answer:?}");
            let message = answer.trailers.get("grpc-message").or(answer.headers.get("grpc-message"));
            assert_eq!(message.map(|message| message.len()), Some(1_024));
        }
        assert_eq!(backend.connections(), 1);
    });
}

#[test]
fn every_status_passes_in_every_shape_of_response() {
    run(async {
        let body: Bytes = (0..1 << 20).map(|i: u32| (i % 251) as u8).collect::<Vec<u8>>().into();
        let sent = body.clone();
        let backend = Backend::start(move |mut call: Incoming| {
            let body = sent.clone();
            async move {
                let code = call.head.headers["x-code"].clone();
                let end = [
                    ("grpc-status", code.to_str().unwrap()),
                    ("grpc-message", "caf%C3%A9 %25"),
                    ("grpc-status-details-bin", "CAUSAUE"),
                    ("x-custom", "kept"),
                ];
                match call.head.headers["x-shape"].to_str().unwrap() {
                    "trailers-only" => call.trailers_only(&end),
                    "no-data" => call.begin(&[("x-head", "h")]).finish(&end),
                    _ => {
                        let mut out = call.begin(&[("x-head", "h")]);
                        out.send(&body).await.unwrap();
                        out.finish(&end);
                    }
                }
            }
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        for code in 0..17 {
            for shape in ["trailers-only", "no-data", "data"] {
                let headers = [("x-code", &*code.to_string()), ("x-shape", shape)];
                let answer = client.unary(EXECUTE_TASK, &headers, &task("echo", "x")).await;
                assert_eq!(answer.status(), code, "{shape}");
                assert_eq!(answer.trailers_only, shape == "trailers-only", "{shape}");
                assert_eq!(answer.trailers["grpc-message"], "caf%C3%A9 %25", "{shape}");
                assert_eq!(answer.trailers["grpc-status-details-bin"], "CAUSAUE", "{shape}");
                assert_eq!(answer.trailers["x-custom"], "kept", "{shape}");
                assert_eq!(answer.http_status, 200);
                match shape {
                    "data" => assert!(answer.messages.len() == 1 && answer.messages[0] == body),
                    _ => assert!(answer.messages.is_empty()),
                }
                if shape != "trailers-only" {
                    assert_eq!(answer.headers["x-head"], "h");
                    assert!(!answer.headers.contains_key("grpc-status"));
                }
            }
        }
        router.settled().await;
    });
}

#[test]
fn a_trailers_only_response_is_one_frame() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            call.trailers_only(&[("grpc-status", "5"), ("grpc-message", "no")]);
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let mut wire = Wire::client(router.addr).await;
        let block = wire.request_block(EXECUTE_TASK);
        let message = frame(&task("echo", "x").encode_to_vec());
        wire.send(|out| {
            frame::write_headers(out, 1, &block, false, true);
            frame::write_data(out, 1, &message, true);
        })
        .await;
        let headers = wire.wait(kind::HEADERS).await;
        assert!(headers.ends_stream() && headers.stream == 1, "{headers:?}");
    });
}

#[test]
fn a_response_without_grpc_status_passes_as_it_is() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            let mut out = call.begin(&[("x-odd", "1")]);
            out.raw(Bytes::from_static(b"not grpc"), true).await.unwrap();
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        let mut call = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
        call.half_close();
        let (_, mut response) = call.response().await.unwrap();
        assert_eq!(response.headers["x-odd"], "1");
        assert_eq!(response.messages.drain().await, 8);
        router.settled().await;
    });
}

#[test]
fn informational_responses_do_not_confuse_the_call() {
    run(async {
        let peer = Peer::start().await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[peer.addr]);
        let client = Client::connect(router.addr).await;
        let call = tokio::spawn(async move { client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await });
        let mut backend = peer.accept_http2(&[]).await;
        let stream = backend.wait(kind::HEADERS).await.stream;
        let early = backend.block(&[(":status", "103"), ("link", "x")]);
        let head = backend.block(&[(":status", "200"), ("content-type", "application/grpc")]);
        let tail = backend.block(&[("grpc-status", "0")]);
        backend
            .send(|out| {
                frame::write_headers(out, stream, &early, false, true);
                frame::write_headers(out, stream, &head, false, true);
                frame::write_headers(out, stream, &tail, true, true);
            })
            .await;
        assert_eq!(call.await.unwrap().status(), 0);
    });
}
