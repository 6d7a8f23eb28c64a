//! TLS of both ends: version 1.3, one cipher suite, so that all contenders encrypt alike.

use anyhow::Context;
use rustls::{
    ClientConfig, Connection, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::TLS13,
};
use std::{io::Read, path::Path, sync::Arc};

fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
    Arc::new(provider)
}

fn chain(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .with_context(|| format!("cannot read certificates from {}", file.display()))
}

fn key(file: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(file).with_context(|| format!("cannot read a key from {}", file.display()))
}

/// A client that trusts the authorities in `ca`, with its certificate and key where it has one.
pub(crate) fn client_config(ca: &Path, own: Option<(&Path, &Path)>) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(ca)? {
        roots.add(certificate).with_context(|| format!("TLS refuses {}", ca.display()))?;
    }
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots);
    let mut config = match own {
        Some((certificate, private)) => builder
            .with_client_auth_cert(chain(certificate)?, key(private)?)
            .with_context(|| format!("TLS refuses {}", certificate.display()))?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// A server that asks no client for a certificate.
pub(crate) fn server_config(certificate: &Path, private: &Path) -> anyhow::Result<Arc<ServerConfig>> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain(certificate)?, key(private)?)
        .with_context(|| format!("TLS refuses {}", certificate.display()))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Takes bytes of the socket in; what they decrypt to goes to `plain`. Returns its length.
pub(super) fn unseal(
    tls: &mut Connection,
    mut wire: &[u8],
    plain: &mut [u8],
) -> Result<usize, rustls::Error> {
    let mut bytes = 0;
    while !wire.is_empty() {
        // A slice never fails; rustls does if a message grows beyond its bound.
        tls.read_tls(&mut wire).map_err(|error| rustls::Error::General(error.to_string()))?;
        let state = tls.process_new_packets()?;
        // The end of the blocks is an error of `WouldBlock`.
        while let Ok(read @ 1..) = tls.reader().read(&mut plain[bytes..]) {
            bytes += read;
        }
        if state.peer_has_closed() {
            break;
        }
    }
    if bytes > 0 && tls.alpn_protocol() != Some(b"h2") {
        return Err(rustls::Error::NoApplicationProtocol);
    }
    Ok(bytes)
}
