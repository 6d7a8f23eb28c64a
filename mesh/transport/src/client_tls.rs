//! Certificate files of an outgoing TLS connection.

use std::path::{Path, PathBuf};

use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use std::sync::Arc;
use std::time::Duration;

use crate::identity::{self, with_http2};
use crate::{Error, Loaded, PeerIdentity, ServiceVerifier, Watched, install_crypto};

/// Names the files that an outgoing TLS connection is verified and identified with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTls {
    /// PEM file of the certificate authorities that may have signed the server's certificate.
    pub ca: PathBuf,
    /// PEM file of our own certificate chain, for mutual TLS. Needs `key`.
    pub cert: Option<PathBuf>,
    /// PEM file of the private key of `cert`.
    pub key: Option<PathBuf>,
}

impl ClientTls {
    /// Reads the files into a configuration that trusts nothing but `ca` and expects the host's name in the certificate.
    ///
    /// # Errors
    /// Each error names the file at fault.
    pub fn client_config(&self) -> Result<ClientConfig, Error> {
        install_crypto();
        self.with_identity(ClientConfig::builder().with_root_certificates(roots(&self.ca)?))
    }

    /// Reads the files into a configuration for instances of services: ALPN `h2`, and a [`ServiceVerifier`], so that the
    /// server name has to come from [`crate::service_name`].
    ///
    /// # Errors
    /// Each error names the file at fault.
    pub fn service_config(&self) -> Result<ClientConfig, Error> {
        let verifier = ServiceVerifier::new(Arc::new(roots(&self.ca)?));
        self.with_identity(identity::services(verifier)).map(with_http2)
    }

    /// The files that are read.
    pub fn paths(&self) -> Vec<PathBuf> {
        [Some(&self.ca), self.cert.as_ref(), self.key.as_ref()].into_iter().flatten().cloned().collect()
    }

    /// Reads [`ClientTls::client_config`], with ALPN `h2`, now and after every change; see [`Watched::start`].
    ///
    /// # Errors
    /// As [`ClientTls::client_config`], now.
    pub fn watch(self, interval: Duration) -> Result<Watched<Loaded<ClientConfig>>, Error> {
        Watched::start("the client's certificates", self.paths(), interval, move || {
            self.loaded(with_http2(self.client_config()?))
        })
    }

    /// Reads [`ClientTls::service_config`] now and after every change; see [`Watched::start`].
    ///
    /// # Errors
    /// As [`ClientTls::service_config`], now.
    pub fn watch_services(self, interval: Duration) -> Result<Watched<Loaded<ClientConfig>>, Error> {
        Watched::start("the certificates towards instances", self.paths(), interval, move || {
            self.loaded(self.service_config()?)
        })
    }

    fn loaded(&self, config: ClientConfig) -> Result<Loaded<ClientConfig>, Error> {
        let own = match &self.cert {
            Some(path) => PeerIdentity::of(&certificates("client certificate", path)?[0]),
            None => None,
        };
        Ok(Loaded { config: Arc::new(config), own })
    }

    fn with_identity(
        &self,
        builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    ) -> Result<ClientConfig, Error> {
        match (&self.cert, &self.key) {
            (None, None) => Ok(builder.with_no_client_auth()),
            (Some(path), None) => Err(Error::HalfIdentity { path: path.clone(), missing: "key" }),
            (None, Some(path)) => Err(Error::HalfIdentity { path: path.clone(), missing: "certificate" }),
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(certificates("client certificate", cert)?, private_key(key)?)
                .map_err(|source| Error::Tls { path: cert.clone(), source }),
        }
    }
}

pub(crate) fn roots(ca: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("CA certificates", ca)? {
        roots.add(certificate).map_err(|source| Error::Tls { path: ca.to_owned(), source })?;
    }
    Ok(roots)
}

pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| Error::Pem {
        what: "private key",
        path: path.to_owned(),
        source,
    })
}

pub(crate) fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unreadable = |source| Error::Pem { what, path: path.to_owned(), source };
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(unreadable)?
        .collect::<Result<_, _>>()
        .map_err(|source| Error::Pem { what, path: path.to_owned(), source })?;
    if found.is_empty() { Err(Error::NoCertificate { path: path.to_owned() }) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_named() {
        let tls = ClientTls { ca: "/nowhere/ca.pem".into(), cert: None, key: None };
        let error = tls.client_config().unwrap_err().to_string();
        assert!(error.contains("/nowhere/ca.pem") && error.contains("CA certificates"), "{error}");
    }

    #[test]
    fn a_file_without_certificate_is_named() {
        let ca = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let error = ClientTls { ca, cert: None, key: None }.client_config().unwrap_err().to_string();
        assert!(error.contains("Cargo.toml holds no certificate"), "{error}");
    }
}
