//! Certificate files of an outgoing TLS connection. It reads them once; it does not watch them.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::{Error, install_crypto};

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
    /// Reads the files into a client configuration that trusts nothing but `ca`.
    ///
    /// # Errors
    /// Each error names the file at fault.
    pub fn client_config(&self) -> Result<ClientConfig, Error> {
        install_crypto();
        let mut roots = RootCertStore::empty();
        for certificate in certificates("CA certificates", &self.ca)? {
            roots.add(certificate).map_err(|source| Error::Tls { path: self.ca.clone(), source })?;
        }
        let builder = ClientConfig::builder().with_root_certificates(roots);
        match (&self.cert, &self.key) {
            (None, None) => Ok(builder.with_no_client_auth()),
            (Some(path), None) => Err(Error::HalfIdentity { path: path.clone(), missing: "key" }),
            (None, Some(path)) => Err(Error::HalfIdentity { path: path.clone(), missing: "certificate" }),
            (Some(cert), Some(key)) => {
                let chain = certificates("client certificate", cert)?;
                let key_der = PrivateKeyDer::from_pem_file(key).map_err(|source| Error::Pem {
                    what: "private key",
                    path: key.clone(),
                    source,
                })?;
                builder
                    .with_client_auth_cert(chain, key_der)
                    .map_err(|source| Error::Tls { path: cert.clone(), source })
            }
        }
    }
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
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
