//! A response that comes before the request has ended is the answer, and the request is stopped.

use crate::support::*;
use bytes::Bytes;
use h2::Reason;
use prost::Message;

#[test]
fn a_refusal_before_the_upload_is_read_reaches_the_client() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            call.trailers_only(&[("grpc-status", "7"), ("grpc-message", "not for you")]);
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        for _ in 0..10 {
            let upload = frame(&task("echo", &"u".repeat(10 << 20)).encode_to_vec());
            let answer = client.send_all(EXECUTE_TASK, &[], upload).await.unwrap();
            assert_eq!((answer.status(), answer.message().as_str()), (7, "not for you"));
        }
        router.settled().await;
        assert_eq!(backend.connections(), 1);
    });
}

#[test]
fn the_client_is_told_to_stop_sending() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            call.trailers_only(&[("grpc-status", "7")]);
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        let call = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
        let (mut request, response) = call.response().await.unwrap();
        assert_eq!(response.finish().await.unwrap().status(), 7);
        let reset = std::future::poll_fn(|cx| request.poll_reset(cx)).await.unwrap();
        assert_eq!(reset, Reason::NO_ERROR);
        router.settled().await;
    });
}

#[test]
fn an_early_response_with_data_arrives_whole_although_the_client_reads_it_late() {
    run(async {
        let body = Bytes::from(vec![9u8; 3 << 20]);
        let sent = body.clone();
        let backend = Backend::start(move |mut call: Incoming| {
            let body = sent.clone();
            async move {
                let mut out = call.begin(&[]);
                out.send(&body).await.unwrap();
                out.finish(&[("grpc-status", "11")]);
            }
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        // Small windows: most of the response waits in the router when it ends.
        let client = Client::with(router.addr, |_| {}).await;
        let call = client.begin(STREAM_TASK, &[], &task("echo", "x")).await;
        let (_request, response) = call.response().await.unwrap();
        let answer = response.finish().await.unwrap();
        assert_eq!(answer.status(), 11);
        assert!(answer.messages.len() == 1 && answer.messages[0] == body);
        router.settled().await;
    });
}

#[test]
fn errors_of_the_router_itself_stop_an_upload_as_well() {
    run(async {
        let router = TestRouter::start().await;
        let client = Client::connect(router.addr).await;
        let upload = frame(&task("No_Such", &"u".repeat(10 << 20)).encode_to_vec());
        let answer = client.send_all(EXECUTE_TASK, &[], upload).await.unwrap();
        assert_eq!(answer.status(), 3);
        router.settled().await;
    });
}
