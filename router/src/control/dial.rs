//! How the control plane reaches instances: as the data plane does, in clear or by TLS that proves their service.

use crate::link::Certificates;
use hyper_util::rt::TokioIo;
use std::{io, net::SocketAddr, time::Duration};
use switchboard_transport::service_name;
use tokio::{net::TcpStream, sync::watch};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

/// Members of the mesh are one hop apart; as the data plane's default (defaults.md 4.1).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(super) struct Dial(Option<watch::Receiver<Certificates>>);

impl Dial {
    /// In clear.
    #[cfg(test)]
    pub(super) fn clear() -> Self {
        Dial(None)
    }

    /// By TLS with the certificates of that moment, if `certificates`.
    pub(super) fn new(certificates: Option<watch::Receiver<Certificates>>) -> Self {
        Dial(certificates)
    }

    /// A channel to one instance of the service. It is connected by its first call, which fails with UNAVAILABLE if the
    /// instance cannot be reached or does not prove its service.
    pub(super) fn channel(&self, addr: SocketAddr, service: &str) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{addr}"))
            .expect("a socket address makes a URI")
            .connect_timeout(CONNECT_TIMEOUT);
        let Some(certificates) = self.0.clone() else { return endpoint.connect_lazy() };
        let name = service_name(service);
        endpoint.connect_with_connector_lazy(tower::service_fn(move |_| {
            let (config, name) = (certificates.borrow().client.clone(), name.clone());
            async move {
                let config = config.ok_or_else(|| io::Error::other("the router has no certificate yet"))?;
                let name =
                    name.ok_or_else(|| io::Error::other("the service has no name for a certificate"))?;
                let socket = TcpStream::connect(addr).await?;
                TlsConnector::from(config).connect(name, socket).await.map(TokioIo::new)
            }
        }))
    }
}
