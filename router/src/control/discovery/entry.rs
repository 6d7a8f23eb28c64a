//! One service of the directory while it is held: what survives from snapshot to snapshot.

use crate::{
    control::instances::{Instances, Known},
    directory::{Endpoint, Limits, Load, Service, Strategy, Usage},
    plane::millis,
};
use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tracing::warn;

/// A service whose instances vanish all at once keeps them this long, or until connects to all of them have
/// failed: a registry that lost its state must not be an outage (defaults.md 4.5).
const EMPTY_HELD: Duration = Duration::from_secs(5);

/// Loads by instance and address.
pub(crate) type Loads = Arc<HashMap<(Arc<str>, SocketAddr), Arc<Load>>>;

/// Whether the service in the directory is another one now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    None,
    Some,
}

/// One service and what its snapshots share.
#[derive(Debug)]
pub(super) struct Entry {
    /// As it stands in the directory.
    pub(super) service: Arc<Service>,
    /// As the registry said last.
    pub(super) instances: Instances,
    /// Load of every known instance at its address, and of those that still have streams.
    pub(super) loads: Loads,
    /// Until when the directory keeps instances that the registry no longer names.
    held_until_ms: Option<u64>,
    /// Keys of the instances' meta that cannot be used, and were complained of.
    broken: BTreeSet<&'static str>,
}

impl Entry {
    /// Creates a service without instances.
    pub(super) fn new(name: Arc<str>, usage: Arc<Usage>) -> Self {
        let service = Service {
            name,
            endpoints: Vec::new(),
            known: 0,
            last_seen: None,
            fresh_until_ms: 0,
            uniform: true,
            strategy: Strategy::P2c,
            idempotent: false,
            limits: None,
            hedge: None,
            usage,
        };
        Entry {
            service: Arc::new(service),
            instances: Arc::default(),
            loads: Loads::default(),
            held_until_ms: None,
            broken: BTreeSet::new(),
        }
    }

    /// Takes what the registry says.
    pub(super) fn update(&mut self, instances: Instances, fresh_until_ms: u64, now_ms: u64) -> Change {
        self.held_until_ms = None;
        let before = std::mem::replace(&mut self.instances, instances);
        self.rebuild(&before, fresh_until_ms, now_ms)
    }

    /// Whether an instance that the service has or had still has streams.
    pub(super) fn has_streams(&self) -> bool {
        self.loads.values().any(|load| load.open() > 0)
    }

    /// Takes what the registry says, but not at once that no instance is healthy any more.
    pub(super) fn doubt(&mut self, instances: Instances, fresh_until_ms: u64, now_ms: u64) -> Change {
        let healthy = instances.iter().any(|known| known.healthy().is_some());
        if healthy || self.service.endpoints.is_empty() {
            return self.update(instances, fresh_until_ms, now_ms);
        }
        let until_ms = now_ms + millis(EMPTY_HELD);
        self.held_until_ms.get_or_insert(until_ms);
        self.instances = instances;
        self.extend(fresh_until_ms)
    }

    /// Ends the holding of vanished instances when its time is over or none of them can be connected to.
    pub(super) fn settle(&mut self, now_ms: u64) -> Change {
        match self.held_until_ms {
            Some(until_ms) if now_ms >= until_ms || self.is_down(now_ms) => {
                self.held_until_ms = None;
                let fresh_until_ms = self.service.fresh_until_ms;
                self.rebuild(&Instances::default(), fresh_until_ms, now_ms)
            }
            _ => Change::None,
        }
    }

    /// Whether the last connect to every instance failed.
    pub(super) fn is_down(&self, now_ms: u64) -> bool {
        self.service.endpoints.iter().all(|endpoint| endpoint.load.is_down(now_ms))
    }

    /// Whether the directory keeps instances that the registry no longer names.
    pub(super) fn is_held(&self) -> bool {
        self.held_until_ms.is_some()
    }

    /// Changes nothing but the time until which the entry counts as fresh.
    pub(super) fn extend(&mut self, fresh_until_ms: u64) -> Change {
        if self.service.fresh_until_ms == fresh_until_ms {
            return Change::None;
        }
        self.service = Arc::new(Service { fresh_until_ms, ..(*self.service).clone() });
        Change::Some
    }

    fn rebuild(&mut self, before: &Instances, fresh_until_ms: u64, now_ms: u64) -> Change {
        let was = |id: &str| before.iter().find(|known| known.instance.id == id).map(Known::healthy);
        let mut endpoints = Vec::new();
        // Whoever looks at the last view keeps its own.
        let mut shared = std::mem::take(&mut self.loads);
        let loads = Arc::make_mut(&mut shared);
        for known in self.instances.iter() {
            let Some(addr) = known.healthy() else { continue };
            let id: Arc<str> = known.instance.id.as_str().into();
            // The first instances of a service start at once; who joins them starts slowly.
            let joins = !self.service.endpoints.is_empty();
            let load = loads
                .entry((id.clone(), addr))
                .or_insert_with(|| Arc::new(if joins { Load::joining(now_ms) } else { Load::default() }))
                .clone();
            // Its check passes again: an old failed connect says nothing any more.
            if was(&id) == Some(None) {
                load.connected();
            }
            endpoints.push(self.endpoint(id, addr, known, load));
        }
        // An instance that comes back finds the streams that it still has.
        let known = &self.instances;
        loads.retain(|(id, _), load| load.open() > 0 || known.iter().any(|known| *known.instance.id == **id));
        self.loads = shared;
        for key in self.newly_broken() {
            warn!(service = %self.service.name, key, "its meta cannot be used and counts as unset; see /endpoints");
        }
        let old = &self.service;
        // What concerns the whole service is said by its instances; the first one that is healthy decides.
        let spokesman = self.instances.iter().find(|known| known.healthy().is_some());
        let service = Service {
            name: old.name.clone(),
            last_seen: old.last_seen,
            known: self.instances.len(),
            fresh_until_ms,
            uniform: endpoints.iter().all(|endpoint| endpoint.weight == endpoints[0].weight),
            strategy: spokesman.map_or_else(|| old.strategy.clone(), Known::strategy),
            idempotent: spokesman.map_or(old.idempotent, Known::idempotent),
            limits: spokesman.map_or_else(|| old.limits.clone(), |known| limits(known, old)),
            hedge: spokesman.map_or(old.hedge, Known::hedge),
            endpoints,
            usage: old.usage.clone(),
        };
        if is_same(&service, old) {
            return Change::None;
        }
        let healthy_now = !service.endpoints.is_empty() || !old.endpoints.is_empty();
        let last_seen = if healthy_now { Some(SystemTime::now()) } else { old.last_seen };
        self.service = Arc::new(Service { last_seen, ..service });
        Change::Some
    }

    /// Keys of the instances' meta whose values cannot be used, those that were not broken before.
    fn newly_broken(&mut self) -> Vec<&'static str> {
        let found: BTreeSet<_> = self.instances.iter().flat_map(Known::broken_meta).collect();
        let before = std::mem::replace(&mut self.broken, found);
        self.broken.difference(&before).copied().collect()
    }

    /// The endpoint of the last snapshot if it is the same one, else a new one.
    fn endpoint(
        &self,
        instance: Arc<str>,
        addr: SocketAddr,
        known: &Known,
        load: Arc<Load>,
    ) -> Arc<Endpoint> {
        let (version, capacity, weight) = (known.version(), known.capacity(), known.weight());
        let old = self.service.endpoints.iter().find(|old| {
            (&old.instance, old.addr, old.version.as_deref(), old.capacity, old.weight)
                == (&instance, addr, version, capacity, weight)
        });
        match old {
            Some(old) => old.clone(),
            None => Arc::new(Endpoint {
                instance,
                service: self.service.name.clone(),
                addr,
                version: version.map(Arc::from),
                capacity,
                weight,
                load,
            }),
        }
    }
}

/// What the instance says of its service's limits; the same as before is not made again.
fn limits(known: &Known, old: &Service) -> Option<Arc<Limits>> {
    match (known.limits(), &old.limits) {
        (limits, _) if limits == Limits::default() => None,
        (limits, Some(old)) if limits == **old => Some(old.clone()),
        (limits, _) => Some(Arc::new(limits)),
    }
}

/// Whether calls see no difference.
fn is_same(new: &Service, old: &Service) -> bool {
    let endpoints = new.endpoints.iter().zip(&old.endpoints);
    (new.endpoints.len(), new.known, new.fresh_until_ms)
        == (old.endpoints.len(), old.known, old.fresh_until_ms)
        && endpoints.into_iter().all(|(new, old)| Arc::ptr_eq(new, old))
        && (&new.strategy, new.idempotent, new.hedge, &new.limits)
            == (&old.strategy, old.idempotent, old.hedge, &old.limits)
}

#[cfg(test)]
mod tests;
