//! gRPC channels with the mesh's HTTP/2 settings. It does no balancing and no retries.

use std::time::Duration;

use rustls::ClientConfig;
use tonic::transport::{Channel, Endpoint};

use crate::{Error, Loaded, Watched, tls_connector};

/// Members of the mesh are one hop apart; who does not answer within a second is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A handshake takes two more round trips, and a core that is busy with a hundred others of them.
const TLS_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Half of what the strictest common server tolerates (gRFC A8), and below every usual NAT timeout.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Enough for 1 Gbit/s over 8 ms, and the bound of what a stalled reader costs.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// Larger than the stream's, so that one stalled stream does not block the others of the connection.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// Opens a channel to `endpoint`, which is `host:port` or `http://host:port`.
///
/// Nothing is connected before the first call, and a broken connection is replaced at the next call. PINGs are sent
/// only while a stream is open. The windows are fixed: an adaptive window would override them and has no bound.
/// Must be called within a tokio runtime.
///
/// # Errors
/// [`Error::Endpoint`] if the text is no such endpoint, which includes `https://`: [`tls_channel`] verifies.
pub fn channel(endpoint: &str) -> Result<Channel, Error> {
    Ok(settings(parsed(endpoint, "http")?).connect_timeout(CONNECT_TIMEOUT).connect_lazy())
}

/// Opens a channel as [`channel`] does, but over TLS, to `host:port` or `https://host:port`.
///
/// Each new connection takes the newest of the certificates; those that are open keep theirs.
///
/// # Errors
/// [`Error::Endpoint`] if the text is no such endpoint, which includes `http://`.
pub fn tls_channel(endpoint: &str, tls: Watched<Loaded<ClientConfig>>) -> Result<Channel, Error> {
    let secure = parsed(endpoint, "https")?;
    let refuse = || Error::Endpoint { scheme: "https", endpoint: endpoint.to_owned(), source: None };
    let authority = secure.uri().authority().ok_or_else(refuse)?;
    // Tonic refuses to take https to a connector that is not its own; the origin says it to the server all the same.
    let plain = parsed(authority.as_str(), "http")?.origin(secure.uri().clone());
    Ok(settings(plain).connect_timeout(TLS_CONNECT_TIMEOUT).connect_with_connector_lazy(tls_connector(tls)))
}

fn parsed(endpoint: &str, scheme: &'static str) -> Result<Endpoint, Error> {
    let refuse = |source| Error::Endpoint { scheme, endpoint: endpoint.to_owned(), source };
    let uri = if endpoint.contains("://") { endpoint.to_owned() } else { format!("{scheme}://{endpoint}") };
    let parsed = Endpoint::from_shared(uri).map_err(|source| refuse(Some(source)))?;
    if parsed.uri().scheme_str() != Some(scheme) || parsed.uri().port_u16().is_none_or(|port| port == 0) {
        return Err(refuse(None));
    }
    Ok(parsed)
}

fn settings(endpoint: Endpoint) -> Endpoint {
    endpoint
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(false)
        .http2_adaptive_window(false)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn endpoints_are_accepted_with_and_without_scheme() {
        for good in ["127.0.0.1:50051", "http://localhost:50051", "[::1]:50051"] {
            assert!(channel(good).is_ok(), "{good}");
        }
    }

    #[tokio::test]
    async fn an_endpoint_that_cannot_be_called_is_refused_with_its_text() {
        for bad in
            ["", "localhost", "https://localhost:1", "http://", "localhost:0", "a b:1", "unix:///tmp/x"]
        {
            let error = channel(bad).expect_err(bad);
            assert!(error.to_string().contains(&format!("{bad:?}")), "{error}");
        }
    }
}
