//! One request to Consul each. It bounds time, size and connections; it retries nothing and remembers nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Method, Response, Url};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::error::Error;
use crate::instance::{Instance, Registration, Status};
use crate::wire::{HealthEntry, RegisterBody, ServicePart, go_duration};

/// Ten thousand instances with full meta would be 80 MB; a real mesh has hundreds.
const MAX_BODY_BYTES: usize = 32 << 20;
/// A catalogue of 100,000 names takes 20 ms to decode: from this size on that is done on a thread of its own, so that the
/// caller's runtime goes on.
const LARGE_BODY_BYTES: usize = 256 << 10;
/// Of an error's body, what one log line may hold.
const MAX_EXCERPT_BYTES: usize = 256;
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
    http: reqwest::Client,
    base: Url,
    config: Config,
    token: Option<HeaderValue>,
    blocking: Arc<Semaphore>,
    short: Semaphore,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.inner.config.address).finish_non_exhaustive()
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
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .pool_max_idle_per_host(MAX_SHORT_REQUESTS)
            // Consul does not redirect; a redirect would carry the token to a stranger. A proxy would see it too.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        if let Some(tls) = &config.tls {
            builder = builder.tls_backend_preconfigured(tls.client_config().map_err(Error::Tls)?);
        }
        let http =
            builder.build().map_err(|source| Error::Setup { address: config.address.clone(), source })?;
        let token = match &config.token {
            None => None,
            Some(secret) => {
                let mut value = HeaderValue::from_str(secret.expose()).map_err(|_| Error::Config {
                    setting: "CONSUL_HTTP_TOKEN",
                    reason: "holds characters that no header can carry".to_owned(),
                })?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let blocking = Arc::new(Semaphore::new(MAX_BLOCKING_READS));
        let short = Semaphore::new(MAX_SHORT_REQUESTS);
        Ok(Self { inner: Arc::new(Inner { http, base, config, token, blocking, short }) })
    }

    /// Gives the configuration that the client was made with.
    pub fn config(&self) -> &Config {
        &self.inner.config
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
        let request = self.inner.http.request(Method::PUT, url.clone()).json(&RegisterBody::of(registration));
        self.short(url, request).await.map(drop)
    }

    /// Removes an instance from the agent. An instance that is unknown is success.
    ///
    /// # Errors
    /// The id cannot be used, the registry cannot be reached, or it refuses.
    pub async fn deregister(&self, id: &str) -> Result<(), Error> {
        check_name("service id", id)?;
        let url = self.url(&["v1", "agent", "service", "deregister", id]);
        let request = self.inner.http.request(Method::PUT, url.clone());
        match self.short(url, request).await {
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
        let request = self.inner.http.request(Method::GET, url.clone());
        let found: ServicePart = match self.short(url.clone(), request).await {
            Err(Error::Status { status: 404, .. }) => return Ok(None),
            answer => self.decode(&url, answer?.body).await?,
        };
        Ok(found.instance(String::new(), None, Status::Passing))
    }

    /// Reads the instances of a service, sorted by node and id. An unknown service has none.
    ///
    /// With `query.index` the answer waits for a change, at most `wait`, a sixteenth of it and the request timeout.
    ///
    /// # Errors
    /// The name cannot be used, the registry cannot be reached in time, or it refuses.
    pub async fn health(&self, service: &str, query: &Query) -> Result<Indexed<Vec<Instance>>, Error> {
        check_name("service", service)?;
        let mut url = self.url(&["v1", "health", "service", service]);
        if query.passing {
            url.query_pairs_mut().append_pair("passing", "true");
        }
        let Indexed { value, index } = self.read::<Option<Vec<HealthEntry>>>(url, query).await?;
        let mut value: Vec<_> =
            value.unwrap_or_default().into_iter().filter_map(HealthEntry::instance).collect();
        value.sort_unstable_by(|a, b| (&a.node, &a.id).cmp(&(&b.node, &b.id)));
        Ok(Indexed { value, index })
    }

    /// Reads the names of all services with the union of their tags, healthy or not. Consul itself is one of them.
    ///
    /// # Errors
    /// As [`Client::health`].
    pub async fn services(&self, query: &Query) -> Result<Indexed<BTreeMap<String, Vec<String>>>, Error> {
        let url = self.url(&["v1", "catalog", "services"]);
        let read = self.read::<Option<BTreeMap<String, Option<Vec<String>>>>>(url, query).await?;
        let value = read.value.unwrap_or_default();
        let value = value.into_iter().map(|(name, tags)| (name, sorted(tags.unwrap_or_default()))).collect();
        Ok(Indexed { value, index: read.index })
    }

    /// Reads the address of the leader; `None` during an election.
    ///
    /// # Errors
    /// The registry cannot be reached, or it refuses.
    pub async fn leader(&self) -> Result<Option<String>, Error> {
        let url = self.url(&["v1", "status", "leader"]);
        let request = self.inner.http.request(Method::GET, url.clone());
        let answer = self.short(url.clone(), request).await?;
        let leader: String = self.decode(&url, answer.body).await?;
        Ok(Some(leader).filter(|leader| !leader.is_empty()))
    }

    /// The permits of blocking reads, for watches to take.
    pub(crate) fn blocking_slots(&self) -> &Arc<Semaphore> {
        &self.inner.blocking
    }

    async fn read<T: DeserializeOwned + Send + 'static>(
        &self,
        mut url: Url,
        query: &Query,
    ) -> Result<Indexed<T>, Error> {
        if query.stale {
            url.query_pairs_mut().append_pair("stale", "");
        }
        if let Some(datacenter) = &self.inner.config.datacenter {
            url.query_pairs_mut().append_pair("dc", datacenter);
        }
        let answer = if query.index == 0 {
            let request = self.inner.http.request(Method::GET, url.clone());
            self.short(url.clone(), request).await?
        } else {
            let wait = query.wait.unwrap_or(self.inner.config.wait);
            url.query_pairs_mut()
                .append_pair("index", &query.index.to_string())
                .append_pair("wait", &go_duration(wait));
            let request = self.inner.http.request(Method::GET, url.clone());
            // Consul answers up to a sixteenth later than asked, to spread its clients.
            self.send(&url, request, wait + wait / 16 + self.inner.config.request_timeout).await?
        };
        Ok(Indexed { value: self.decode(&url, answer.body).await?, index: answer.index })
    }

    async fn short(&self, url: Url, request: reqwest::RequestBuilder) -> Result<Answer, Error> {
        let after = self.inner.config.request_timeout;
        let bounded = async {
            let _permit = self.inner.short.acquire().await;
            self.send(&url, request, after).await
        };
        // The time spent in the queue counts.
        tokio::time::timeout(after, bounded).await.unwrap_or_else(|_| Err(self.timeout(&url, after)))
    }

    async fn send(
        &self,
        url: &Url,
        request: reqwest::RequestBuilder,
        after: Duration,
    ) -> Result<Answer, Error> {
        let request = match &self.inner.token {
            Some(token) => request.header("X-Consul-Token", token.clone()),
            None => request,
        };
        let exchange = async {
            let response = request.send().await.map_err(|source| self.unreachable(source))?;
            self.receive(url, response).await
        };
        tokio::time::timeout(after, exchange).await.unwrap_or_else(|_| Err(self.timeout(url, after)))
    }

    async fn receive(&self, url: &Url, mut response: Response) -> Result<Answer, Error> {
        let (status, failed) = (response.status().as_u16(), !response.status().is_success());
        let index =
            response.headers().get("X-Consul-Index").and_then(|value| value.to_str().ok()?.parse().ok());
        let limit_bytes = if failed { MAX_EXCERPT_BYTES } else { MAX_BODY_BYTES };
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|source| self.unreachable(source))? {
            let room = limit_bytes - body.len();
            if chunk.len() > room && !failed {
                return Err(Error::TooLarge {
                    address: self.inner.config.address.clone(),
                    path: url.path().to_owned(),
                    limit_bytes,
                });
            }
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if failed && body.len() == limit_bytes {
                break;
            }
        }
        if failed {
            let body = String::from_utf8_lossy(&body).trim().to_owned();
            let path = url.path().to_owned();
            return Err(Error::Status { address: self.inner.config.address.clone(), path, status, body });
        }
        Ok(Answer { index: index.unwrap_or(0), body })
    }

    async fn decode<T>(&self, url: &Url, body: Vec<u8>) -> Result<T, Error>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let decoded = if body.len() < LARGE_BODY_BYTES {
            serde_json::from_slice(&body).map_err(|error| error.to_string())
        } else {
            let decoding = tokio::task::spawn_blocking(move || serde_json::from_slice(&body));
            decoding
                .await
                .map_err(|error| error.to_string())
                .and_then(|decoded| decoded.map_err(|error| error.to_string()))
        };
        decoded.map_err(|reason| Error::Decode {
            address: self.inner.config.address.clone(),
            path: url.path().to_owned(),
            reason,
        })
    }

    /// Joins path segments to the address, each escaped. Names were checked: no segment can climb.
    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.inner.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend(segments);
        }
        url
    }

    fn unreachable(&self, source: reqwest::Error) -> Error {
        Error::Unreachable { address: self.inner.config.address.clone(), source: source.without_url() }
    }

    fn timeout(&self, url: &Url, after: Duration) -> Error {
        Error::Timeout { address: self.inner.config.address.clone(), path: url.path().to_owned(), after }
    }
}

struct Answer {
    index: u64,
    body: Vec<u8>,
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
