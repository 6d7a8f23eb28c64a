//! `/endpoints`: the directory, with everything that decides a pick.

use super::Shown;
use crate::{
    control::{
        discovery::View,
        instances::{Instances, Known},
    },
    directory::Service,
};
use serde::Serialize;
use std::collections::BTreeMap;
use switchboard_registry::{ClientId, Status};

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct Endpoints {
    registry: Registry,
    services: Vec<Row>,
    /// gRPC service -> service that calls of it go to.
    grpc_services: BTreeMap<String, String>,
    /// Names of all services in the registry.
    catalog: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Registry {
    address: String,
    reachable: bool,
    stale_seconds: f64,
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
    instances: Vec<InstanceRow>,
}

#[derive(Debug, Serialize)]
struct InstanceRow {
    id: String,
    node: String,
    address: String,
    /// As the registry says: passing, warning or critical.
    status: &'static str,
    version: Option<String>,
    /// Whether calls may go there.
    healthy: bool,
    /// Why the address cannot be used.
    problem: Option<String>,
    open_streams: u32,
    /// Streams that it takes at the same time; `None` without a limit.
    capacity: Option<u32>,
    /// Average time to the first of a response; `None` if nothing is known, or not any more.
    latency_us: Option<u64>,
    /// Whether the last connect failed and its back-off is not over. An instance that is critical and not down
    /// would perhaps serve; one that is passing and down is dead for this router.
    down: bool,
    /// What the router found when it asked an instance that does not pass.
    probe: Option<ProbeRow>,
    /// Whether outcomes of calls have taken it out of the rotation.
    ejected: bool,
}

#[derive(Debug, Serialize)]
struct ProbeRow {
    found: &'static str,
    /// Since then; `None` before the first one.
    age_seconds: Option<u64>,
}

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
            stale_seconds: shown.freshness.stale_seconds(),
        },
        services,
        grpc_services: grpc.map(|(grpc, service)| (grpc.to_string(), service.to_string())).collect(),
        catalog: view.directory.catalog.iter().map(ToString::to_string).collect(),
    }
}

fn row(service: &Service, view: &View, shown: &Shown) -> Row {
    let now_ms = shown.clock.now_ms();
    let (instances, watched) =
        view.services.get(&service.name).cloned().unwrap_or_else(|| (Instances::default(), false));
    Row {
        service: service.name.to_string(),
        id: ClientId::from_service(&service.name).map(|id| id.to_string()),
        watched,
        known: service.known,
        healthy: service.endpoints.len(),
        idle_seconds: now_ms.saturating_sub(service.usage.last_ms()) / 1_000,
        instances: instances.iter().map(|known| instance_row(known, service, shown)).collect(),
    }
}

fn instance_row(known: &Known, service: &Service, shown: &Shown) -> InstanceRow {
    let now_ms = shown.clock.now_ms();
    let held =
        |addr| service.endpoints.iter().find(|one| *one.instance == *known.instance.id && one.addr == addr);
    let endpoint = known.addr.as_ref().ok().and_then(|addr| held(*addr));
    let load = endpoint.map(|endpoint| &endpoint.load);
    InstanceRow {
        id: known.instance.id.clone(),
        node: known.instance.node.clone(),
        address: known.instance.endpoint(),
        status: known.instance.status.as_str(),
        version: known.version().map(str::to_owned),
        healthy: known.healthy().is_some(),
        problem: known.addr.as_ref().err().map(ToString::to_string),
        open_streams: load.map_or(0, |load| load.open()),
        capacity: endpoint.map(|endpoint| endpoint.capacity).filter(|capacity| *capacity > 0),
        latency_us: load.map(|load| load.latency_us(now_ms) as u64).filter(|us| *us > 0),
        down: load.is_some_and(|load| load.is_down(now_ms)),
        probe: known
            .addr
            .as_ref()
            .ok()
            .filter(|_| known.instance.status != Status::Passing)
            .and_then(|addr| shown.probes.at(*addr))
            .map(|(found, age_seconds)| ProbeRow { found: found.as_str(), age_seconds }),
        ejected: load.is_some_and(|load| load.is_ejected()),
    }
}
