//! `/explain?id=echo-agent@v2` or `?grpc_service=demo.Echo`, with `&key=…` for an affinity key: where a call would go at
//! this moment, which instances would not get it, and why. Nothing is looked up and nothing is changed.

use super::Shown;
use crate::{
    balance::{Fitness, affinity},
    control::{discovery::ServiceView, instances::Known, probes::Found},
    directory::{Endpoint, Service, Strategy, nearest},
    error::Reason,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use switchboard_registry::{ClientId, Status};

/// What is asked.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    id: Option<String>,
    grpc_service: Option<String>,
    key: Option<String>,
}

/// The answer.
#[derive(Debug, Default, Serialize)]
pub(super) struct Explained {
    /// Which routing rule names the service.
    rule: &'static str,
    service: Option<String>,
    version: Option<String>,
    strategy: Option<String>,
    /// Whether a call may be sent twice, as its instances say.
    idempotent: bool,
    /// What a call gets now, in words.
    answer: String,
    /// The instance that owns the affinity key, if one was given.
    owner: Option<String>,
    instances: Vec<Candidate>,
    /// Registered IDs like one that is not.
    nearest: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Candidate {
    id: String,
    address: String,
    /// Whether a call may go there now.
    picked: bool,
    why: String,
    weight: u32,
    open_streams: u32,
}

/// Explains; `Err` says how to ask.
pub(super) fn of(shown: &Shown, asked: &Asked) -> Result<Explained, String> {
    let view = shown.view.borrow().clone();
    let mut explained = Explained::default();
    let service: Arc<str> = match (&asked.id, &asked.grpc_service) {
        (Some(id), None) => {
            let id = ClientId::parse(id, None).map_err(|error| format!("id: {error}\n"))?;
            explained.rule = "the ID, in the header x-switchboard-target or in the message";
            explained.version = id.version.clone();
            id.service().into()
        }
        (None, Some(name)) => {
            explained.rule = "the gRPC service's name, registered in meta grpc_services";
            let Some(service) = view.directory.grpc_services.get(name.as_str()) else {
                explained.answer =
                    format!("not called yet: the registry is asked, then {}", Reason::GRPC_SERVICE_UNKNOWN);
                return Ok(explained);
            };
            service.clone()
        }
        _ => return Err("ask with ?id=echo-agent or with ?grpc_service=demo.Echo\n".to_owned()),
    };
    explained.service = Some(service.to_string());
    let Some(held) = view.directory.services.get(&service) else {
        (explained.answer, explained.nearest) = not_held(&service, &view.catalog);
        return Ok(explained);
    };
    let nothing = ServiceView::default();
    let known = view.services.get(&service).unwrap_or(&nothing);
    let now_ms = shown.clock.now_ms();
    let version = explained.version.as_deref();
    explained.instances = held.endpoints.iter().map(|one| healthy(one, version, now_ms)).collect();
    let passed_over = known.instances.iter().filter(|one| one.healthy().is_none());
    explained.instances.extend(passed_over.map(|one| unhealthy(one, shown)));
    explained.answer = answer(held, version, &mut explained.instances, shown);
    explained.strategy = Some(words(&held.strategy));
    explained.idempotent = held.idempotent;
    explained.owner = asked.key.as_ref().and_then(|key| {
        let fit = |one: &Endpoint| is_allowed(one, version) && one.load.fitness(now_ms) == Fitness::Fit;
        let any = |one: &Endpoint| is_allowed(one, version);
        let owner = affinity::owner(key.as_bytes(), &held.endpoints, fit);
        let owner = owner.or_else(|| affinity::owner(key.as_bytes(), &held.endpoints, any));
        owner.map(|endpoint| endpoint.instance.to_string())
    });
    Ok(explained)
}

fn not_held(service: &str, catalog: &[Arc<str>]) -> (String, Vec<String>) {
    if catalog.iter().any(|name| **name == *service) {
        return ("not in use: the first call has it read from the registry".to_owned(), Vec::new());
    }
    let answer = format!("not registered: the registry is asked, then {}", Reason::ID_UNKNOWN);
    (answer, nearest(service, catalog))
}

fn is_allowed(endpoint: &Endpoint, version: Option<&str>) -> bool {
    version.is_none_or(|version| endpoint.version.as_deref() == Some(version))
}

/// An instance that calls may go to, as far as the registry is concerned.
fn healthy(endpoint: &Endpoint, version: Option<&str>, now_ms: u64) -> Candidate {
    let load = &endpoint.load;
    let full = endpoint.capacity > 0 && load.open() >= endpoint.capacity;
    let (picked, why) = match load.fitness(now_ms) {
        _ if !is_allowed(endpoint, version) => match &endpoint.version {
            Some(version) => (false, format!("it is of version {version}")),
            None => (false, "it has no version".to_owned()),
        },
        Fitness::Unfit if load.is_down(now_ms) => {
            (false, "the last connect failed, its back-off is not over".to_owned())
        }
        Fitness::Unfit => (false, "ejected after failures in a row".to_owned()),
        _ if full => (false, format!("full: {} streams of {}", load.open(), endpoint.capacity)),
        Fitness::Probe => (true, "its ejection is over: the next call tries it".to_owned()),
        Fitness::Fit => match load.warmth(now_ms) {
            share if share < 1.0 => {
                (true, format!("in slow start, with {:.0} % of its share", share * 100.0))
            }
            _ => (true, "fit".to_owned()),
        },
    };
    Candidate {
        id: endpoint.instance.to_string(),
        address: endpoint.addr.to_string(),
        picked,
        why,
        weight: endpoint.weight,
        open_streams: load.open(),
    }
}

/// An instance that the registry, or its address, takes out.
fn unhealthy(known: &Known, shown: &Shown) -> Candidate {
    let status = known.instance.status;
    let why = match &known.addr {
        Err(problem) => problem.to_string(),
        Ok(addr) => match shown.probes.at(*addr) {
            Some((Found::Serving, _)) if status != Status::Passing => {
                format!("{status} in the registry, though it answers SERVING: see its check")
            }
            _ => format!("{status} in the registry"),
        },
    };
    Candidate {
        id: known.instance.id.clone(),
        address: known.instance.endpoint(),
        picked: false,
        why,
        weight: known.weight(),
        open_streams: 0,
    }
}

/// What a call gets. Where no instance is fit, those with room are used all the same.
fn answer(service: &Service, version: Option<&str>, candidates: &mut [Candidate], shown: &Shown) -> String {
    let allowed: Vec<usize> =
        (0..service.endpoints.len()).filter(|at| is_allowed(&service.endpoints[*at], version)).collect();
    let now_ms = shown.clock.now_ms();
    let picked = candidates.iter().filter(|one| one.picked).count();
    let any_fit = allowed.iter().any(|at| service.endpoints[*at].load.fitness(now_ms) == Fitness::Fit);
    match picked {
        0 if allowed.is_empty() => format!(
            "none: calls wait {:?} for an instance, then {}",
            shown.config.no_endpoint_wait,
            Reason::NO_HEALTHY_INSTANCE
        ),
        0 if any_fit => format!("none has room: calls wait, then {}", Reason::QUEUE_FULL),
        0 => {
            let has_room = |one: &Endpoint| one.capacity == 0 || one.load.open() < one.capacity;
            for at in allowed.into_iter().filter(|at| has_room(&service.endpoints[*at])) {
                candidates[at].picked = true;
            }
            "none is fit, which may be a wrong guess: all with room are used".to_owned()
        }
        1 => "one instance".to_owned(),
        count => format!("one of {count} instances"),
    }
}

fn words(strategy: &Strategy) -> String {
    match strategy {
        Strategy::P2c => "p2c: two by weight, the one with fewer streams and the faster answers".to_owned(),
        Strategy::RoundRobin => "round_robin: each in turn".to_owned(),
        Strategy::LeastRequest => "least_request: the one with the fewest streams".to_owned(),
        Strategy::Affinity(header) => format!("affinity:{header}: calls with the same value go to the same"),
    }
}
