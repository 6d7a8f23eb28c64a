//! Client connections per source address: a bound, so that one client cannot take all connections of a router.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Counts the open connections of each source address, for all workers: with a load balancer in front, only the one that
/// reads a connection's first bytes knows whose it is. The one lock of the data plane, taken once per connection.
#[derive(Debug, Clone)]
pub(super) struct Sources(Arc<Mutex<Counts>>);

#[derive(Debug)]
struct Counts {
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
        Sources(Arc::new(Mutex::new(Counts { limit, open: HashMap::new(), sweep_at: 1024 })))
    }

    /// Takes one more connection of the address; `None` if it has as many as it may.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Source> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).admit(address)
    }
}

impl Counts {
    fn admit(&mut self, address: IpAddr) -> Option<Source> {
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
        let sources = Sources::new(2);
        let [a, b] = [1, 2].map(|n| IpAddr::from(Ipv4Addr::new(10, 0, 0, n)));
        let first = sources.admit(a).unwrap();
        let _second = sources.admit(a).unwrap();
        assert!(sources.admit(a).is_none());
        assert!(sources.admit(b).is_some());
        drop(first);
        assert!(sources.admit(a).is_some());
    }

    #[test]
    fn addresses_that_left_are_forgotten() {
        let sources = Sources::new(1);
        for n in 0..100_000u32 {
            drop(sources.admit(IpAddr::from(Ipv4Addr::from(n))));
        }
        assert!(sources.0.lock().unwrap().open.len() <= 1024);
    }
}
