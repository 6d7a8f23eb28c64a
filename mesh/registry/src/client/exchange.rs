//! One exchange with Consul: sends a request, bounds its time and size, and turns what went wrong into an error. A
//! request whose token is refused is sent once more if the token's file holds another one by now.

use std::borrow::Cow;
use std::time::Duration;

use reqwest::{Method, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::access::Access;
use super::{Client, Indexed, Query};
use crate::error::{Error, handshake_reason};
use crate::wire::go_duration;

/// Ten thousand instances with full meta would be 80 MB; a real mesh has hundreds.
const MAX_BODY_BYTES: usize = 32 << 20;
/// A catalogue of 100,000 names takes 20 ms to decode: from this size on that is done on a thread of its own, so that the
/// caller's runtime goes on.
const LARGE_BODY_BYTES: usize = 256 << 10;
/// Of an error's body, what one log line may hold.
const MAX_EXCERPT_BYTES: usize = 256;

/// What is sent.
pub(super) struct Request {
    method: Method,
    pub(super) url: Url,
    body: Option<Vec<u8>>,
    /// The rule that a token needs for it, as it stands in a policy.
    needs: Cow<'static, str>,
}

impl Request {
    pub(super) fn new(method: Method, url: Url, needs: impl Into<Cow<'static, str>>) -> Self {
        Self { method, url, body: None, needs: needs.into() }
    }

    pub(super) fn json(self, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("structs of texts and numbers have a JSON form");
        Self { body: Some(body), ..self }
    }
}

/// What came back.
pub(super) struct Answer {
    pub(super) index: u64,
    pub(super) body: Vec<u8>,
}

impl Client {
    /// Reads at once, or waits for a change.
    pub(super) async fn read<T: DeserializeOwned + Send + 'static>(
        &self,
        mut request: Request,
        query: &Query,
    ) -> Result<Indexed<T>, Error> {
        let url = &mut request.url;
        if query.stale {
            url.query_pairs_mut().append_pair("stale", "");
        }
        if let Some(datacenter) = &self.config().datacenter {
            url.query_pairs_mut().append_pair("dc", datacenter);
        }
        self.poll(request, query.index, query.wait).await
    }

    /// Reads at once if `index` is 0, else when the index has passed it or `wait` is over.
    pub(super) async fn poll<T: DeserializeOwned + Send + 'static>(
        &self,
        mut request: Request,
        index: u64,
        wait: Option<Duration>,
    ) -> Result<Indexed<T>, Error> {
        let answer = if index == 0 {
            self.short(&request).await?
        } else {
            let wait = wait.unwrap_or(self.config().wait);
            request
                .url
                .query_pairs_mut()
                .append_pair("index", &index.to_string())
                .append_pair("wait", &go_duration(wait));
            // Consul answers up to a sixteenth later than asked, to spread its clients.
            self.send(&request, wait + wait / 16 + self.config().request_timeout).await?
        };
        Ok(Indexed { value: self.decode(&request.url, answer.body).await?, index: answer.index })
    }

    /// Sends what is answered at once.
    pub(super) async fn short(&self, request: &Request) -> Result<Answer, Error> {
        let after = self.config().request_timeout;
        let bounded = async {
            let _permit = self.inner.short.acquire().await;
            self.send(request, after).await
        };
        // The time spent in the queue counts.
        tokio::time::timeout(after, bounded).await.unwrap_or_else(|_| Err(self.timeout(&request.url, after)))
    }

    async fn send(&self, request: &Request, after: Duration) -> Result<Answer, Error> {
        let exchange = async {
            let access = self.inner.credentials.get().await;
            let answer = self.send_with(request, &access).await;
            match &answer {
                Err(Error::Forbidden { .. }) => {
                    self.inner.credentials.look().await;
                    let renewed = self.inner.credentials.get().await;
                    if renewed.token != access.token {
                        return self.send_with(request, &renewed).await;
                    }
                }
                // Its authority may have been replaced together with our file.
                Err(Error::Handshake { .. }) => self.inner.credentials.look().await,
                _ => {}
            }
            answer
        };
        tokio::time::timeout(after, exchange).await.unwrap_or_else(|_| Err(self.timeout(&request.url, after)))
    }

    async fn send_with(&self, request: &Request, access: &Access) -> Result<Answer, Error> {
        let mut sent = access.http.request(request.method.clone(), request.url.clone());
        if let Some(body) = &request.body {
            sent = sent.header("Content-Type", "application/json").body(body.clone());
        }
        if let Some(token) = &access.token {
            sent = sent.header("X-Consul-Token", token.clone());
        }
        let response = sent.send().await.map_err(|source| self.unreachable(source))?;
        self.receive(request, response, access.token.is_some()).await
    }

    async fn receive(
        &self,
        request: &Request,
        mut response: Response,
        with_token: bool,
    ) -> Result<Answer, Error> {
        let (status, failed) = (response.status().as_u16(), !response.status().is_success());
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let index = header("X-Consul-Index").and_then(|value| value.parse().ok());
        let limit_bytes = if failed { MAX_EXCERPT_BYTES } else { MAX_BODY_BYTES };
        let (address, path) = (self.config().address.clone(), request.url.path().to_owned());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|source| self.unreachable(source))? {
            let room = limit_bytes - body.len();
            if chunk.len() > room && !failed {
                return Err(Error::TooLarge { address, path, limit_bytes });
            }
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if failed && body.len() == limit_bytes {
                break;
            }
        }
        if !failed {
            return Ok(Answer { index: index.unwrap_or(0), body });
        }
        let body = String::from_utf8_lossy(&body).trim().to_owned();
        if status == 403 {
            let remedy = if !with_token {
                format!(
                    "no token was given: set CONSUL_HTTP_TOKEN_FILE to the file of one with `{}`",
                    request.needs
                )
            } else if body.contains("ACL not found") {
                "Consul does not know the token, which was deleted or is another cluster's: \
                 put a new one into the file of CONSUL_HTTP_TOKEN_FILE"
                    .to_owned()
            } else {
                format!("the token's policies lack `{}`", request.needs)
            };
            return Err(Error::Forbidden { address, path, body, remedy });
        }
        Err(Error::Status { address, path, status, body })
    }

    pub(super) async fn decode<T>(&self, url: &Url, body: Vec<u8>) -> Result<T, Error>
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
            address: self.config().address.clone(),
            path: url.path().to_owned(),
            reason,
        })
    }

    /// Joins path segments to the address, each escaped. Names were checked: no segment can climb.
    pub(super) fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.inner.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend(segments);
        }
        url
    }

    fn unreachable(&self, source: reqwest::Error) -> Error {
        // Whoever comes back may have other settings.
        self.inner.visibility.forget();
        let (address, source) = (self.config().address.clone(), source.without_url());
        match handshake_reason(&source) {
            Some(reason) => Error::Handshake { address, reason, source },
            None => Error::Unreachable { address, source },
        }
    }

    fn timeout(&self, url: &Url, after: Duration) -> Error {
        Error::Timeout { address: self.config().address.clone(), path: url.path().to_owned(), after }
    }
}
