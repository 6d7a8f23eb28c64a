//! `/endpoints`: the directory, with everything that decides a pick, and what became of the picks.

use super::Shown;
use crate::{
    control::{
        discovery::{ServiceView, View},
        instances::Known,
    },
    directory::{Load, Service},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
};
use switchboard_registry::{ClientId, Status};

/// Names of the catalogue that are shown; it may have 100,000.
const MAX_NAMES: usize = 1_000;

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct Endpoints {
    registry: Registry,
    services: Vec<Row>,
    /// gRPC service -> service that calls of it go to.
    grpc_services: BTreeMap<String, String>,
    /// Names of services in the registry, the first thousand.
    catalog: Vec<String>,
    /// How many there are.
    catalog_names: usize,
}

#[derive(Debug, Serialize)]
struct Registry {
    address: String,
    reachable: bool,
    /// Where services are looked up now: `http` or `dns`.
    source: &'static str,
    stale_seconds: f64,
    /// Whether its ACLs hide everything from the router's token, so that an empty answer says nothing.
    hidden_by_acl: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    service: String,
    /// The ID by which clients call it, if it is of the mesh.
    id: Option<String>,
    /// Followed by a watch, or read again when it is older than `cache_ttl`.
    watched: bool,
    known: usize,
    healthy: usize,
    idle_seconds: u64,
    /// What its calls are held to instead of the router's settings, as its meta says it.
    limits: BTreeMap<String, String>,
    /// Calls in flight over this router, if `max_calls` is among them.
    calls: Option<u32>,
    /// Those registered; then those that are not any more, while calls may go there or streams are open.
    instances: Vec<InstanceRow>,
}

#[derive(Debug, Default, Serialize)]
struct InstanceRow {
    id: String,
    node: String,
    address: String,
    /// As the registry says: passing, warning or critical; `gone` if it does not name it any more.
    status: &'static str,
    version: Option<String>,
    /// Whether calls may go there.
    healthy: bool,
    /// No new call goes there, and streams are open still.
    draining: bool,
    /// Why the address cannot be used.
    problem: Option<String>,
    open_streams: u32,
    /// Streams that it takes at the same time; `None` without a limit.
    capacity: Option<u32>,
    /// Average time to the first of a response; `None` if nothing is known, or not any more.
    latency_us: Option<u64>,
    /// Attempts of calls that ended there since it joined, and those that failed by no fault of the caller.
    calls: u64,
    failures: u64,
    /// Streams that ended by their duration: upper bound (`null`: none) and count. Empty before the first.
    durations_us: Vec<(Option<u64>, u64)>,
    /// Whether the last connect failed and its back-off is not over. An instance that is critical and not down
    /// would perhaps serve; one that is passing and down is dead for this router.
    down: bool,
    /// What the router found when it asked an instance that does not pass.
    probe: Option<ProbeRow>,
    /// Whether outcomes of calls have taken it out of the rotation.
    ejected: bool,
    /// Keys of its meta whose values cannot be used.
    broken_meta: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct ProbeRow {
    found: &'static str,
    /// Since then; `None` before the first one.
    age_seconds: Option<u64>,
}

/// Instances by ID and address.
type Keys<'a> = HashSet<(&'a str, SocketAddr)>;

/// Reads the directory of this moment.
pub(super) fn of(shown: &Shown) -> Endpoints {
    let view = shown.view.borrow().clone();
    let mut services: Vec<Row> =
        view.directory.services.values().map(|service| row(service, &view, shown)).collect();
    services.sort_by(|a, b| a.service.cmp(&b.service));
    let grpc = view.directory.grpc_services.iter();
    Endpoints {
        registry: Registry {
            address: shown.config.registry.address.clone(),
            reachable: shown.freshness.reachable(),
            source: shown.freshness.source(),
            stale_seconds: shown.freshness.stale_seconds(),
            hidden_by_acl: shown.freshness.hidden(),
        },
        services,
        grpc_services: grpc.map(|(grpc, service)| (grpc.to_string(), service.to_string())).collect(),
        catalog: view.catalog.iter().take(MAX_NAMES).map(ToString::to_string).collect(),
        catalog_names: view.catalog.len(),
    }
}

fn row(service: &Service, view: &View, shown: &Shown) -> Row {
    let now_ms = shown.clock.now_ms();
    let nothing = ServiceView::default();
    let known = view.services.get(&service.name).unwrap_or(&nothing);
    let healthy: Keys<'_> = service.endpoints.iter().map(|held| (&*held.instance, held.addr)).collect();
    let mut instances: Vec<InstanceRow> =
        known.instances.iter().map(|one| registered(one, &healthy, known, shown)).collect();
    instances.extend(left(&healthy, known, now_ms));
    Row {
        service: service.name.to_string(),
        id: ClientId::from_service(&service.name).map(|id| id.to_string()),
        watched: known.watched,
        known: service.known,
        healthy: service.endpoints.len(),
        idle_seconds: now_ms.saturating_sub(service.usage.last_ms()) / 1_000,
        instances,
        limits: service.limits.as_ref().map(|limits| limits.encode()).unwrap_or_default(),
        calls: service.limits.as_ref().and_then(|limits| limits.max_calls).map(|_| service.usage.calls()),
    }
}

/// An instance that the registry names.
fn registered(known: &Known, healthy: &Keys<'_>, view: &ServiceView, shown: &Shown) -> InstanceRow {
    let addr = known.addr.as_ref().ok().copied();
    let load = addr.and_then(|addr| view.loads.get(&(known.instance.id.as_str().into(), addr)));
    let healthy = addr.is_some_and(|addr| healthy.contains(&(known.instance.id.as_str(), addr)));
    let probe = addr.filter(|_| known.instance.status != Status::Passing).and_then(|at| shown.probes.at(at));
    InstanceRow {
        id: known.instance.id.clone(),
        node: known.instance.node.clone(),
        address: known.instance.endpoint(),
        status: known.instance.status.as_str(),
        version: known.version().map(str::to_owned),
        healthy,
        draining: !healthy && load.is_some_and(|load| load.open() > 0),
        problem: known.addr.as_ref().err().map(ToString::to_string),
        capacity: Some(known.capacity()).filter(|capacity| *capacity > 0),
        probe: probe.map(|(found, age_seconds)| ProbeRow { found: found.as_str(), age_seconds }),
        broken_meta: known.broken_meta(),
        ..figures(load.map(|load| &**load), shown.clock.now_ms())
    }
}

/// Instances that the registry does not name (at that address) any more.
fn left(healthy: &Keys<'_>, view: &ServiceView, now_ms: u64) -> Vec<InstanceRow> {
    let named: Keys<'_> = view
        .instances
        .iter()
        .filter_map(|known| Some((known.instance.id.as_str(), *known.addr.as_ref().ok()?)))
        .collect();
    let mut rows: Vec<InstanceRow> = view
        .loads
        .iter()
        .filter(|((id, addr), _)| !named.contains(&(&**id, *addr)))
        .filter_map(|((id, addr), load)| {
            // While sudden emptiness is doubted, calls go on.
            let healthy = healthy.contains(&(&**id, *addr));
            let draining = !healthy && load.open() > 0;
            (healthy || draining).then(|| InstanceRow {
                id: id.to_string(),
                address: addr.to_string(),
                status: "gone",
                healthy,
                draining,
                ..figures(Some(load), now_ms)
            })
        })
        .collect();
    rows.sort_by(|a, b| (&a.id, &a.address).cmp(&(&b.id, &b.address)));
    rows
}

/// What the data plane knows of an instance.
fn figures(load: Option<&Load>, now_ms: u64) -> InstanceRow {
    let Some(load) = load else { return InstanceRow::default() };
    InstanceRow {
        open_streams: load.open(),
        latency_us: Some(load.latency_us(now_ms) as u64).filter(|us| *us > 0),
        calls: load.served.calls(),
        failures: load.served.failures(),
        durations_us: load.served.durations_us(),
        down: load.is_down(now_ms),
        ejected: load.is_ejected(),
        ..InstanceRow::default()
    }
}
