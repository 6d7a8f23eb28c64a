//! The port for Prometheus: `/metrics`, and `/health` and `/ready` for whoever looks after the process.
//!
//! Nobody is asked who he is: there are figures and names of methods, routes and lanes, and no name of a workflow or a caller.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    Json, Router,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use switchboard_backend::{self as backend, ListenAt, Listener, Opened};
use workflow_store::Gauges;

use super::{Metrics, accept, problem::Problem, routes};
use crate::{api::Api, executor::Executors};

/// Whoever scrapes opens one, and others look whether the process is well.
const MAX_CONNECTIONS: usize = 64;

/// What the port shows. Cheap to clone.
#[derive(Clone)]
pub struct Scrape {
    /// The engine and its lanes.
    pub api: Api,
    /// What makes attempts.
    pub executors: Executors,
    /// The API over HTTP.
    pub http: Arc<Metrics>,
}

impl Scrape {
    /// The listener of the port.
    pub fn listener(self, at: ListenAt) -> Listener {
        Listener::http("metrics", at, MAX_CONNECTIONS, |opened| self.serve(opened))
    }

    async fn serve(self, opened: Opened) {
        let Opened { incoming, metrics, ending, .. } = opened;
        let (engine, leaving) = (self.api.engine.clone(), ending.clone());
        let routes = Router::new()
            .route("/metrics", get(async move || self.answer(&metrics).await))
            .route("/health", get(async || Json(json!({ "status": "ok" }))))
            .route("/ready", get(async move || routes::ready(&engine, &leaving)))
            .fallback(async |headers: HeaderMap| {
                let message = "there are /metrics, /health and /ready here; the API is at the port of --http";
                Problem::new(StatusCode::NOT_FOUND, "NO_SUCH_PATH", message)
                    .response(routes::request_id(&headers))
            });
        accept::serve(incoming, routes, &ending, &Arc::default()).await;
    }

    async fn answer(&self, backend: &backend::Metrics) -> Response {
        let text = self.text(backend).await;
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
    }

    async fn text(&self, backend: &backend::Metrics) -> String {
        let mut text = self.api.prometheus().await;
        executors(&mut text, &self.executors);
        committer(&mut text, self.api.engine.committer());
        if let Ok(bytes) = self.api.engine.from_store(|store| Ok(store.disk_bytes())).await {
            one(&mut text, "workflow_store_disk_bytes", "gauge", bytes);
        }
        text.push_str(&self.http.render());
        text.push_str(&backend.render());
        text
    }
}

fn one(text: &mut String, name: &str, kind: &str, value: u64) {
    let _ = writeln!(text, "# TYPE {name} {kind}\n{name} {value}");
}

fn executors(text: &mut String, executors: &Executors) {
    let metrics = executors.metrics();
    for (name, gauge) in [
        ("workflow_executor_waiting", &metrics.waiting),
        ("workflow_executor_in_flight", &metrics.in_flight),
        ("workflow_executor_queued", &metrics.queued),
        ("workflow_executor_leased", &metrics.leased),
        ("workflow_executor_polls", &metrics.polls),
    ] {
        one(text, name, "gauge", gauge.get());
    }
    for (name, counter) in [
        ("workflow_executor_started_total", &metrics.started),
        ("workflow_executor_completed_total", &metrics.completed),
        ("workflow_executor_failed_total", &metrics.failed),
        ("workflow_executor_stopped_total", &metrics.stopped),
        ("workflow_executor_expired_total", &metrics.expired),
        ("workflow_executor_stale_total", &metrics.stale),
        ("workflow_executor_refused_total", &metrics.refused),
        ("workflow_executor_dropped_logs_total", &metrics.dropped_logs),
        ("workflow_executor_dropped_signals_total", &metrics.dropped_signals),
    ] {
        one(text, name, "counter", counter.get());
    }
}

fn committer(text: &mut String, gauges: &Gauges) {
    let read = |number: &std::sync::atomic::AtomicU64| number.load(std::sync::atomic::Ordering::Relaxed);
    one(text, "workflow_committer_queue_commits", "gauge", read(&gauges.queue_commits));
    one(text, "workflow_committer_queue_bytes", "gauge", read(&gauges.queue_bytes));
    for (name, counter) in [
        ("workflow_committer_batches_total", &gauges.batches),
        ("workflow_committer_commits_total", &gauges.commits),
        ("workflow_committer_reads_total", &gauges.reads),
        ("workflow_committer_bytes_total", &gauges.bytes),
        ("workflow_committer_rejected_total", &gauges.rejected),
        ("workflow_committer_full_total", &gauges.full),
        ("workflow_committer_blocked_total", &gauges.blocked),
    ] {
        one(text, name, "counter", read(counter));
    }
    histogram(text, "workflow_committer_sync_seconds", &gauges.sync_us, 1e6);
    histogram(text, "workflow_committer_batch_commits", &gauges.batch_commits, 1.0);
}

/// Buckets that each hold those below them, as Prometheus has them; values of which `per` are one.
fn histogram(text: &mut String, name: &str, values: &workflow_store::Histogram, per: f64) {
    let _ = writeln!(text, "# TYPE {name} histogram");
    let mut count = 0;
    for (bound, within) in values.buckets() {
        count += within;
        let _ = match bound {
            u64::MAX => writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {count}"),
            bound => writeln!(text, "{name}_bucket{{le=\"{}\"}} {count}", bound as f64 / per),
        };
    }
    let _ = writeln!(text, "{name}_sum {}\n{name}_count {count}", values.sum() as f64 / per);
}
