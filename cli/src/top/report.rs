//! The sum of what all routers show: the difference of two looks at each, added up by service and instance.
//!
//! A router that cannot be reached now contributes nothing: its last figures are no figures of this moment.

use std::collections::BTreeMap;

use super::admin::Address;
use super::look::{History, Instance, Look, Registry};
use super::prometheus::Calls;
use super::quantile::{Quantile, quantile};

/// Everything that is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    pub(super) routers: Vec<RouterRow>,
    pub(super) services: Vec<ServiceRow>,
    pub(super) totals: Rates,
    pub(super) open_streams: u64,
    pub(super) in_flight: u64,
    pub(super) connections: u64,
}

/// How one router is.
#[derive(Clone, Debug)]
pub(super) struct RouterRow {
    pub(super) address: String,
    /// `None` while it answers.
    pub(super) problem: Option<String>,
    /// As of its last answer.
    pub(super) registry: Option<Registry>,
    /// Whether it has answered since this began.
    pub(super) seen: bool,
}

/// What happens per second; `None` until a router was looked at twice.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) calls: Option<f64>,
    pub(super) errors: Option<f64>,
}

impl Rates {
    fn add(&mut self, calls: f64, errors: f64) {
        self.calls = Some(self.calls.unwrap_or(0.0) + calls);
        self.errors = Some(self.errors.unwrap_or(0.0) + errors);
    }
}

/// One service over all routers.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceRow {
    pub(super) service: String,
    pub(super) id: Option<String>,
    pub(super) rates: Rates,
    pub(super) p50: Option<Quantile>,
    pub(super) p99: Option<Quantile>,
    pub(super) open_streams: u64,
    /// Instances in the registry, by the router that knows most; `None` if no router holds the service.
    pub(super) known: Option<u64>,
    /// Instances that may be picked, by the router that sees fewest.
    pub(super) healthy: Option<u64>,
    pub(super) instances: Vec<InstanceRow>,
    /// Calls between the looks by upper bound of their duration in us.
    pub(super) durations: BTreeMap<u64, u64>,
}

impl ServiceRow {
    /// Instances that some router has ejected.
    pub(super) fn ejected(&self) -> usize {
        self.instances.iter().filter(|instance| instance.ejected > 0).count()
    }

    /// Instances that some router cannot connect to.
    pub(super) fn down(&self) -> usize {
        self.instances.iter().filter(|instance| instance.down > 0).count()
    }
}

/// One instance over all routers.
#[derive(Clone, Debug, Default)]
pub(super) struct InstanceRow {
    pub(super) id: String,
    pub(super) node: String,
    pub(super) address: String,
    pub(super) version: Option<String>,
    /// As the registry says; of the router that answered last if they differ.
    pub(super) status: String,
    pub(super) problem: Option<String>,
    pub(super) healthy: bool,
    pub(super) open_streams: u64,
    pub(super) capacity: Option<u64>,
    /// Attempts of calls that ended there.
    pub(super) rates: Rates,
    /// Of the time that their streams were open.
    pub(super) p50: Option<Quantile>,
    pub(super) p99: Option<Quantile>,
    pub(super) durations: BTreeMap<u64, u64>,
    /// Average time to the first of a response, of the router that finds it slowest.
    pub(super) latency_us: Option<f64>,
    /// What a router found when it asked an instance that does not pass: SERVING by one of them counts.
    pub(super) probe: Option<String>,
    /// Routers that have ejected it, cannot connect to it, see its streams drain, and know it.
    pub(super) ejected: usize,
    pub(super) down: usize,
    pub(super) draining: usize,
    pub(super) routers: usize,
}

/// The word of a probe for an instance that says that it is well.
pub(super) const SERVING: &str = "serving";

/// Adds up all routers.
pub(super) fn of(routers: &[(Address, History)]) -> Report {
    let mut report = Report::default();
    let mut services = BTreeMap::new();
    for (address, history) in routers {
        report.routers.push(RouterRow {
            address: address.to_string(),
            problem: history.problem.as_ref().map(ToString::to_string),
            registry: history.last.as_ref().map(|look| look.endpoints.registry.clone()),
            seen: history.last.is_some(),
        });
        let (Some(last), None) = (&history.last, &history.problem) else { continue };
        report.in_flight += last.figures.in_flight;
        report.connections += last.figures.connections;
        add_endpoints(&mut services, last);
        if let Some(before) = &history.before {
            add_rates(&mut services, &mut report.totals, before, last);
        }
    }
    for row in services.values_mut() {
        row.p50 = quantile(&row.durations, 0.5);
        row.p99 = quantile(&row.durations, 0.99);
        for instance in &mut row.instances {
            instance.p50 = quantile(&instance.durations, 0.5);
            instance.p99 = quantile(&instance.durations, 0.99);
        }
        row.open_streams = row.instances.iter().map(|instance| instance.open_streams).sum();
        row.instances.sort_by(|a, b| (&a.address, &a.id).cmp(&(&b.address, &b.id)));
        report.open_streams += row.open_streams;
    }
    report.services = services.into_values().collect();
    report
}

fn entry<'r>(services: &'r mut BTreeMap<String, ServiceRow>, name: &str) -> &'r mut ServiceRow {
    services
        .entry(name.to_owned())
        .or_insert_with(|| ServiceRow { service: plain(name), ..ServiceRow::default() })
}

fn add_endpoints(services: &mut BTreeMap<String, ServiceRow>, look: &Look) {
    for seen in &look.endpoints.services {
        let row = entry(services, &seen.service);
        row.id = seen.id.as_deref().map(plain).or(row.id.take());
        row.known = row.known.max(Some(seen.known));
        row.healthy = Some(row.healthy.map_or(seen.healthy, |healthy| healthy.min(seen.healthy)));
        let mut at: BTreeMap<(String, String), usize> = BTreeMap::new();
        for (index, known) in row.instances.iter().enumerate() {
            at.insert((known.id.clone(), known.address.clone()), index);
        }
        for instance in &seen.instances {
            let key = (plain(&instance.id), plain(&instance.address));
            let index = *at.entry(key).or_insert_with(|| {
                row.instances.push(InstanceRow { healthy: true, ..InstanceRow::default() });
                row.instances.len() - 1
            });
            add_instance(&mut row.instances[index], instance);
        }
    }
}

fn add_instance(row: &mut InstanceRow, seen: &Instance) {
    row.id = plain(&seen.id);
    if !seen.node.is_empty() {
        row.node = plain(&seen.node);
    }
    row.address = plain(&seen.address);
    row.version = seen.version.as_deref().map(plain);
    row.status = plain(&seen.status);
    row.problem = seen.problem.as_deref().map(plain).or(row.problem.take());
    row.healthy &= seen.healthy;
    row.open_streams += seen.open_streams;
    row.capacity = seen.capacity.or(row.capacity);
    row.latency_us = match (row.latency_us, seen.latency_us) {
        (Some(one), Some(other)) => Some(one.max(other)),
        (one, other) => one.or(other),
    };
    row.ejected += usize::from(seen.ejected);
    row.down += usize::from(seen.down);
    row.draining += usize::from(seen.draining);
    if let Some(probe) = &seen.probe
        && row.probe.as_deref() != Some(SERVING)
    {
        row.probe = Some(plain(&probe.found));
    }
    row.routers += 1;
}

fn add_rates(services: &mut BTreeMap<String, ServiceRow>, totals: &mut Rates, before: &Look, last: &Look) {
    // Two looks in the same instant would be calls per nothing.
    let seconds = last.at.duration_since(before.at).as_secs_f64().max(0.001);
    totals.add(0.0, 0.0);
    // A service that is held and was never called has a rate too: none.
    for seen in &last.endpoints.services {
        entry(services, &seen.service).rates.add(0.0, 0.0);
    }
    for (service, calls) in &last.figures.services {
        let new = since(before.figures.services.get(service), calls);
        if new.ended == 0 && !services.contains_key(service) {
            continue;
        }
        let (ended, errors) = (new.ended as f64 / seconds, new.errors as f64 / seconds);
        totals.add(ended, errors);
        let row = entry(services, service);
        row.rates.add(ended, errors);
        add_durations(&mut row.durations, &new.durations);
    }
    add_instance_rates(services, before, last, seconds);
}

fn add_instance_rates(services: &mut BTreeMap<String, ServiceRow>, before: &Look, last: &Look, seconds: f64) {
    let mut old = BTreeMap::new();
    for service in &before.endpoints.services {
        for instance in &service.instances {
            if let Some(counters) = instance.counters() {
                old.insert((&service.service, plain(&instance.id), plain(&instance.address)), counters);
            }
        }
    }
    for service in &last.endpoints.services {
        let row = entry(services, &service.service);
        let mut new = BTreeMap::new();
        for instance in &service.instances {
            if let Some(counters) = instance.counters() {
                let (id, address) = (plain(&instance.id), plain(&instance.address));
                let old = old.get(&(&service.service, id.clone(), address.clone()));
                new.insert((id, address), since(old, &counters));
            }
        }
        for instance in &mut row.instances {
            let Some(new) = new.get(&(instance.id.clone(), instance.address.clone())) else { continue };
            instance.rates.add(new.ended as f64 / seconds, new.errors as f64 / seconds);
            add_durations(&mut instance.durations, &new.durations);
        }
    }
}

/// What came between two looks. Counters that went back are those of something that has started again.
fn since(before: Option<&Calls>, last: &Calls) -> Calls {
    let Some(before) = before.filter(|before| before.ended <= last.ended) else { return last.clone() };
    let durations = last.durations.iter().map(|(bound, count)| {
        (*bound, count.saturating_sub(before.durations.get(bound).copied().unwrap_or(0)))
    });
    Calls {
        ended: last.ended - before.ended,
        errors: last.errors.saturating_sub(before.errors),
        durations: durations.collect(),
    }
}

fn add_durations(sum: &mut BTreeMap<u64, u64>, new: &BTreeMap<u64, u64>) {
    for (bound, count) in new {
        *sum.entry(*bound).or_default() += count;
    }
}

/// Names come from the registry, where anybody may write: nothing in them moves a cursor.
fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests;
