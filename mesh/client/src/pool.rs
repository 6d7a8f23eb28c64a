//! The connections to the one address: a fixed number of HTTP/2 channels, used in turn.
//!
//! One connection carries many calls at once, so one is enough for most clients. More than one spreads
//! the calls over several routers behind a TCP balancer, and over several cores of one router. A channel
//! reconnects by itself; nothing here watches it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tonic::transport::{Channel, Endpoint};

use crate::error::root_cause;
use crate::{Config, Error};

/// A stream's window: 1 MiB keeps a stream at full speed over 10 ms of delay at 100 MB/s.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// The connection's window, well above a stream's, so that one unread stream cannot stop the others.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

#[derive(Clone, Debug)]
pub(crate) struct Pool {
    channels: Arc<[Channel]>,
    next: Arc<AtomicUsize>,
    endpoint: Arc<str>,
}

impl Pool {
    /// Opens the first connection now, the others when they are used.
    pub(crate) async fn connect(endpoint: &str, config: &Config) -> Result<Self, Error> {
        let (address, builder) = builder(endpoint, config)?;
        let first = builder
            .connect()
            .await
            .map_err(|error| Error::Connect { endpoint: address.clone(), cause: root_cause(&error) })?;
        Ok(Self::new(address, first, &builder, config))
    }

    /// Opens connections when they are used.
    pub(crate) fn lazy(endpoint: &str, config: &Config) -> Result<Self, Error> {
        let (address, builder) = builder(endpoint, config)?;
        Ok(Self::new(address, builder.connect_lazy(), &builder, config))
    }

    fn new(address: String, first: Channel, builder: &Endpoint, config: &Config) -> Self {
        let others = (1..config.connections.get()).map(|_| builder.connect_lazy());
        Self {
            channels: std::iter::once(first).chain(others).collect(),
            next: Arc::default(),
            endpoint: address.into(),
        }
    }

    /// The channel for the next call.
    pub(crate) fn channel(&self) -> Channel {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.channels[turn % self.channels.len()].clone()
    }

    /// The address in its full form, `http://host:port`.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

/// Reads an address, to which `http://` may be missing, and applies the settings.
fn builder(endpoint: &str, config: &Config) -> Result<(String, Endpoint), Error> {
    let invalid = |problem: String| Error::Endpoint { endpoint: endpoint.to_owned(), problem };
    let address = match endpoint.trim() {
        "" => return Err(invalid("it is empty".to_owned())),
        address if address.contains("://") => address.to_owned(),
        address => format!("http://{address}"),
    };
    let uri: tonic::transport::Uri =
        address.parse().map_err(|error: http::uri::InvalidUri| invalid(error.to_string()))?;
    if uri.scheme_str() != Some("http") {
        // Sending in the clear what was meant to be encrypted would be worse than refusing.
        return Err(invalid("only http:// addresses are supported".to_owned()));
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(invalid("it names no host".to_owned()));
    }
    let builder = Endpoint::from(uri)
        .user_agent(concat!("switchboard-client/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| invalid(root_cause(&error)))?
        .connect_timeout(config.connect_timeout)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        // Pings only while calls are open: they find a dead peer, and idle ones cost strikes (gRFC A8).
        .http2_keep_alive_interval(config.keep_alive_interval)
        .keep_alive_timeout(config.keep_alive_timeout)
        .keep_alive_while_idle(false);
    Ok((address, builder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_are_completed_or_refused() {
        let config = Config::default();
        for (given, expected) in [
            ("127.0.0.1:50051", Some("http://127.0.0.1:50051")),
            (" localhost:1 ", Some("http://localhost:1")),
            ("http://router:50051", Some("http://router:50051")),
            ("[::1]:50051", Some("http://[::1]:50051")),
            ("", None),
            ("http://", None),
            ("ftp://router:1", None),
            ("https://router:1", None),
            ("http://a b", None),
        ] {
            let pool = Pool::lazy(given, &config);
            assert_eq!(pool.as_ref().ok().map(Pool::endpoint), expected, "{given:?}: {pool:?}");
        }
    }
}
