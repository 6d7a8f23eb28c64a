//! Client connections per source address: a bound, so that one client cannot take all connections of a router.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Counts the open connections of each source address. Shared by all workers: with a load balancer in front, only the one
/// that reads a connection's first bytes knows whose it is.
#[derive(Debug)]
pub(super) struct Sources {
    limit: usize,
    open: HashMap<IpAddr, Arc<AtomicUsize>>,
    /// Size of the map at which addresses without connections are dropped from it.
    sweep_at: usize,
}

/// One open connection of a source; dropping it counts down, on whatever thread that happens.
#[derive(Debug)]
pub(super) struct Source(Arc<AtomicUsize>);

impl Drop for Source {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Sources {
    pub(super) fn new(limit: usize) -> Self {
        Sources { limit, open: HashMap::new(), sweep_at: 1024 }
    }

    /// As [`Sources::take`], from any thread.
    pub(super) fn admit(shared: &Mutex<Self>, address: IpAddr) -> Option<Source> {
        shared.lock().unwrap_or_else(PoisonError::into_inner).take(address)
    }

    /// Takes one more connection of the address; `None` if it has as many as it may.
    fn take(&mut self, address: IpAddr) -> Option<Source> {
        if self.open.len() >= self.sweep_at {
            self.open.retain(|_, open| open.load(Relaxed) > 0);
            self.sweep_at = (2 * self.open.len()).max(1024);
        }
        let open = self.open.entry(address.to_canonical()).or_default();
        if open.load(Relaxed) >= self.limit {
            return None;
        }
        open.fetch_add(1, Relaxed);
        Some(Source(open.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn each_address_has_its_own_limit_and_gets_room_back() {
        let mut sources = Sources::new(2);
        let [a, b] = [1, 2].map(|n| IpAddr::from(Ipv4Addr::new(10, 0, 0, n)));
        let first = sources.take(a).unwrap();
        let _second = sources.take(a).unwrap();
        assert!(sources.take(a).is_none());
        assert!(sources.take(b).is_some());
        drop(first);
        assert!(sources.take(a).is_some());
    }

    #[test]
    fn addresses_that_left_are_forgotten() {
        let mut sources = Sources::new(1);
        for n in 0..100_000u32 {
            drop(sources.take(IpAddr::from(Ipv4Addr::from(n))));
        }
        assert!(sources.open.len() <= 1024);
    }
}
