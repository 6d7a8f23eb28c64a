//! Streams of all four kinds: order, half-close, and no message waits for the next.

use crate::support::*;
use bytes::Bytes;
use prost::Message;
use switchboard_proto::agentplatform::{TaskChunk, TaskRequest};

#[test]
fn a_server_stream_arrives_in_order_and_complete() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            let request = call.decode::<TaskRequest>().await;
            let count: usize = request.input.parse().unwrap();
            let mut out = call.begin(&[]);
            for i in 0..count {
                let chunk =
                    TaskChunk { content: i.to_string(), is_final: i + 1 == count, ..TaskChunk::default() };
                out.send(&chunk.encode_to_vec()).await.unwrap();
            }
            out.finish(&[("grpc-status", "0")]);
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        for count in [1, 1_000] {
            let answer = client.unary(STREAM_TASK, &[], &task("echo", &count.to_string())).await;
            assert_eq!((answer.status(), answer.messages.len()), (0, count));
            for (i, message) in answer.messages.iter().enumerate() {
                let chunk = TaskChunk::decode(message.clone()).unwrap();
                assert_eq!((chunk.content, chunk.is_final), (i.to_string(), i + 1 == count));
            }
        }
        router.settled().await;
    });
}

#[test]
fn a_client_stream_arrives_in_order_and_its_end_arrives() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            let messages = call.messages.rest().await.unwrap();
            let ordered = messages.iter().enumerate().all(|(i, m)| *m == i.to_string());
            call.reply(&task("", &format!("{} {ordered}", messages.len()))).await;
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-x", &[backend.addr]);
        router.set_grpc("demo.Echo", "agent-x");
        let client = Client::connect(router.addr).await;
        let mut call = client.open("/demo.Echo/Collect", &[]).await.unwrap();
        for i in 0..1_000 {
            call.send(i.to_string().as_bytes()).await.unwrap();
        }
        call.half_close();
        let answer = call.answer().await.unwrap();
        assert_eq!(answer.decode::<TaskRequest>().input, "1000 true");
    });
}

/// Echoes every message when it comes, and ends when the client does.
async fn echo_messages(mut call: Incoming) {
    let mut out = call.begin(&[]);
    while let Ok(Some(message)) = call.messages.next().await {
        if out.send(&message).await.is_err() {
            return;
        }
    }
    out.finish(&[("grpc-status", "0"), ("x-seen", "end")]);
}

#[test]
fn in_a_bidirectional_stream_each_message_arrives_before_the_next_is_sent() {
    run(async {
        let backend = Backend::start(echo_messages).await;
        let router = TestRouter::start().await;
        router.set("agent-x", &[backend.addr]);
        router.set_grpc("demo.Echo", "agent-x");
        let client = Client::connect(router.addr).await;
        let mut call = client.open(BIDI, &[]).await.unwrap();
        call.send(b"first").await.unwrap();
        let (request, mut response) = call.response().await.unwrap();
        assert_eq!(response.messages.next().await.unwrap().unwrap(), "first");
        let mut request = request;
        for i in 0..300 {
            let message = format!("message {i}");
            request.send_data(frame(message.as_bytes()), false).unwrap();
            assert_eq!(response.messages.next().await.unwrap().unwrap(), message);
        }
        // Half-close: the backend sees the end and answers it.
        request.send_data(Bytes::new(), true).unwrap();
        let answer = response.finish().await.unwrap();
        assert_eq!((answer.status(), answer.trailers["x-seen"].to_str().unwrap()), (0, "end"));
        router.settled().await;
    });
}

#[test]
fn response_headers_and_messages_arrive_while_the_backend_still_waits() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            let mut out = call.begin(&[("x-early", "1")]);
            out.send(b"tick").await.unwrap();
            out.reset_by_peer().await;
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-x", &[backend.addr]);
        router.set_grpc("demo.Echo", "agent-x");
        let client = Client::connect(router.addr).await;
        // The request has no message yet: rule (c) needs none.
        let call = client.open(BIDI, &[]).await.unwrap();
        let (_request, mut response) = call.response().await.unwrap();
        assert_eq!(response.headers["x-early"], "1");
        assert_eq!(response.messages.next().await.unwrap().unwrap(), "tick");
    });
}

#[test]
fn a_response_goes_on_after_the_request_has_ended() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            let mut out = call.begin(&[]);
            assert_eq!(call.messages.rest().await.unwrap().len(), 1);
            for _ in 0..10 {
                out.send(b"late").await.unwrap();
            }
            out.finish(&[("grpc-status", "0")]);
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-x", &[backend.addr]);
        router.set_grpc("demo.Echo", "agent-x");
        let client = Client::connect(router.addr).await;
        let mut call = client.open(BIDI, &[]).await.unwrap();
        call.send(b"only").await.unwrap();
        let (mut request, response) = call.response().await.unwrap();
        request.send_data(Bytes::new(), true).unwrap();
        let answer = response.finish().await.unwrap();
        assert_eq!((answer.status(), answer.messages.len()), (0, 10));
    });
}

#[test]
fn twenty_mebibytes_pass_in_both_directions_at_once() {
    run(async {
        let backend = Backend::start(echo_messages).await;
        let router = TestRouter::start().await;
        router.set("agent-x", &[backend.addr]);
        router.set_grpc("demo.Echo", "agent-x");
        let client = Client::connect(router.addr).await;
        let mut call = client.open(BIDI, &[]).await.unwrap();
        let message: Bytes = (0..20 << 20).map(|i: u32| (i % 253) as u8).collect::<Vec<u8>>().into();
        let sent = message.clone();
        call.raw(Bytes::from_static(b"\0\0\0\0\0"), false).await.unwrap();
        let (request, mut response) = call.response().await.unwrap();
        let sending = tokio::spawn(async move {
            let mut request = request;
            let mut call_bytes = frame(&sent);
            while !call_bytes.is_empty() {
                request.reserve_capacity(call_bytes.len());
                let room = std::future::poll_fn(|cx| request.poll_capacity(cx)).await.unwrap().unwrap();
                request.send_data(call_bytes.split_to(room), call_bytes.is_empty()).unwrap();
            }
        });
        assert_eq!(response.messages.next().await.unwrap().unwrap(), "");
        let echoed = response.messages.next().await.unwrap().unwrap();
        assert!(echoed == message, "{} bytes came", echoed.len());
        sending.await.unwrap();
        let answer = response.finish().await.unwrap();
        assert_eq!(answer.status(), 0);
        router.settled().await;
    });
}

#[test]
fn a_large_message_after_the_id_passes_through_a_known_method() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            let request = call.decode::<TaskRequest>().await;
            call.reply(&request).await;
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        let request = task("echo", &"m".repeat(20 << 20));
        let answer = client.unary(EXECUTE_TASK, &[], &request).await;
        assert!(answer.decode::<TaskRequest>() == request);
        router.settled().await;
    });
}
