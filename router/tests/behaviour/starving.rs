//! One stream that its instance does not read holds up nobody else: calls in flight beside it have their part of the
//! connection's window, new ones another connection, and where the window is gone all the same, it ends.

use crate::support::*;
use bytes::Bytes;
use std::time::Duration;

/// A backend with the default windows of gRPC servers, equal for stream and connection. `bidi` is not read; `StreamTask`
/// echoes message by message.
async fn backend() -> Backend {
    Backend::with(
        |builder| {
            builder.initial_window_size(65_535).initial_connection_window_size(65_535);
        },
        async |mut call: Incoming| match call.head.uri.path() {
            EXECUTE_TASK => call.echo("echo").await,
            STREAM_TASK => {
                let mut out = call.begin(&[]);
                while let Ok(Some(message)) = call.messages.next().await {
                    if out.send(&message).await.is_err() {
                        return;
                    }
                }
                out.finish(&[("grpc-status", "0")]);
            }
            _ => call.hang().await,
        },
    )
    .await
}

async fn router(starved_after: Duration, connections: usize) -> (TestRouter, Backend) {
    let backend = backend().await;
    let router = TestRouter::with(|config| {
        config.starved_after = starved_after;
        config.connections_per_endpoint = connections;
    })
    .await;
    router.set("agent-echo", &[backend.addr]);
    router.set_grpc("demo.Echo", "agent-echo");
    (router, backend)
}

/// Sends until nothing more is taken.
async fn stall(client: &Client) -> tokio::task::JoinHandle<Result<Answer, Gone>> {
    let mut call = client.open(BIDI, &[]).await.expect("a stream");
    tokio::spawn(async move {
        let _ = call.raw(Bytes::from(vec![1; 5 << 20]), false).await;
        call.answer().await
    })
}

#[test]
fn a_call_in_flight_beside_a_stream_that_is_not_read_goes_on() {
    run(async {
        let (router, backend) = router(Duration::ZERO, 1).await;
        let client = Client::connect(router.addr).await;
        let mut call = client.begin(STREAM_TASK, &[], &task("echo", "first")).await;
        let bad = Client::connect(router.addr).await;
        let upload = stall(&bad).await;
        until(2, || backend.open_streams()).await;
        steady(|| router.metric("switchboard_upstream_written_bytes_total")).await;
        let (mut request, mut response) = {
            call.send(b"second").await.unwrap();
            call.response().await.unwrap()
        };
        assert!(response.messages.next().await.unwrap().is_some());
        assert_eq!(response.messages.next().await.unwrap().unwrap(), "second");
        // Ten times what is left of the connection's window, while the other stream stays where it is.
        for round in 0..100_u8 {
            let message = vec![round; 3_000];
            let sent = request.send_data(frame(&message), false);
            sent.unwrap();
            assert_eq!(response.messages.next().await.unwrap().unwrap(), message);
        }
        assert_eq!(backend.connections(), 1);
        upload.abort();
    });
}

#[test]
fn new_calls_avoid_a_connection_with_such_a_stream() {
    run(async {
        let (router, backend) = router(Duration::ZERO, 8).await;
        let bad = Client::connect(router.addr).await;
        let mut uploads = Vec::new();
        for stalled in 1..=4 {
            uploads.push(stall(&bad).await);
            until(stalled, || backend.open_streams()).await;
            steady(|| router.metric("switchboard_upstream_written_bytes_total")).await;
        }
        let client = Client::connect(router.addr).await;
        for _ in 0..50 {
            assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        }
        assert_eq!(backend.connections(), 5);
        uploads.iter().for_each(|upload| upload.abort());
    });
}

#[test]
fn a_stream_that_others_wait_for_in_vain_ends_with_a_reason() {
    run(async {
        let (router, backend) = router(Duration::from_millis(300), 1).await;
        let client = Client::connect(router.addr).await;
        // Two streams are enough to use up the window.
        let bad = Client::connect(router.addr).await;
        let mut uploads = Vec::new();
        for stalled in 1..=3 {
            uploads.push(stall(&bad).await);
            until(stalled, || backend.open_streams()).await;
        }
        for _ in 0..50 {
            let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
            assert_eq!(answer.status(), 0, "{answer:?}");
        }
        assert!(router.metric("switchboard_calls_ended_for_others_total") > 0);
        let mut ended = 0;
        for upload in uploads {
            match tokio::time::timeout(Duration::from_millis(500), upload).await {
                Ok(answer) => {
                    let answer = answer.unwrap().unwrap();
                    assert_eq!((answer.status(), answer.reason().as_str()), (8, "NOT_READ"));
                    ended += 1;
                }
                Err(_waits) => {}
            }
        }
        assert!(ended > 0);
        assert_eq!(backend.connections(), 1);
    });
}
