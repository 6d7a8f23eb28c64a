//! Who gives a call up is heard at the other end, wherever the call is just then.

use crate::support::*;
use bytes::Bytes;
use h2::Reason;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use switchboard_http2::frame::{self, kind};

/// A backend that notes how each call ended for it.
async fn witness() -> (Backend, Arc<Mutex<Vec<Gone>>>) {
    let seen: Arc<Mutex<Vec<Gone>>> = Arc::default();
    let notes = seen.clone();
    let backend = Backend::start(move |mut call: Incoming| {
        let notes = notes.clone();
        async move {
            let gone = call.reset_by_peer().await;
            notes.lock().expect("no handler panics").push(gone);
        }
    })
    .await;
    (backend, seen)
}

#[test]
fn a_reset_of_the_client_reaches_the_backend_before_any_response() {
    run(async {
        let (backend, seen) = witness().await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        let mut call = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
        call.half_close();
        until(1, || backend.open_streams()).await;
        call.reset(Reason::CANCEL);
        until(vec![Gone(Some(Reason::CANCEL))], || seen.lock().unwrap().clone()).await;
        router.settled().await;
        // The connection to the backend is kept.
        assert_eq!(backend.open_connections(), 1);
    });
}

#[test]
fn a_reset_in_the_middle_of_a_stream_reaches_the_backend() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            let mut out = call.begin(&[]);
            while out.send(b"tick").await.is_ok() {}
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        let call = client.begin(STREAM_TASK, &[], &task("echo", "x")).await;
        let (mut request, mut response) = call.response().await.unwrap();
        for _ in 0..10 {
            assert_eq!(response.messages.next().await.unwrap().unwrap(), "tick");
        }
        request.send_reset(Reason::CANCEL);
        until(0, || backend.open_streams()).await;
        router.settled().await;
    });
}

#[test]
fn a_client_that_disconnects_cancels_all_its_calls_and_nobody_elses() {
    run(async {
        let (backend, seen) = witness().await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let (leaver, stayer) = (Client::connect(router.addr).await, Client::connect(router.addr).await);
        let mut calls = Vec::new();
        for client in [&leaver, &leaver, &leaver, &stayer] {
            let call = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
            calls.push(call);
        }
        until(4, || backend.open_streams()).await;
        leaver.disconnect();
        until(1, || backend.open_streams()).await;
        assert_eq!(*seen.lock().unwrap(), vec![Gone(Some(Reason::CANCEL)); 3]);
        until(1, || router.metric("switchboard_calls_in_flight")).await;
        until(1, || router.metric("switchboard_downstream_connections")).await;
    });
}

#[test]
fn the_code_of_a_backends_reset_passes() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            let code: u32 = call.head.headers["x-code"].to_str().unwrap().parse().unwrap();
            if call.head.headers.contains_key("x-begun") {
                let mut out = call.begin(&[]);
                out.send(b"part").await.unwrap();
                // Once the client has it.
                assert!(call.messages.next().await.unwrap().is_some());
                assert!(call.messages.next().await.unwrap().is_some());
                out.reset(code.into());
            } else {
                call.reset(code.into());
            }
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        for code in [
            Reason::CANCEL,
            Reason::INTERNAL_ERROR,
            Reason::ENHANCE_YOUR_CALM,
            0x77.into(),
            Reason::REFUSED_STREAM,
        ] {
            let value = u32::from(code).to_string();
            // Before the response a refused stream is another matter: see retry.rs.
            if code != Reason::REFUSED_STREAM {
                let call = client.begin(STREAM_TASK, &[("x-code", &value)], &task("echo", "x")).await;
                assert_eq!(call.answer().await.unwrap_err(), Gone(Some(code)));
            }
            let headers = [("x-code", value.as_str()), ("x-begun", "1")];
            let call = client.begin(STREAM_TASK, &headers, &task("echo", "x")).await;
            let (mut request, mut response) = call.response().await.unwrap();
            assert_eq!(response.messages.next().await.unwrap().unwrap(), "part");
            request.send_data(frame(b"have it"), false).unwrap();
            assert_eq!(response.messages.next().await.unwrap_err(), Gone(Some(code)));
        }
        router.settled().await;
    });
}

#[test]
fn a_reset_without_error_before_the_response_ended_is_an_internal_error() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| call.reset(Reason::NO_ERROR)).await;
        let router = TestRouter::start().await;
        router.set_instances("agent-echo", vec![Instance::new("echo-1", backend.addr)]);
        let client = Client::connect(router.addr).await;
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
        assert_eq!((answer.status(), answer.reason().as_str()), (13, "BAD_RESPONSE"), "{answer:?}");
        assert_eq!(answer.fact("instance"), "echo-1");
    });
}

#[test]
fn a_call_cancelled_before_it_is_routed_never_reaches_a_backend() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        let client = Client::connect(router.addr).await;
        let mut call = client.open(EXECUTE_TASK, &[]).await.unwrap();
        call.raw(Bytes::from_static(b"\0\0\0\0\x10\x12"), false).await.unwrap();
        until(1, || router.metric("switchboard_calls_in_flight")).await;
        call.reset(Reason::CANCEL);
        router.settled().await;
        assert_eq!((echo.streams(), router.lookups("agent-echo")), (0, 0));
    });
}

#[test]
fn a_call_cancelled_while_it_is_parked_or_queued_leaves_nothing_behind() {
    run(async {
        // Accepts and never says a word: calls for it are queued.
        let mute = Peer::start().await;
        let router = TestRouter::with(|config| config.connect_timeout = Duration::from_secs(60)).await;
        router.otherwise(Reply::Silence);
        router.set("agent-mute", &[mute.addr]);
        let client = Client::connect(router.addr).await;
        let mut parked = client.begin(EXECUTE_TASK, &[], &task("unknown", "x")).await;
        let mut queued = client.begin(EXECUTE_TASK, &[], &task("mute", "x")).await;
        until(1, || router.metric("switchboard_calls_parked")).await;
        until(1, || router.metric("switchboard_calls_queued")).await;
        parked.reset(Reason::CANCEL);
        queued.reset(Reason::CANCEL);
        router.settled().await;
    });
}

#[test]
fn calls_given_up_in_the_queue_do_not_take_the_places_of_others() {
    run(async {
        let mute = Peer::start().await;
        let router = TestRouter::with(|config| {
            config.connect_timeout = Duration::from_secs(60);
            config.queue_per_service = 4;
        })
        .await;
        router.otherwise(Reply::Silence);
        router.set("agent-mute", &[mute.addr]);
        let client = Client::connect(router.addr).await;
        for id in ["mute", "unknown"] {
            let gauge = if id == "mute" { "switchboard_calls_queued" } else { "switchboard_calls_parked" };
            // One stays, so that the queue is never empty; many others come and go behind it.
            let _first = client.begin(EXECUTE_TASK, &[], &task(id, "x")).await;
            until(1, || router.metric(gauge)).await;
            for _ in 0..20 {
                let mut call = client.begin(EXECUTE_TASK, &[], &task(id, "x")).await;
                until(2, || router.metric(gauge)).await;
                call.reset(Reason::CANCEL);
                until(1, || router.metric(gauge)).await;
            }
        }
    });
}

#[test]
fn a_backend_gets_the_resets_of_many_calls_a_few_at_a_time() {
    run(async {
        let peer = Peer::start().await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[peer.addr]);
        let client = Client::connect(router.addr).await;
        let mut calls = Vec::new();
        for _ in 0..30 {
            calls.push(client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await);
        }
        let mut wire = peer.accept_http2(&[]).await;
        for _ in 0..30 {
            wire.wait(kind::HEADERS).await;
        }
        let began = Instant::now();
        calls.clear();
        let mut reset = Vec::new();
        for number in 0..30 {
            reset.push(wire.wait(kind::RST_STREAM).await.stream);
            if number == 15 {
                // Eight, and a long pause before the next: nothing came from this peer, which may be stopped.
                assert!(began.elapsed() >= Duration::from_millis(240), "{:?}", began.elapsed());
            }
            // From here on it shows that it reads.
            if number >= 15 {
                wire.send(|out| frame::write_ping(out, [0; 8], false)).await;
            }
        }
        // Two more pauses of 25 ms.
        assert!(began.elapsed() >= Duration::from_millis(290), "{:?}", began.elapsed());
        reset.sort_unstable();
        assert_eq!(reset, (0..30).map(|n| 2 * n + 1).collect::<Vec<u32>>());
        router.settled().await;
    });
}

#[test]
fn a_storm_of_cancelled_calls_costs_no_other_call_anything() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            if call.head.headers.contains_key("x-hang") {
                call.reset_by_peer().await;
            } else {
                call.echo("echo").await;
            }
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let (stormy, calm) = (Client::connect(router.addr).await, Client::connect(router.addr).await);
        for _ in 0..20 {
            let mut calls = Vec::new();
            for _ in 0..50 {
                let call = stormy.begin(EXECUTE_TASK, &[("x-hang", "1")], &task("echo", "x")).await;
                calls.push(call);
            }
            for call in &mut calls {
                call.reset(Reason::CANCEL);
            }
            let answer = calm.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
            assert_eq!(answer.status(), 0, "{answer:?}");
        }
        router.settled().await;
    });
}
