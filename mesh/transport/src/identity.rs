//! A certificate, its key and the authorities to trust, in memory: what both directions of TLS are configured from,
//! whether they were read from files or come from Consul Connect.

use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ResolvesServerCertUsingSni, WebPkiClientVerifier};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, ServerConfig};

use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{ClientAuth, Error, PeerIdentity, ServiceVerifier, install_crypto};

/// Who we are and whom we trust. The key is never printed.
#[derive(Clone)]
pub struct Identity {
    source: Arc<str>,
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
    roots: Arc<RootCertStore>,
    trust_domain: Option<Arc<str>>,
    own: PeerIdentity,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("source", &self.source)
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads texts in PEM: the chain, the own certificate first; its key; each authority. `source` names in errors
    /// where they came from. With a trust domain only SPIFFE IDs of that domain count as a service's.
    ///
    /// # Errors
    /// [`Error::Memory`] if one of them is no such thing.
    pub fn from_pem<'a>(
        source: &str,
        chain: &str,
        key: &str,
        roots: impl IntoIterator<Item = &'a str>,
        trust_domain: Option<&str>,
    ) -> Result<Self, Error> {
        let unusable = |what, reason: String| Error::Memory { what, from: source.to_owned(), reason };
        let read = |what, pem: &str| {
            let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
            found.map_err(|error| unusable(what, error.to_string()))
        };
        let chain = read("certificate", chain)?;
        let own = chain.first().and_then(PeerIdentity::of);
        let own = own.ok_or_else(|| unusable("certificate", "it is no X.509 certificate".to_owned()))?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|error| unusable("key", error.to_string()))?;
        let mut store = RootCertStore::empty();
        for root in roots {
            for certificate in read("authority", root)? {
                store.add(certificate).map_err(|error| unusable("authority", error.to_string()))?;
            }
        }
        if store.is_empty() {
            return Err(unusable("authority", "there is none".to_owned()));
        }
        Ok(Self {
            source: source.into(),
            chain,
            key: Arc::new(key),
            roots: Arc::new(store),
            trust_domain: trust_domain.map(Arc::from),
            own,
        })
    }

    /// The names of the own certificate, and its end.
    pub fn own(&self) -> &PeerIdentity {
        &self.own
    }

    /// The domain whose SPIFFE IDs count.
    pub fn trust_domain(&self) -> Option<&str> {
        self.trust_domain.as_deref()
    }

    /// Makes the configuration of a listener, as [`crate::ServerTls::server_config`] does from files.
    ///
    /// # Errors
    /// [`Error::Memory`] if TLS refuses the certificate or its key.
    pub fn server_config(&self, client_auth: ClientAuth) -> Result<ServerConfig, Error> {
        let roots = (client_auth != ClientAuth::None).then(|| self.roots.clone());
        server(self.chain.clone(), self.key.clone_key(), roots, client_auth)
            .map_err(|error| self.refused(error))
    }

    /// Makes the configuration towards instances, as [`crate::ClientTls::service_config`] does from files.
    ///
    /// # Errors
    /// [`Error::Memory`] if TLS refuses the certificate or its key.
    pub fn service_config(&self) -> Result<ClientConfig, Error> {
        let builder =
            services(ServiceVerifier::new(self.roots.clone()).in_trust_domain(self.trust_domain.clone()));
        let config = builder.with_client_auth_cert(self.chain.clone(), self.key.clone_key());
        config.map(with_http2).map_err(|error| self.refused(error))
    }

    fn refused(&self, error: rustls::Error) -> Error {
        Error::Memory { what: "certificate", from: self.source.to_string(), reason: error.to_string() }
    }
}

/// A listener that lets nobody in, for the time before there is a certificate: every handshake fails.
pub fn closed_server_config() -> ServerConfig {
    install_crypto();
    // It knows no name, and so has a certificate for none.
    let nobody = Arc::new(ResolvesServerCertUsingSni::new());
    ServerConfig::builder().with_no_client_auth().with_cert_resolver(nobody)
}

/// A client that trusts nobody, for the time before there are authorities: every handshake fails.
pub fn closed_service_config() -> ClientConfig {
    with_http2(services(ServiceVerifier::new(Arc::new(RootCertStore::empty()))).with_no_client_auth())
}

/// From when and until when the first certificate of a text in PEM is valid, in seconds since 1970.
pub fn validity(pem: &str) -> Option<(i64, i64)> {
    let first = CertificateDer::pem_slice_iter(pem.as_bytes()).next()?.ok()?;
    let (_, parsed) = X509Certificate::from_der(&first).ok()?;
    let validity = parsed.validity();
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

/// A listener: TLS 1.2 and 1.3, ALPN `h2`, resumption by tickets that any thread of this process can read. Clients are
/// asked for a certificate of `roots`.
pub(crate) fn server(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Option<Arc<RootCertStore>>,
    auth: ClientAuth,
) -> Result<ServerConfig, rustls::Error> {
    install_crypto();
    let builder = match roots {
        None => ServerConfig::builder().with_no_client_auth(),
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder(roots);
            let verifier = match auth {
                ClientAuth::Required => verifier,
                _ => verifier.allow_unauthenticated(),
            };
            let verifier = verifier.build().map_err(|error| rustls::Error::General(error.to_string()))?;
            ServerConfig::builder().with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(config)
}

/// A client of instances, who have to prove their service.
pub(crate) fn services(verifier: ServiceVerifier) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    install_crypto();
    ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(verifier))
}

/// Adds the only protocol that members of the mesh speak.
pub(crate) fn with_http2(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}
