//! `dev --secure`: the directory of certificates, and what each part of the mesh takes from it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf, absolute};

use switchboard_backend::Backend;
use switchboard_policy::{DEFAULT_LEEWAY, DEFAULT_ROLES_CLAIM, JwtSettings, KeySource, Mode, Settings};
use switchboard_router::Config;
use switchboard_transport::{ClientAuth, ClientTls, ServerTls};
use tempfile::TempDir;

use crate::certs;
use crate::failure::Failure;

/// Certificates, tokens and a policy; a temporary directory goes with it.
#[derive(Debug)]
pub(super) struct Secure {
    dir: PathBuf,
    _temporary: Option<TempDir>,
}

impl Secure {
    /// Takes up a directory of `certs init`, or makes it; without one, a temporary.
    pub(super) fn open(asked: Option<&Path>) -> Result<Self, Failure> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| certs::Error::File { doing: "create", path, source }
        };
        let temporary = match asked {
            Some(_) => None,
            None => Some(tempfile::tempdir().map_err(failed(&std::env::temp_dir()))?),
        };
        let dir = asked.or(temporary.as_ref().map(TempDir::path)).unwrap_or(Path::new("."));
        let dir = absolute(dir).map_err(failed(dir))?;
        certs::create_if_missing(&dir)?;
        Ok(Self { dir, _temporary: temporary })
    }

    /// Where a file of this name is.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// TLS towards clients and backends, and who may do what.
    pub(super) fn router(&self, config: Config) -> Config {
        let file = |name| Some(self.path(name));
        Config {
            tls_cert: file("router.pem"),
            tls_key: file("router.key"),
            tls_client_ca: file("ca.pem"),
            upstream_tls_ca: file("ca.pem"),
            auth: Mode::Any,
            auth_tokens: file("tokens.toml"),
            auth_jwt_keys: file("jwks.json").map(KeySource::File),
            auth_jwt_issuer: Some(certs::ISSUER.to_owned()),
            auth_jwt_audience: vec![certs::AUDIENCE.to_owned()],
            policy: file("policy.toml"),
            ..config
        }
    }

    /// Serves by TLS as `service`; who calls has to prove who it is.
    pub(super) fn backend(&self, backend: Backend, service: &str) -> Backend {
        let (cert, key) = self.identity(service);
        let client_ca = Some(self.path("ca.pem"));
        backend
            .tls(ServerTls { cert, key, client_ca, client_auth: ClientAuth::Optional })
            .policy(Settings { mode: Mode::Any, ..Settings::default() })
    }

    /// The same for the workflow engine: callers come to its HTTP without a router, which would know them.
    pub(super) fn engine(&self, backend: Backend, service: &str) -> Backend {
        let file = |name| Some(self.path(name));
        let jwt = JwtSettings {
            keys: KeySource::File(self.path("jwks.json")),
            issuer: Some(certs::ISSUER.to_owned()),
            audience: vec![certs::AUDIENCE.to_owned()],
            leeway: DEFAULT_LEEWAY,
            roles_claim: DEFAULT_ROLES_CLAIM.to_owned(),
        };
        self.backend(backend, service).policy(Settings {
            mode: Mode::Any,
            tokens: file("tokens.toml"),
            jwt: Some(jwt),
            policy: file("policy.toml"),
        })
    }

    /// The settings of a client that is `name`: a service, or `client`.
    pub(super) fn client(&self, name: &str) -> switchboard_client::Config {
        let (cert, key) = self.identity(name);
        let tls = ClientTls { ca: self.path("ca.pem"), cert: Some(cert), key: Some(key) };
        switchboard_client::Config { tls: Some(tls), ..Default::default() }
    }

    /// What a person sets in a shell, to be `client`.
    pub(super) fn settings(&self, grpc: SocketAddr) -> String {
        let file = |name| certs::quoted(&self.path(name).display().to_string());
        format!(
            "  export SWITCHBOARD_ENDPOINT=https://{grpc} SWITCHBOARD_CA={}\n  \
             export SWITCHBOARD_CERT={} SWITCHBOARD_KEY={}   # or SWITCHBOARD_TOKEN_FILE={}",
            file("ca.pem"),
            file("client.pem"),
            file("client.key"),
            file("client.token"),
        )
    }

    fn identity(&self, name: &str) -> (PathBuf, PathBuf) {
        (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")))
    }
}
