//! Connections: how long they may take to say what they want, and how they end.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderName, HeaderValue, Request, StatusCode, header},
    response::Response,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rand::RngExt;
use switchboard_backend::{self as backend, Connection, ConnectionInfo, Ending};
use tokio::task::JoinSet;
use tonic::transport::server::Connected;
use tower::ServiceExt;

use super::{Metrics, call::REQUEST_ID};

/// How long the head of a request may take to arrive, and a kept connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// As long as those of the gRPC listener.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// Serves until `ending` says so, and then until all connections have ended.
pub(super) async fn serve(
    mut incoming: backend::Incoming,
    routes: Router,
    ending: &Ending,
    metrics: &Arc<Metrics>,
) {
    let mut connections = JoinSet::new();
    loop {
        // Each branch only waits.
        tokio::select! {
            () = ending.stopped() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            connection = incoming.accept() => {
                let serving = serve_one(connection, routes.clone(), ending.clone());
                let metrics = metrics.clone();
                connections.spawn(async move {
                    let _open = metrics.connections.hold();
                    serving.await;
                });
            }
        }
    }
    drop(incoming);
    while connections.join_next().await.is_some() {}
}

async fn serve_one(connection: Connection, routes: Router, ending: Ending) {
    let info = connection.connect_info();
    let leaving = ending.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        answer(request, info.clone(), routes.clone(), leaving.clone())
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(connection), service)
        .with_upgrades();
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = ending.stopped() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Answers one request, which has an ID from here on.
async fn answer(
    request: Request<Incoming>,
    from: ConnectionInfo,
    routes: Router,
    ending: Ending,
) -> Result<Response, Infallible> {
    let mut request = request.map(Body::new);
    let name = HeaderName::from_static(REQUEST_ID);
    let given = request.headers().get(&name).filter(|id| {
        (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    });
    let id = match given {
        Some(id) => id.clone(),
        None => HeaderValue::from_str(&new_request_id()).unwrap_or(HeaderValue::from_static("none")),
    };
    request.headers_mut().insert(name.clone(), id.clone());
    request.extensions_mut().insert(from);
    let mut response = match routes.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    response.headers_mut().insert(name, id);
    if ending.is_leaving() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        // The next request goes elsewhere, and meets no connection that closes while it is on its way.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// A UUID of version 4 (RFC 9562).
fn new_request_id() -> String {
    let bits: u128 = rand::rng().random();
    let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
