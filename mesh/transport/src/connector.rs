//! Connections of HTTP/2 clients over TLS.

use std::io;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tonic::transport::Uri;
use tower::Service;

use crate::{Loaded, Watched};

/// A connection over which HTTP/2 was agreed.
pub type TlsStream = TokioIo<tokio_rustls::client::TlsStream<TcpStream>>;

/// Connects to the host of a URI, whatever its scheme, and expects its name in the certificate and `h2` as protocol.
///
/// Each connection takes the newest configuration. Dropping a connect in progress closes it. For
/// `Endpoint::connect_with_connector_lazy`, whose timeout is to bound it.
pub fn tls_connector(
    tls: Watched<Loaded<ClientConfig>>,
) -> impl Service<Uri, Response = TlsStream, Error = io::Error, Future: Send> + Clone + Send + 'static {
    tower::service_fn(move |uri: Uri| connect(uri, tls.newest().config.clone()))
}

async fn connect(uri: Uri, config: Arc<ClientConfig>) -> io::Result<TlsStream> {
    let invalid = |problem: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{uri} {problem}"));
    let host = uri.host().ok_or_else(|| invalid("names no host"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(443);
    let name = ServerName::try_from(host.to_owned()).map_err(|_| invalid("names no host"))?;
    let tcp = TcpStream::connect((host, port)).await?;
    tcp.set_nodelay(true)?;
    let stream = tokio_rustls::TlsConnector::from(config).connect(name, tcp).await?;
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(io::Error::other(rustls::Error::NoApplicationProtocol));
    }
    Ok(TokioIo::new(stream))
}
