//! gRPC channels over TLS: what they verify, and that a new connection takes the newest certificates.

use crate::fixture::{Pki, SOON, replace};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use switchboard_transport::authority::Subject;
use switchboard_transport::{
    ClientAuth, ClientTls, PeerIdentity, RELOAD_INTERVAL, ServerTls, TlsFailure, tls_channel,
};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::Status;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;

/// Accepts, tells whose certificate was shown, and closes.
async fn doorman(tls: &ServerTls) -> (SocketAddr, mpsc::UnboundedReceiver<Option<PeerIdentity>>) {
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls.server_config().unwrap().0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let mut stream = match acceptor.accept(tcp).into_fallible().await {
                Ok(stream) => stream,
                Err((_, mut tcp)) => {
                    // Closing with something unread would reset the connection, and overtake the alert.
                    while tcp.read(&mut [0; 512]).await.is_ok_and(|read| read > 0) {}
                    continue;
                }
            };
            let certificates = stream.get_ref().1.peer_certificates();
            let _ = sender.send(certificates.and_then(|chain| PeerIdentity::of(&chain[0])));
            let _ = stream.read(&mut [0; 24]).await;
        }
    });
    (addr, receiver)
}

/// Makes a call that no server answers.
async fn call(channel: &Channel) -> Status {
    let mut client = tonic::client::Grpc::new(channel.clone());
    let answer = async {
        client.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        client.unary(tonic::Request::new(()), PathAndQuery::from_static("/x.X/X"), codec).await
    };
    tokio::time::timeout(SOON, answer).await.expect("an answer").expect_err("nobody answers")
}

fn channel(addr: SocketAddr, tls: ClientTls) -> Channel {
    tls_channel(&addr.to_string(), tls.watch(RELOAD_INTERVAL).unwrap()).unwrap()
}

#[tokio::test]
async fn each_connection_shows_the_newest_certificate() {
    let pki = Pki::new();
    let (addr, mut shown) = doorman(&pki.server(&Subject::service("router"), ClientAuth::Required)).await;
    let tls = pki.client(Some(&Subject::new("first")));
    let watched = tls.clone().watch(Duration::from_secs(1 << 30)).unwrap();
    let channel = tls_channel(&format!("https://{addr}"), watched.clone()).unwrap();
    call(&channel).await;
    assert_eq!(shown.recv().await.unwrap().unwrap().name(), Some("first"));

    let next = pki.authority.issue(&Subject::new("second")).unwrap();
    let mut changes = watched.receiver();
    replace(tls.cert.as_ref().unwrap(), &next.cert);
    replace(tls.key.as_ref().unwrap(), &next.key);
    watched.trigger();
    tokio::time::timeout(SOON, changes.changed()).await.expect("noticed").unwrap();
    call(&channel).await;
    assert_eq!(shown.recv().await.unwrap().unwrap().name(), Some("second"));
}

#[tokio::test]
async fn each_failure_is_told_apart() {
    let (pki, other) = (Pki::new(), Pki::new());
    let (addr, _shown) = doorman(&pki.server(&Subject::service("router"), ClientAuth::Required)).await;
    let failed = async |addr, tls| {
        let status = call(&channel(addr, tls)).await;
        (TlsFailure::of(&status), status)
    };
    let someone = Subject::new("someone");
    let (unknown, status) = failed(addr, other.client(None)).await;
    assert_eq!(unknown, Some(TlsFailure::UnknownAuthority), "{status:?}");
    let (none, status) = failed(addr, pki.client(None)).await;
    assert_eq!(none, Some(TlsFailure::CertificateRequired), "{status:?}");
    let mut strange = other.client(Some(&someone));
    strange.ca = pki.path("ca.pem");
    let (refused, status) = failed(addr, strange).await;
    assert_eq!(refused, Some(TlsFailure::CertificateRefused), "{status:?}");

    let elsewhere = Subject { hosts: vec!["elsewhere".to_owned()], ..Subject::new("x") };
    let (addr, _shown) = doorman(&pki.server(&elsewhere, ClientAuth::None)).await;
    let (wrong, status) = failed(addr, pki.client(None)).await;
    assert_eq!(wrong, Some(TlsFailure::WrongName(vec!["elsewhere".to_owned()])), "{status:?}");

    // An HTTP/2 server that speaks no TLS says SETTINGS at once.
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = plain.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = plain.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut tcp, b"\0\0\0\x04\0\0\0\0\0").await;
            let _ = tcp.read(&mut [0; 512]).await;
        }
    });
    let (plain, status) = failed(addr, pki.client(None)).await;
    assert_eq!(plain, Some(TlsFailure::NotTls), "{status:?}");
}

#[tokio::test]
async fn an_endpoint_without_tls_is_refused() {
    let pki = Pki::new();
    let watched = pki.client(None).watch(RELOAD_INTERVAL).unwrap();
    for bad in ["http://localhost:1", "localhost", "https://", "https://localhost", "a b:1"] {
        let error = tls_channel(bad, watched.clone()).expect_err(bad);
        assert!(error.to_string().contains("https://host:port"), "{error}");
    }
}
