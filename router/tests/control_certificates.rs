//! Certificates in files: read at the start, taken up when they change, kept when what is new is broken.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};
use switchboard_registry::{Client, Query, Status, embedded::Server};
use switchboard_router::{App, Config, app};
use switchboard_testkit::{eventually, get};
use switchboard_transport::{
    ClientTls,
    authority::{Authority, Issued, Subject},
};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const PATIENCE: Duration = Duration::from_secs(20);

fn any() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// An authority, and the files of a router.
struct Files {
    dir: TempDir,
    authority: Authority,
}

impl Files {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new("test", Duration::from_secs(3_600)).unwrap();
        fs::write(dir.path().join("ca.pem"), &authority.issued().cert).unwrap();
        let files = Files { dir, authority };
        files.renew(3_600);
        files
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn renew(&self, lifetime_s: u64) {
        let subject = Subject { lifetime: Duration::from_secs(lifetime_s), ..Subject::service("router") };
        let Issued { cert, key } = self.authority.issue(&subject).unwrap();
        fs::write(self.path().join("cert.pem"), cert).unwrap();
        fs::write(self.path().join("key.pem"), key).unwrap();
    }

    fn config(&self, registry: &Client) -> Config {
        let mut config = Config::for_dev(any(), any(), registry.config().clone());
        config.tls_cert = Some(self.path().join("cert.pem"));
        config.tls_key = Some(self.path().join("key.pem"));
        config.upstream_tls_ca = Some(self.path().join("ca.pem"));
        config
    }

    /// The certificate that a new connection to the router gets.
    async fn served(&self, addr: SocketAddr) -> Vec<u8> {
        let files = ClientTls { ca: self.path().join("ca.pem"), cert: None, key: None };
        let connector = TlsConnector::from(Arc::new(files.client_config().unwrap()));
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let socket = connector.connect(name, TcpStream::connect(addr).await.unwrap()).await.unwrap();
        socket.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }
}

async fn registry() -> (Server, Client) {
    let server = Server::start(any()).await.unwrap();
    let config = switchboard_registry::Config::at(&server.addr().to_string()).unwrap();
    (server, Client::new(config).unwrap())
}

/// A figure of `/metrics`.
async fn metric(app: &App, name: &str) -> i64 {
    let (_, text) = get(app.admin_addr(), "/metrics").await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    line.unwrap_or_else(|| panic!("{name} is not in\n{text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_files_serve_the_next_connection_and_broken_ones_change_nothing() {
    let (_server, client) = registry().await;
    let files = Files::new();
    let app = App::start(files.config(&client)).unwrap();
    assert!(app.ready().await);
    let first = files.served(app.grpc_addr()).await;
    let ends = "switchboard_tls_certificate_expiry_seconds{role=\"downstream\"}";
    let before = metric(&app, ends).await;

    files.renew(99_999);
    app.reload();
    let is_new = async || match files.served(app.grpc_addr()).await {
        served if served == first => Err("the former"),
        served => Ok(served),
    };
    let second = eventually(PATIENCE, is_new).await.unwrap();
    assert!(metric(&app, ends).await > before);
    assert!(metric(&app, "switchboard_tls_certificate_expiry_seconds{role=\"upstream\"}").await > before);
    assert_eq!(metric(&app, "switchboard_tls_reload_failures_total").await, 0);

    fs::write(files.path().join("cert.pem"), "nothing").unwrap();
    app.reload();
    let is_noticed = async || match metric(&app, "switchboard_tls_reload_failures_total").await {
        0 => Err(0),
        count => Ok(count),
    };
    eventually(PATIENCE, is_noticed).await.unwrap();
    assert_eq!(files.served(app.grpc_addr()).await, second);
    app.shutdown().await;
}

#[tokio::test]
async fn the_registrys_check_of_a_router_speaks_tls() {
    let (_server, client) = registry().await;
    let files = Files::new();
    let app = App::start(files.config(&client)).unwrap();
    assert!(app.ready().await);
    // A check in clear would be counted, and fail.
    let probe = async || {
        let instances = client.health("router", &Query::default()).await.unwrap().value;
        let handshakes = metric(&app, "switchboard_tls_handshakes_total{role=\"downstream\"}").await;
        let passing = instances.iter().any(|one| one.status == Status::Passing);
        if passing && handshakes > 0 { Ok(()) } else { Err((instances, handshakes)) }
    };
    eventually(PATIENCE, probe).await.unwrap();
    let in_clear = "switchboard_tls_failures_total{role=\"downstream\",reason=\"plaintext\"}";
    assert_eq!(metric(&app, in_clear).await, 0);
    app.shutdown().await;
}

#[tokio::test]
async fn a_router_does_not_start_with_files_that_it_cannot_use() {
    let (_server, client) = registry().await;
    let files = Files::new();
    fs::write(files.path().join("key.pem"), "nothing").unwrap();
    let Err(app::Error::Tls(error)) = App::start(files.config(&client)) else { panic!("it has started") };
    assert!(error.to_string().contains("key.pem"), "{error}");
}
