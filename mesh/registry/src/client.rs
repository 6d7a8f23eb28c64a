//! One request to Consul each. It bounds time, size and connections; it retries nothing but a refused token that was
//! replaced, and remembers nothing but that.

mod access;
mod connect;
mod exchange;
mod visibility;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, Url};
use tokio::sync::Semaphore;

use self::access::Credentials;
pub use self::connect::{Authorization, ConnectLeaf, ConnectRoots};
use self::exchange::Request;
use self::visibility::{CONSUL, Visibility};

use crate::config::Config;
use crate::error::Error;
use crate::instance::{Instance, Registration, Status};
use crate::wire::{HealthEntry, RegisterBody, ServicePart};

/// What a reader of the catalogue needs.
const READ_CATALOG: &str = r#"service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }"#;
/// Open blocking reads of one client. With the next constant below 128 connections, of the 200 that an agent allows
/// to one address (`limits.http_max_conns_per_client`).
pub(crate) const MAX_BLOCKING_READS: usize = 100;
/// Other requests at the same time. Each is answered in milliseconds; more wait their turn.
const MAX_SHORT_REQUESTS: usize = 24;
/// The registry is on this host or one hop away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Consul allows 512 in names of checks and meta; longer names would only be refused by it.
const MAX_NAME_BYTES: usize = 512;

/// Asks the registry. Cheap to clone; clones share connections and their bound.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    base: Url,
    credentials: Credentials,
    visibility: Visibility,
    blocking: Arc<Semaphore>,
    short: Semaphore,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.config().address).finish_non_exhaustive()
    }
}

/// Says what a read returns and whether it waits for a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Only instances that pass every check.
    pub passing: bool,
    /// Any server may answer, also without a leader. Default true: consistent reads fail during an election.
    pub stale: bool,
    /// 0 is answered at once; otherwise the answer waits until the index is higher than this.
    pub index: u64,
    /// How long the answer may wait for that; the configuration's `wait` if absent.
    pub wait: Option<Duration>,
}

impl Default for Query {
    fn default() -> Self {
        Self { passing: false, stale: true, index: 0, wait: None }
    }
}

impl Query {
    /// Reads passing instances at once.
    pub fn passing() -> Self {
        Self { passing: true, ..Self::default() }
    }
}

/// Pairs an answer with the registry's index, to wait for the next change with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexed<T> {
    /// The answer.
    pub value: T,
    /// `X-Consul-Index` as it came; 0 if it is missing.
    pub index: u64,
}

impl Client {
    /// Makes a client. Connects nothing.
    ///
    /// # Errors
    /// The address is no URL, the certificate files cannot be used, or the token holds characters that a header cannot.
    pub fn new(config: Config) -> Result<Self, Error> {
        switchboard_transport::install_crypto();
        let base = Url::parse(&config.address).map_err(|_| Error::Config {
            setting: "address",
            reason: format!("{:?} is not of the form http://host:port", config.address),
        })?;
        let credentials = Credentials::new(config)?;
        let blocking = Arc::new(Semaphore::new(MAX_BLOCKING_READS));
        let short = Semaphore::new(MAX_SHORT_REQUESTS);
        Ok(Self {
            inner: Arc::new(Inner { base, credentials, visibility: Visibility::default(), blocking, short }),
        })
    }

    /// Gives the configuration that the client was made with.
    pub fn config(&self) -> &Config {
        self.inner.credentials.config()
    }

    /// Changes when the token was replaced by another one, which the agent has to be told of: it goes on to use the
    /// one that a service was registered with.
    pub(crate) fn token_generation(&self) -> u64 {
        self.inner.credentials.generation()
    }

    /// Registers an instance at the agent, or replaces it and its checks. Idempotent.
    ///
    /// # Errors
    /// A name or the port cannot be used, the registry cannot be reached, or it refuses: see [`Error`].
    pub async fn register(&self, registration: &Registration) -> Result<(), Error> {
        check_name("service", &registration.service)?;
        check_name("service id", &registration.id)?;
        check_name("address", &registration.address)?;
        if registration.port == 0 {
            let reason = "a port from 1 to 65535 is needed, not 0";
            return Err(Error::Name { what: "port", value: "0".to_owned(), reason });
        }
        let mut url = self.url(&["v1", "agent", "service", "register"]);
        url.query_pairs_mut().append_pair("replace-existing-checks", "true");
        let needs = write_service(&registration.service);
        let request = Request::new(Method::PUT, url, needs).json(&RegisterBody::of(registration));
        self.short(&request).await.map(drop)
    }

    /// Removes an instance from the agent. An instance that is unknown is success.
    ///
    /// # Errors
    /// The id cannot be used, the registry cannot be reached, or it refuses.
    pub async fn deregister(&self, id: &str) -> Result<(), Error> {
        check_name("service id", id)?;
        let url = self.url(&["v1", "agent", "service", "deregister", id]);
        let request = Request::new(Method::PUT, url, write_service("<the instance's service>"));
        match self.short(&request).await {
            // Later versions say 404 where 1.8 says 200 or 500.
            Err(Error::Status { status: 404, .. }) => Ok(()),
            Err(Error::Status { status: 500, body, .. }) if body.contains("does not exist") => Ok(()),
            other => other.map(drop),
        }
    }

    /// Reads one instance from the agent it is registered at; `None` if the agent does not know it.
    ///
    /// The status is not part of the agent's answer: it is always [`Status::Passing`].
    ///
    /// # Errors
    /// The id cannot be used, the registry cannot be reached, or it refuses.
    pub async fn agent_service(&self, id: &str) -> Result<Option<Instance>, Error> {
        check_name("service id", id)?;
        let url = self.url(&["v1", "agent", "service", id]);
        let needs = r#"service "<the instance's service>" { policy = "read" }"#;
        let request = Request::new(Method::GET, url, needs);
        let found: ServicePart = match self.short(&request).await {
            Err(Error::Status { status: 404, .. }) => return Ok(None),
            answer => self.decode(&request.url, answer?.body).await?,
        };
        Ok(found.instance(String::new(), None, Status::Passing))
    }

    /// Reads the instances of a service, sorted by node and id. An unknown service has none; a token that sees nothing is
    /// an error.
    ///
    /// With `query.index` the answer waits for a change, at most `wait`, a sixteenth of it and the request timeout.
    ///
    /// # Errors
    /// The name cannot be used, the registry cannot be reached in time, it refuses, or its ACLs hide everything
    /// ([`Error::Hidden`]).
    pub async fn health(&self, service: &str, query: &Query) -> Result<Indexed<Vec<Instance>>, Error> {
        check_name("service", service)?;
        let mut url = self.url(&["v1", "health", "service", service]);
        if query.passing {
            url.query_pairs_mut().append_pair("passing", "true");
        }
        let request = Request::new(Method::GET, url, READ_CATALOG);
        let Indexed { value, index } = self.read::<Option<Vec<HealthEntry>>>(request, query).await?;
        let entries = value.unwrap_or_default();
        if entries.is_empty() {
            self.confirm_empty().await?;
        }
        let mut value: Vec<_> = entries.into_iter().filter_map(HealthEntry::instance).collect();
        value.sort_unstable_by(|a, b| (&a.node, &a.id).cmp(&(&b.node, &b.id)));
        Ok(Indexed { value, index })
    }

    /// Reads the names of all services with the union of their tags, healthy or not. Consul itself is one of them.
    ///
    /// # Errors
    /// As [`Client::health`].
    pub async fn services(&self, query: &Query) -> Result<Indexed<BTreeMap<String, Vec<String>>>, Error> {
        let url = self.url(&["v1", "catalog", "services"]);
        let request = Request::new(Method::GET, url, READ_CATALOG);
        let read = self.read::<Option<BTreeMap<String, Option<Vec<String>>>>>(request, query).await?;
        let value = read.value.unwrap_or_default();
        if !value.contains_key(CONSUL) {
            self.confirm_empty().await?;
        }
        let value = value.into_iter().map(|(name, tags)| (name, sorted(tags.unwrap_or_default()))).collect();
        Ok(Indexed { value, index: read.index })
    }

    /// Reads the address of the leader; `None` during an election.
    ///
    /// # Errors
    /// The registry cannot be reached, or it refuses.
    pub async fn leader(&self) -> Result<Option<String>, Error> {
        let url = self.url(&["v1", "status", "leader"]);
        let request = Request::new(Method::GET, url, "");
        let answer = self.short(&request).await?;
        let leader: String = self.decode(&request.url, answer.body).await?;
        Ok(Some(leader).filter(|leader| !leader.is_empty()))
    }

    /// The permits of blocking reads, for watches to take.
    pub(crate) fn blocking_slots(&self) -> &Arc<Semaphore> {
        &self.inner.blocking
    }
}

fn write_service(service: &str) -> String {
    format!(r#"service "{service}" {{ policy = "write" }}"#)
}

fn sorted(mut tags: Vec<String>) -> Vec<String> {
    tags.sort_unstable();
    tags
}

fn check_name(what: &'static str, value: &str) -> Result<(), Error> {
    let reason = if value.is_empty() || value.len() > MAX_NAME_BYTES {
        "it must have 1 to 512 bytes"
    } else if value.chars().any(|c| c.is_control() || c == '/' || c == '\\') {
        "control characters and slashes are not allowed"
    } else if matches!(value, "." | "..") {
        "a dot is no name"
    } else {
        return Ok(());
    };
    Err(Error::Name { what, value: value.chars().take(64).collect(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_cannot_leave_their_path() {
        let client = Client::new(Config::at("127.0.0.1:8500").unwrap()).unwrap();
        let path = |name: &str| client.url(&["v1", "health", "service", name]).path().to_owned();
        assert_eq!(path("a b?index=1#x"), "/v1/health/service/a%20b%3Findex=1%23x");
        assert_eq!(path("%2e%2e"), "/v1/health/service/%252e%252e");
        for bad in ["", ".", "..", "a/b", "../kv", "a\\b", "a\nb", &"x".repeat(513)] {
            assert!(check_name("service", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_client_prints_no_token() {
        let mut config = Config::at("127.0.0.1:8500").unwrap();
        config.token = Some(crate::Secret::new("s3cret"));
        let client = Client::new(config).unwrap();
        assert!(!format!("{client:?} {:?}", client.config()).contains("s3cret"));
    }
}
