//! Verifies that a server is the service that was meant, not merely somebody whom the authority knows.

use crate::PeerIdentity;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, DnsName, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// What follows the service in the server name that is sent.
const SUFFIX: &str = ".service.consul";

/// The server name under which an instance of `service` (a name of the registry, `agent-echo`) is connected to, so that a
/// [`ServiceVerifier`] knows whom to expect. `None` for what is no such name.
pub fn service_name(service: &str) -> Option<ServerName<'static>> {
    DnsName::try_from(format!("{service}{SUFFIX}")).ok().map(ServerName::DnsName)
}

/// Accepts a certificate of a trusted authority that [`PeerIdentity::is_service`] for the service that was asked for.
///
/// The usual verifier demands a DNS name; certificates of Consul Connect have none, only a SPIFFE ID.
#[derive(Debug)]
pub struct ServiceVerifier {
    roots: Arc<RootCertStore>,
    trust_domain: Option<Arc<str>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServiceVerifier {
    /// Trusts the authorities of `roots`.
    pub fn new(roots: Arc<RootCertStore>) -> Self {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        Self { roots, trust_domain: None, algorithms: provider.signature_verification_algorithms }
    }

    /// Accepts only SPIFFE IDs of this domain, if there is one: an authority may have signed those of others too.
    pub fn in_trust_domain(self, trust_domain: Option<Arc<str>>) -> Self {
        Self { trust_domain, ..self }
    }
}

impl ServiceVerifier {
    fn proves(&self, peer: &PeerIdentity, service: &str) -> bool {
        match &self.trust_domain {
            Some(domain) => peer.is_service_of(service, domain),
            None => peer.is_service(service),
        }
    }
}

impl ServerCertVerifier for ServiceVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)?;
        let wanted = match server_name {
            ServerName::DnsName(name) => name.as_ref().strip_suffix(SUFFIX),
            _ => None,
        };
        let peer = PeerIdentity::of(end_entity).ok_or(CertificateError::BadEncoding)?;
        match wanted {
            Some(service) if self.proves(&peer, service) => Ok(ServerCertVerified::assertion()),
            _ => Err(CertificateError::NotValidForNameContext {
                expected: server_name.to_owned(),
                presented: peer.uris.into_iter().chain(peer.dns).collect(),
            }
            .into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
