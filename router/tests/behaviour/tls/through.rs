//! What goes through TLS on both sides: every byte, at everybody's pace.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::support::{tls::*, *};
use bytes::Bytes;
use std::sync::atomic::Ordering::SeqCst;
use switchboard_proto::agentplatform::TaskResponse;
use switchboard_transport::{ClientAuth, authority::Subject};

/// As in `back_pressure.rs`, and the kernel's buffers.
const UNDER_WAY_MAX: usize = 20 << 20;

#[test]
fn calls_and_their_answers_pass() {
    run(async {
        let backend = Backend::secure_echo(PKI.server("agent-echo", ClientAuth::Required), "echo").await;
        let router = secure_router(|config| config.workers = 2).await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::secure(router.addr, PKI.client(Some(&Subject::new("caller")))).await;
        for length in [0, 1, 100, 16_384, 16_385, 100_000, 3 << 20] {
            let input: String = (0..length).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
            let answer = client.unary(EXECUTE_TASK, &[], &task("echo", &input)).await;
            assert!(answer.decode::<TaskResponse>().output == format!("echo: {input}"), "{length} bytes");
        }
        router.settled().await;
    });
}

#[test]
fn every_byte_of_many_streams_passes_in_order() {
    run(async {
        let backend =
            Backend::secure(PKI.server("agent-echo", ClientAuth::None), async |mut call: Incoming| {
                let mut out = call.begin(&[]);
                while let Ok(Some(message)) = call.messages.next().await {
                    if out.send(&message).await.is_err() {
                        return;
                    }
                }
                out.finish(&[("grpc-status", "0")]);
            })
            .await;
        let router = secure_router(|_| {}).await;
        router.set("agent-echo", &[backend.addr]);
        router.set_grpc("demo.Echo", "agent-echo");
        let client = Client::secure(router.addr, PKI.client(None)).await;
        let streams = (0..20_usize).map(async |stream| {
            let mut call = client.open(BIDI, &[]).await.unwrap();
            let message = |index: usize| -> Vec<u8> {
                (0..(index * 7_919 + stream) % 40_000).map(|at| (at * 31 + index + stream) as u8).collect()
            };
            call.send(&message(0)).await.unwrap();
            let (mut request, mut response) = call.response().await.unwrap();
            assert_eq!(response.messages.next().await.unwrap().unwrap(), message(0));
            let send = async {
                for index in 1..60 {
                    grpc_send(&mut request, &message(index)).await;
                }
            };
            let receive = async {
                for index in 1..60 {
                    assert!(response.messages.next().await.unwrap().unwrap() == message(index));
                }
            };
            tokio::join!(send, receive);
        });
        futures_util::future::join_all(streams).await;
    });
}

async fn grpc_send(request: &mut h2::SendStream<Bytes>, message: &[u8]) {
    let mut body = frame(message);
    while !body.is_empty() {
        request.reserve_capacity(body.len());
        let room = std::future::poll_fn(|cx| request.poll_capacity(cx)).await.unwrap().unwrap();
        request.send_data(body.split_to(room.min(body.len())), false).unwrap();
    }
}

#[test]
fn a_client_that_does_not_even_read_its_socket_costs_its_windows_and_stops_nobody() {
    run(async {
        let (backend, sent) = Backend::producer(Some(PKI.server("agent-echo", ClientAuth::None))).await;
        let router = secure_router(|_| {}).await;
        router.set("agent-echo", &[backend.addr]);
        let socket = handshake(router.addr, PKI.client(None)).await.unwrap();
        // The h2 crate reads only while its connection is polled.
        let (requests, connection) = h2::client::Builder::new()
            .initial_window_size(1 << 30)
            .initial_connection_window_size(1 << 30)
            .handshake::<_, Bytes>(socket)
            .await
            .unwrap();
        let mut connection = Box::pin(connection);
        let request = http::Request::builder()
            .method("POST")
            .uri(format!("http://router{STREAM_TASK}"))
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .body(())
            .unwrap();
        let mut requests = tokio::select! {
            ready = requests.ready() => ready.unwrap(),
            _ = &mut connection => panic!("the connection ended"),
        };
        let (response, mut body) = requests.send_request(request, false).unwrap();
        let message = prost::Message::encode_to_vec(&task("echo", "x"));
        body.send_data(frame(&message), true).unwrap();
        tokio::select! {
            response = response => assert!(response.is_ok()),
            _ = &mut connection => panic!("the connection ended"),
        }
        let stopped_at = steady(|| sent.load(SeqCst)).await;
        assert!(stopped_at > 0 && stopped_at < UNDER_WAY_MAX, "{stopped_at}");
        let held = router.metric("switchboard_buffered_bytes");
        assert!(held > 0 && held < 3 << 20, "{held}");
        let other = Client::secure(router.addr, PKI.client(None)).await;
        for _ in 0..50 {
            assert_eq!(other.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        }
        assert_eq!(sent.load(SeqCst), stopped_at);
        drop((connection, body));
        router.settled().await;
    });
}

#[test]
fn a_stream_that_is_not_read_stops_its_producer_and_goes_on_when_it_is() {
    run(async {
        let (backend, sent) = Backend::producer(Some(PKI.server("agent-echo", ClientAuth::None))).await;
        let router = secure_router(|_| {}).await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::secure(router.addr, PKI.client(None)).await;
        let call = client.begin(STREAM_TASK, &[], &task("echo", "x")).await;
        let (_request, mut response) = call.response().await.unwrap();
        let stopped_at = steady(|| sent.load(SeqCst)).await;
        assert!(stopped_at > 0 && stopped_at < 4 << 20, "{stopped_at}");
        for _ in 0..50 {
            assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        }
        for _ in 0..1_000 {
            assert_eq!(response.messages.next().await.unwrap().unwrap(), vec![7; CHUNK]);
        }
        assert!(sent.load(SeqCst) > stopped_at);
    });
}

#[test]
fn a_drain_lets_calls_end_and_closes_in_order() {
    run(async {
        let backend = Backend::secure_echo(PKI.server("agent-echo", ClientAuth::None), "echo").await;
        let router =
            secure_router(|config| config.drain_goaway_gap = std::time::Duration::from_millis(20)).await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::secure(router.addr, PKI.client(None)).await;
        assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        router.send(|| switchboard_router::link::Update::GoAway);
        // An end without close_notify would be an error.
        assert_eq!(client.closed().await, None);
    });
}
