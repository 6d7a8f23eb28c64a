//! PROXY protocol v2: a trusted load balancer says whose connection it is, and nobody else does.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::support::{tls::*, *};
use std::net::Ipv4Addr;
use switchboard_router::Config;
use switchboard_transport::ClientAuth;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header with these addresses and `extra` bytes of TLVs.
fn header(source: Ipv4Addr, extra: usize) -> Vec<u8> {
    let mut out = SIGNATURE.to_vec();
    out.extend([0x21, 0x11]);
    out.extend(u16::try_from(12 + extra).unwrap().to_be_bytes());
    out.extend(source.octets());
    out.extend([127, 0, 0, 1, 0x30, 0x39, 0xc3, 0x83]);
    out.extend(vec![0; extra]);
    out
}

fn trust(config: &mut Config, network: &str) {
    config.proxy_protocol = vec![network.parse().unwrap()];
}

async fn trusting(adjust: impl FnOnce(&mut Config)) -> TestRouter {
    TestRouter::with(|config| {
        trust(config, "127.0.0.0/8");
        adjust(config);
    })
    .await
}

/// Connects and writes.
async fn connect(router: &TestRouter, first: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(router.addr).await.unwrap();
    socket.set_nodelay(true).unwrap();
    socket.write_all(first).await.unwrap();
    socket
}

/// Whether a call gets an answer on the connection.
async fn works(socket: TcpStream) -> bool {
    let client = Client::on(socket, |_| {}).await;
    client.try_unary(EXECUTE_TASK, &[], &task("nobody", "x")).await.is_ok_and(|answer| answer.status() == 5)
}

async fn is_closed(mut socket: TcpStream) -> bool {
    let mut all = Vec::new();
    // A reset is an end as well.
    let _ = socket.read_to_end(&mut all).await;
    true
}

fn refused(router: &TestRouter) -> u64 {
    router.metric("switchboard_proxy_headers_refused_total")
}

#[test]
fn a_trusted_connection_may_begin_with_a_header_or_without() {
    run(async {
        let router = trusting(|_| {}).await;
        let client = Ipv4Addr::new(192, 0, 2, 7);
        assert!(works(connect(&router, &header(client, 0)).await).await);
        assert!(works(connect(&router, &header(client, 4_084)).await).await);
        assert!(works(connect(&router, b"").await).await);
        let local = [SIGNATURE, &[0x20, 0, 0, 0]].concat();
        assert!(works(connect(&router, &local).await).await);
        let unspecified = [SIGNATURE, &[0x21, 0, 0, 3, 1, 2, 3]].concat();
        assert!(works(connect(&router, &unspecified).await).await);
        assert_eq!((router.metric("switchboard_proxy_headers_total"), refused(&router)), (4, 0));
    });
}

#[test]
fn a_header_may_come_in_pieces() {
    run(async {
        let router = trusting(|_| {}).await;
        let mut socket = connect(&router, b"").await;
        for byte in header(Ipv4Addr::new(192, 0, 2, 7), 8) {
            socket.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert!(works(socket).await);
    });
}

#[test]
fn a_header_comes_before_tls() {
    run(async {
        let router = tls_router(ClientAuth::None, |config| trust(config, "127.0.0.1")).await;
        for first in [header(Ipv4Addr::new(192, 0, 2, 7), 0), Vec::new()] {
            let socket = connect(&router, &first).await;
            let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
            let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(PKI.client(None)));
            let client = Client::over(connector.connect(name, socket).await.unwrap(), |_| {}).await;
            assert_eq!(client.unary(EXECUTE_TASK, &[], &task("nobody", "x")).await.status(), 5);
        }
    });
}

#[test]
fn a_header_of_anybody_else_closes_the_connection() {
    run(async {
        for router in [
            TestRouter::start().await,
            TestRouter::with(|config| trust(config, "10.0.0.0/8")).await,
            tls_router(ClientAuth::None, |_| {}).await,
        ] {
            let spoofed = header(Ipv4Addr::new(10, 0, 0, 1), 0);
            assert!(is_closed(connect(&router, &spoofed).await).await);
            until(1, || refused(&router)).await;
            until(0, || router.metric("switchboard_downstream_connections")).await;
        }
    });
}

#[test]
fn a_second_header_and_those_that_cannot_be_followed_close_the_connection() {
    run(async {
        let router = trusting(|_| {}).await;
        let good = header(Ipv4Addr::new(192, 0, 2, 7), 0);
        let mut udp = good.clone();
        udp[13] = 0x12;
        let bad = [
            [&good[..], &good[..]].concat(),
            header(Ipv4Addr::new(192, 0, 2, 7), 4_085),
            b"PROXY TCP4 192.0.2.7 127.0.0.1 1 2\r\n".to_vec(),
            udp,
        ];
        for (index, first) in bad.iter().enumerate() {
            assert!(is_closed(connect(&router, first).await).await);
            until(index as u64 + 1, || refused(&router)).await;
        }
        // Garbage is no header, and no HTTP/2 either.
        assert!(is_closed(connect(&router, b"\r\n\r\nGARBAGE").await).await);
        until(0, || router.metric("switchboard_downstream_connections")).await;
    });
}

#[test]
fn connections_count_for_the_client_that_the_header_names() {
    run(async {
        let router = trusting(|config| config.max_connections_per_source = 2).await;
        let from = |last| header(Ipv4Addr::new(192, 0, 2, last), 0);
        // More than two through the same load balancer, two of each client.
        let mut held = Vec::new();
        for client in [1, 2, 3] {
            for _ in 0..2 {
                let client = Client::on(connect(&router, &from(client)).await, |_| {}).await;
                assert_eq!(client.unary(EXECUTE_TASK, &[], &task("nobody", "x")).await.status(), 5);
                held.push(client);
            }
        }
        assert!(is_closed(connect(&router, &from(2)).await).await);
        until(1, || router.metric("switchboard_downstream_connections_refused_total")).await;
        held.pop().unwrap().disconnect();
        until(5, || router.metric("switchboard_downstream_connections")).await;
        assert!(works(connect(&router, &from(3)).await).await);
    });
}
