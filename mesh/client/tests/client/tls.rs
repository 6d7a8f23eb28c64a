//! Calls over TLS: whom a client believes, what it shows, and how it says what went wrong.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use switchboard_client::{Client, ClientTls, Config, Error, TlsFailure};
use switchboard_transport::authority::{Authority, Subject};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use crate::scripted::Scripted;

const NONE: [(&str, &str); 0] = [];

/// An authority, and a directory for what it signs.
pub(crate) struct Pki {
    authority: Authority,
    dir: TempDir,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let authority = Authority::new("test authority", Duration::from_secs(3600)).unwrap();
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("ca.pem"), &authority.issued().cert).unwrap();
        Self { authority, dir }
    }

    /// A server with a certificate of this subject.
    pub(crate) fn server(&self, subject: &Subject) -> ServerTlsConfig {
        let issued = self.authority.issue(subject).unwrap();
        ServerTlsConfig::new().identity(Identity::from_pem(issued.cert, issued.key))
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    pub(crate) fn trust(&self) -> ClientTls {
        ClientTls { ca: self.ca(), cert: None, key: None }
    }

    fn with_certificate(&self, subject: &Subject) -> ClientTls {
        let issued = self.authority.issue(subject).unwrap();
        let (cert, key) = (self.dir.path().join("own.pem"), self.dir.path().join("own.key"));
        fs::write(&cert, issued.cert).unwrap();
        fs::write(&key, issued.key).unwrap();
        ClientTls { cert: Some(cert), key: Some(key), ..self.trust() }
    }
}

pub(crate) fn with(tls: ClientTls) -> Config {
    Config { tls: Some(tls), ..Config::default() }
}

async fn failure(address: impl ToString, tls: ClientTls) -> Error {
    let client = Client::connect_lazy_with(address.to_string(), with(tls)).unwrap();
    client.execute("echo-agent", "x", NONE).await.unwrap_err()
}

#[tokio::test]
async fn an_address_without_scheme_is_called_over_tls_where_trust_is_given() {
    let (pki, server) = (Pki::new(), Scripted::default());
    let address = server.start_tls(pki.server(&Subject::service("router"))).await;
    for given in [address.to_string(), format!("https://localhost:{}", address.port())] {
        let client = Client::connect_with(&given, with(pki.trust())).await.unwrap();
        assert!(client.endpoint().starts_with("https://"), "{}", client.endpoint());
        assert_eq!(client.execute("echo-agent", "hello", NONE).await.unwrap().output, "Echo: hello");
    }
}

#[tokio::test]
async fn a_certificate_is_shown_where_one_is_demanded() {
    let (pki, server) = (Pki::new(), Scripted::default());
    let demands = pki
        .server(&Subject::service("router"))
        .client_ca_root(Certificate::from_pem(fs::read_to_string(pki.ca()).unwrap()));
    let address = server.start_tls(demands).await;
    let error = failure(address, pki.trust()).await;
    // The refusal may be overtaken by the end of the connection.
    assert!(matches!(error.tls_failure(), Some(TlsFailure::CertificateRequired) | None), "{error:?}");
    assert!(error.next_step().unwrap().contains("--cert"), "{error:?}");
    let tls = pki.with_certificate(&Subject::new("someone"));
    let client = Client::connect_with(address.to_string(), with(tls)).await.unwrap();
    client.execute("echo-agent", "hello", NONE).await.unwrap();
}

#[tokio::test]
async fn each_failure_says_what_to_do() {
    let (pki, other, server) = (Pki::new(), Pki::new(), Scripted::default());
    let serve = async |subject: Subject| server.start_tls(pki.server(&subject)).await;
    let good = serve(Subject::service("router")).await;
    let plain: SocketAddr = server.start().await.trim_start_matches("http://").parse().unwrap();
    let expired = serve(Subject { lifetime: Duration::ZERO, ..Subject::service("router") }).await;
    let elsewhere = serve(Subject { hosts: vec!["elsewhere".to_owned()], ..Subject::new("x") }).await;
    for (address, tls, words, step) in [
        (good, other.trust(), "unknown authority", "--ca"),
        (expired, pki.trust(), "has expired", "renewed"),
        (elsewhere, pki.trust(), "another name", "elsewhere"),
        (plain, pki.trust(), "does not speak TLS", "http://"),
    ] {
        let error = failure(address, tls).await;
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.next_step().unwrap().contains(step), "{:?}", error.next_step());
        assert_eq!(error.code(), tonic::Code::Unavailable);
    }
    assert!(server.seen().is_empty(), "no call reached a server");
}

#[tokio::test]
async fn a_port_that_wants_tls_is_guessed_from_how_it_hangs_up() {
    let (pki, server) = (Pki::new(), Scripted::default());
    let address = server.start_tls(pki.server(&Subject::service("router"))).await;
    let client = Client::connect_lazy(address.to_string()).unwrap();
    let error = client.execute("echo-agent", "x", NONE).await.unwrap_err();
    assert!(error.next_step().is_some_and(|step| step.contains("https://")), "{error:?}");
}

#[tokio::test]
async fn a_router_s_port_of_tls_says_so() {
    const HEADERS: u8 = 1;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::connect_lazy(listener.local_addr().unwrap().to_string()).unwrap();
    let router = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        // The preface, and frames until the call's headers.
        socket.read_exact(&mut [0; 24]).await.unwrap();
        let mut head = [0; 9];
        while head[3] != HEADERS {
            socket.read_exact(&mut head).await.unwrap();
            let length = usize::from(head[1]) << 8 | usize::from(head[2]);
            socket.read_exact(&mut vec![0; length]).await.unwrap();
        }
        // SETTINGS, and GOAWAY with INADEQUATE_SECURITY.
        socket.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        socket.write_all(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12]).await.unwrap();
        socket
    };
    let (result, _socket) = tokio::join!(client.execute("echo-agent", "x", NONE), router);
    let error = result.unwrap_err();
    assert_eq!(error.tls_failure(), Some(&TlsFailure::TlsOnly), "{error:?}");
    assert_eq!(error.code(), tonic::Code::Unavailable);
    assert!(error.to_string().contains("this port speaks TLS"), "{error}");
    assert!(error.next_step().unwrap().contains("use https:// and --ca FILE"), "{error:?}");
}

#[tokio::test]
async fn https_without_trust_and_unusable_files_are_refused_before_anything_is_sent() {
    let error = Client::connect_lazy("https://router:1").unwrap_err();
    assert!(matches!(error, Error::Endpoint { .. }), "{error:?}");
    assert!(error.next_step().unwrap().contains("SWITCHBOARD_CA"), "{error:?}");
    let tls = ClientTls { ca: "/nowhere/ca.pem".into(), cert: None, key: None };
    let error = Client::connect_lazy_with("router:1", with(tls)).unwrap_err();
    assert!(matches!(error, Error::Tls(_)) && error.to_string().contains("/nowhere/ca.pem"), "{error}");
}
