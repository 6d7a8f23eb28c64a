//! Who does not read stops who sends, within bounded memory, and nobody else.

use crate::support::*;
use bytes::Bytes;
use prost::Message;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};
use switchboard_http2::frame as http2;

/// What may be under way between a producer and a reader that stopped: the stream windows of three HTTP/2
/// connections' ends at 1 MiB each, the router's output and its replay buffer.
const UNDER_WAY_MAX: usize = 4 << 20;

#[test]
fn a_client_that_does_not_read_stops_the_producer_and_no_other_call() {
    run(async {
        let (backend, sent) = Backend::producer(None).await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        // 64 KiB windows.
        let client = Client::with(router.addr, |_| {}).await;
        let call = client.begin(STREAM_TASK, &[], &task("echo", "x")).await;
        let (request, mut response) = call.response().await.unwrap();
        let stopped_at = steady(|| sent.load(SeqCst)).await;
        assert!(stopped_at > 0 && stopped_at < UNDER_WAY_MAX, "{stopped_at}");
        // Others share the connection to the backend. The stalled stream has used up the client's own window.
        let other = Client::connect(router.addr).await;
        for _ in 0..50 {
            assert_eq!(other.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        }
        assert_eq!(backend.connections(), 1);
        assert_eq!(sent.load(SeqCst), stopped_at);
        // Reading on starts the producer again, and nothing was lost.
        for _ in 0..1_000 {
            assert_eq!(response.messages.next().await.unwrap().unwrap(), vec![7; CHUNK]);
        }
        assert!(sent.load(SeqCst) > stopped_at);
        drop((request, response));
        router.settled().await;
    });
}

#[test]
fn other_streams_of_the_same_client_go_on_while_one_is_not_read() {
    run(async {
        let (backend, sent) = Backend::producer(None).await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::with(router.addr, |builder| {
            builder.initial_window_size(64 << 10).initial_connection_window_size(8 << 20);
        })
        .await;
        let mut stalled = Vec::new();
        for _ in 0..10 {
            let call = client.begin(STREAM_TASK, &[], &task("echo", "x")).await;
            stalled.push(call.response().await.unwrap());
        }
        let stopped_at = steady(|| sent.load(SeqCst)).await;
        assert!(stopped_at < 10 * UNDER_WAY_MAX, "{stopped_at}");
        for _ in 0..50 {
            assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        }
        // Each of them is whole when it is read after all.
        for (_, response) in &mut stalled {
            for _ in 0..200 {
                assert_eq!(response.messages.next().await.unwrap().unwrap(), vec![7; CHUNK]);
            }
        }
    });
}

#[test]
fn a_client_that_does_not_even_read_its_socket_stops_only_itself() {
    run(async {
        let (backend, sent) = Backend::producer(None).await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let mut wire = Wire::client(router.addr).await;
        let block = wire.request_block(STREAM_TASK);
        let message = frame(&task("echo", "x").encode_to_vec());
        wire.send(|out| {
            // All the windows there can be.
            http2::write_settings(out, &[(http2::setting::INITIAL_WINDOW_SIZE, http2::MAX_31)]);
            http2::write_window_update(out, 0, http2::MAX_31 - http2::DEFAULT_WINDOW);
            http2::write_headers(out, 1, &block, false, true);
            http2::write_data(out, 1, &message, true);
        })
        .await;
        // The kernel's buffers come on top: a few MiB on loopback.
        let stopped_at = steady(|| sent.load(SeqCst)).await;
        assert!(stopped_at > 0 && stopped_at < UNDER_WAY_MAX + (16 << 20), "{stopped_at}");
        let other = Client::connect(router.addr).await;
        for _ in 0..50 {
            assert_eq!(other.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        }
        assert_eq!(sent.load(SeqCst), stopped_at);
    });
}

#[test]
fn a_backend_that_does_not_read_stops_the_client_and_no_other_call() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            if call.head.uri.path() == EXECUTE_TASK {
                return call.echo("echo").await;
            }
            // Takes the first message, and no more until the client has stopped.
            assert!(call.messages.next().await.unwrap().is_some());
            let mut out = call.begin(&[]);
            out.send(b"enough").await.unwrap();
            tokio::select! {
                () = call_is_resumed() => {}
                _ = out.reset_by_peer() => return,
            }
            let total = call.messages.drain().await;
            out.send(total.to_string().as_bytes()).await.unwrap();
            out.finish(&[("grpc-status", "0")]);
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        router.set_grpc("demo.Echo", "agent-echo");
        let client = Client::connect(router.addr).await;
        let mut call = client.open(BIDI, &[]).await.unwrap();
        call.send(b"first").await.unwrap();
        let (mut request, mut response) = call.response().await.unwrap();
        assert_eq!(response.messages.next().await.unwrap().unwrap(), "enough");
        // Sends as long as the router grants a window.
        let sent = Arc::new(AtomicUsize::new(0));
        let count = sent.clone();
        let producer = tokio::spawn(async move {
            let mut total = 0;
            while total < 20 << 20 {
                request.reserve_capacity(CHUNK);
                let Some(Ok(room)) = std::future::poll_fn(|cx| request.poll_capacity(cx)).await else {
                    return;
                };
                request.send_data(Bytes::from(vec![1; room]), false).unwrap();
                total += room;
                count.store(total, SeqCst);
            }
        });
        let stopped_at = steady(|| sent.load(SeqCst)).await;
        assert!(stopped_at > 0 && stopped_at < UNDER_WAY_MAX, "{stopped_at}");
        for _ in 0..50 {
            assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        }
        assert_eq!((backend.connections(), sent.load(SeqCst)), (1, stopped_at));
        producer.abort();
    });
}

/// The backend of the test above never is: the call ends by its client.
async fn call_is_resumed() {
    std::future::pending().await
}

#[test]
fn a_stalled_stream_that_fills_a_backends_connection_window_does_not_hold_up_new_calls() {
    run(async {
        // As tonic's servers: the window of the connection is no larger than that of a stream.
        let backend = Backend::with(
            |builder| {
                builder.initial_connection_window_size(1 << 20);
            },
            async |call: Incoming| {
                if call.head.uri.path() == EXECUTE_TASK {
                    return call.echo("echo").await;
                }
                call.hang().await;
            },
        )
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        router.set_grpc("demo.Echo", "agent-echo");
        let client = Client::connect(router.addr).await;
        let mut stalled = client.open(BIDI, &[]).await.unwrap();
        let upload = tokio::spawn(async move {
            // Never finishes: the windows of both sides fill up.
            let _ = stalled.raw(Bytes::from(vec![1; 5 << 20]), false).await;
            stalled
        });
        steady(|| router.metric("switchboard_upstream_written_bytes_total")).await;
        for _ in 0..50 {
            assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        }
        assert_eq!(backend.connections(), 2);
        upload.abort();
    });
}

#[test]
fn small_messages_that_a_backend_does_not_read_do_not_cost_the_shared_connection() {
    run(async {
        // With the windows of tonic's servers the h2 crate ends a connection that holds half a MiB of overhead: 2,700
        // unread DATA frames of this size.
        let backend = Backend::with(
            |builder| {
                builder.initial_connection_window_size(1 << 20);
            },
            async |call: Incoming| {
                if call.head.uri.path() == EXECUTE_TASK {
                    return call.echo("echo").await;
                }
                call.hang().await;
            },
        )
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        router.set_grpc("demo.Echo", "agent-echo");
        let mut wire = Wire::client(router.addr).await;
        let message = frame(&[1; 60]);
        for stream in (1..40).step_by(2) {
            let block = wire.request_block(BIDI);
            wire.send(|out| http2::write_headers(out, stream, &block, false, true)).await;
            until(stream as usize / 2 + 1, || backend.open_streams()).await;
            wire.send(|out| (0..200).for_each(|_| http2::write_data(out, stream, &message, false))).await;
        }
        // All of it goes on, in fewer frames.
        let all = 20 * 200 * message.len() as u64;
        until(true, || router.metric("switchboard_upstream_written_bytes_total") >= all).await;
        let calm = Client::connect(router.addr).await;
        for _ in 0..50 {
            assert_eq!(calm.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        }
        assert_eq!(backend.connections(), 1);
    });
}

#[test]
fn calls_go_on_beside_uploads_that_fill_the_only_connection() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            if call.head.uri.path() == EXECUTE_TASK {
                return call.echo("echo").await;
            }
            call.messages.drain().await;
        })
        .await;
        let router = TestRouter::with(|config| config.connections_per_endpoint = 1).await;
        router.set("agent-echo", &[backend.addr]);
        router.set_grpc("demo.Echo", "agent-echo");
        let (busy, calm) = (Client::connect(router.addr).await, Client::connect(router.addr).await);
        let mut uploads = Vec::new();
        for _ in 0..4 {
            let mut call = busy.open(BIDI, &[]).await.unwrap();
            let upload = async move {
                // Until the test is over.
                while call.raw(Bytes::from(vec![3; 1 << 20]), false).await.is_ok() {}
            };
            uploads.push(tokio::spawn(upload));
        }
        until(4, || backend.open_streams()).await;
        for _ in 0..200 {
            assert_eq!(calm.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        }
        assert_eq!(backend.connections(), 1);
        uploads.iter().for_each(|upload| upload.abort());
    });
}
