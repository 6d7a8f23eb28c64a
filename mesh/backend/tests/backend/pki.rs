//! Certificates of one test, and calls over TLS.

use crate::fixture::SOON;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use switchboard_backend::{ClientAuth, ServerTls};
use switchboard_proto::agentplatform::TaskRequest;
use switchboard_proto::agentplatform::agent_service_client::AgentServiceClient;
use switchboard_transport::authority::{Authority, Issued, Subject};
use switchboard_transport::{ClientTls, RELOAD_INTERVAL, tls_channel};
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Request, Status};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// An authority, and a directory for what it signs.
pub(crate) struct Pki {
    authority: Authority,
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

    pub(crate) fn issue(&self, subject: &Subject) -> Issued {
        self.authority.issue(subject).unwrap()
    }

    fn write(&self, name: &str, subject: &Subject) -> (PathBuf, PathBuf) {
        let (issued, paths) =
            (self.issue(subject), (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key"))));
        replace(&paths.0, &issued.cert);
        replace(&paths.1, &issued.key);
        paths
    }

    /// The files of the backend: it is `agent-gated`, and knows callers of this authority.
    pub(crate) fn server(&self) -> ServerTls {
        let (cert, key) = self.write("server", &Subject::service("agent-gated"));
        ServerTls { cert, key, client_ca: Some(self.path("ca.pem")), client_auth: ClientAuth::Optional }
    }

    /// The files of a caller, who shows a certificate of the subject, if there is one.
    pub(crate) fn client(&self, subject: Option<&Subject>) -> ClientTls {
        let own = subject.map(|subject| self.write("client", subject));
        let (cert, key) = own.unzip();
        ClientTls { ca: self.path("ca.pem"), cert, key }
    }

    /// A channel whose calls come from the holder of such a certificate.
    pub(crate) fn channel(&self, addr: SocketAddr, subject: Option<&Subject>) -> Channel {
        channel(addr, self.client(subject))
    }
}

pub(crate) fn channel(addr: SocketAddr, tls: ClientTls) -> Channel {
    tls_channel(&addr.to_string(), tls.watch(RELOAD_INTERVAL).unwrap()).unwrap()
}

/// The router, by its certificate.
pub(crate) fn router() -> Subject {
    Subject::service("router")
}

/// Puts a file in another's place at once.
pub(crate) fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

/// Makes one call with this input and these headers.
pub(crate) async fn ask(
    channel: Channel,
    input: &str,
    headers: &[(&'static str, &str)],
) -> Result<String, Status> {
    let mut request = Request::new(TaskRequest { input: input.to_owned(), ..TaskRequest::default() });
    for (name, value) in headers {
        request.metadata_mut().append(*name, value.parse().unwrap());
    }
    let mut client = AgentServiceClient::new(channel);
    let answer = client.execute_task(request);
    let answer = tokio::time::timeout(SOON, answer).await.expect("an answer in time")?;
    Ok(answer.into_inner().output)
}
