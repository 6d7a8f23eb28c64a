//! From the table to handlers, and what answers without a service: `/health`, `/ready`, `/status`, `/openapi.json`.

use std::{collections::BTreeMap, sync::Arc, sync::atomic::Ordering::Relaxed, time::Instant};

use axum::{
    Json, Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, Method, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodFilter, MethodRouter, get, on},
};
use serde_json::json;
use switchboard_backend::{ConnectionInfo, Ending};

pub(super) use super::site::same_origin;
use super::{
    Shared,
    answer::{self, LIST},
    call::{Caller, REQUEST_ID},
    openapi,
    problem::Problem,
    route::{ROUTES, Route},
    site, socket, ui,
};
use crate::engine::Engine;

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
    let router = router.merge(ui::router(shared)).fallback(async |headers: HeaderMap| {
        let message = "there is nothing at this path; /openapi.json lists what there is";
        Problem::new(StatusCode::NOT_FOUND, "NO_SUCH_PATH", message).response(request_id(&headers))
    });
    router.layer(middleware::from_fn_with_state(shared.clone(), passed))
}

/// What every request passes: is it meant for this server? Then it is counted, and has a line in the log of accesses.
async fn passed(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let (verb, path) = (request.method().clone(), request.uri().path().to_owned());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let id = request_id(request.headers()).to_owned();
    // Whoever looks after the process may call it by any name; these say nothing.
    let open = shared.services.ask_for_credentials() || matches!(path.as_str(), "/health" | "/ready");
    let response = if open || site::known_host(request.headers(), &shared.settings.hosts) {
        next.run(request).await
    } else {
        let message = "this server does not know the name in the header host; call it by its address, or start it with \
                       --http-host NAME";
        Problem::new(StatusCode::FORBIDDEN, "UNKNOWN_HOST", message).response(&id)
    };
    let (status, took) = (response.status(), begun.elapsed());
    shared.metrics.answered(route.as_ref().map(MatchedPath::as_str), &verb, status, took);
    let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let status = status.as_u16();
    // Failed calls have a line of their own, which the interceptors write.
    tracing::debug!(target: "access", request_id = id, took_us, "{verb} {path} {status}");
    response
}

/// The ID that every request has.
pub(super) fn request_id(headers: &HeaderMap) -> &str {
    headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default()
}

/// Who sent the request.
pub(super) fn caller(shared: &Shared, parts: &Parts) -> Caller {
    let connection = parts.extensions.get::<ConnectionInfo>().cloned();
    Caller::new(shared.services.clone(), &parts.headers, connection, shared.settings.call_timeout)
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
        "/ready" => ready(&shared.engine, &shared.ending),
        "/status" => {
            let (parts, _) = request.into_parts();
            match caller(&shared, &parts).admitted(LIST) {
                Ok(()) => status(&shared),
                Err(refused) => Problem::from(refused).response(request_id(&parts.headers)),
            }
        }
        "/openapi.json" => ([(header::CONTENT_TYPE, "application/json")], document).into_response(),
        _ => socket::upgrade(&shared, request).await,
    }
}

/// Whether requests are welcome.
pub(super) fn ready(engine: &Engine, ending: &Ending) -> Response {
    let state = state(engine, ending);
    let status = match state {
        "stopping" | "failed" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    (status, Json(json!({ "status": state }))).into_response()
}

/// A paused engine is ready: it answers, and says itself that it takes nothing.
pub(super) fn state(engine: &Engine, ending: &Ending) -> &'static str {
    let engine = engine.shared();
    match () {
        () if engine.failed.load(Relaxed) => "failed",
        () if ending.is_leaving() => "stopping",
        () if engine.paused.load(Relaxed) => "paused",
        () => "ready",
    }
}

fn status(shared: &Shared) -> Response {
    let engine = shared.engine.shared();
    Json(json!({
        "status": state(&shared.engine, &shared.ending),
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
