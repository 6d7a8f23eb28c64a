//! What a backend proves to its callers, and what they have to prove to it.

use super::Backend;
use crate::running::Files;
use crate::stack::Gate;
use crate::{Error, Options, Rights, env};
use rustls::ServerConfig;
use switchboard_policy::Settings;
use switchboard_transport::{ClientAuth, Loaded, RELOAD_INTERVAL, ServerTls, Watched};

impl Backend {
    /// Serves TLS only, with these files. They are read anew when they change, and at SIGHUP.
    ///
    /// With `client_ca` only the router, and who proves who it is, may call; health checks need no proof.
    pub fn tls(mut self, files: ServerTls) -> Self {
        self.tls = Some(files);
        self
    }

    /// Serves TLS only, with certificates that come from elsewhere than files, and asks callers for theirs.
    pub fn tls_source(mut self, source: Watched<Loaded<ServerConfig>>) -> Self {
        self.tls_source = Some(source);
        self
    }

    /// Serves TLS only, with the certificate that Consul Connect gives this service, and lets in whom its intentions allow;
    /// `SWITCHBOARD_TLS_SOURCE` counts for more. Starting waits for the certificate.
    pub fn connect(mut self) -> Self {
        self.connect = true;
        self
    }

    /// Tells `rights` of the policy, as soon as that was read.
    pub fn rights(mut self, rights: Rights) -> Self {
        self.rights = Some(rights);
        self
    }

    /// Sets what callers have to prove and may do, above the environment.
    pub fn policy(mut self, settings: Settings) -> Self {
        self.policy = Some(settings);
        self
    }
}

/// Reads certificates, tokens and policy, and goes on watching them.
pub(super) fn files(
    tls: Option<ServerTls>,
    source: Option<Watched<Loaded<ServerConfig>>>,
    policy: Option<Settings>,
    flags: &Options,
) -> Result<Files, Error> {
    let flagged = flags.tls_cert.is_some() || flags.tls_key.is_some() || flags.tls_client_ca.is_some();
    let files = match tls.filter(|_| !flagged) {
        Some(files) => Some(files),
        None if source.is_some() && !flagged => None,
        None => env::tls(flags)?,
    };
    let asks = |files: &ServerTls| files.client_ca.is_some() && files.client_auth != ClientAuth::None;
    let client_certificates = files.as_ref().map_or(source.is_some(), asks);
    let settings = match policy {
        Some(settings) => settings,
        None => env::policy(flags, client_certificates)?,
    };
    settings.check(client_certificates)?;
    let tls = match files {
        Some(files) => Some(files.watch(RELOAD_INTERVAL)?),
        None => source,
    };
    Ok(Files { tls, gate: Gate::watch(settings, RELOAD_INTERVAL)? })
}
