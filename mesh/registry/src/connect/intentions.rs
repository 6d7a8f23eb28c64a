//! A memory in front of Consul's intentions: who may connect to whom.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::future::Cache;
use switchboard_transport::PeerIdentity;

use crate::client::{Authorization, Client};
use switchboard_transport::chain;

/// How soon a changed intention counts for new connections.
const FRESH: Duration = Duration::from_secs(10);
/// How long the last answer counts while Consul cannot be asked: longer than a restart takes, shorter than a person's
/// patience with a revoked right.
const FAIL_STATIC: Duration = Duration::from_secs(5 * 60);
/// Pairs that are remembered, some 300 bytes each.
const MAX_PAIRS: u64 = 10_000;
/// A connection waits for it.
const TIMEOUT: Duration = Duration::from_secs(2);

type Pair = (Arc<str>, Arc<str>);

/// Answers whether a peer may connect, from Consul or from an answer that is at most 10 s old; each question is asked
/// once at a time.
///
/// While Consul cannot be asked the last answer counts for 5 minutes, be it yes or no. Whoever has none is refused.
#[derive(Debug, Clone)]
pub struct Intentions {
    client: Client,
    fresh: Cache<Pair, Authorization>,
    last: Cache<Pair, Authorization>,
    unasked: Arc<AtomicU64>,
}

impl Intentions {
    /// Starts with an empty memory.
    pub fn new(client: Client) -> Self {
        let cache = |lifetime| Cache::builder().max_capacity(MAX_PAIRS).time_to_live(lifetime).build();
        Self { client, fresh: cache(FRESH), last: cache(FAIL_STATIC), unasked: Arc::default() }
    }

    /// Connections that were decided without Consul, because it could not be asked.
    pub fn unasked(&self) -> u64 {
        self.unasked.load(Ordering::Relaxed)
    }

    /// Tells whether the holder of this certificate may connect to the service `target`. Cancel safe.
    ///
    /// A certificate without a SPIFFE ID is nobody that intentions could name: it is refused.
    pub async fn authorize(&self, target: &str, peer: &PeerIdentity) -> Authorization {
        let refused = |reason: String| Authorization { authorized: false, reason };
        let Some(uri) = peer.uris.iter().find(|uri| uri.starts_with("spiffe://")) else {
            return refused("the certificate has no SPIFFE ID".to_owned());
        };
        let pair: Pair = (uri.as_str().into(), target.into());
        let ask = async {
            let asked = self.client.connect_authorize(target, uri, &peer.serial);
            let answer = match tokio::time::timeout(TIMEOUT, asked).await {
                Ok(answer) => answer.map_err(|error| chain(&error))?,
                Err(_) => return Err(format!("Consul did not answer within {TIMEOUT:?}")),
            };
            self.last.insert(pair.clone(), answer.clone()).await;
            Ok(answer)
        };
        match self.fresh.try_get_with(pair.clone(), ask).await {
            Ok(answer) => answer,
            Err(error) => {
                self.unasked.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(
                    error = *error,
                    target,
                    "intentions cannot be asked for; the last answer counts"
                );
                let last = self.last.get(&pair).await;
                last.unwrap_or_else(|| refused(format!("intentions cannot be asked for: {error}")))
            }
        }
    }
}
