//! Routing rule (c): which registered service offers which gRPC service.
//!
//! A backend names the gRPC services it serves in its meta `grpc_services`; several may serve the same.

use super::instances::{Instances, Known};
use std::{collections::HashMap, sync::Arc};
use switchboard_registry::ids::ClientId;

/// The best service for every gRPC service that is offered.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    best: HashMap<Arc<str>, (Rank, Arc<str>)>,
}

/// Lower is better: healthy before unhealthy; services of their own before agents, tools and workers, which are
/// reached by ID; then by name, so that all routers agree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    unhealthy: bool,
    by_id: bool,
    name: Arc<str>,
}

/// The services that are read for offers, at most `most`: those of agents, tools and workers last, which are reached by
/// their IDs.
pub(crate) fn worth_reading(names: &[Arc<str>], most: usize) -> Vec<Arc<str>> {
    let (by_id, own): (Vec<_>, Vec<_>) =
        names.iter().cloned().partition(|name| ClientId::from_service(name).is_some());
    own.into_iter().chain(by_id).take(most).collect()
}

impl Offers {
    /// Reads the offers of all services.
    pub(crate) fn of(services: &[(Arc<str>, Instances)]) -> Self {
        let mut offers = Offers::default();
        for (service, instances) in services {
            let by_id = ClientId::from_service(service).is_some();
            for known in instances.iter() {
                let rank = Rank { unhealthy: known.healthy().is_none(), by_id, name: service.clone() };
                for grpc in offered(known) {
                    offers.add(&grpc, rank.clone());
                }
            }
        }
        offers
    }

    fn add(&mut self, grpc: &str, rank: Rank) {
        match self.best.get_mut(grpc) {
            Some((best, service)) if rank < *best => {
                *service = rank.name.clone();
                *best = rank;
            }
            Some(_) => {}
            None => {
                let service = rank.name.clone();
                self.best.insert(grpc.into(), (rank, service));
            }
        }
    }

    /// The service to which calls of the gRPC service `grpc` go.
    pub(crate) fn service(&self, grpc: &str) -> Option<&Arc<str>> {
        self.best.get(grpc).map(|(_, service)| service)
    }
}

/// Whether a healthy one of these instances offers the gRPC service.
pub(crate) fn offers(instances: &Instances, grpc: &str) -> bool {
    instances.iter().any(|known| known.healthy().is_some() && offered(known).any(|name| name == grpc))
}

/// The gRPC services that an instance says it serves.
fn offered(known: &Known) -> impl Iterator<Item = String> {
    known.description().grpc_services.into_iter()
}
