//! What the router refuses, it refuses with a status that says why and what to do.

use crate::support::*;
use bytes::Bytes;
use prost::Message;
use std::time::{Duration, Instant};
use switchboard_proto::agentplatform::TaskResponse;

#[test]
fn an_unknown_id_is_not_found_and_the_nearest_ids_are_named() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        router.set("tool-weather", &[]);
        let client = Client::connect(router.addr).await;
        let answer = client.unary(EXECUTE_TASK, &[("x-request-id", "r-1")], &task("ehco-agent", "hi")).await;
        assert_eq!((answer.http_status, answer.status(), answer.trailers_only), (200, 5, true), "{answer:?}");
        assert!(answer.message().contains("did you mean echo-agent?"), "{}", answer.message());
        assert_eq!(answer.headers["content-type"], "application/grpc");
        let details = answer.details();
        assert_eq!((details.code, details.message), (5, answer.message()));
        let info = answer.details().error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("ID_UNKNOWN", "switchboard"));
        assert_eq!(answer.fact("id"), "ehco-agent");
        assert_eq!(answer.fact("service"), "agent-ehco");
        assert_eq!(answer.fact("nearest"), "echo-agent");
        assert_eq!(answer.fact("request_id"), "r-1");
        router.settled().await;
    });
}

#[test]
fn a_service_without_healthy_instance_is_unavailable_after_the_wait() {
    run(async {
        let router = TestRouter::start().await;
        router.set("agent-echo", &[]);
        let client = Client::connect(router.addr).await;
        let began = Instant::now();
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo-agent", "hi")).await;
        let took = began.elapsed();
        // The router's clock has whole milliseconds.
        assert!(took >= Duration::from_millis(148) && took < Duration::from_secs(2), "{took:?}");
        assert_eq!((answer.status(), answer.reason().as_str()), (14, "NO_HEALTHY_INSTANCE"), "{answer:?}");
        assert!(answer.message().starts_with("Service not found: agent-echo"), "{}", answer.message());
        assert_eq!(answer.fact("service"), "agent-echo");
        assert_eq!(answer.fact("instances_healthy"), "0");
        assert!(answer.details().retry_after().is_some());
        router.settled().await;
    });
}

#[test]
fn ids_that_are_missing_empty_too_long_or_ill_formed_are_invalid_arguments() {
    run(async {
        let router = TestRouter::start().await;
        let client = Client::connect(router.addr).await;
        let long = "a".repeat(64);
        let huge = "a".repeat(100_000);
        for (id, reason) in [
            ("", "ID_MISSING"),
            (long.as_str(), "ID_ILL_FORMED"),
            (huge.as_str(), "ID_TOO_LONG"),
            ("Echo-agent", "ID_ILL_FORMED"),
            ("a_b-agent", "ID_ILL_FORMED"),
            ("-agent", "ID_ILL_FORMED"),
            ("echo-agent@", "ID_ILL_FORMED"),
            ("écho-agent", "ID_ILL_FORMED"),
            ("echo\r\nagent", "ID_ILL_FORMED"),
            ("../echo", "ID_ILL_FORMED"),
        ] {
            let answer = client.unary(EXECUTE_TASK, &[], &task(id, "x")).await;
            assert_eq!((answer.status(), answer.reason().as_str()), (3, reason), "{id:?}");
            assert_eq!(answer.fact("field"), "agent_id", "{id:?}");
            assert!(answer.message().len() < 400, "{id:?}");
        }
        // An empty message has no ID either.
        let answer = client.send_all(EXECUTE_TASK, &[], frame(b"")).await.unwrap();
        assert_eq!((answer.status(), answer.reason().as_str()), (3, "ID_MISSING"));
        router.settled().await;
    });
}

#[test]
fn a_first_message_that_cannot_be_read_is_an_invalid_argument() {
    run(async {
        let router = TestRouter::start().await;
        let client = Client::connect(router.addr).await;
        for body in [
            // Field number 0, wire type 7, a length beyond the message, a varint without end, flag 2.
            frame(b"\x02x"),
            frame(b"\x17x"),
            frame(b"\x12\x7fecho"),
            frame(&[0xff; 12]),
            Bytes::from_static(b"\x02\0\0\0\x01x"),
            // Compressed, and nobody said how.
            Bytes::from_static(b"\x01\0\0\0\x01x"),
        ] {
            let answer = client.send_all(EXECUTE_TASK, &[], body.clone()).await.unwrap();
            assert_eq!((answer.status(), answer.reason().as_str()), (3, "MESSAGE_UNREADABLE"), "{body:?}");
        }
        let gzip = [("grpc-encoding", "gzip")];
        let body = Bytes::from_static(b"\x01\0\0\0\x04nope");
        let answer = client.send_all(EXECUTE_TASK, &gzip, body).await.unwrap();
        assert_eq!((answer.status(), answer.reason().as_str()), (3, "MESSAGE_UNREADABLE"));
        router.settled().await;
    });
}

#[test]
fn a_request_that_ends_before_its_message_is_an_invalid_argument() {
    run(async {
        let router = TestRouter::start().await;
        let client = Client::connect(router.addr).await;
        let bodies = [Bytes::new(), Bytes::from_static(b"\0\0\0"), Bytes::from_static(b"\0\0\0\0\x09\x12")];
        for body in bodies {
            let answer = client.send_all(EXECUTE_TASK, &[], body.clone()).await.unwrap();
            assert_eq!((answer.status(), answer.reason().as_str()), (3, "NO_MESSAGE"), "{body:?}");
        }
        let call = client.request("POST", EXECUTE_TASK, &[], true).await.unwrap();
        let answer = call.answer().await.unwrap();
        assert_eq!((answer.status(), answer.reason().as_str()), (3, "NO_MESSAGE"));
        router.settled().await;
    });
}

#[test]
fn a_first_message_that_does_not_come_in_time_is_deadline_exceeded() {
    run(async {
        let router = TestRouter::with(|config| config.first_message_wait = Duration::from_millis(100)).await;
        let client = Client::connect(router.addr).await;
        // Nothing at all, and a message that stays incomplete.
        for beginning in [&b""[..], b"\0\0\0\0\x09\x12"] {
            let mut call = client.open(STREAM_TASK, &[]).await.unwrap();
            if !beginning.is_empty() {
                call.raw(Bytes::from_static(beginning), false).await.unwrap();
            }
            let began = Instant::now();
            let answer = call.answer().await.unwrap();
            assert_eq!(
                (answer.status(), answer.reason().as_str()),
                (4, "FIRST_MESSAGE_TIMEOUT"),
                "{beginning:?}"
            );
            assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        }
        router.settled().await;
    });
}

#[test]
fn a_trickle_does_not_extend_the_wait_for_the_first_message() {
    run(async {
        let router = TestRouter::with(|config| config.first_message_wait = Duration::from_millis(200)).await;
        let client = Client::connect(router.addr).await;
        let call = client.open(STREAM_TASK, &[]).await.unwrap();
        let (mut request, began) = (call.request, Instant::now());
        let (response, body) = (call.response, frame(&[0x2a; 4096]));
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        let trickle = async {
            for byte in body.iter() {
                pace.tick().await;
                if request.send_data(Bytes::copy_from_slice(&[*byte]), false).is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        let answer = tokio::select! {
            answer = response => answer.unwrap(),
            () = trickle => unreachable!(),
        };
        assert_eq!(answer.headers()["grpc-status"], "4");
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    });
}

#[test]
fn what_is_not_grpc_is_answered_as_http() {
    run(async {
        let router = TestRouter::start().await;
        let client = Client::connect(router.addr).await;
        for (method, content_type, status) in [
            ("GET", "application/grpc", 405),
            ("PUT", "application/grpc", 405),
            ("POST", "application/json", 415),
            ("POST", "application/grpc-web", 415),
            ("POST", "", 415),
        ] {
            let headers = [("content-type", content_type)];
            let call = client.request(method, EXECUTE_TASK, &headers, true).await.unwrap();
            let (_, mut response) = call.response().await.unwrap();
            assert_eq!(response.http_status, status, "{method} {content_type}");
            assert_eq!(response.headers["content-type"], "text/plain; charset=utf-8");
            assert!(response.messages.drain().await > 50);
        }
        router.settled().await;
    });
}

#[test]
fn what_is_not_grpc_is_answered_when_it_ends_or_when_it_takes_too_long() {
    run(async {
        let router = TestRouter::with(|config| config.first_message_wait = Duration::from_millis(100)).await;
        let client = Client::connect(router.addr).await;
        for end in [true, false] {
            let headers = [("content-type", "application/json")];
            let mut call = client.open(EXECUTE_TASK, &headers).await.unwrap();
            call.raw(Bytes::from(vec![b'{'; 3 << 20]), end).await.unwrap();
            let (_request, response) = call.response().await.unwrap();
            assert_eq!(response.http_status, 415, "{end}");
        }
        router.settled().await;
    });
}

#[test]
fn a_path_that_is_no_method_is_unimplemented() {
    run(async {
        let router = TestRouter::start().await;
        let client = Client::connect(router.addr).await;
        for path in ["/", "/x", "/a/", "/a!b/c"] {
            let answer = client.unary(path, &[], &task("echo", "x")).await;
            assert_eq!((answer.status(), answer.reason().as_str()), (12, "BAD_PATH"), "{path}");
        }
        let answer = client.unary("/demo.Unheard/Of", &[], &task("echo", "x")).await;
        assert_eq!((answer.status(), answer.reason().as_str()), (12, "GRPC_SERVICE_UNKNOWN"));
        assert_eq!(answer.fact("grpc_service"), "demo.Unheard");
    });
}

#[test]
fn an_unreadable_timeout_is_an_invalid_argument() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        let client = Client::connect(router.addr).await;
        for timeout in ["", "1", "S", "1s", "-1S", "1.5S", "123456789S"] {
            let answer = client.unary(EXECUTE_TASK, &[("grpc-timeout", timeout)], &task("echo", "x")).await;
            assert_eq!((answer.status(), answer.reason().as_str()), (3, "BAD_TIMEOUT"), "{timeout}");
        }
        assert_eq!(echo.streams(), 0);
    });
}

#[test]
fn calls_beyond_the_limit_are_refused_with_resource_exhausted_and_a_pause() {
    run(async {
        let slow = Backend::start(Incoming::hang).await;
        let router = TestRouter::with(|config| config.max_calls_in_flight = 3).await;
        router.set("agent-echo", &[slow.addr]);
        let client = Client::connect(router.addr).await;
        let mut open = Vec::new();
        for _ in 0..3 {
            let call = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
            open.push(call);
        }
        until(3, || slow.open_streams()).await;
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
        assert_eq!((answer.status(), answer.reason().as_str()), (8, "CALLS_IN_FLIGHT"), "{answer:?}");
        assert_eq!(answer.trailers["grpc-retry-pushback-ms"], "100");
        // A place that becomes free is given to the next.
        open.pop();
        until(2, || slow.open_streams()).await;
        let _call = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
        until(3, || slow.open_streams()).await;
        drop(open);
    });
}

#[test]
fn a_message_beyond_the_limit_is_refused_at_its_prefix() {
    run(async {
        let router = TestRouter::start().await;
        let client = Client::connect(router.addr).await;
        let mut call = client.open(EXECUTE_TASK, &[]).await.unwrap();
        call.raw(Bytes::from_static(b"\0\x7f\xff\xff\xff\x12"), false).await.unwrap();
        let answer = call.answer().await.unwrap();
        assert_eq!((answer.status(), answer.reason().as_str()), (8, "MESSAGE_TOO_LONG"), "{answer:?}");
    });
}

#[test]
fn an_id_further_back_that_differs_from_the_routed_one_ends_the_call() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            call.messages.drain().await;
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        let mut message = task("echo-agent", &"x".repeat(200_000)).encode_to_vec();
        task("other-agent", "").encode(&mut message).unwrap();
        let answer = client.send_all(EXECUTE_TASK, &[], frame(&message)).await.unwrap();
        assert_eq!((answer.status(), answer.reason().as_str()), (3, "ID_AMBIGUOUS"), "{answer:?}");
        until(0, || backend.open_streams()).await;
        router.settled().await;
    });
}

#[test]
fn an_error_leaves_the_connection_and_other_calls_alone() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        let client = Client::connect(router.addr).await;
        for _ in 0..50 {
            let (without_id, with_id) = (task("", "x"), task("echo", "x"));
            let bad = client.unary(EXECUTE_TASK, &[], &without_id);
            let good = client.unary(EXECUTE_TASK, &[], &with_id);
            let (bad, good) = tokio::join!(bad, good);
            assert_eq!(bad.status(), 3);
            assert_eq!(good.decode::<TaskResponse>().output, "echo: x");
        }
    });
}
