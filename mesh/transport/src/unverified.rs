//! A TLS channel that believes any certificate: for health checks, which prove that somebody answers and not who.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use crate::Error;

/// As of every channel of the mesh.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Opens a TLS channel to `host:port` without finding out who answers there, as Consul does for a check with
/// `TLSSkipVerify`. Send no secret over it. Nothing is connected before the first call.
///
/// # Errors
/// [`Error::Endpoint`] if the text is no `host:port`.
pub fn unverified_channel(endpoint: &str) -> Result<Channel, Error> {
    crate::install_crypto();
    let refuse = |source| Error::Endpoint { scheme: "https", endpoint: endpoint.to_owned(), source };
    let parsed = Endpoint::from_shared(format!("https://{endpoint}")).map_err(|error| refuse(Some(error)))?;
    if parsed.uri().port_u16().is_none_or(|port| port == 0) {
        return Err(refuse(None));
    }
    let channel = parsed
        .tls_config_with_verifier(ClientTlsConfig::new(), Arc::new(AnyServer::new()))
        .map_err(|error| refuse(Some(error)))?
        .connect_timeout(CONNECT_TIMEOUT);
    Ok(channel.connect_lazy())
}

/// Accepts every certificate whose key the server holds.
#[derive(Debug)]
struct AnyServer {
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyServer {
    fn new() -> Self {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        Self { algorithms: provider.signature_verification_algorithms }
    }
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
