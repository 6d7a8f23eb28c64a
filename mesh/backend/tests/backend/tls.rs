//! The port over TLS: who gets in, and that nobody stands in another's way.

use crate::fixture::{LOOPBACK, SOON, alone, call, gated};
use crate::pki::{DAY, Pki, ask, channel, replace, router};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use switchboard_backend::{Backend, ClientAuth, Error, Running, ServerTls};
use switchboard_proto::agentplatform::TaskRequest;
use switchboard_proto::agentplatform::agent_service_client::AgentServiceClient;
use switchboard_testkit::eventually;
use switchboard_transport::TlsFailure;
use switchboard_transport::authority::Subject;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tonic::Status;

async fn secure(pki: &Pki) -> Running {
    alone(gated().0.tls(pki.server())).await
}

/// What a caller learns of a refusal, unless the end of the connection overtakes it.
fn refused(status: &Status, expected: &TlsFailure) {
    let failure = TlsFailure::of(status);
    assert!(failure.as_ref().is_none_or(|failure| failure == expected), "{status:?}");
    assert!(std::error::Error::source(status).is_some(), "no server answered: {status:?}");
}

#[tokio::test]
async fn plaintext_is_closed_and_counted() {
    let pki = Pki::new();
    let running = secure(&pki).await;
    call(running.addr()).await.expect_err("the port takes nothing but TLS");
    let counted =
        async || if running.metrics().handshakes_failed() > 0 { Ok(()) } else { Err("not counted") };
    eventually(SOON, counted).await.unwrap();
    ask(pki.channel(running.addr(), Some(&router())), "hello", &[]).await.expect("the next one gets in");
}

#[tokio::test]
async fn certificates_that_are_not_good_are_refused() {
    let (pki, other) = (Pki::new(), Pki::new());
    let running = secure(&pki).await;
    let mut strange = other.client(Some(&router()));
    strange.ca = pki.path("ca.pem");
    let error = ask(channel(running.addr(), strange), "hello", &[]).await.unwrap_err();
    refused(&error, &TlsFailure::CertificateRefused);

    let expired = Subject { not_before: SystemTime::now() - DAY, lifetime: Duration::ZERO, ..router() };
    let error = ask(pki.channel(running.addr(), Some(&expired)), "hello", &[]).await.unwrap_err();
    refused(&error, &TlsFailure::CertificateRefused);

    let mut tls = pki.client(Some(&router()));
    tls.ca = other.path("ca.pem");
    let error = ask(channel(running.addr(), tls), "hello", &[]).await.unwrap_err();
    refused(&error, &TlsFailure::UnknownAuthority);
}

#[tokio::test]
async fn where_certificates_are_required_nobody_gets_in_without() {
    let pki = Pki::new();
    let tls = ServerTls { client_auth: ClientAuth::Required, ..pki.server() };
    let running = alone(gated().0.tls(tls)).await;
    let error = ask(pki.channel(running.addr(), None), "hello", &[]).await.unwrap_err();
    refused(&error, &TlsFailure::CertificateRequired);
    ask(pki.channel(running.addr(), Some(&router())), "hello", &[]).await.unwrap();
}

#[tokio::test]
async fn slow_handshakes_by_the_hundred_hold_nobody_up() {
    let pki = Pki::new();
    let running = secure(&pki).await;
    let mut silent = Vec::new();
    for round in 0..6 {
        for _ in 0..100 {
            silent.push(TcpStream::connect(running.addr()).await.unwrap());
        }
        // A connection of its own each time, so that it has to get through.
        let answer = ask(pki.channel(running.addr(), Some(&router())), "hello", &[]).await;
        assert_eq!(answer.unwrap(), "hello", "round {round}");
    }
    // More than 256 at once gave way, and were closed.
    assert_eq!(silent[0].read(&mut [0]).await.unwrap_or(0), 0, "the oldest is closed");
    assert!(running.metrics().render().contains("outcome=\"displaced\"}"), "counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_fails_no_call() {
    let pki = Pki::new();
    let tls = pki.server();
    let running = Arc::new(alone(gated().0.tls(tls.clone())).await);
    let client = pki.client(Some(&router()));
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (stop, calls, client, addr) = (stop.clone(), calls.clone(), client.clone(), running.addr());
            tokio::spawn(async move {
                let kept = channel(addr, client.clone());
                while !stop.load(Ordering::Relaxed) {
                    ask(kept.clone(), "hello", &[]).await.expect("over a connection that was there");
                    ask(channel(addr, client.clone()), "hello", &[]).await.expect("over a new connection");
                    calls.fetch_add(2, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 1..=5u64 {
        let before = calls.load(Ordering::Relaxed);
        let new = pki.issue(&Subject::service("agent-gated"));
        replace(&tls.key, &new.key);
        running.reload();
        let refused = async || if running.reload_failures() >= round { Ok(()) } else { Err("not noticed") };
        eventually(SOON, refused).await.unwrap();
        replace(&tls.cert, &new.cert);
        running.reload();
        let went_on = async || {
            let now = calls.load(Ordering::Relaxed);
            if now >= before + 20 { Ok(()) } else { Err(now) }
        };
        eventually(SOON, went_on).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for task in load {
        task.await.expect("no call failed");
    }
}

#[tokio::test]
async fn a_stream_over_tls_ends_in_order_and_a_late_one_is_cut() {
    let pki = Pki::new();
    let (backend, gate) = gated();
    let running = alone(backend.tls(pki.server()).drain(Duration::ZERO, SOON)).await;
    let channel = pki.channel(running.addr(), Some(&router()));
    let mut chunks =
        AgentServiceClient::new(channel).stream_task(TaskRequest::default()).await.unwrap().into_inner();
    chunks.message().await.unwrap().expect("the first chunk");
    let shutdown = tokio::spawn(running.shutdown());
    gate.send_replace(true);
    assert!(chunks.message().await.unwrap().expect("the last chunk").is_final);
    assert!(chunks.message().await.unwrap().is_none());
    assert!(tokio::time::timeout(SOON, shutdown).await.expect("ended in time").unwrap(), "drained");

    let (backend, _gate) = gated();
    let running = alone(backend.tls(pki.server()).drain(Duration::ZERO, Duration::from_millis(100))).await;
    let channel = pki.channel(running.addr(), Some(&router()));
    let mut chunks =
        AgentServiceClient::new(channel).stream_task(TaskRequest::default()).await.unwrap().into_inner();
    chunks.message().await.unwrap().expect("the first chunk");
    assert!(!running.shutdown().await, "not drained");
    chunks.message().await.expect_err("the stream was cut");
}

#[tokio::test]
async fn files_that_cannot_be_used_end_the_start_with_their_name() {
    let pki = Pki::new();
    let tls = ServerTls { cert: pki.path("missing.pem"), ..pki.server() };
    let error = Backend::agent("gated").listen(LOOPBACK).tls(tls).start().await.unwrap_err();
    assert!(matches!(error, Error::Tls(_)) && error.to_string().contains("missing.pem"), "{error}");
}
