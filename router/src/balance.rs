//! Step 7: picks one instance of a service.
//!
//! The usual strategy is P2C: two choices by weight, the cheaper one wins. Cost is (open streams + 1) / capacity, where
//! a stream counts until it ends, on all worker threads; an instance that answers at least twice as slowly as the other
//! costs more by that factor. What `load` knows narrows the choice: failed connects, ejection, capacity, slow start.
//! If no instance is fit, all are used: a wrong guess about all of them must not be an outage. Calls with an affinity
//! key go to the instance that [`affinity`] names instead.

pub mod affinity;
mod load;

use load::LATENCY_FLOOR_US;
pub use load::Load;
pub(crate) use load::{Fitness, Verdict, is_overdue};

use crate::directory::{Endpoint, Service, Strategy};
use std::sync::Arc;

/// Factor between two latencies from which on the slower instance costs more.
const LATENCY_TIER: f64 = 2.0;
/// What an instance without `max_concurrency` counts as beside instances that have one.
const CAPACITY_UNKNOWN: f64 = 100.0;

/// What one pick has to respect.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted<'a> {
    /// Only instances of this meta `version`.
    pub(crate) version: Option<&'a str>,
    /// Not this instance: an earlier attempt failed there.
    pub(crate) except: Option<&'a Arc<Load>>,
    pub(crate) among: Among,
    /// Calls with the same key go to the same instance.
    pub(crate) affinity: &'a [u8],
    pub(crate) key_pull: KeyPull,
}

/// What a call with an affinity key does if the key's owner takes no further stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum KeyPull {
    /// It waits: only the owner has what it is about.
    #[default]
    Binds,
    /// It goes to the next in the key's order (consistent hashing with bounded loads, Mirrokni et al., 2018).
    Prefers,
    /// It goes there all the same: it asks about work and is none.
    Asks,
}

/// The instances that a pick may fall on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Among {
    /// All; if none is fit, those that are not.
    #[default]
    All,
    /// The same, without those that could not be connected to just now.
    Reachable,
    /// Those that nothing speaks against, not to be probed either.
    Fit,
}

impl Wanted<'_> {
    /// Whether the instance may be picked at all.
    pub(crate) fn allows(&self, endpoint: &Endpoint, now_ms: u64) -> bool {
        self.version.is_none_or(|version| endpoint.version.as_deref() == Some(version))
            && self.except.is_none_or(|load| !Arc::ptr_eq(load, &endpoint.load))
            && (self.among == Among::All || !endpoint.load.is_down(now_ms))
    }
}

/// The outcome of a pick.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Picked<'e> {
    /// This one. `probe`: the call decides whether an ejected instance comes back.
    Endpoint { endpoint: &'e Arc<Endpoint>, probe: bool },
    /// Every instance has as many streams as it takes.
    Full,
    /// The owner of the call's key has, and no other may have it.
    OwnerFull(&'e Arc<Endpoint>),
    /// No instance is registered that may be picked.
    Nothing,
}

/// Picks an instance of the service.
pub(crate) fn pick<'e>(service: &'e Service, wanted: Wanted<'_>, now_ms: u64, rng: &mut Rng) -> Picked<'e> {
    let endpoints = &service.endpoints;
    let allowed = |endpoint: &Endpoint| wanted.allows(endpoint, now_ms);
    let fitness = |endpoint: &Endpoint| match allowed(endpoint) {
        true => endpoint.load.fitness(now_ms),
        false => Fitness::Unfit,
    };
    let fit = |endpoint: &Endpoint| fitness(endpoint) == Fitness::Fit && has_room(endpoint);
    let plain = |endpoint| Picked::Endpoint { endpoint, probe: false };
    if wanted.among == Among::Fit {
        return choose(service, fit, now_ms, rng).map_or(Picked::Nothing, plain);
    }
    if !wanted.affinity.is_empty() {
        let owner = |filter: &dyn Fn(&Endpoint) -> bool| affinity::owner(wanted.affinity, endpoints, filter);
        let takes = |endpoint: &Endpoint| wanted.key_pull == KeyPull::Asks || has_room(endpoint);
        let counts = |endpoint: &Endpoint| wanted.key_pull != KeyPull::Prefers || has_room(endpoint);
        // An instance whose ejection is over is probed by a call for a key of its own.
        if let Some(endpoint) = owner(&|e| fitness(e) != Fitness::Unfit && counts(e))
            && fitness(endpoint) == Fitness::Probe
            && takes(endpoint)
            && endpoint.load.begin_probe()
        {
            return Picked::Endpoint { endpoint, probe: true };
        }
        let any_fit = fit_elsewhere(endpoints, &fitness);
        let may = |endpoint: &Endpoint| match any_fit {
            true => fitness(endpoint) == Fitness::Fit,
            false => allowed(endpoint),
        };
        return match owner(&|e| may(e) && counts(e)) {
            Some(endpoint) if takes(endpoint) => plain(endpoint),
            Some(endpoint) => Picked::OwnerFull(endpoint),
            None if owner(&may).is_some() => Picked::Full,
            None => Picked::Nothing,
        };
    }
    // The usual case costs two random numbers and a few loads; only an instance that is not fit costs a scan.
    if let ([_, _, ..], Strategy::P2c, true) = (&endpoints[..], &service.strategy, service.uniform) {
        let first = rng.below(endpoints.len());
        let second = (first + 1 + rng.below(endpoints.len() - 1)) % endpoints.len();
        let (a, b) = (&endpoints[first], &endpoints[second]);
        if fit(a) && fit(b) && a.load.is_warm() && b.load.is_warm() {
            return plain(cheaper(a, b, now_ms));
        }
    }
    let probe = |endpoint: &&Arc<Endpoint>| {
        fitness(endpoint) == Fitness::Probe && has_room(endpoint) && endpoint.load.begin_probe()
    };
    if let Some(endpoint) = endpoints.iter().find(probe) {
        return Picked::Endpoint { endpoint, probe: true };
    }
    let chosen = choose(service, fit, now_ms, rng).or_else(|| {
        choose(service, |e| allowed(e) && has_room(e) && !fit_elsewhere(endpoints, &fitness), now_ms, rng)
    });
    match chosen {
        Some(endpoint) => plain(endpoint),
        None if endpoints.iter().any(|endpoint| allowed(endpoint)) => Picked::Full,
        None => Picked::Nothing,
    }
}

/// Whether some instance is fit, be it full: then those that are not fit stay unused.
fn fit_elsewhere(endpoints: &[Arc<Endpoint>], fitness: &impl Fn(&Endpoint) -> Fitness) -> bool {
    endpoints.iter().any(|endpoint| fitness(endpoint) == Fitness::Fit)
}

fn has_room(endpoint: &Endpoint) -> bool {
    endpoint.capacity == 0 || endpoint.load.open() < endpoint.capacity
}

/// One of the instances that pass the filter, by the service's strategy.
fn choose<'e>(
    service: &'e Service,
    filter: impl Fn(&Endpoint) -> bool,
    now_ms: u64,
    rng: &mut Rng,
) -> Option<&'e Arc<Endpoint>> {
    let endpoints = &service.endpoints;
    let mut passing = endpoints.iter().filter(|endpoint| filter(endpoint));
    match &service.strategy {
        Strategy::RoundRobin => {
            let turn = service.usage.next_turn();
            (0..endpoints.len())
                .map(|step| &endpoints[turn.wrapping_add(step) % endpoints.len()])
                .find(|endpoint| filter(endpoint))
        }
        Strategy::LeastRequest => {
            let first = passing.next()?;
            Some(passing.fold(first, |best, next| {
                if rng.below(2) == 0 { cheaper(best, next, now_ms) } else { cheaper(next, best, now_ms) }
            }))
        }
        Strategy::P2c | Strategy::Affinity(_) => {
            let count = passing.clone().count();
            if count <= 1 {
                return passing.next();
            }
            let weight = |endpoint: &Endpoint| f64::from(endpoint.weight) * endpoint.load.warmth(now_ms);
            let total: f64 = passing.clone().map(|endpoint| weight(endpoint)).sum();
            let mut draw = |skip: Option<&Arc<Endpoint>>| {
                let skipped = skip.map_or(0.0, |endpoint| weight(endpoint));
                let mut at = rng.fraction() * (total - skipped);
                let mut last = None;
                for endpoint in passing.clone().filter(|e| !skip.is_some_and(|skip| Arc::ptr_eq(skip, e))) {
                    last = Some(endpoint);
                    at -= weight(endpoint);
                    if at < 0.0 {
                        break;
                    }
                }
                last
            };
            let first = draw(None)?;
            // Even weights: two different ones. Uneven ones: drawn independently, which keeps the shares exact.
            let even = service.uniform && passing.clone().all(|endpoint| endpoint.load.is_warm());
            let second = draw(even.then_some(first))?;
            Some(cheaper(first, second, now_ms))
        }
    }
}

/// The one that costs less; the first if they cost the same.
fn cheaper<'e>(a: &'e Arc<Endpoint>, b: &'e Arc<Endpoint>, now_ms: u64) -> &'e Arc<Endpoint> {
    let [cost_a, cost_b] = [a, b].map(|endpoint| {
        let weight = (f64::from(endpoint.weight) * endpoint.load.warmth(now_ms)).max(0.01);
        let capacity = if endpoint.capacity == 0 { CAPACITY_UNKNOWN } else { f64::from(endpoint.capacity) };
        (f64::from(endpoint.load.open()) / weight + 1.0) / capacity
    });
    let [latency_a, latency_b] = [a, b].map(|endpoint| endpoint.load.latency_us(now_ms));
    let slower = match (latency_a > 0.0, latency_b > 0.0) {
        (true, true) => (latency_a + LATENCY_FLOOR_US) / (latency_b + LATENCY_FLOOR_US),
        _ => 1.0,
    };
    let slower = if (1.0 / LATENCY_TIER..LATENCY_TIER).contains(&slower) { 1.0 } else { slower };
    if cost_b < cost_a * slower { b } else { a }
}

/// A small random number generator (xorshift64*, Vigna 2016): picks need speed and evenness, not secrecy.
#[derive(Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Rng(seed | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `n`; 0 if `n` is 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        let wide = u128::from(self.next()) * n as u128;
        usize::try_from(wide >> 64).unwrap_or(0)
    }

    /// A number in 0..1.
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests;
