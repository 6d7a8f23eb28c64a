//! The HTTP routes and the JSON of Consul 1.8. Decisions are in `state`.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, Query, State as Shared};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, put};
use axum::{Json, Router, body::Bytes};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::query::{Parameters, Read, flag};
use super::state::{Check, Entry, State};
use super::{Registry, body, check, page};
use crate::instance::Status;

/// Full meta is 41 KB; tags and names are short.
const MAX_BODY_BYTES: usize = 256 << 10;
const NODE: &str = "embedded";
const NODE_ID: &str = "00000000-0000-4000-8000-000000000000";
const DATACENTER: &str = "dc1";

type Context = Shared<Arc<Registry>>;

pub(super) fn router(registry: Arc<Registry>) -> Router {
    Router::new()
        .route("/v1/agent/service/register", put(register))
        .route("/v1/agent/service/deregister/{id}", put(deregister))
        .route("/v1/agent/service/{id}", get(agent_service))
        .route("/v1/agent/services", get(agent_services))
        .route("/v1/agent/check/pass/{id}", put(|c, p, q| heartbeat(c, p, q, Status::Passing)))
        .route("/v1/agent/check/warn/{id}", put(|c, p, q| heartbeat(c, p, q, Status::Warning)))
        .route("/v1/agent/check/fail/{id}", put(|c, p, q| heartbeat(c, p, q, Status::Critical)))
        .route("/v1/agent/self", get(agent_self))
        .route("/v1/health/service/{name}", get(health_service))
        .route("/v1/catalog/services", get(catalog_services))
        .route("/v1/catalog/service/{name}", get(catalog_service))
        .route("/v1/status/leader", get(leader))
        .route("/v1/acl/token/self", get(|| async { (StatusCode::UNAUTHORIZED, "ACL support disabled") }))
        .route("/ui/", get(ui))
        .route("/ui", get(|| async { Redirect::permanent("/ui/") }))
        .route("/", get(|| async { Redirect::permanent("/ui/") }))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(registry)
}

fn bad_request(reason: impl Into<String>) -> Response {
    (StatusCode::BAD_REQUEST, reason.into()).into_response()
}

async fn register(Shared(registry): Context, body: Bytes) -> Response {
    let service = match body::parse(&body) {
        Ok(service) => service,
        Err(reason) => return bad_request(reason),
    };
    let id = service.id.clone();
    tracing::debug!(id, service = service.name, "registered");
    if let Err(reason) = registry.change(|state| state.register(service, Instant::now())) {
        return (StatusCode::TOO_MANY_REQUESTS, reason).into_response();
    }
    check::start(&registry, &id);
    StatusCode::OK.into_response()
}

async fn deregister(Shared(registry): Context, Path(id): Path<String>) {
    registry.change(|state| state.deregister(&id));
}

async fn heartbeat(
    Shared(registry): Context,
    Path(id): Path<String>,
    Query(parameters): Query<Parameters>,
    status: Status,
) -> Response {
    let note = parameters.get("note").cloned().unwrap_or_default();
    match registry.change(|state| state.heartbeat(&id, status, note, Instant::now())) {
        Ok(()) => StatusCode::OK.into_response(),
        Err(reason) => (StatusCode::INTERNAL_SERVER_ERROR, reason).into_response(),
    }
}

async fn agent_service(Shared(registry): Context, Path(id): Path<String>) -> Response {
    match registry.state().entry(&id) {
        Some(entry) => Json(agent_json(entry)).into_response(),
        None => (StatusCode::NOT_FOUND, format!("unknown service ID: {id}")).into_response(),
    }
}

async fn agent_services(Shared(registry): Context) -> Json<Value> {
    let state = registry.state();
    let services: Map<String, Value> =
        state.entries().map(|entry| (entry.service.id.clone(), agent_json(entry))).collect();
    Json(services.into())
}

async fn agent_self(Shared(registry): Context) -> Json<Value> {
    Json(json!({
        "Config": {
            "Datacenter": DATACENTER, "NodeName": NODE, "NodeID": NODE_ID, "Server": true, "Revision": "",
            "Version": concat!("1.8.7+switchboard-", env!("CARGO_PKG_VERSION")),
        },
        "DebugConfig": {},
        "Member": { "Name": NODE, "Addr": registry.addr.ip().to_string(), "Status": 1 },
        "Meta": {},
    }))
}

async fn leader(Shared(registry): Context) -> Json<String> {
    Json(registry.addr.to_string())
}

async fn health_service(
    Shared(registry): Context,
    Path(name): Path<String>,
    Query(parameters): Query<Parameters>,
) -> Response {
    let Ok(passing) = flag(&parameters, "passing") else { return bad_request("Invalid value for ?passing") };
    let read = match Read::parse(&parameters) {
        Ok(read) => read,
        Err(reason) => return bad_request(reason),
    };
    let look = |state: &State| {
        let entries = state
            .entries()
            .filter(|entry| entry.service.name == name && (!passing || entry.status() == Status::Passing))
            .map(|entry| health_json(&registry, entry));
        (state.service_index(&name), Value::Array(entries.collect()))
    };
    read.answer(&registry, look).await
}

async fn catalog_services(Shared(registry): Context, Query(parameters): Query<Parameters>) -> Response {
    let read = match Read::parse(&parameters) {
        Ok(read) => read,
        Err(reason) => return bad_request(reason),
    };
    let look = |state: &State| {
        // Consul registers itself; nothing may rely on its absence.
        let mut services = std::collections::BTreeMap::from([("consul", Vec::new())]);
        for entry in state.entries() {
            let tags: &mut Vec<&str> = services.entry(entry.service.name.as_str()).or_default();
            tags.extend(entry.service.tags.iter().map(String::as_str));
        }
        for tags in services.values_mut() {
            tags.sort_unstable();
            tags.dedup();
        }
        (state.services_index(), json!(services))
    };
    read.answer(&registry, look).await
}

async fn catalog_service(
    Shared(registry): Context,
    Path(name): Path<String>,
    Query(parameters): Query<Parameters>,
) -> Response {
    let read = match Read::parse(&parameters) {
        Ok(read) => read,
        Err(reason) => return bad_request(reason),
    };
    let look = |state: &State| {
        let entries = state.entries().filter(|entry| entry.service.name == name);
        let entries = entries.map(|entry| catalog_json(&registry, entry));
        (state.service_index(&name), Value::Array(entries.collect()))
    };
    read.answer(&registry, look).await
}

async fn ui(Shared(registry): Context) -> Response {
    let page = page::render(registry.state().entries());
    // The page holds what backends say of themselves: no script may run in it.
    ([("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")], Html(page))
        .into_response()
}

fn weights(entry: &Entry) -> Value {
    json!({ "Passing": entry.service.weights.0, "Warning": entry.service.weights.1 })
}

fn agent_json(entry: &Entry) -> Value {
    let service = &entry.service;
    json!({
        "ID": service.id, "Service": service.name, "Tags": service.tags, "Meta": service.meta,
        "Port": service.port, "Address": service.address, "Weights": weights(entry),
        "EnableTagOverride": service.enable_tag_override,
    })
}

fn health_json(registry: &Registry, entry: &Entry) -> Value {
    let mut service = agent_json(entry);
    service["CreateIndex"] = entry.create_index.into();
    service["ModifyIndex"] = entry.modify_index.into();
    let mut checks = vec![json!({
        "Node": NODE, "CheckID": "serfHealth", "Name": "Serf Health Status", "Status": "passing", "Notes": "",
        "Output": "Agent alive and reachable", "ServiceID": "", "ServiceName": "", "ServiceTags": [], "Type": "",
        "Definition": {}, "CreateIndex": 1, "ModifyIndex": 1,
    })];
    checks.extend(entry.checks.iter().map(|check| check_json(entry, check)));
    json!({
        "Node": {
            "ID": NODE_ID, "Node": NODE, "Address": registry.addr.ip().to_string(), "Datacenter": DATACENTER,
            "TaggedAddresses": {}, "Meta": {}, "CreateIndex": 1, "ModifyIndex": 1,
        },
        "Service": service,
        "Checks": checks,
    })
}

fn check_json(entry: &Entry, check: &Check) -> Value {
    json!({
        "Node": NODE, "CheckID": check.settings.id, "Name": check.settings.name, "Status": check.status.as_str(),
        "Notes": check.settings.notes, "Output": check.output, "ServiceID": entry.service.id,
        "ServiceName": entry.service.name, "ServiceTags": entry.service.tags,
        "Type": check.settings.probe.type_name(), "Definition": {}, "CreateIndex": check.create_index,
        "ModifyIndex": check.modify_index,
    })
}

fn catalog_json(registry: &Registry, entry: &Entry) -> Value {
    let service = &entry.service;
    json!({
        "ID": NODE_ID, "Node": NODE, "Address": registry.addr.ip().to_string(), "Datacenter": DATACENTER,
        "TaggedAddresses": {}, "NodeMeta": {}, "ServiceKind": "", "ServiceID": service.id,
        "ServiceName": service.name, "ServiceTags": service.tags, "ServiceAddress": service.address,
        "ServiceWeights": weights(entry), "ServiceMeta": service.meta, "ServicePort": service.port,
        "ServiceEnableTagOverride": service.enable_tag_override, "CreateIndex": entry.create_index,
        "ModifyIndex": entry.modify_index,
    })
}
