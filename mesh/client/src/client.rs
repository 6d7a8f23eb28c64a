//! The client itself: an address, its settings, and what every call carries.
//!
//! A clone is cheap and shares the connections; `with_*` give a clone whose calls differ.

use std::num::NonZeroUsize;
use std::time::Duration;

use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};

use crate::pool::Pool;
use switchboard_transport::ClientTls;

use crate::{Error, RetryPolicy, Token};

/// The longest deadline that is sent; a longer one is shortened to it. gRPC writes a timeout with at
/// most eight digits, and a year is in practice none.
const LONGEST_DEADLINE: Duration = Duration::from_secs(365 * 24 * 3600);

/// Settings of a client.
#[derive(Clone, Debug)]
pub struct Config {
    /// Deadline of a call that answers once, over all its attempts; `None` waits for ever.
    /// Default 300 s, which is what the router would set: agents run for minutes.
    pub deadline: Option<Duration>,
    /// Deadline of a whole stream. Default `None`: a stream lives as long as it has something to say.
    pub stream_deadline: Option<Duration>,
    /// When failed calls are tried again.
    pub retry: RetryPolicy,
    /// How long a watch of a workflow goes on trying to get back after its stream broke, as long as it hears nothing.
    /// Default 2 min: an engine that restarts, or an instance that another takes the place of, is back in less.
    pub resume_within: Duration,
    /// HTTP/2 connections to the address. Default 1; see the module `pool` for why there may be more.
    pub connections: NonZeroUsize,
    /// Time to open a connection. Default 5 s.
    pub connect_timeout: Duration,
    /// The largest message that is accepted, in bytes. Default 128 MiB, as much as the router passes.
    pub max_message_bytes: usize,
    /// Time between HTTP/2 PINGs while calls are open. Default 30 s.
    pub keep_alive_interval: Duration,
    /// Time for the answer to a PING before the connection counts as dead. Default 10 s.
    pub keep_alive_timeout: Duration,
    /// Whom an `https` address must prove itself by, and our own certificate. An address without scheme is `https`
    /// then. The files are read anew when they change. Default `None`: only `http` addresses can be called.
    pub tls: Option<ClientTls>,
    /// Token of every call. It is sent over TLS, or to this machine, and nowhere else. Default `None`.
    pub token: Option<Token>,
    /// Sends the token to other machines in clear, too, where anybody on the way can read and use it. Default `false`.
    pub token_in_clear: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            deadline: Some(Duration::from_secs(300)),
            stream_deadline: None,
            retry: RetryPolicy::default(),
            resume_within: Duration::from_secs(120),
            connections: NonZeroUsize::MIN,
            connect_timeout: Duration::from_secs(5),
            max_message_bytes: 128 << 20,
            keep_alive_interval: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(10),
            tls: None,
            token: None,
            token_in_clear: false,
        }
    }
}

/// A client of the mesh: calls agents, tools and workers by their ID through one address.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) pool: Pool,
    pub(crate) headers: MetadataMap,
    pub(crate) token: Option<Token>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) stream_deadline: Option<Duration>,
    pub(crate) retry: RetryPolicy,
    pub(crate) resume_within: Duration,
    pub(crate) max_message_bytes: usize,
}

impl Client {
    /// Connects to an address (`http://host:port` or `host:port`; `https://host:port` with [`Config::tls`]) with the
    /// default settings.
    ///
    /// # Errors
    /// [`Error::Endpoint`] for an address that is none, [`Error::Connect`] if nobody answers there, [`Error::Tls`] for
    /// certificate files that cannot be used, [`Error::TokenInClear`] where a token would not be safe.
    pub async fn connect(endpoint: impl AsRef<str>) -> Result<Self, Error> {
        Self::connect_with(endpoint, Config::default()).await
    }

    /// Connects with the given settings.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_with(endpoint: impl AsRef<str>, config: Config) -> Result<Self, Error> {
        let pool = Pool::connect(endpoint.as_ref(), &config).await?;
        Ok(Self::new(pool, config))
    }

    /// Makes a client that connects at its first call, with the default settings.
    ///
    /// # Errors
    /// [`Error::Endpoint`] for an address that is none.
    ///
    /// # Panics
    /// Outside a tokio runtime, which the connections need.
    pub fn connect_lazy(endpoint: impl AsRef<str>) -> Result<Self, Error> {
        Self::connect_lazy_with(endpoint, Config::default())
    }

    /// Makes a client that connects at its first call, with the given settings.
    ///
    /// # Errors
    /// [`Error::Endpoint`] for an address that is none.
    ///
    /// # Panics
    /// Outside a tokio runtime, which the connections need.
    pub fn connect_lazy_with(endpoint: impl AsRef<str>, config: Config) -> Result<Self, Error> {
        let pool = Pool::lazy(endpoint.as_ref(), &config)?;
        Ok(Self::new(pool, config))
    }

    /// Returns a client over the same connections whose calls and streams have this deadline.
    ///
    /// The deadline counts from the call's start, spans all attempts, and goes to the server as
    /// `grpc-timeout`. `None` waits for ever; more than a year counts as a year.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Option<Duration>) -> Self {
        let deadline = deadline.map(|deadline| deadline.min(LONGEST_DEADLINE));
        self.deadline = deadline;
        self.stream_deadline = deadline;
        self
    }

    /// Returns a client over the same connections whose calls carry this ASCII header too. `authorization` takes the
    /// place of the token.
    ///
    /// A header that is already there is kept: gRPC allows a name several times.
    ///
    /// # Errors
    /// [`Error::Header`] for a name or value that HTTP/2 forbids, and for names that end in `-bin`.
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self, Error> {
        let invalid = || Error::Header { name: name.to_owned() };
        let key = AsciiMetadataKey::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        let value: AsciiMetadataValue = value.parse().map_err(|_| invalid())?;
        self.headers.append(key, value);
        Ok(self)
    }

    /// The address that this client calls, in the form `http://host:port` or `https://host:port`.
    pub fn endpoint(&self) -> &str {
        self.pool.endpoint()
    }

    fn new(pool: Pool, config: Config) -> Self {
        Self {
            pool,
            headers: MetadataMap::new(),
            token: config.token,
            deadline: config.deadline.map(|deadline| deadline.min(LONGEST_DEADLINE)),
            stream_deadline: config.stream_deadline.map(|deadline| deadline.min(LONGEST_DEADLINE)),
            retry: config.retry,
            resume_within: config.resume_within,
            max_message_bytes: config.max_message_bytes,
        }
    }
}
