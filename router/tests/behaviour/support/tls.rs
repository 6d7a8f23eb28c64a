//! Certificates and TLS connections for tests.

use super::{Client, TestRouter};
use rustls::{
    ClientConfig, ServerConfig,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use switchboard_router::{Config, link::Certificates};
use switchboard_transport::{
    ClientAuth, ClientTls, PeerIdentity, ServerTls,
    authority::{Authority, Subject},
};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// An authority and the files that it made.
pub(crate) struct Pki {
    dir: TempDir,
    pub(crate) authority: Authority,
}

/// The authority that everybody trusts, and one that nobody knows.
pub(crate) static PKI: LazyLock<Pki> = LazyLock::new(|| Pki::new("test"));
pub(crate) static STRANGER: LazyLock<Pki> = LazyLock::new(|| Pki::new("stranger"));

/// A certificate's files.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Pki {
    fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().expect("there is room");
        let authority = Authority::new(name, Duration::from_secs(3_600)).expect("the name is one");
        fs::write(dir.path().join("ca.pem"), &authority.issued().cert).expect("there is room");
        Pki { dir, authority }
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Makes a certificate and its files.
    pub(crate) fn issue(&self, subject: &Subject) -> Pair {
        let issued = self.authority.issue(subject).expect("the names are some");
        let dir = tempfile::tempdir_in(self.dir.path()).expect("there is room").keep();
        // The authority makes nothing that has ended already; one that ends now has done so within a second.
        let ends =
            PeerIdentity::of(&CertificateDer::from_pem_slice(issued.cert.as_bytes()).expect("it is one"));
        let ends = ends.expect("it is one").not_after;
        while subject.lifetime.is_zero() && now_s() <= ends {
            std::thread::sleep(Duration::from_millis(20));
        }
        let pair = Pair { cert: dir.join("cert.pem"), key: dir.join("key.pem") };
        fs::write(&pair.cert, issued.cert).expect("there is room");
        fs::write(&pair.key, issued.key).expect("there is room");
        pair
    }

    /// What an instance of the service serves with; it asks for a certificate if `client_auth` says so.
    pub(crate) fn server(&self, service: &str, client_auth: ClientAuth) -> Arc<ServerConfig> {
        self.server_of(&Subject::service(service), client_auth)
    }

    /// As `server`, with a certificate of the test's own.
    pub(crate) fn server_of(&self, subject: &Subject, client_auth: ClientAuth) -> Arc<ServerConfig> {
        let Pair { cert, key } = self.issue(subject);
        let files = ServerTls { cert, key, client_ca: Some(PKI.ca()), client_auth };
        Arc::new(files.server_config().expect("the files are good").0)
    }

    /// What the router has towards instances, and whom it believes.
    pub(crate) fn upstream(&self) -> Arc<ClientConfig> {
        let Pair { cert, key } = self.issue(&Subject::service("router"));
        let files = ClientTls { ca: self.ca(), cert: Some(cert), key: Some(key) };
        Arc::new(files.service_config().expect("the files are good"))
    }

    /// A client's, with a certificate if there is a subject.
    pub(crate) fn client(&self, subject: Option<&Subject>) -> ClientConfig {
        let pair = subject.map(|subject| self.issue(subject));
        let (cert, key) = pair.map(|pair| (pair.cert, pair.key)).unzip();
        let mut config = ClientTls { ca: PKI.ca(), cert, key }.client_config().expect("the files are good");
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }
}

/// The names of expired certificates.
pub(crate) fn expired(subject: Subject) -> Subject {
    let not_before = subject.not_before - Duration::from_secs(3_600);
    Subject { not_before, lifetime: Duration::ZERO, ..subject }
}

fn now_s() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    i64::try_from(now.as_secs()).expect("the clock is set")
}

/// A router with TLS for clients.
pub(crate) async fn tls_router(client_auth: ClientAuth, adjust: impl FnOnce(&mut Config)) -> TestRouter {
    let server = Some(PKI.server("router", client_auth));
    TestRouter::secured(Certificates { server, client: None }, |config| {
        speak_tls(config);
        adjust(config);
    })
    .await
}

/// A router with TLS on both sides.
pub(crate) async fn secure_router(adjust: impl FnOnce(&mut Config)) -> TestRouter {
    let server = Some(PKI.server("router", ClientAuth::Optional));
    TestRouter::secured(Certificates { server, client: Some(PKI.upstream()) }, |config| {
        speak_tls(config);
        config.upstream_tls_ca = Some(PKI.ca());
        adjust(config);
    })
    .await
}

/// Has the configuration say TLS; the files are the control plane's to read.
pub(crate) fn speak_tls(config: &mut Config) {
    config.tls_cert = Some("cert.pem".into());
    config.tls_key = Some("key.pem".into());
}

/// Makes a TLS connection to the router.
pub(crate) async fn handshake(
    addr: SocketAddr,
    config: impl Into<Arc<ClientConfig>>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(addr).await?;
    socket.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").expect("it is a name");
    TlsConnector::from(config.into()).connect(name, socket).await
}

impl Client {
    /// Connects by TLS.
    pub(crate) async fn secure(addr: SocketAddr, config: impl Into<Arc<ClientConfig>>) -> Self {
        let socket = handshake(addr, config).await.expect("the handshake succeeds");
        Self::over(socket, |builder| {
            builder.initial_window_size(1 << 20).initial_connection_window_size(8 << 20);
        })
        .await
    }
}
