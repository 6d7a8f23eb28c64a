//! Keeps requests where they may go: on redirects, and when names become addresses.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;

use super::Allow;

/// Why a request goes no further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Misled {
    /// The operator does not want it.
    #[error("requests to {host} are not allowed (setting http.allow)")]
    NotAllowed { host: String },
    #[error("redirected more than {limit} times")]
    TooManyRedirects { limit: usize },
    /// What was encrypted would go on in clear.
    #[error("redirected from https to http")]
    Insecure,
}

impl Misled {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NotAllowed { .. } => "PERMISSION_DENIED",
            Self::TooManyRedirects { .. } => "TOO_MANY_REDIRECTS",
            Self::Insecure => "INSECURE_REDIRECT",
        }
    }
}

/// Follows redirects to where requests may go.
pub(super) fn policy(allow: Arc<Allow>, limit: usize) -> Policy {
    Policy::custom(move |attempt| {
        let (to, before) = (attempt.url(), attempt.previous());
        let downgraded = to.scheme() == "http" && before.last().is_some_and(|from| from.scheme() == "https");
        // `before` begins with the URL of the request.
        if before.len() > limit {
            return attempt.error(Misled::TooManyRedirects { limit });
        }
        if downgraded {
            return attempt.error(Misled::Insecure);
        }
        match allow.url(to) {
            Ok(()) => attempt.follow(),
            Err(misled) => attempt.error(misled),
        }
    })
}

/// Resolves names by the platform, and gives only addresses that are allowed.
pub(super) struct Resolver {
    allow: Arc<Allow>,
}

impl Resolver {
    pub(super) fn new(allow: Arc<Allow>) -> Self {
        Self { allow }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow = self.allow.clone();
        Box::pin(async move {
            let host = name.as_str();
            let found = tokio::net::lookup_host((host, 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|found| allow.address(host, found.ip())).collect();
            if allowed.is_empty() {
                return Err(Misled::NotAllowed { host: host.to_owned() }.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
