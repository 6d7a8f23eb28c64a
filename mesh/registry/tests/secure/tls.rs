//! TLS to Consul, with a client certificate that Consul demands.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use std::net::{Ipv4Addr, SocketAddr};

use switchboard_registry::{Check, Client, Config, Error, Query, Registration, Secret, Status};
use switchboard_testkit::{Consul, LockedConsul, eventually, free_port, workspace_root};
use switchboard_transport::ClientTls;
use switchboard_transport::authority::{Authority, Issued, Subject};

use crate::SOON;

const HOUR: Duration = Duration::from_secs(3600);

fn write(directory: &Path, name: &str, issued: &Issued) -> (PathBuf, PathBuf) {
    let (cert, key) = (directory.join(format!("{name}.pem")), directory.join(format!("{name}.key")));
    std::fs::write(&cert, &issued.cert).unwrap();
    std::fs::write(&key, &issued.key).unwrap();
    (cert, key)
}

/// A Consul with TLS, and the files of somebody who may speak with it.
struct Secure {
    _consul: Consul,
    authority: Authority,
    directory: tempfile::TempDir,
    tls: ClientTls,
    https: u16,
    http: u16,
}

impl Secure {
    async fn start() -> Self {
        switchboard_transport::install_crypto();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let authority = Authority::new("Consul's", HOUR).unwrap();
        let (ca, _) = write(path, "ca", authority.issued());
        let (cert, key) = write(path, "server", &authority.issue(&Subject::service("consul")).unwrap());
        let https = free_port();
        let extra = format!(
            r#"ports {{ https = {https} }} verify_incoming = true
               ca_file = "{}" cert_file = "{}" key_file = "{}""#,
            ca.display(),
            cert.display(),
            key.display()
        );
        let consul = Consul::start_with(&extra).await.unwrap();
        let (cert, key) = write(path, "client", &authority.issue(&Subject::service("router")).unwrap());
        let tls = ClientTls { ca, cert: Some(cert), key: Some(key) };
        let http = consul.http_addr().port();
        Self { _consul: consul, authority, directory, tls, https, http }
    }

    fn client(&self, tls: &ClientTls) -> Client {
        self.at(&format!("https://127.0.0.1:{}", self.https), Some(tls))
    }

    fn at(&self, address: &str, tls: Option<&ClientTls>) -> Client {
        Client::new(Config { tls: tls.cloned(), ..Config::at(address).unwrap() }).unwrap()
    }

    async fn refusal(&self, tls: &ClientTls) -> String {
        let error = self.client(tls).services(&Query::default()).await.unwrap_err();
        assert!(matches!(error, Error::Handshake { .. }), "{error:?}");
        error.to_string()
    }
}

#[tokio::test]
async fn consul_is_asked_with_a_client_certificate_and_errors_say_what_is_wrong() {
    let secure = Secure::start().await;
    secure.client(&secure.tls).services(&Query::default()).await.unwrap();

    let path = secure.directory.path();
    let other = Authority::new("another", HOUR).unwrap();
    let (ca, _) = write(path, "other-ca", other.issued());
    let text = secure.refusal(&ClientTls { ca, ..secure.tls.clone() }).await;
    assert!(text.contains("CONSUL_CACERT"), "unknown authority: {text}");

    let none = ClientTls { cert: None, key: None, ..secure.tls.clone() };
    let text = secure.refusal(&none).await;
    assert!(text.contains("CONSUL_CLIENT_CERT"), "no client certificate: {text}");

    let with = |issued: &Issued| {
        let (cert, key) = write(path, "odd", issued);
        ClientTls { cert: Some(cert), key: Some(key), ..secure.tls.clone() }
    };
    let text = secure.refusal(&with(&other.issue(&Subject::service("router")).unwrap())).await;
    assert!(text.contains("CONSUL_CLIENT_CERT"), "client certificate of a stranger: {text}");
    let past = SystemTime::now() - 3 * HOUR;
    let mut subject = Subject::service("router");
    (subject.not_before, subject.lifetime) = (past, Duration::from_secs(0));
    let text = secure.refusal(&with(&secure.authority.issue(&subject).unwrap())).await;
    assert!(text.contains("CONSUL_CLIENT_CERT"), "expired client certificate: {text}");

    let address = format!("https://127.0.0.1:{}", secure.http);
    let error = secure.at(&address, Some(&secure.tls)).leader().await.unwrap_err().to_string();
    assert!(error.contains("not TLS") && error.contains("http://"), "TLS to a plaintext port: {error}");
    let error =
        secure.at(&format!("127.0.0.1:{}", secure.https), None).leader().await.unwrap_err().to_string();
    assert!(error.contains("https://"), "plaintext to a TLS port: {error}");
}

#[tokio::test]
async fn certificates_are_read_again_and_broken_ones_change_nothing() {
    let secure = Secure::start().await;
    let path = secure.directory.path();
    let other = Authority::new("another", HOUR).unwrap();
    let (cert, key) = write(path, "mine", &other.issue(&Subject::service("router")).unwrap());
    let client = secure.client(&ClientTls { cert: Some(cert.clone()), key: Some(key), ..secure.tls.clone() });
    assert!(client.leader().await.is_err(), "a stranger's certificate");
    write(path, "mine", &secure.authority.issue(&Subject::service("router")).unwrap());
    let served = async || client.leader().await.map(drop).map_err(|error| error.to_string());
    eventually(SOON, served).await.unwrap();
    // Half of a replacement, and none at all: what was read before goes on to serve.
    std::fs::write(&cert, "no certificate").unwrap();
    let good = async || {
        client.services(&Query::default()).await.unwrap();
        Ok::<_, ()>(())
    };
    eventually(SOON, good).await.unwrap();
    std::fs::remove_file(&cert).unwrap();
    eventually(SOON, good).await.unwrap();
}

#[tokio::test]
async fn the_configuration_that_is_shipped_locks_every_door() {
    switchboard_transport::install_crypto();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let authority = Authority::new("everybody's", HOUR).unwrap();
    let (ca, _) = write(path, "ca", authority.issued());
    write(path, "consul", &authority.issue(&Subject::service("consul")).unwrap());
    let (cert, key) = write(path, "router", &authority.issue(&Subject::service("router")).unwrap());
    let https = free_port();
    let overlay = std::fs::read_to_string(workspace_root().join("consul/secure-1.8.hcl")).unwrap();
    let overlay = overlay.replace("/consul/tls", path.to_str().unwrap()).replace("8501", &https.to_string());
    let consul = LockedConsul::start(&overlay).await.unwrap();
    let at = |token: Option<&str>, tls: &ClientTls| {
        let token = token.map(Secret::new);
        let config = Config::at(&format!("https://127.0.0.1:{https}")).unwrap();
        Client::new(Config { token, tls: Some(tls.clone()), ..config }).unwrap()
    };
    let tls = ClientTls { ca: ca.clone(), cert: Some(cert), key: Some(key) };
    let operator = at(Some(consul.operator()), &tls);
    operator.services(&Query::default()).await.unwrap();
    operator.connect_leaf("router", 0).await.unwrap();
    let error = at(None, &tls).services(&Query::default()).await.unwrap_err();
    assert!(matches!(error, Error::Hidden { .. }), "{error:?}");
    let anonymous = ClientTls { cert: None, key: None, ..tls.clone() };
    let error = at(Some(consul.operator()), &anonymous).services(&Query::default()).await.unwrap_err();
    assert!(matches!(error, Error::Handshake { .. }), "{error:?}");

    // A port that asks for a certificate passes its check without one; one that demands it needs the agent's own.
    let checked = serve_health(&authority, &ca, true).await;
    register_checked(&operator, checked, Status::Passing).await;
    let demanding = serve_health(&authority, &ca, false).await;
    register_checked(&operator, demanding, Status::Critical).await;
    drop((consul, operator));
    let (https_before, https) = (https, free_port());
    let overlay =
        overlay.replace("enable_agent_tls_for_checks = false", "enable_agent_tls_for_checks = true");
    let overlay = overlay.replace(&format!("https = {https_before}"), &format!("https = {https}"));
    let consul = LockedConsul::start(&overlay).await.unwrap();
    let plain = Config::at(&consul.http_addr().to_string()).unwrap();
    let operator = Client::new(Config { token: Some(Secret::new(consul.operator())), ..plain }).unwrap();
    register_checked(&operator, demanding, Status::Passing).await;
}

/// A health service over TLS that asks for a client certificate, or demands one.
async fn serve_health(authority: &Authority, ca: &Path, optional: bool) -> SocketAddr {
    let issued = authority.issue(&Subject::service("agent-echo")).unwrap();
    let tls = tonic::transport::ServerTlsConfig::new()
        .identity(tonic::transport::Identity::from_pem(issued.cert, issued.key))
        .client_ca_root(tonic::transport::Certificate::from_pem(std::fs::read(ca).unwrap()))
        .client_auth_optional(optional);
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_reporter, health) = tonic_health::server::health_reporter();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let mut server = tonic::transport::Server::builder().tls_config(tls).unwrap();
    tokio::spawn(server.add_service(health).serve_with_incoming(incoming));
    address
}

/// Registers it with the other status, and waits until the check has made it what is wanted.
async fn register_checked(client: &Client, address: SocketAddr, wanted: Status) {
    let (interval, timeout) = (Duration::from_millis(200), Duration::from_secs(1));
    let check = Check::Grpc { target: address.to_string(), interval, timeout, tls: true };
    let starts_passing = wanted != Status::Passing;
    let registration = Registration {
        check,
        starts_passing,
        ..Registration::new("agent-echo", "127.0.0.1", address.port())
    };
    client.register(&registration).await.unwrap();
    let checked = async || {
        let found = client.health("agent-echo", &Query::default()).await.unwrap().value;
        let ours = found.iter().find(|instance| instance.id == registration.id);
        if ours.is_some_and(|ours| ours.status == wanted) { Ok(()) } else { Err(found) }
    };
    eventually(SOON, checked).await.unwrap();
}
