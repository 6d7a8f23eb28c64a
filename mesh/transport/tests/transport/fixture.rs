//! Certificates in a directory of their own, and handshakes in memory.

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use switchboard_transport::authority::{Authority, Issued, Subject};
use switchboard_transport::{ClientAuth, ClientTls, PeerIdentity, ServerTls};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Longer than anything here takes on a loaded machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// An authority, and a directory for what it signs.
pub(crate) struct Pki {
    pub(crate) authority: Authority,
    dir: TempDir,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let authority = Authority::new("test authority", DAY).unwrap();
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("ca.pem"), &authority.issued().cert).unwrap();
        Self { authority, dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes `<name>.pem` and `<name>.key`.
    pub(crate) fn write(&self, name: &str, issued: &Issued) -> (PathBuf, PathBuf) {
        let paths = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        replace(&paths.0, &issued.cert);
        replace(&paths.1, &issued.key);
        paths
    }

    /// A listener with a certificate of this subject.
    pub(crate) fn server(&self, subject: &Subject, client_auth: ClientAuth) -> ServerTls {
        let (cert, key) = self.write("server", &self.authority.issue(subject).unwrap());
        ServerTls { cert, key, client_ca: Some(self.path("ca.pem")), client_auth }
    }

    /// A client that trusts this authority and shows a certificate of the subject, if there is one.
    pub(crate) fn client(&self, subject: Option<&Subject>) -> ClientTls {
        let own = subject.map(|subject| self.write("client", &self.authority.issue(subject).unwrap()));
        let (cert, key) = own.unzip();
        ClientTls { ca: self.path("ca.pem"), cert, key }
    }
}

/// Puts a file in another's place at once, as tools that rotate certificates do.
pub(crate) fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

/// What both sides know after a handshake and a byte in each direction, or the client's and the server's errors.
#[derive(Debug)]
pub(crate) struct Met {
    pub(crate) client: std::io::Result<()>,
    pub(crate) server: std::io::Result<Option<PeerIdentity>>,
}

/// Lets both meet in memory.
pub(crate) async fn meet(server: ServerConfig, client: ClientConfig, name: ServerName<'static>) -> Met {
    let (near, far) = tokio::io::duplex(1 << 16);
    let server = async move {
        let mut stream = tokio_rustls::TlsAcceptor::from(Arc::new(server)).accept(far).await?;
        let peer = stream.get_ref().1.peer_certificates().and_then(|chain| PeerIdentity::of(&chain[0]));
        stream.write_all(b"x").await?;
        stream.flush().await?;
        stream.read_exact(&mut [0]).await?;
        Ok(peer)
    };
    let client = async move {
        let mut stream = tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, near).await?;
        // Only the first byte says that the server took our certificate (TLS 1.3).
        stream.read_exact(&mut [0]).await?;
        stream.write_all(b"x").await?;
        stream.flush().await
    };
    let both = async { tokio::join!(server, client) };
    let (server, client) = tokio::time::timeout(SOON, both).await.expect("an end of the handshake");
    Met { client, server }
}
