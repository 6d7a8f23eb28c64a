//! A new directory decides about new calls only.

use crate::support::*;
use bytes::Bytes;
use switchboard_proto::agentplatform::TaskResponse;

/// Echoes messages of streams, and unary calls with its name.
async fn backend(name: &'static str) -> Backend {
    Backend::start(async move |mut call: Incoming| {
        if call.head.uri.path() == EXECUTE_TASK {
            return call.echo(name).await;
        }
        let mut out = call.begin(&[]);
        while let Ok(Some(message)) = call.messages.next().await {
            if out.send(&message).await.is_err() {
                return;
            }
        }
        out.finish(&[("grpc-status", "0")]);
    })
    .await
}

#[test]
fn a_hundred_swaps_during_a_stream_do_not_disturb_it() {
    run(async {
        let a = backend("a").await;
        let router = TestRouter::start().await;
        router.set("agent-x", &[a.addr]);
        router.set_grpc("demo.Echo", "agent-x");
        let client = Client::connect(router.addr).await;
        let mut call = client.open(BIDI, &[]).await.unwrap();
        call.send(b"first").await.unwrap();
        let (mut request, mut response) = call.response().await.unwrap();
        assert_eq!(response.messages.next().await.unwrap().unwrap(), "first");
        for i in 0..100 {
            // The same instance, registered again.
            router.set("agent-x", &[a.addr]);
            let message = i.to_string();
            request.send_data(frame(message.as_bytes()), false).unwrap();
            assert_eq!(response.messages.next().await.unwrap().unwrap(), message);
        }
        request.send_data(Bytes::new(), true).unwrap();
        assert_eq!(response.finish().await.unwrap().status(), 0);
        assert_eq!(a.connections(), 1);
    });
}

#[test]
fn an_instance_that_left_keeps_its_streams_and_gets_no_new_call() {
    run(async {
        let (a, b) = (backend("a").await, backend("b").await);
        let router = TestRouter::start().await;
        router.set("agent-x", &[a.addr]);
        router.set_grpc("demo.Echo", "agent-x");
        let client = Client::connect(router.addr).await;
        let mut call = client.open(BIDI, &[]).await.unwrap();
        call.send(b"first").await.unwrap();
        let (mut request, mut response) = call.response().await.unwrap();
        assert_eq!(response.messages.next().await.unwrap().unwrap(), "first");
        router.set_instances("agent-x", vec![Instance::new("b", b.addr)]);
        for _ in 0..20 {
            let answer = client.unary(EXECUTE_TASK, &[], &task("x", "y")).await;
            assert_eq!(answer.decode::<TaskResponse>().output, "b: y");
        }
        request.send_data(frame(b"still here"), false).unwrap();
        assert_eq!(response.messages.next().await.unwrap().unwrap(), "still here");
        assert_eq!((a.streams(), a.open_connections()), (1, 1));
        // With its last stream its connection goes.
        request.send_data(Bytes::new(), true).unwrap();
        assert_eq!(response.finish().await.unwrap().status(), 0);
        until(0, || a.open_connections()).await;
        until(1, || router.metric("switchboard_upstream_connections")).await;
    });
}

#[test]
fn idle_connections_of_an_instance_that_left_are_closed() {
    run(async {
        let a = backend("a").await;
        let router = TestRouter::start().await;
        router.set("agent-x", &[a.addr]);
        let client = Client::connect(router.addr).await;
        assert_eq!(client.unary(EXECUTE_TASK, &[], &task("x", "y")).await.status(), 0);
        router.set("agent-x", &[]);
        until(0, || a.open_connections()).await;
        // It comes back, and is called again.
        router.set("agent-x", &[a.addr]);
        assert_eq!(client.unary(EXECUTE_TASK, &[], &task("x", "y")).await.status(), 0);
        assert_eq!(a.connections(), 2);
    });
}

#[test]
fn an_instance_at_another_address_is_another_instance() {
    run(async {
        let (a, b) = (backend("a").await, backend("b").await);
        let router = TestRouter::start().await;
        router.set_instances("agent-x", vec![Instance::new("one", a.addr)]);
        let client = Client::connect(router.addr).await;
        let answer = client.unary(EXECUTE_TASK, &[], &task("x", "y")).await;
        assert_eq!(answer.decode::<TaskResponse>().output, "a: y");
        router.set_instances("agent-x", vec![Instance::new("one", b.addr)]);
        let answer = client.unary(EXECUTE_TASK, &[], &task("x", "y")).await;
        assert_eq!(answer.decode::<TaskResponse>().output, "b: y");
        until(0, || a.open_connections()).await;
    });
}

#[test]
fn calls_that_wait_for_a_connection_to_an_instance_that_leaves_still_get_theirs() {
    run(async {
        let slow = Peer::start().await;
        let router = TestRouter::start().await;
        router.set("agent-x", &[slow.addr]);
        let client = Client::connect(router.addr).await;
        let call = tokio::spawn(async move { client.unary(EXECUTE_TASK, &[], &task("x", "y")).await });
        until(1, || router.metric("switchboard_calls_queued")).await;
        router.set("agent-x", &[]);
        let mut wire = slow.accept_http2(&[]).await;
        use switchboard_http2::frame::{self, kind};
        let stream = wire.wait(kind::HEADERS).await.stream;
        let ok = wire.block(&[(":status", "200"), ("grpc-status", "0")]);
        wire.send(|out| frame::write_headers(out, stream, &ok, true, true)).await;
        assert_eq!(call.await.unwrap().status(), 0);
        // GOAWAY and the end.
        assert!(wire.rest().await.iter().any(|frame| frame.kind == kind::GOAWAY));
    });
}
