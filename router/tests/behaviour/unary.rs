//! A unary call finds its backend by the ID in its message, however the message arrives.

use crate::support::*;
use bytes::{BufMut, Bytes, BytesMut};
use flate2::{Compression, write::GzEncoder};
use prost::Message;
use std::io::Write;
use switchboard_proto::agentplatform::{TaskRequest, TaskResponse, ToolRequest, ToolResponse};

#[test]
fn the_id_in_the_message_names_the_backend() {
    run(async {
        let (echo, other) = (Backend::echo("echo").await, Backend::echo("other").await);
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        router.set("agent-other", &[other.addr]);
        let client = Client::connect(router.addr).await;
        for (id, expected) in [("echo-agent", "echo: hi"), ("other-agent", "other: hi")] {
            let answer = client.unary(EXECUTE_TASK, &[], &task(id, "hi")).await;
            assert_eq!((answer.http_status, answer.status()), (200, 0), "{answer:?}");
            assert_eq!(answer.decode::<TaskResponse>().output, expected);
        }
        assert_eq!((echo.streams(), other.streams()), (1, 1));
        router.settled().await;
    });
}

#[test]
fn an_id_without_suffix_takes_the_kind_of_the_method() {
    run(async {
        let agent = Backend::echo("agent").await;
        let worker = Backend::echo("worker").await;
        let weather = Backend::start(async |mut call: Incoming| {
            let request = call.decode::<ToolRequest>().await;
            call.reply(&ToolResponse { result: request.tool_id, success: true, ..ToolResponse::default() })
                .await;
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[agent.addr]);
        router.set("worker-echo", &[worker.addr]);
        router.set("tool-weather", &[weather.addr]);
        let client = Client::connect(router.addr).await;
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
        assert_eq!(answer.decode::<TaskResponse>().output, "agent: x");
        let answer = client.unary(PROCESS_TASK, &[], &task("echo", "x")).await;
        assert_eq!(answer.decode::<TaskResponse>().output, "worker: x");
        // The message itself is not touched.
        let answer = client.unary(EXECUTE_TOOL, &[], &tool("weather")).await;
        assert_eq!(answer.decode::<ToolResponse>().result, "weather");
    });
}

#[test]
fn the_message_may_come_in_any_number_of_data_frames() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        let client = Client::connect(router.addr).await;
        let body = frame(&task("echo-agent", "piecemeal").encode_to_vec());
        for size in [1, 2, 3, 7, body.len() - 1] {
            let mut call = client.open(EXECUTE_TASK, &[]).await.unwrap();
            let mut chunks = body.chunks(size).peekable();
            while let Some(chunk) = chunks.next() {
                call.raw(Bytes::copy_from_slice(chunk), chunks.peek().is_none()).await.unwrap();
                // Lets the connection's task write, so that the chunks are frames of their own.
                tokio::task::yield_now().await;
            }
            let answer = call.answer().await.unwrap();
            assert_eq!(answer.decode::<TaskResponse>().output, "echo: piecemeal", "in pieces of {size}");
        }
    });
}

#[test]
fn end_of_stream_may_come_in_a_frame_of_its_own_or_as_trailers() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            // Only the end of the request is answered.
            let messages = call.messages.rest().await.unwrap();
            call.reply(&task("", &messages.len().to_string())).await;
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        for trailers in [false, true] {
            let mut call = client.begin(EXECUTE_TASK, &[], &task("echo-agent", "x")).await;
            until(1, || backend.open_streams()).await;
            if trailers {
                call.request.send_trailers(http::HeaderMap::new()).unwrap();
            } else {
                call.half_close();
            }
            assert_eq!(call.answer().await.unwrap().decode::<TaskRequest>().input, "1");
            until(0, || backend.open_streams()).await;
        }
        router.settled().await;
    });
}

#[test]
fn unknown_fields_before_the_id_are_passed_over() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        let client = Client::connect(router.addr).await;
        let mut message = BytesMut::new();
        // Field 200 of every wire type: varint, 64 bits, bytes, group, 32 bits.
        let tag = |wire: u32| prost::encoding::WireType::try_from(wire as u64).unwrap();
        for wire in [0, 1, 2, 3, 5] {
            prost::encoding::encode_key(200, tag(wire), &mut message);
            match wire {
                0 => message.put_slice(&[0xff, 0xff, 0xff, 0x7f]),
                1 => message.put_slice(&[0x12; 8]),
                // Content that looks like another ID.
                2 => message.put_slice(b"\x0d\x12\x0bother-agent"),
                3 => {
                    message.put_slice(b"\x12\x0bother-agent");
                    prost::encoding::encode_key(200, tag(4), &mut message);
                }
                _ => message.put_slice(&[0x12; 4]),
            }
        }
        task("echo-agent", "deep").encode(&mut message).unwrap();
        let answer = client.send_all(EXECUTE_TASK, &[], frame(&message)).await.unwrap();
        assert_eq!(answer.decode::<TaskResponse>().output, "echo: deep");
    });
}

#[test]
fn the_last_of_several_ids_wins_as_protobuf_says() {
    run(async {
        let (echo, other) = (Backend::echo("echo").await, Backend::echo("other").await);
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        router.set("agent-other", &[other.addr]);
        let client = Client::connect(router.addr).await;
        let mut message = task("other-agent", "").encode_to_vec();
        task("echo-agent", "last").encode(&mut message).unwrap();
        let answer = client.send_all(EXECUTE_TASK, &[], frame(&message)).await.unwrap();
        assert_eq!(answer.decode::<TaskResponse>().output, "echo: last");
        assert_eq!(other.streams(), 0);
    });
}

#[test]
fn a_gzip_compressed_first_message_is_read_and_passed_on_as_it_is() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            let raw = call.messages.next().await.unwrap().unwrap();
            call.reply(&TaskResponse { output: format!("{} bytes", raw.len()), ..TaskResponse::default() })
                .await;
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&task("echo-agent", &"long ".repeat(500)).encode_to_vec()).unwrap();
        let compressed = encoder.finish().unwrap();
        let mut body = BytesMut::from(&frame(&compressed)[..]);
        body[0] = 1;
        let headers = [("grpc-encoding", "gzip")];
        let answer = client.send_all(EXECUTE_TASK, &headers, body.freeze()).await.unwrap();
        assert_eq!(answer.decode::<TaskResponse>().output, format!("{} bytes", compressed.len()));
        assert_eq!(backend.last_header("grpc-encoding"), "gzip");
    });
}

#[test]
fn a_message_of_300_kib_passes_whichever_side_of_it_the_id_is_on() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            let request = call.decode::<TaskRequest>().await;
            call.reply(&TaskResponse { output: request.input, ..TaskResponse::default() }).await;
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        let input: String = (0..300 * 1024).map(|i| char::from(b'a' + (i % 26) as u8)).collect();
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo-agent", &input)).await;
        assert!(answer.decode::<TaskResponse>().output == input);
        // With the ID last it is beyond what the router searches.
        let mut message = task("", &input).encode_to_vec();
        task("echo-agent", "").encode(&mut message).unwrap();
        let answer = client.send_all(EXECUTE_TASK, &[], frame(&message)).await.unwrap();
        assert_eq!((answer.status(), answer.reason().as_str()), (3, "ID_MISSING"), "{answer:?}");
        router.settled().await;
    });
}

#[test]
fn many_calls_on_one_connection_each_get_their_own_answer() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        let client = Client::connect(router.addr).await;
        let calls = (0..500).map(|i| {
            let client = &client;
            async move {
                let answer = client.unary(EXECUTE_TASK, &[], &task("echo-agent", &i.to_string())).await;
                assert_eq!(answer.decode::<TaskResponse>().output, format!("echo: {i}"));
            }
        });
        futures_util::future::join_all(calls).await;
        assert_eq!(echo.streams(), 500);
        router.settled().await;
    });
}

#[test]
fn a_method_without_an_id_goes_to_the_routers_own_services() {
    run(async {
        let router = TestRouter::start().await;
        let client = Client::connect(router.addr).await;
        let call = tokio::spawn(async move {
            let request = switchboard_proto::agentplatform::ListAgentsRequest::default();
            client.unary("/agentplatform.AgentService/ListAgents", &[], &request).await
        });
        let socket = router.local_socket().await;
        let mut connection = h2::server::handshake(socket).await.unwrap();
        let (request, mut respond) = connection.accept().await.unwrap().unwrap();
        assert_eq!(request.uri().path(), "/agentplatform.AgentService/ListAgents");
        let mut response = http::Response::new(());
        response.headers_mut().insert("grpc-status", "0".parse().unwrap());
        respond.send_response(response, true).unwrap();
        tokio::spawn(async move { while connection.accept().await.is_some() {} });
        assert_eq!(call.await.unwrap().status(), 0);
    });
}
