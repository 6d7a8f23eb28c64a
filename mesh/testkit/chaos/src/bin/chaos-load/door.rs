//! Where the load goes in: the address, and what is shown there. It opens connections, and dresses calls.

use anyhow::Context;
use clap::Args;
use rustls::ClientConfig;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use switchboard_transport::{ClientTls, Loaded, Watched, tls_connector};
use tokio::sync::watch;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

/// The files are looked at more often than others do it: a test that replaces them waits for it.
const RELOAD_INTERVAL: Duration = Duration::from_millis(100);

/// What a client shows, and whom it trusts.
#[derive(Debug, Args)]
pub(crate) struct Credentials {
    /// Speak TLS, and trust the authorities of this file
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A certificate to show; read again when it changes, as are the others
    #[arg(long, value_name = "FILE", requires_all = ["ca", "key"])]
    cert: Option<PathBuf>,
    /// The key of that certificate
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// The file of a token to send with each call
    #[arg(long, value_name = "FILE", requires = "ca")]
    token_file: Option<PathBuf>,
}

/// An address with credentials for it.
#[derive(Clone)]
pub(crate) struct Door {
    endpoint: Endpoint,
    tls: Option<Watched<Loaded<ClientConfig>>>,
    authorization: Option<MetadataValue<Ascii>>,
    followed: Option<watch::Receiver<Arc<Loaded<ClientConfig>>>>,
}

impl Door {
    pub(crate) fn new(target: &str, ping: Duration, credentials: Credentials) -> anyhow::Result<Self> {
        let scheme = if credentials.ca.is_some() { "https" } else { "http" };
        // What the server is told of the scheme; tonic refuses to take https to a connector that is not its own.
        let origin = format!("{scheme}://{target}").parse()?;
        let endpoint = Endpoint::from_shared(format!("http://{target}"))?
            .origin(origin)
            .connect_timeout(Duration::from_secs(3))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(ping)
            .keep_alive_timeout(ping)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(16 << 20);
        let tls = |ca| ClientTls { ca, cert: credentials.cert, key: credentials.key }.watch(RELOAD_INTERVAL);
        let authorization = credentials.token_file.map(|file| {
            let token =
                std::fs::read_to_string(&file).with_context(|| format!("no token in {}", file.display()))?;
            let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.trim()).parse()?;
            value.set_sensitive(true);
            anyhow::Ok(value)
        });
        Ok(Self {
            endpoint,
            tls: credentials.ca.map(tls).transpose()?,
            authorization: authorization.transpose()?,
            followed: None,
        })
    }

    /// A connection that is opened at its first call, and again when it broke.
    pub(crate) fn connect(&self) -> Channel {
        match &self.tls {
            Some(tls) => self.endpoint.connect_with_connector_lazy(tls_connector(tls.clone())),
            None => self.endpoint.connect_lazy(),
        }
    }

    /// Waits until other files are taken; gives how often that was. `None` if there are none.
    pub(crate) async fn reloaded(&mut self) -> Option<u64> {
        let tls = self.tls.as_ref()?;
        let followed = self.followed.get_or_insert_with(|| tls.receiver());
        followed.changed().await.ok()?;
        Some(tls.reloads())
    }

    /// A call's message with its deadline and what is shown.
    pub(crate) fn request<M>(&self, message: M, deadline: Option<Duration>) -> Request<M> {
        let mut request = Request::new(message);
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        request
    }
}
