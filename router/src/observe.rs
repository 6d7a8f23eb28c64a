//! Step 9: what is known of every call afterwards: counters, a histogram, and the access log.
//!
//! A worker thread notes each finished call in its own `Recorder` and merges it into the shared [`Metrics`]
//! a few times a second, so that counting costs no lock and no shared cache line per call. Label values are
//! bounded: a client can invent IDs, but only registered services get a label, and no more than
//! [`MAX_SERVICES`] of them.

mod recorder;

pub(crate) use recorder::{Finished, Recorder};

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Services with a label of their own; the calls of further ones count as `other`.
pub const MAX_SERVICES: usize = 1_000;

/// Upper bounds of the duration histogram in ms: a cached answer, a tool, an agent, a long task.
const BUCKETS_MS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 1_000, 5_000, 30_000, 300_000];

/// Who made the status that the client saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Origin {
    Router,
    Backend,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct CallLabels {
    service: Arc<str>,
    method: Arc<str>,
    code: u8,
    origin: Origin,
}

/// Cumulative counts per bucket would double the work of merging; they are summed when rendered.
#[derive(Debug, Clone, Copy, Default)]
struct Histogram {
    buckets: [u64; BUCKETS_MS.len() + 1],
    sum_us: u64,
}

#[derive(Debug, Default)]
struct Calls {
    services: BTreeSet<Arc<str>>,
    counts: BTreeMap<CallLabels, u64>,
    durations: BTreeMap<Arc<str>, Histogram>,
}

/// Counters and gauges of the data plane, shared by all worker threads.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Client connections open now.
    pub downstream_connections: AtomicU64,
    /// Client connections accepted.
    pub downstream_connections_total: AtomicU64,
    /// Client connections refused at the limit.
    pub downstream_connections_refused_total: AtomicU64,
    /// Connections to instances open now, those being opened included.
    pub upstream_connections: AtomicU64,
    /// Connections to instances opened.
    pub upstream_connections_total: AtomicU64,
    /// Connects to instances that failed.
    pub upstream_connect_failures_total: AtomicU64,
    /// Calls in flight.
    pub calls_in_flight: AtomicU64,
    /// Calls that wait for a look-up or for a healthy instance.
    pub calls_parked: AtomicU64,
    /// Calls that wait for a stream of an upstream connection.
    pub calls_queued: AtomicU64,
    /// Second attempts of calls that were not processed.
    pub retries_total: AtomicU64,
    /// Retries that the budget did not allow.
    pub retries_over_budget_total: AtomicU64,
    /// Instances taken out of the rotation because of their calls' outcomes.
    pub ejections_total: AtomicU64,
    /// HTTP/2 connection errors found in what clients sent.
    pub downstream_protocol_errors_total: AtomicU64,
    /// HTTP/2 connection errors found in what instances sent.
    pub upstream_protocol_errors_total: AtomicU64,
    /// Bytes held for streams that wait for their peers, as of the last merge of each worker thread.
    pub buffered_bytes: AtomicU64,
    /// Worker threads that have shrunk their peers' windows because memory is short.
    pub threads_with_shrunk_windows: AtomicU64,
    /// Calls ended because they held most when the memory budget was used up.
    pub calls_ended_for_memory_total: AtomicU64,
    /// Connections closed because they did not take their output then.
    pub connections_closed_for_memory_total: AtomicU64,
    /// Calls ended because their instance did not read them and others waited for the connection's window.
    pub calls_ended_for_others_total: AtomicU64,
    /// Lines of the access log that its full queue cost.
    pub access_records_lost_total: AtomicU64,
    /// Bytes read from and written to clients.
    pub downstream_bytes: [AtomicU64; 2],
    /// Bytes read from and written to instances.
    pub upstream_bytes: [AtomicU64; 2],
    calls: Mutex<Calls>,
}

impl Metrics {
    /// Appends everything in the Prometheus text format.
    pub fn render(&self, out: &mut String) {
        let value = |atomic: &AtomicU64| atomic.load(Relaxed);
        for (name, kind, help, number) in [
            (
                "downstream_connections",
                "gauge",
                "Client connections open now",
                value(&self.downstream_connections),
            ),
            (
                "downstream_connections_total",
                "counter",
                "Client connections accepted",
                value(&self.downstream_connections_total),
            ),
            (
                "downstream_connections_refused_total",
                "counter",
                "Client connections refused at the limit",
                value(&self.downstream_connections_refused_total),
            ),
            (
                "upstream_connections",
                "gauge",
                "Connections to instances open now",
                value(&self.upstream_connections),
            ),
            (
                "upstream_connections_total",
                "counter",
                "Connections to instances opened",
                value(&self.upstream_connections_total),
            ),
            (
                "upstream_connect_failures_total",
                "counter",
                "Connects to instances that failed",
                value(&self.upstream_connect_failures_total),
            ),
            ("calls_in_flight", "gauge", "Calls in flight", value(&self.calls_in_flight)),
            (
                "calls_parked",
                "gauge",
                "Calls waiting for a look-up or a healthy instance",
                value(&self.calls_parked),
            ),
            (
                "calls_queued",
                "gauge",
                "Calls waiting for a stream of an upstream connection",
                value(&self.calls_queued),
            ),
            (
                "retries_total",
                "counter",
                "Second attempts of calls that were not processed",
                value(&self.retries_total),
            ),
            (
                "retries_over_budget_total",
                "counter",
                "Retries that the budget did not allow",
                value(&self.retries_over_budget_total),
            ),
            ("ejections_total", "counter", "Instances ejected by outcome", value(&self.ejections_total)),
            (
                "downstream_protocol_errors_total",
                "counter",
                "HTTP/2 connection errors of clients",
                value(&self.downstream_protocol_errors_total),
            ),
            (
                "upstream_protocol_errors_total",
                "counter",
                "HTTP/2 connection errors of instances",
                value(&self.upstream_protocol_errors_total),
            ),
            (
                "buffered_bytes",
                "gauge",
                "Bytes held for streams that wait for their peers",
                value(&self.buffered_bytes),
            ),
            (
                "threads_with_shrunk_windows",
                "gauge",
                "Worker threads that shrunk stream windows because memory is short",
                value(&self.threads_with_shrunk_windows),
            ),
            (
                "calls_ended_for_memory_total",
                "counter",
                "Calls ended because they held most of a memory budget that was used up",
                value(&self.calls_ended_for_memory_total),
            ),
            (
                "connections_closed_for_memory_total",
                "counter",
                "Connections closed because they did not take their output then",
                value(&self.connections_closed_for_memory_total),
            ),
            (
                "calls_ended_for_others_total",
                "counter",
                "Calls ended because their instance did not read them and others waited for it",
                value(&self.calls_ended_for_others_total),
            ),
            (
                "access_records_lost_total",
                "counter",
                "Access log lines lost to a full queue",
                value(&self.access_records_lost_total),
            ),
            (
                "downstream_read_bytes_total",
                "counter",
                "Bytes read from clients",
                value(&self.downstream_bytes[0]),
            ),
            (
                "downstream_written_bytes_total",
                "counter",
                "Bytes written to clients",
                value(&self.downstream_bytes[1]),
            ),
            (
                "upstream_read_bytes_total",
                "counter",
                "Bytes read from instances",
                value(&self.upstream_bytes[0]),
            ),
            (
                "upstream_written_bytes_total",
                "counter",
                "Bytes written to instances",
                value(&self.upstream_bytes[1]),
            ),
        ] {
            header(out, name, kind, help);
            let _ = writeln!(out, "switchboard_{name} {number}");
        }
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        header(
            out,
            "calls_total",
            "counter",
            "Calls by Consul service, method, grpc-status and who made the status",
        );
        for (labels, count) in &calls.counts {
            let origin = if labels.origin == Origin::Router { "router" } else { "backend" };
            let _ = writeln!(
                out,
                "switchboard_calls_total{{service=\"{}\",method=\"{}\",code=\"{}\",origin=\"{origin}\"}} {count}",
                labels.service, labels.method, labels.code
            );
        }
        header(out, "call_duration_seconds", "histogram", "Time from request headers to the end of the call");
        for (service, histogram) in &calls.durations {
            let mut sum = 0;
            for (index, count) in histogram.buckets.iter().enumerate() {
                sum += count;
                let bound =
                    BUCKETS_MS.get(index).map_or("+Inf".to_owned(), |ms| format!("{}", *ms as f64 / 1e3));
                let _ = writeln!(
                    out,
                    "switchboard_call_duration_seconds_bucket{{service=\"{service}\",le=\"{bound}\"}} {sum}"
                );
            }
            let _ = writeln!(
                out,
                "switchboard_call_duration_seconds_sum{{service=\"{service}\"}} {}",
                histogram.sum_us as f64 / 1e6
            );
            let _ = writeln!(out, "switchboard_call_duration_seconds_count{{service=\"{service}\"}} {sum}");
        }
    }
}

fn header(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP switchboard_{name} {help}.\n# TYPE switchboard_{name} {kind}");
}
