//! Tells "there is none" from "the token sees none": Consul's ACLs answer a read without rights with 200 and nothing.
//!
//! ```text
//!  empty answer ──► GET /v1/acl/token/self ── "ACL support disabled" ──► there is none
//!                            └── ACLs are on ──► GET /v1/health/service/consul ── an instance ──► there is none
//!                                                           └── nothing ──► Error::Hidden
//! ```
//!
//! Every Consul lists itself, so that a token which does not see even that sees no catalogue. A token that may read the
//! service `consul` and its node but not some other service cannot be told from one that sees it empty.

use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Method;
use serde::de::IgnoredAny;
use tokio::time::Instant;

use super::exchange::Request;
use super::{Client, Indexed, Query, READ_CATALOG};
use crate::error::Error;

/// A service that every Consul has: itself.
pub(super) const CONSUL: &str = "consul";

/// What is known of the token's sight.
#[derive(Default)]
pub(super) struct Visibility {
    /// ACLs are not switched on without a restart of the agent, after which connections are new.
    acls_off: AtomicBool,
    /// When the last look began, and whether the catalogue was hidden. The lock makes looks share one.
    last: tokio::sync::Mutex<Option<(Instant, bool)>>,
}

impl Visibility {
    /// Another agent may answer from now on.
    pub(super) fn forget(&self) {
        self.acls_off.store(false, Ordering::Relaxed);
    }
}

impl Client {
    /// Confirms that an answer which was just received is empty because there is nothing.
    ///
    /// # Errors
    /// [`Error::Hidden`], or why that could not be found out.
    pub(super) async fn confirm_empty(&self) -> Result<(), Error> {
        let visibility = &self.inner.visibility;
        if visibility.acls_off.load(Ordering::Relaxed) {
            return Ok(());
        }
        let asked = Instant::now();
        let mut last = visibility.last.lock().await;
        let hidden = match *last {
            // A look that began after the answer came says something about it.
            Some((began, hidden)) if began > asked => hidden,
            _ => {
                let began = Instant::now();
                let hidden = self.catalog_is_hidden().await?;
                *last = Some((began, hidden));
                hidden
            }
        };
        if !hidden {
            return Ok(());
        }
        Err(Error::Hidden {
            address: self.config().address.clone(),
            token: if self.inner.credentials.get().await.token.is_some() {
                "its token"
            } else {
                "who has no token"
            },
        })
    }

    async fn catalog_is_hidden(&self) -> Result<bool, Error> {
        let own = Request::new(Method::GET, self.url(&["v1", "acl", "token", "self"]), "");
        match self.short(&own).await {
            // With ACLs and without a token it is "ACL not found".
            Ok(_) | Err(Error::Forbidden { .. }) => {}
            // 401 says that ACLs are off; whoever knows no ACLs hides nothing by them.
            Err(Error::Status { status: 401 | 404, .. }) => {
                self.inner.visibility.acls_off.store(true, Ordering::Relaxed);
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        let url = self.url(&["v1", "health", "service", CONSUL]);
        let request = Request::new(Method::GET, url, READ_CATALOG);
        let Indexed { value, .. } = self.read::<Option<Vec<IgnoredAny>>>(request, &Query::default()).await?;
        Ok(value.is_none_or(|entries| entries.is_empty()))
    }
}
