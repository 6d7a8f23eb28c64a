//! Handshakes by the thousand, whole and in pieces: calls go on.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::support::{tls::*, *};
use std::{sync::Arc, time::Duration};
use switchboard_transport::ClientAuth;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The first message of a client's handshake.
fn client_hello() -> Vec<u8> {
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(PKI.client(None)), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

/// Calls without pause until `done`; how many there were.
async fn calls_meanwhile(client: &Client, done: impl Future<Output = ()>) -> usize {
    let mut done = std::pin::pin!(done);
    let mut calls = 0;
    let request = task("echo", "x");
    loop {
        tokio::select! {
            biased;
            answer = client.unary(EXECUTE_TASK, &[], &request) => {
                assert_eq!(answer.status(), 0, "{answer:?}");
                calls += 1;
            }
            () = &mut done => return calls,
        }
        if futures_util::poll!(&mut done).is_ready() {
            return calls;
        }
    }
}

#[test]
fn two_thousand_partial_handshakes_hold_up_no_call() {
    run(async {
        let backend = Backend::secure_echo(PKI.server("agent-echo", ClientAuth::None), "echo").await;
        let router = secure_router(|config| {
            config.max_connections_per_source = 5_000;
            config.max_tls_handshakes = 1_500;
            // On a busy machine 2,000 connects take seconds; none may end before the last has come.
            config.tls_handshake_timeout = Duration::from_secs(120);
        })
        .await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::secure(router.addr, PKI.client(None)).await;
        assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        let hello = client_hello();
        let addr = router.addr;
        // Nothing, a part, or all of the first message; the router's answer is never read.
        let flood = tokio::spawn(async move {
            let mut sockets = Vec::new();
            for index in 0..2_000 {
                let Ok(mut socket) = TcpStream::connect(addr).await else { continue };
                let part = &hello[..[0, 1, 7, hello.len() - 1, hello.len()][index % 5]];
                let _ = socket.write_all(part).await;
                sockets.push(socket);
            }
            sockets
        });
        let mut held = None;
        let calls = calls_meanwhile(&client, async { held = Some(flood.await.unwrap()) }).await;
        assert!(calls > 0);
        // More than are allowed at once were closed at once.
        until(true, || router.metric("switchboard_tls_handshakes_refused_total") >= 500).await;
        assert!(router.metric("switchboard_tls_handshakes_in_progress") <= 1_500);
        for _ in 0..100 {
            assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        }
        drop(held);
        until(0, || router.metric("switchboard_tls_handshakes_in_progress")).await;
        let fresh = Client::secure(router.addr, PKI.client(None)).await;
        assert_eq!(fresh.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
    });
}

#[test]
fn whole_handshakes_by_the_hundred_hold_up_no_call() {
    run(async {
        let backend = Backend::echo("echo").await;
        let router = tls_router(ClientAuth::None, |_| {}).await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::secure(router.addr, PKI.client(None)).await;
        let config = Arc::new(PKI.client(None));
        let addr = router.addr;
        let flood = tokio::spawn(async move {
            let all = (0..300).map(|_| handshake(addr, config.clone()));
            futures_util::future::join_all(all).await.into_iter().filter(Result::is_ok).count()
        });
        let mut finished = 0;
        let calls = calls_meanwhile(&client, async { finished = flood.await.unwrap() }).await;
        assert!(calls > 0);
        assert_eq!(finished, 300);
    });
}

#[test]
fn a_handshake_byte_by_byte_succeeds_within_its_time() {
    run(async {
        let router = tls_router(ClientAuth::Optional, |_| {}).await;
        let (near, far) = tokio::io::duplex(1);
        let mut socket = TcpStream::connect(router.addr).await.unwrap();
        socket.set_nodelay(true).unwrap();
        // Each byte is a read of its own for the router.
        let pump = tokio::spawn(async move {
            let (mut from_router, mut to_router) = socket.split();
            let (mut from_client, mut to_client) = tokio::io::split(far);
            let up = async {
                let mut byte = [0];
                while from_client.read_exact(&mut byte).await.is_ok() {
                    to_router.write_all(&byte).await.unwrap();
                }
            };
            let down = tokio::io::copy(&mut from_router, &mut to_client);
            let _ = tokio::join!(up, down);
        });
        let connector = tokio_rustls::TlsConnector::from(Arc::new(PKI.client(None)));
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let tls = connector.connect(name, near).await.unwrap();
        let client = Client::over(tls, |_| {}).await;
        let answer = client.unary(EXECUTE_TASK, &[], &task("nobody", "x")).await;
        assert_eq!(answer.status(), 5);
        pump.abort();
    });
}

#[test]
fn one_handshake_too_many_is_closed_and_there_is_room_again() {
    run(async {
        let router = tls_router(ClientAuth::None, |config| config.max_tls_handshakes = 1).await;
        let first = TcpStream::connect(router.addr).await.unwrap();
        until(1, || router.metric("switchboard_tls_handshakes_in_progress")).await;
        let mut second = TcpStream::connect(router.addr).await.unwrap();
        let read = tokio::time::timeout(Duration::from_secs(10), second.read(&mut [0; 1])).await;
        assert_eq!(read.unwrap().unwrap_or(0), 0);
        assert_eq!(router.metric("switchboard_tls_handshakes_refused_total"), 1);
        drop(first);
        until(0, || router.metric("switchboard_tls_handshakes_in_progress")).await;
        assert!(handshake(router.addr, PKI.client(None)).await.is_ok());
    });
}
