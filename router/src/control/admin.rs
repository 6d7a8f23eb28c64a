//! The operators' HTTP port: is it alive, is it ready, what does it know, how does it do.
//!
//! `/readyz` is 200 while the router runs and the registry has answered at least once, by DNS if that is a source. A registry that is lost later
//! does not make it unready (fail static); draining does. Nothing here can change anything.

mod connections;
mod endpoints;
mod explain;
mod prometheus;

use super::{
    Phase,
    discovery::{Counters, View},
    freshness::Freshness,
    probes::Probes,
};
use crate::{config::Config, directory::Clock, observe::Metrics};
pub(super) use connections::Connections;

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, sync::watch};

/// How long [`probe`] waits; container health checks ask every few seconds.
const PROBE_PATIENCE: Duration = Duration::from_secs(2);

/// What the port shows.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) config: Arc<Config>,
    pub(super) clock: Clock,
    pub(super) freshness: Arc<Freshness>,
    pub(super) view: watch::Receiver<Arc<View>>,
    pub(super) counters: Arc<Counters>,
    pub(super) probes: Arc<Probes>,
    pub(super) certificates: super::Sources,
    pub(super) metrics: Arc<Metrics>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) connections: Connections,
}

/// The port shows the directory and asks nobody who they are: it is for the machine itself.
pub(super) fn warn_if_exposed(listener: &std::net::TcpListener) {
    if let Ok(addr) = listener.local_addr()
        && !addr.ip().is_loopback()
    {
        tracing::warn!(
            %addr,
            "the admin port can be reached from other machines and asks nobody for credentials: bind it to 127.0.0.1, or keep others out"
        );
    }
}

/// Serves until the task is dropped.
pub(super) async fn serve(listener: TcpListener, shown: Arc<Shown>) {
    let router = Router::new()
        .route("/", get(page))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/endpoints", get(async |State(shown): State<Arc<Shown>>| Json(endpoints::of(&shown))))
        .route("/explain", get(explained))
        .route("/config", get(config))
        .with_state(shown.clone());
    connections::serve(listener, router, shown).await;
}

/// Asks `/readyz` of a router on this machine, for a container's health check.
///
/// # Errors
/// The router cannot be reached or says that it is not ready; the text has its reason.
pub fn probe(admin: SocketAddr) -> io::Result<()> {
    let ip = match admin.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(ip, admin.port()), PROBE_PATIENCE)?;
    stream.set_read_timeout(Some(PROBE_PATIENCE))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: router\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(io::Error::other(body.trim().to_owned())),
    }
}

/// Why the router is not ready, or `None`.
fn unready(shown: &Shown) -> Option<String> {
    if *shown.phase.borrow() != Phase::Running {
        return Some("draining".to_owned());
    }
    match (shown.freshness.ready(), shown.freshness.hidden()) {
        (true, _) => shown.certificates.unready(),
        (false, true) => Some("the registry's ACLs hide all services from the router's token".to_owned()),
        (false, false) => Some("the registry has not answered yet".to_owned()),
    }
}

async fn readyz(State(shown): State<Arc<Shown>>) -> (StatusCode, String) {
    match unready(&shown) {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}

async fn metrics(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], prometheus::render(&shown))
}

async fn explained(State(shown): State<Arc<Shown>>, Query(asked): Query<explain::Asked>) -> Response {
    match explain::of(&shown, &asked) {
        Ok(explained) => Json(explained).into_response(),
        Err(how) => (StatusCode::BAD_REQUEST, how).into_response(),
    }
}

async fn config(State(shown): State<Arc<Shown>>) -> Json<serde_json::Map<String, serde_json::Value>> {
    Json(shown.config.effective().into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect())
}

async fn page(State(shown): State<Arc<Shown>>) -> Html<String> {
    let state = unready(&shown).map_or("ready".to_owned(), |why| format!("not ready: {why}"));
    let stale = shown.freshness.stale_seconds();
    let view = shown.view.borrow();
    let (services, catalog) = (view.directory.services.len(), view.catalog.len());
    Html(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Switchboard router</title>\
         <body style=\"font-family:sans-serif;max-width:40em;margin:2em auto\"><h1>Switchboard router</h1>\
         <p>{state}. {services} services in use of {catalog} in the registry, whose state is {stale} s old.</p>\
         <ul><li><a href=\"/endpoints\">/endpoints</a>: services, instances, health, load</li>\
         <li><a href=\"/explain?id=echo-agent\">/explain?id=echo-agent</a>: where a call would go, and why</li>\
         <li><a href=\"/metrics\">/metrics</a>: for Prometheus</li>\
         <li><a href=\"/config\">/config</a>: effective configuration</li>\
         <li><a href=\"/readyz\">/readyz</a>, <a href=\"/livez\">/livez</a></li></ul></body></html>\n"
    ))
}
