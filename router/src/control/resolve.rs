//! Host names in registered addresses become socket addresses.
//!
//! Most instances register an IP address and cost nothing here. Names are looked up with the system's resolver,
//! a few at a time, and the answers, good or bad, are kept for 30 s.

use moka::future::Cache;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{net::lookup_host, sync::Semaphore, time::timeout};
use tracing::warn;

/// How long an answer is kept; a moved host is found after at most this and one read of its service.
pub(super) const KEPT: Duration = Duration::from_secs(30);
/// Names kept; more registered names than that only cost more look-ups.
const MAX_NAMES: u64 = 10_000;
/// The system's resolver blocks a thread for each look-up.
const AT_ONCE: usize = 16;
/// An instance whose name takes longer is left out until the next read.
const PATIENCE: Duration = Duration::from_secs(2);

/// Looks up host names, with a memory.
#[derive(Debug)]
pub(crate) struct Resolver {
    names: Cache<Arc<str>, Result<IpAddr, Arc<str>>>,
    slots: Semaphore,
}

impl Resolver {
    /// Creates a resolver that remembers nothing yet.
    pub(crate) fn new() -> Self {
        let names = Cache::builder().max_capacity(MAX_NAMES).time_to_live(KEPT).build();
        Resolver { names, slots: Semaphore::new(AT_ONCE) }
    }

    /// The socket address of `host` and `port`, or why there is none.
    pub(crate) async fn resolve(&self, host: &str, port: u16) -> Result<SocketAddr, Arc<str>> {
        if port == 0 {
            return Err("the instance registered no port".into());
        }
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let ip = match bare.parse() {
            Ok(ip) => ip,
            Err(_) => self.names.get_with(host.into(), self.look_up(host)).await?,
        };
        Ok(SocketAddr::new(ip, port))
    }

    async fn look_up(&self, host: &str) -> Result<IpAddr, Arc<str>> {
        let _slot = self.slots.acquire().await.expect("the semaphore is never closed");
        let found = match timeout(PATIENCE, lookup_host((host, 0))).await {
            // The lowest, IPv4 first: every router takes the same.
            Ok(Ok(addrs)) => addrs.map(|addr| addr.ip()).min().ok_or_else(|| "no address".to_owned()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        found.map_err(|error| {
            warn!(host, error, "registered host name cannot be resolved, its instances are left out");
            format!("host name {host:?} cannot be resolved: {error}").into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_pass_names_are_looked_up_and_bad_ones_say_why() {
        let resolver = Resolver::new();
        assert_eq!(resolver.resolve("10.1.2.3", 7).await, Ok(([10, 1, 2, 3], 7).into()));
        assert_eq!(resolver.resolve("[::1]", 7).await.unwrap().to_string(), "[::1]:7");
        assert!(resolver.resolve("localhost", 7).await.unwrap().ip().is_loopback());
        assert!(resolver.resolve("10.1.2.3", 0).await.unwrap_err().contains("no port"));
        let bad = resolver.resolve("no such host", 7).await.unwrap_err();
        assert!(bad.contains("\"no such host\""), "{bad}");
    }
}
