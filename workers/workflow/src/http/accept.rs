//! Connections: how many, how long they may take to say what they want, and how they end.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderName, HeaderValue, Request},
    response::Response,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rand::RngExt;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tower::ServiceExt;

use super::{Shared, call::REQUEST_ID};

/// How long the head of a request may take to arrive, and a kept connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Before another try, when the system gives no connection: file descriptors are short, and come back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// As long as those of the gRPC listener.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// Serves until `stop`, then drains.
pub(super) async fn serve(
    listener: TcpListener,
    routes: Router,
    shared: &Arc<Shared>,
    stop: impl Future<Output = ()>,
) {
    let permits = Arc::new(Semaphore::new(shared.settings.max_connections));
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        // Whoever is not accepted waits in the system's queue. `acquire_owned` and `accept` lose nothing when dropped.
        let accepted = async {
            let permit = permits.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            (permit, accepted) = accepted => match accepted {
                Ok((stream, remote)) => {
                    let connection = connection(stream, remote, routes.clone(), shared.clone());
                    connections.spawn(async move {
                        let _permit = permit;
                        connection.await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    shared.stopping.send_replace(true);
    let drained = async {
        while connections.join_next().await.is_some() {}
        let all = u32::try_from(shared.settings.max_sockets).unwrap_or(u32::MAX);
        let _ = shared.sockets.acquire_many(all).await;
    };
    if tokio::time::timeout(shared.settings.drain, drained).await.is_err() {
        tracing::warn!(connections = connections.len(), "cut: they did not end in time");
    }
    connections.shutdown().await;
}

async fn connection(stream: TcpStream, remote: SocketAddr, routes: Router, shared: Arc<Shared>) {
    // Events are small and waited for; without it they wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| answer(request, remote, routes.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = shared.stopped() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %remote, "connection ended");
    }
}

/// Answers one request, which has an ID from here on.
async fn answer(
    request: Request<Incoming>,
    remote: SocketAddr,
    routes: Router,
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
    request.extensions_mut().insert(ConnectInfo(remote));
    let mut response = match routes.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    response.headers_mut().insert(name, id);
    Ok(response)
}

/// A UUID of version 4 (RFC 9562).
fn new_request_id() -> String {
    let bits: u128 = rand::rng().random();
    let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
