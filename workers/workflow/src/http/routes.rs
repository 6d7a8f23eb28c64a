//! From the table to handlers, and what answers without a service: `/health`, `/ready`, `/status`, `/openapi.json`.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, sync::atomic::Ordering::Relaxed};

use axum::{
    Json, Router,
    extract::{ConnectInfo, Request},
    http::{HeaderMap, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::{MethodFilter, MethodRouter, get, on},
};
use serde_json::json;

use super::{
    Shared, answer,
    call::{Caller, REQUEST_ID},
    openapi,
    problem::Problem,
    route::{ROUTES, Route},
    socket,
};

/// A path without service: the handler, and what the OpenAPI document says of it.
pub(super) const OTHERS: [(&str, &str); 5] = [
    ("/health", "Says that the process runs"),
    ("/ready", "Says whether requests are welcome: 503 while the server stops, or when the store has failed"),
    ("/status", "Shows what the engine counts"),
    ("/openapi.json", "This document"),
    ("/ws/events", "Follows workflows over a WebSocket"),
];

/// All paths.
pub(super) fn router(shared: &Arc<Shared>) -> Router {
    let mut paths: BTreeMap<&str, (MethodRouter, Vec<Method>)> = BTreeMap::new();
    for route in ROUTES {
        let shared = shared.clone();
        let handler = move |request: Request| handle(shared, route, request);
        let verb = route.verb.method();
        let filter = MethodFilter::try_from(verb.clone()).expect("the table's verbs are known");
        let (methods, verbs) = paths.entry(route.path).or_default();
        *methods = std::mem::take(methods).merge(on(filter, handler));
        verbs.push(verb);
    }
    let document = axum::body::Bytes::from(openapi::document().to_string());
    for (path, _) in OTHERS {
        let (shared, document) = (shared.clone(), document.clone());
        let handler = move |request: Request| other(path, shared, document, request);
        paths.insert(path, (get(handler), vec![Method::GET]));
    }
    let router = paths.into_iter().fold(Router::new(), |router, (path, (methods, verbs))| {
        router.route(
            path,
            methods.fallback(move |headers: HeaderMap| async move { not_allowed(&verbs, &headers) }),
        )
    });
    router.fallback(async |headers: HeaderMap| {
        let message = "there is nothing at this path; /openapi.json lists what there is";
        Problem::new(StatusCode::NOT_FOUND, "NO_SUCH_PATH", message).response(request_id(&headers))
    })
}

/// The ID that every request has.
pub(super) fn request_id(headers: &HeaderMap) -> &str {
    headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default()
}

/// Who sent the request.
pub(super) fn caller(shared: &Shared, parts: &Parts) -> Caller {
    let remote = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let remote = remote.map_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)), |ConnectInfo(remote)| *remote);
    Caller::new(shared.services.clone(), &parts.headers, remote, shared.settings.call_timeout)
}

/// Refuses what a page of another site has a browser send: nothing of this API is meant for it, and an engine that
/// asks nobody who they are would obey.
pub(super) fn same_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let authority = origin.to_str().ok().and_then(|origin| Some(origin.split_once("://")?.1));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if authority.is_some() && authority == host {
        return Ok(());
    }
    let message =
        "the request comes from a page of another site; call from the site itself, or without a browser";
    Err(Problem::new(StatusCode::FORBIDDEN, "CROSS_ORIGIN", message))
}

async fn handle(shared: Arc<Shared>, route: &'static Route, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    match answer::answer(&shared, route, &mut parts, body).await {
        Ok(response) => response,
        Err(problem) => problem.response(request_id(&parts.headers)),
    }
}

async fn other(
    path: &'static str,
    shared: Arc<Shared>,
    document: axum::body::Bytes,
    request: Request,
) -> Response {
    match path {
        "/health" => Json(json!({ "status": "ok" })).into_response(),
        "/ready" => ready(&shared),
        "/status" => status(&shared),
        "/openapi.json" => ([(header::CONTENT_TYPE, "application/json")], document).into_response(),
        _ => socket::upgrade(&shared, request).await,
    }
}

fn ready(shared: &Shared) -> Response {
    let state = state(shared);
    let status = match state {
        "stopping" | "failed" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    (status, Json(json!({ "status": state }))).into_response()
}

/// A paused engine is ready: it answers, and says itself that it takes nothing.
fn state(shared: &Shared) -> &'static str {
    let engine = shared.engine.shared();
    match () {
        () if engine.failed.load(Relaxed) => "failed",
        () if *shared.stopping.borrow() => "stopping",
        () if engine.paused.load(Relaxed) => "paused",
        () => "ready",
    }
}

fn status(shared: &Shared) -> Response {
    let engine = shared.engine.shared();
    Json(json!({
        "status": state(shared),
        "version": env!("CARGO_PKG_VERSION"),
        "workflows": { "live": engine.live.load(Relaxed), "submitted": engine.submitted.load(Relaxed) },
        "tasks": { "waiting": engine.waiting.load(Relaxed), "running": engine.running.load(Relaxed) },
    }))
    .into_response()
}

fn not_allowed(verbs: &[Method], headers: &HeaderMap) -> Response {
    let mut allowed: Vec<&str> = verbs.iter().map(Method::as_str).collect();
    if allowed.contains(&"GET") {
        allowed.push("HEAD");
    }
    let allowed = allowed.join(", ");
    let message = format!("this path takes {allowed}");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message)
        .with(header::ALLOW, &allowed)
        .response(request_id(headers))
}
