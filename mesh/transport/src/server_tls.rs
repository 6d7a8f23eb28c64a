//! Certificate files of a listener.

use crate::client_tls::{certificates, private_key, roots};
use crate::{Error, Loaded, PeerIdentity, Watched, identity};
use rustls::ServerConfig;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Whether a client has to show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// It is not asked for one.
    None,
    /// One that is shown must be good; without one the policy decides what the client may do.
    #[default]
    Optional,
    /// No connection without one.
    Required,
}

impl ClientAuth {
    /// The word that [`ClientAuth::from_str`] reads.
    pub fn name(self) -> &'static str {
        match self {
            ClientAuth::None => "none",
            ClientAuth::Optional => "optional",
            ClientAuth::Required => "required",
        }
    }
}

impl FromStr for ClientAuth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [ClientAuth::None, ClientAuth::Optional, ClientAuth::Required]
            .into_iter()
            .find(|auth| auth.name() == text)
            .ok_or_else(|| format!("`{text}` is none of none, optional, required"))
    }
}

/// Names the files with which a listener proves who it is, and verifies its clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// PEM file of the certificate chain, the own certificate first.
    pub cert: PathBuf,
    /// PEM file of its private key.
    pub key: PathBuf,
    /// PEM file of the authorities whose client certificates are good. Without it clients are not asked for one.
    pub client_ca: Option<PathBuf>,
    /// Whether clients have to show a certificate.
    pub client_auth: ClientAuth,
}

impl ServerTls {
    /// Reads the files: TLS 1.2 and 1.3, ALPN `h2`, resumption by tickets that any thread of this process can read.
    /// Returns the configuration and the names of the own certificate.
    ///
    /// # Errors
    /// Each error names the file at fault.
    pub fn server_config(&self) -> Result<(ServerConfig, PeerIdentity), Error> {
        let chain = certificates("certificate chain", &self.cert)?;
        let own = PeerIdentity::of(&chain[0]).ok_or(Error::NoCertificate { path: self.cert.clone() })?;
        let roots = match (&self.client_ca, self.client_auth) {
            (None, _) | (_, ClientAuth::None) => None,
            (Some(ca), _) => Some(Arc::new(roots(ca)?)),
        };
        let config = identity::server(chain, private_key(&self.key)?, roots, self.client_auth)
            .map_err(|source| Error::Tls { path: self.cert.clone(), source })?;
        Ok((config, own))
    }

    /// The files that are read.
    pub fn paths(&self) -> Vec<PathBuf> {
        [&self.cert, &self.key].into_iter().chain(&self.client_ca).cloned().collect()
    }

    /// Reads the files now and after every change; see [`Watched::start`].
    ///
    /// # Errors
    /// As [`ServerTls::server_config`], now.
    pub fn watch(self, interval: Duration) -> Result<Watched<Loaded<ServerConfig>>, Error> {
        Watched::start("the listener's certificates", self.paths(), interval, move || {
            let (config, own) = self.server_config()?;
            Ok(Loaded { config: Arc::new(config), own: Some(own) })
        })
    }
}
