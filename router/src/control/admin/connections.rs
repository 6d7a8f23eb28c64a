//! Connections of the admin port: few, and one request each, so that nobody can hold it.
//!
//! Health checks depend on this port, so a connection that only sits there must not keep others out: beyond the limit
//! the oldest one goes, not the new one.

use super::Shown;
use axum::Router;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};

/// Connections at a time: health checks, Prometheus and some people need a handful.
pub(super) const MAX_CONNECTIONS: usize = 64;
/// A request's head comes in one packet or from nobody with a question.
const HEAD_WAIT: Duration = Duration::from_secs(5);
/// Request and answer together; the largest page is some 40 MiB for a machine nearby.
const LONGEST: Duration = Duration::from_secs(30);
/// Bytes of a request's head.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Pause after an accept that failed for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Counts of the port's connections.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    /// Open now.
    pub(super) open: AtomicU64,
    /// Ended without an answer: by the limit, by time, or because they spoke no HTTP.
    pub(super) cut: AtomicU64,
}

/// Counts a connection until it is dropped.
struct Open(Arc<Shown>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.open.fetch_sub(1, Relaxed);
    }
}

/// Serves until the task is dropped.
pub(super) async fn serve(listener: TcpListener, pages: Router, shown: Arc<Shown>) {
    let mut tasks = JoinSet::new();
    let mut oldest_first: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let socket = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                Err(error) => {
                    tracing::warn!(%error, "the admin port cannot accept, trying again shortly");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            Some(_) = tasks.join_next() => continue,
        };
        oldest_first.retain(|task| !task.is_finished());
        if oldest_first.len() >= MAX_CONNECTIONS
            && let Some(oldest) = oldest_first.pop_front()
        {
            shown.connections.cut.fetch_add(1, Relaxed);
            oldest.abort();
        }
        shown.connections.open.fetch_add(1, Relaxed);
        let open = Open(shown.clone());
        oldest_first.push_back(tasks.spawn(connection(socket, pages.clone(), open)));
    }
}

async fn connection(socket: TcpStream, pages: Router, open: Open) {
    let mut server = auto::Builder::new(hyper_util::rt::TokioExecutor::new()).http1_only();
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(MAX_HEAD_BYTES)
        .keep_alive(false);
    let served = server.serve_connection(TokioIo::new(socket), TowerToHyperService::new(pages));
    // Whoever speaks no HTTP, or leaves, is no concern of the router's.
    if !matches!(timeout(LONGEST, served).await, Ok(Ok(()))) {
        open.0.connections.cut.fetch_add(1, Relaxed);
    }
}
