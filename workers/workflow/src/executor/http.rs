//! HTTP requests.
//!
//! | of the task | becomes |
//! |---|---|
//! | `method` | the method; empty is GET, or POST with a body |
//! | `url` | `http://` or `https://`; where it may point to is for [`Allow`] to say |
//! | `headers` | as they are; those that frame the message (`content-length`, `connection` …) are refused |
//! | `body` | a JSON string is sent as what it says, any other JSON as it is, with `content-type: application/json` if the task names none |
//! | idempotency key | `idempotency-key`, if the task names none |
//! | request that submitted the workflow | `x-request-id`, if the task names none |
//! | timeout | from the connection to the end of the body; then DEADLINE_EXCEEDED |
//!
//! An answer of 2xx is the result, an object:
//!
//! ```json
//! {"status": 200, "headers": {"content-type": "application/json"}, "body": {"temperature": 21}}
//! ```
//!
//! `headers` has lower-case names, several values joined by `, `, and neither cookies nor what belongs to the connection.
//! `body` is the value where the content type says JSON, else a string; bytes that are no text are `null`, and in
//! `body_base64`. So `{{tasks.fetch.result.body.temperature}}` is 21.
//!
//! Anything else fails the attempt, with the begin of the body in its message:
//!
//! | what happened | code | another attempt |
//! |---|---|---|
//! | 408, 425, 429, 5xx | `HTTP_503` | helps, after `retry-after` |
//! | any other status; 3xx where it is not followed | `HTTP_404` | does not help |
//! | no connection, or it broke | UNAVAILABLE | helps |
//! | more than [`Settings::max_body_bytes`] | RESPONSE_TOO_LARGE | does not help |
//! | a place that is not allowed, also by a redirect | PERMISSION_DENIED | does not help |
//! | more than [`Settings::max_redirects`], or one from https to http | TOO_MANY_REDIRECTS, INSECURE_REDIRECT | does not help |
//! | no URL, method or header that can be sent | INVALID_ARGUMENT | does not help |
//!
//! Redirects lose `authorization` and cookies on their way to another host. No proxy is used, and no cookie is kept.

mod allow;
mod answer;
mod retry_after;
mod route;

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use reqwest::{Client, Method, Url};
use tokio::time::Instant;
use workflow_machine::{Http, TaskError, codes};

pub use self::allow::{Allow, NotAnEntry};
use self::route::{Misled, Resolver};
use super::payload;
use crate::attempt::Attempt;

/// A host that has not answered by then is down, or drops what we send.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections that are kept for the next request to the same host.
const MAX_IDLE_PER_HOST: usize = 32;

const USER_AGENT_TEXT: &str = concat!("switchboard-workflow/", env!("CARGO_PKG_VERSION"));

/// Headers that frame the message or belong to the connection: ours to set.
const FRAMING: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What an operator may set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where requests may go (`http.allow`). Default: everywhere but to addresses of cloud metadata.
    pub allow: Allow,
    /// Bytes of an answer's body. Default 16 MiB, as of other results.
    pub max_body_bytes: usize,
    /// Redirects that are followed. Default 5.
    pub max_redirects: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { allow: Allow::default(), max_body_bytes: 16 << 20, max_redirects: 5 }
    }
}

/// Makes HTTP requests.
#[derive(Clone, Debug)]
pub struct Requests {
    client: Client,
    allow: Arc<Allow>,
    max_body_bytes: usize,
}

/// The HTTP client cannot be set up: the platform's certificates cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the HTTP client of http tasks; are the platform's CA certificates readable?")]
pub struct Setup(#[source] reqwest::Error);

impl Requests {
    /// Prepares requests with these settings. Opens no connection.
    ///
    /// # Errors
    /// [`Setup`].
    pub fn new(settings: Settings) -> Result<Self, Setup> {
        switchboard_transport::install_crypto();
        let allow = Arc::new(settings.allow);
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
            .redirect(route::policy(allow.clone(), settings.max_redirects))
            .dns_resolver(Resolver::new(allow.clone()))
            // A proxy resolves names itself, past `allow`.
            .no_proxy()
            .referer(false)
            .build()
            .map_err(Setup)?;
        Ok(Self { client, allow, max_body_bytes: settings.max_body_bytes })
    }

    /// Makes one request and waits for the end of its answer.
    ///
    /// # Errors
    /// As the module says.
    pub(super) async fn make(
        &self,
        attempt: &Attempt,
        http: &Http,
        end: Option<Instant>,
    ) -> Result<Bytes, TaskError> {
        let request = self.request(attempt, http)?;
        let place = format!("{} {}", request.method(), shown(request.url()));
        let exchange = async {
            let response = self.client.execute(request).await.map_err(|error| failed(&place, &error))?;
            answer::read(&place, response, self.max_body_bytes).await
        };
        match end {
            None => exchange.await,
            Some(end) => tokio::time::timeout_at(end, exchange).await.unwrap_or_else(|_| {
                Err(TaskError::retryable(
                    codes::TIMED_OUT,
                    format!("{place}: no answer within the task's timeout"),
                ))
            }),
        }
    }

    fn request(&self, attempt: &Attempt, http: &Http) -> Result<reqwest::Request, TaskError> {
        let invalid = |problem: String| TaskError::permanent("INVALID_ARGUMENT", problem);
        let url =
            Url::parse(&http.url).map_err(|error| invalid(format!("the task's URL is none: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid(format!(
                "the task's URL begins with {}:; use http: or https:",
                url.scheme()
            )));
        }
        if let Err(misled) = self.allow.url(&url) {
            return Err(TaskError::permanent(misled.code(), format!("{}: {misled}", shown(&url))));
        }
        let method = match (http.method.as_str(), http.body.is_empty()) {
            ("", true) => Method::GET,
            ("", false) => Method::POST,
            (method, _) => Method::from_bytes(method.as_bytes())
                .map_err(|_| invalid(format!("{method:?} is no HTTP method")))?,
        };
        let mut request = reqwest::Request::new(method, url);
        *request.headers_mut() = headers(http).map_err(invalid)?;
        let headers = request.headers_mut();
        add(headers, "idempotency-key", &attempt.run.idempotency_key);
        add(headers, "x-request-id", &attempt.request_id);
        add(headers, USER_AGENT.as_str(), USER_AGENT_TEXT);
        if !http.body.is_empty() {
            let is_text = serde_json::from_slice::<String>(&http.body).is_ok();
            let type_ = if is_text { "text/plain; charset=utf-8" } else { "application/json" };
            add(headers, CONTENT_TYPE.as_str(), type_);
            *request.body_mut() = Some(payload::text(&http.body).into());
        }
        Ok(request)
    }
}

/// The task's own headers. An error names the header and never shows its value.
fn headers(http: &Http) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &http.headers {
        let key = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("{name:?} is no name of a header"))?;
        if FRAMING.contains(&key.as_str()) {
            return Err(format!("the header {key} is set by the client; leave it out"));
        }
        let value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| format!("the header {key} has a value with line breaks or control characters"))?;
        headers.insert(key, value);
    }
    Ok(headers)
}

/// Adds a header that the task has not set; one that cannot be sent is left out.
fn add(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value)
        && !value.is_empty()
        && !headers.contains_key(name)
    {
        headers.insert(name, value);
    }
}

/// A URL without what may be secret in it: user, password, query.
fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

/// No answer, and why.
fn failed(place: &str, error: &reqwest::Error) -> TaskError {
    let mut cause = error.source();
    let mut words = None;
    while let Some(inner) = cause {
        if let Some(misled) = inner.downcast_ref::<Misled>() {
            return TaskError::permanent(misled.code(), format!("{place}: {misled}"));
        }
        words = Some(inner.to_string());
        cause = inner.source();
    }
    let words = words.unwrap_or_else(|| "the request failed".to_owned());
    match error.is_builder() {
        true => TaskError::permanent("INVALID_ARGUMENT", format!("{place}: {words}")),
        false => TaskError::retryable("UNAVAILABLE", format!("{place}: {words}")),
    }
}
