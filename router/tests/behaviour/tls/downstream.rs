//! TLS towards clients: versions, application protocols, certificates, and peers that speak none.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::support::{tls::*, *};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, pem::PemObject},
    version::{TLS12, TLS13},
};
use switchboard_proto::agentplatform::TaskResponse;
use switchboard_transport::{ClientAuth, authority::Subject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const HANDSHAKES: &str = "switchboard_tls_handshakes_total{role=\"downstream\"}";

fn failures(router: &TestRouter, reason: &str) -> u64 {
    router.metric(&format!("switchboard_tls_failures_total{{role=\"downstream\",reason=\"{reason}\"}}"))
}

/// A client of one version that offers these protocols.
fn client_of(version: &'static SupportedProtocolVersion, alpn: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(PKI.ca()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_protocol_versions(&[version])
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

async fn echo_works(router: &TestRouter, client: ClientConfig) {
    let client = Client::secure(router.addr, client).await;
    let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "hi")).await;
    assert_eq!(answer.decode::<TaskResponse>().output, "echo: hi");
}

/// Whether the router takes the client: in TLS 1.3 a client learns that only after its own part of the handshake.
async fn is_taken(router: &TestRouter, client: ClientConfig) -> bool {
    let Ok(mut socket) = handshake(router.addr, client).await else { return false };
    socket.write_all(switchboard_http2::frame::PREFACE).await.is_ok() && socket.read_u8().await.is_ok()
}

#[test]
fn both_versions_work_with_alpn_and_without() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = tls_router(ClientAuth::None, |_| {}).await;
        router.set("agent-echo", &[echo.addr]);
        for version in [&TLS12, &TLS13] {
            echo_works(&router, client_of(version, &["h2"])).await;
            echo_works(&router, client_of(version, &["http/1.1", "h2"])).await;
            echo_works(&router, client_of(version, &[])).await;
            assert!(!is_taken(&router, client_of(version, &["http/1.1"])).await);
        }
        until((6, 2), || (router.metric(HANDSHAKES), failures(&router, "incompatible"))).await;
        until(0, || router.metric("switchboard_tls_handshakes_in_progress")).await;
    });
}

#[test]
fn a_client_certificate_may_be_left_out_where_it_is_optional_and_must_be_good() {
    run(async {
        let router = tls_router(ClientAuth::Optional, |_| {}).await;
        let subject = Subject::new("caller");
        assert!(is_taken(&router, PKI.client(None)).await);
        assert!(is_taken(&router, PKI.client(Some(&subject))).await);
        assert!(!is_taken(&router, STRANGER.client(Some(&subject))).await);
        assert!(!is_taken(&router, PKI.client(Some(&expired(subject)))).await);
        until((2, 2), || (router.metric(HANDSHAKES), failures(&router, "certificate"))).await;
    });
}

#[test]
fn a_client_certificate_must_be_there_where_it_is_required() {
    run(async {
        let router = tls_router(ClientAuth::Required, |_| {}).await;
        assert!(!is_taken(&router, PKI.client(None)).await);
        assert!(!is_taken(&router, STRANGER.client(Some(&Subject::new("caller")))).await);
        assert!(is_taken(&router, PKI.client(Some(&Subject::new("caller")))).await);
        until((1, 2), || (router.metric(HANDSHAKES), failures(&router, "certificate"))).await;
    });
}

#[test]
fn a_client_in_clear_is_told_to_speak_tls() {
    run(async {
        let router = tls_router(ClientAuth::None, |_| {}).await;
        let mut socket = TcpStream::connect(router.addr).await.unwrap();
        socket.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut page = String::new();
        socket.read_to_string(&mut page).await.unwrap();
        assert!(page.starts_with("HTTP/1.1 400 ") && page.contains("speaks TLS only"), "{page}");

        let mut wire = Wire::connect(router.addr).await;
        wire.write(switchboard_http2::frame::PREFACE).await;
        let goaway = wire.wait(switchboard_http2::frame::kind::GOAWAY).await;
        assert!(goaway.payload.ends_with(b"the client connected in clear"), "{goaway:?}");
        assert_eq!(wire.frame().await, None);

        let mut socket = TcpStream::connect(router.addr).await.unwrap();
        socket.write_all(&[0; 100]).await.unwrap();
        assert_eq!(socket.read(&mut [0; 10]).await.unwrap_or(0), 0);
        until(3, || failures(&router, "plaintext")).await;
        until(0, || router.metric("switchboard_downstream_connections")).await;
    });
}

#[test]
fn a_client_that_speaks_tls_to_a_port_in_clear_is_counted_and_closed() {
    run(async {
        let router = TestRouter::start().await;
        assert!(handshake(router.addr, PKI.client(None)).await.is_err());
        until(1, || router.metric("switchboard_tls_on_plaintext_port_total")).await;
        until(0, || router.metric("switchboard_downstream_connections")).await;
    });
}

#[test]
fn the_next_connection_of_a_client_resumes_on_whatever_worker() {
    run(async {
        let router = tls_router(ClientAuth::Optional, |config| config.workers = 2).await;
        for (client, resumed) in
            [(PKI.client(Some(&Subject::new("caller"))), 5), (client_of(&TLS12, &["h2"]), 10)]
        {
            let client = std::sync::Arc::new(client);
            for _ in 0..6 {
                let client = Client::secure(router.addr, client.clone()).await;
                // An answer means that the tickets came.
                assert_eq!(client.unary(EXECUTE_TASK, &[], &task("nobody", "x")).await.status(), 5);
            }
            assert_eq!(router.metric("switchboard_tls_resumptions_total{role=\"downstream\"}"), resumed);
        }
    });
}

#[test]
fn the_end_of_a_connection_is_announced_in_tls_as_well() {
    run(async {
        let router = tls_router(ClientAuth::None, |_| {}).await;
        let mut socket = handshake(router.addr, PKI.client(None)).await.unwrap();
        let mut out = switchboard_http2::frame::PREFACE.to_vec();
        switchboard_http2::frame::write_ping(&mut out, [0; 8], false);
        socket.write_all(&out).await.unwrap();
        // GOAWAY, since a PING is no SETTINGS. Without close_notify this read would fail.
        let mut all = Vec::new();
        socket.read_to_end(&mut all).await.unwrap();
        assert!(!all.is_empty());
    });
}

#[test]
fn whoever_sends_no_tls_in_time_is_closed() {
    run(async {
        let router = tls_router(ClientAuth::None, |config| {
            config.tls_handshake_timeout = std::time::Duration::from_millis(50);
        })
        .await;
        let (mut silent, mut half) =
            (TcpStream::connect(router.addr).await.unwrap(), TcpStream::connect(router.addr).await.unwrap());
        half.write_all(&[22, 3, 1, 1, 0, 1]).await.unwrap();
        for socket in [&mut silent, &mut half] {
            assert_eq!(socket.read(&mut [0; 10]).await.unwrap_or(0), 0);
        }
        until(2, || failures(&router, "timeout")).await;
        until((0, 0), || {
            let open = router.metric("switchboard_downstream_connections");
            (router.metric("switchboard_tls_handshakes_in_progress"), open)
        })
        .await;
    });
}
