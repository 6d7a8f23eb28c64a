//! The connections to the one address: a fixed number of HTTP/2 channels, used in turn.
//!
//! One connection carries many calls at once, so one is enough for most clients. More than one spreads
//! the calls over several routers behind a TCP balancer, and over several cores of one router. A channel
//! reconnects by itself; nothing here watches it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::ClientConfig;
use switchboard_transport::{Loaded, RELOAD_INTERVAL, TlsFailure, Watched, tls_connector};
use tonic::transport::{Channel, Endpoint, Uri};

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
        let door = Door::new(endpoint, config)?;
        let first = door.connect().await.map_err(|error| {
            let tls = TlsFailure::of(&error);
            Error::connect(&door.address, &error, tls)
        })?;
        Ok(Self::new(door, first, config))
    }

    /// Opens connections when they are used.
    pub(crate) fn lazy(endpoint: &str, config: &Config) -> Result<Self, Error> {
        let door = Door::new(endpoint, config)?;
        let first = door.connect_lazy();
        Ok(Self::new(door, first, config))
    }

    fn new(door: Door, first: Channel, config: &Config) -> Self {
        let others = (1..config.connections.get()).map(|_| door.connect_lazy());
        Self {
            channels: std::iter::once(first).chain(others).collect(),
            next: Arc::default(),
            endpoint: door.address.into(),
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

/// How connections to the address are made.
struct Door {
    address: String,
    endpoint: Endpoint,
    tls: Option<Watched<Loaded<ClientConfig>>>,
}

impl Door {
    /// Reads an address, whose scheme may be missing, and applies the settings.
    fn new(given: &str, config: &Config) -> Result<Self, Error> {
        let invalid = |problem: String| Error::Endpoint { endpoint: given.to_owned(), problem };
        let address = match (given.trim(), &config.tls) {
            ("", _) => return Err(invalid("it is empty".to_owned())),
            (address, _) if address.contains("://") => address.to_owned(),
            (address, Some(_)) => format!("https://{address}"),
            (address, None) => format!("http://{address}"),
        };
        let uri: Uri = address.parse().map_err(|error: http::uri::InvalidUri| invalid(error.to_string()))?;
        if uri.host().is_none_or(str::is_empty) {
            return Err(invalid("it names no host".to_owned()));
        }
        let (uri, origin, tls) = match (uri.scheme_str(), &config.tls) {
            (Some("http"), _) => {
                let safe = config.token.is_none() || config.token_in_clear || is_loopback(&uri);
                if !safe {
                    return Err(Error::TokenInClear { endpoint: address });
                }
                (uri, None, None)
            }
            (Some("https"), Some(files)) => {
                let watched = files.clone().watch(RELOAD_INTERVAL).map_err(Error::Tls)?;
                // Tonic refuses to take https to a connector that is not its own.
                let mut parts = uri.clone().into_parts();
                parts.scheme = Some(http::uri::Scheme::HTTP);
                let plain = Uri::from_parts(parts).map_err(|error| invalid(error.to_string()))?;
                (plain, Some(uri), Some(watched))
            }
            (Some("https"), None) => {
                // The platform's own authorities are none of the mesh's.
                return Err(invalid("https:// needs the authorities of the router's certificate".to_owned()));
            }
            // Sending in the clear what was meant to be encrypted would be worse than refusing.
            _ => return Err(invalid("only http:// and https:// addresses are supported".to_owned())),
        };
        let mut endpoint = Endpoint::from(uri)
            .user_agent(concat!("switchboard-client/", env!("CARGO_PKG_VERSION")))
            .map_err(|error| invalid(root_cause(&error)))?
            .connect_timeout(config.connect_timeout)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            // Pings only while calls are open: they find a dead peer, and idle ones cost strikes (gRFC A8).
            .http2_keep_alive_interval(config.keep_alive_interval)
            .keep_alive_timeout(config.keep_alive_timeout)
            .keep_alive_while_idle(false);
        if let Some(origin) = origin {
            endpoint = endpoint.origin(origin);
        }
        Ok(Self { address, endpoint, tls })
    }

    async fn connect(&self) -> Result<Channel, tonic::transport::Error> {
        match &self.tls {
            Some(tls) => self.endpoint.connect_with_connector(tls_connector(tls.clone())).await,
            None => self.endpoint.connect().await,
        }
    }

    fn connect_lazy(&self) -> Channel {
        match &self.tls {
            Some(tls) => self.endpoint.connect_with_connector_lazy(tls_connector(tls.clone())),
            None => self.endpoint.connect_lazy(),
        }
    }
}

/// Whether what is sent there stays on this machine.
fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
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
