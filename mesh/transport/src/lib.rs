//! TLS, and the channels by which one member of the mesh calls another.
//!
//! It stands below every other crate of the mesh. It holds the one place that chooses the TLS provider, reads
//! certificate files, says who a certificate's holder is, and opens gRPC channels with the mesh's HTTP/2 settings. It does
//! not serve, does not register, and does not know the registry's API: it only finds the local address by which
//! a registry would see this process.

#[cfg(feature = "authority")]
pub mod authority;
mod channel;
mod client_tls;
mod connector;
mod expiry;
mod failure;
mod identity;
mod peer;
mod reload;
mod server_tls;
mod service_verifier;
mod unverified;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

pub use channel::{channel, tls_channel};
pub use client_tls::ClientTls;
pub use connector::{TlsStream, tls_connector};
pub use expiry::{Loaded, warn_before_expiry};
pub use failure::{TlsFailure, chain};
pub use identity::{Identity, closed_server_config, closed_service_config, validity};
pub use peer::PeerIdentity;
pub use reload::{RELOAD_INTERVAL, Watched};
pub use server_tls::{ClientAuth, ServerTls};
pub use service_verifier::{ServiceVerifier, service_name};
pub use unverified::unverified_channel;

/// Describes why a connection could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate or key file is missing or unreadable, or holds no PEM item of the wanted kind.
    #[error("cannot read the {what} from {}", path.display())]
    Pem {
        /// What the file should hold, for example `CA certificates`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// A CA file holds no certificate, so that nothing could ever be verified with it.
    #[error("{} holds no certificate", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A client certificate was given without its key, or a key without its certificate.
    #[error("{} is given without its {missing}", path.display())]
    HalfIdentity {
        /// The file that was given.
        path: PathBuf,
        /// What is missing: `key` or `certificate`.
        missing: &'static str,
    },
    /// A certificate, key or authority that did not come from a file cannot be used.
    #[error("cannot use the {what} of {from}: {reason}")]
    Memory {
        /// `certificate`, `key` or `authority`.
        what: &'static str,
        /// Where it came from, for example `Consul Connect`.
        from: String,
        /// The reason.
        reason: String,
    },
    /// The files were read, but TLS refuses what they hold (a key that does not fit, an unknown algorithm).
    #[error("TLS refuses the certificates of {}", path.display())]
    Tls {
        /// The file the refused item came from.
        path: PathBuf,
        /// The reason.
        #[source]
        source: rustls::Error,
    },
    /// The endpoint is no `http://host:port`, or no `https://host:port` where TLS is meant.
    #[error("{endpoint:?} is no endpoint: expected host:port or {scheme}://host:port")]
    Endpoint {
        /// What was meant: `http` or `https`.
        scheme: &'static str,
        /// The text that was given.
        endpoint: String,
        /// The reason, if the text is at least a URI.
        #[source]
        source: Option<tonic::transport::Error>,
    },
}

/// Makes aws-lc-rs the TLS provider of this process.
///
/// Call it first in `main` and in each test that opens a TLS connection: rustls panics when it has to choose
/// between two linked providers. It is idempotent, and leaves a provider alone that is already installed.
pub fn install_crypto() {
    // The error means that a provider is installed already, which is what we want.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// Finds the local address by which the registry sees this process, for the backend to advertise.
///
/// `registry` is the registry's `host:port`. A UDP socket is connected to it, which sends nothing but makes the
/// kernel choose the source address by its routing table. A registry on loopback gives `127.0.0.1`, a registry in
/// the same container network gives the container's own address.
///
/// # Errors
/// The host does not resolve, or no route leads to it.
pub async fn local_address_towards(registry: &str) -> io::Result<IpAddr> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{registry} has no address"));
    for remote in tokio::net::lookup_host(registry).await? {
        let any: IpAddr =
            if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        match local_address_of(any, remote).await {
            Ok(local) => return Ok(local),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn local_address_of(any: IpAddr, remote: SocketAddr) -> io::Result<IpAddr> {
    let socket = tokio::net::UdpSocket::bind((any, 0)).await?;
    socket.connect(remote).await?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_registry_on_loopback_sees_us_on_loopback() {
        let local = local_address_towards("127.0.0.1:8500").await.unwrap();
        assert_eq!(local, IpAddr::from(Ipv4Addr::LOCALHOST));
    }

    #[tokio::test]
    async fn a_registry_without_port_is_an_error() {
        assert!(local_address_towards("127.0.0.1").await.is_err());
    }

    #[test]
    fn the_provider_can_be_installed_twice() {
        install_crypto();
        install_crypto();
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }
}
