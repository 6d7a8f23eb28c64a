//! Step 9: what is known of every call afterwards: counters, a histogram, and the access log.
//!
//! A worker thread notes each finished call in its own `Recorder` and merges it into the shared [`Metrics`]
//! a few times a second, so that counting costs no lock and no shared cache line per call. Label values are
//! bounded: a client can invent IDs, but only registered services get a label, and no more than
//! [`MAX_SERVICES`] of them.

mod outcome;
mod recorder;
mod served;
pub(crate) mod text;
mod tls;

pub(crate) use outcome::{Origin, Outcome};
pub(crate) use recorder::{Finished, Recorder};
pub(crate) use served::Served;
pub(crate) use tls::{Role, TlsFailure};

use crate::policy::Stage;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use text::Kind;

/// Services with a label of their own; the calls of further ones count as `other`.
pub const MAX_SERVICES: usize = 1_000;

/// Upper bounds of the duration histogram in ms: a cached answer, a tool, an agent, a long task.
const BUCKETS_MS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 1_000, 5_000, 30_000, 300_000];

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

impl Histogram {
    fn note(&mut self, duration_us: u64) {
        let bucket = BUCKETS_MS.iter().position(|ms| duration_us <= ms * 1_000);
        self.buckets[bucket.unwrap_or(BUCKETS_MS.len())] += 1;
        self.sum_us += duration_us;
    }
}

#[derive(Debug, Default)]
struct Calls {
    services: BTreeSet<Arc<str>>,
    counts: BTreeMap<CallLabels, u64>,
    failures: BTreeMap<(Outcome, u8), u64>,
    rejections: BTreeMap<(Stage, &'static str), u64>,
    durations: BTreeMap<Arc<str>, Histogram>,
}

/// Declares [`Metrics`]: each row is a field, its documentation and its family in the text format.
macro_rules! metrics {
    ($($kind:ident $name:ident: $help:literal;)*) => {
        /// Counters and gauges of the data plane, shared by all worker threads.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $(#[doc = concat!($help, ".")] pub $name: AtomicU64,)*
            pub(crate) tls: tls::Tls,
            calls: Mutex<Calls>,
        }

        impl Metrics {
            /// Every metric that is one number.
            fn singles(&self) -> impl Iterator<Item = (&'static str, Kind, &'static str, &AtomicU64)> {
                [$((stringify!($name), Kind::$kind, $help, &self.$name)),*].into_iter()
            }
        }
    };
}

metrics! {
    gauge downstream_connections: "Client connections open now";
    counter downstream_connections_total: "Client connections accepted";
    counter downstream_connections_refused_total: "Client connections refused at the limit";
    gauge upstream_connections: "Connections to instances open now, those being opened included";
    counter upstream_connections_total: "Connections to instances opened";
    counter upstream_connect_failures_total: "Connects to instances that failed";
    gauge calls_in_flight: "Calls in flight";
    gauge calls_parked: "Calls that wait for a look-up or for an instance";
    gauge calls_queued: "Calls that wait for a stream of an upstream connection";
    counter retries_total: "Second attempts of calls that were not processed";
    counter retries_over_budget_total: "Retries that the budget did not allow";
    counter hedges_total: "Second attempts beside a slow first one";
    counter hedges_won_total: "Those of them whose answer came first";
    counter hedges_over_budget_total: "Hedges that the retry budget did not allow";
    counter ejections_total: "Instances taken out of the rotation because of their calls' outcomes";
    counter downstream_protocol_errors_total: "HTTP/2 connection errors found in what clients sent";
    counter upstream_protocol_errors_total: "HTTP/2 connection errors found in what instances sent";
    gauge buffered_bytes: "Bytes held for streams that wait for their peers, as of the last merge of each worker thread";
    gauge threads_with_shrunk_windows: "Worker threads that have shrunk their peers' windows because memory is short";
    counter calls_ended_for_memory_total: "Calls ended because they held most when the memory budget was used up";
    counter connections_closed_for_memory_total: "Connections closed because they did not take their output then";
    counter calls_ended_for_others_total: "Calls ended because their instance did not read them and others waited for the connection's window";
    counter access_records_lost_total: "Lines of the access log that its full queue cost";
    counter policy_notices_lost_total: "Lines about refusals and on administration that their full queue cost";
    counter policy_reloads_total: "Times that changed tokens, keys or rules came into force";
    counter policy_reload_failures_total: "Times that changed tokens, keys or rules could not be used, so that the old ones hold";
    gauge policy_limit_keys: "Principals, sources, IDs and methods whose use is remembered for the limits";
    counter downstream_read_bytes_total: "Bytes read from clients";
    counter downstream_written_bytes_total: "Bytes written to clients";
    counter upstream_read_bytes_total: "Bytes read from instances";
    counter upstream_written_bytes_total: "Bytes written to instances";
}

impl Metrics {
    /// Appends everything in the Prometheus text format.
    pub fn render(&self, out: &mut String) {
        for (name, kind, help, value) in self.singles() {
            text::single(out, name, kind, help, value.load(Relaxed));
        }
        self.tls.render(out);
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).render(out);
    }
}

impl Calls {
    fn render(&self, out: &mut String) {
        let help = "Calls by Consul service, method, grpc-status and who made the status";
        text::family(out, "calls_total", Kind::counter, help);
        for (labels, count) in &self.counts {
            let code = labels.code.to_string();
            let labels = [
                ("service", &*labels.service),
                ("method", &*labels.method),
                ("code", &code),
                ("origin", labels.origin.as_str()),
            ];
            text::sample(out, "calls_total", &labels, count);
        }
        let help = "Calls that ended with a status other than OK, by reason, origin and grpc-status";
        text::family(out, "call_failures_total", Kind::counter, help);
        for ((outcome, code), count) in &self.failures {
            let labels = [
                ("reason", outcome.reason()),
                ("origin", outcome.origin().as_str()),
                ("code", &code.to_string()),
            ];
            text::sample(out, "call_failures_total", &labels, count);
        }
        let help = "Calls that the policy refused, by the stage that did and its reason";
        text::family(out, "policy_rejections_total", Kind::counter, help);
        for ((stage, reason), count) in &self.rejections {
            let labels = [("stage", stage.as_str()), ("reason", *reason)];
            text::sample(out, "policy_rejections_total", &labels, count);
        }
        let name = "call_duration_seconds";
        text::family(out, name, Kind::histogram, "Time from request headers to the end of the call");
        for (service, histogram) in &self.durations {
            let mut sum = 0;
            for (index, count) in histogram.buckets.iter().enumerate() {
                sum += count;
                let seconds = BUCKETS_MS.get(index).map(|ms| (*ms as f64 / 1e3).to_string());
                let bound = seconds.as_deref().unwrap_or("+Inf");
                text::sample(out, &format!("{name}_bucket"), &[("service", service), ("le", bound)], sum);
            }
            let label = [("service", &**service)];
            text::sample(out, &format!("{name}_sum"), &label, histogram.sum_us as f64 / 1e6);
            text::sample(out, &format!("{name}_count"), &label, sum);
        }
    }
}
