//! What a backend counts of its calls.

use super::CallInfo;
use super::refusal::Refusal;
use crate::handshake::HandshakeCounts;
use crate::sampled::Sampled;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http::Request;
use tracing::warn;

/// The methods of all services of a backend, many times over.
const MAX_METHODS: usize = 256;
/// Status codes are 0 to 16.
const CODES: usize = 17;

/// The stages that refuse calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Nobody knows who calls.
    Auth,
    /// The caller may not call this.
    Authorization,
    /// It may, but not now.
    RateLimit,
    /// It is no call of gRPC.
    Validation,
}

impl Stage {
    /// Every stage, in the order in which calls pass them.
    pub const ALL: [Stage; 4] = [Stage::Auth, Stage::Authorization, Stage::RateLimit, Stage::Validation];

    /// Gives the word for labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Stage::Auth => "auth",
            Stage::Authorization => "authorization",
            Stage::RateLimit => "rate_limit",
            Stage::Validation => "validation",
        }
    }
}

/// Counters of a backend's calls since its start.
#[derive(Debug, Default)]
pub struct Metrics {
    refused: [AtomicU64; 4],
    told: [Sampled; 4],
    panics: AtomicU64,
    pub(crate) handshakes: Arc<HandshakeCounts>,
    methods: RwLock<HashMap<Box<str>, Arc<MethodCounts>>>,
    /// Methods that do not exist, which strangers may name without end.
    unknown: Arc<MethodCounts>,
}

/// Counters of one method.
#[derive(Debug, Default)]
pub(super) struct MethodCounts {
    by_code: [AtomicU64; CODES],
    in_flight: AtomicU64,
    took_ns: AtomicU64,
}

impl MethodCounts {
    pub(super) fn begun(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// How many calls a stage refused.
    pub fn refused_by(&self, stage: Stage) -> u64 {
        self.refused[stage as usize].load(Ordering::Relaxed)
    }

    /// How many calls panicked.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// How many callers did not get through their TLS handshake: they speak none, are not trusted or too slow, or gave
    /// way to later ones.
    pub fn handshakes_failed(&self) -> u64 {
        self.handshakes.failed.load(Ordering::Relaxed) + self.handshakes.displaced.load(Ordering::Relaxed)
    }

    /// How many calls of a method (`/pkg.Service/Method`) ended with this status. Refused ones are not among them.
    pub fn ended_with(&self, path: &str, code: Code) -> u64 {
        let methods = self.methods.read().unwrap_or_else(PoisonError::into_inner);
        methods.get(path).map_or(0, |method| method.by_code[code as usize].load(Ordering::Relaxed))
    }

    /// Writes all of it in Prometheus' text format.
    pub fn render(&self) -> String {
        let mut text = String::from("# TYPE switchboard_backend_refused_total counter\n");
        for stage in Stage::ALL {
            let (name, count) = (stage.as_str(), self.refused_by(stage));
            let _ = writeln!(text, "switchboard_backend_refused_total{{stage=\"{name}\"}} {count}");
        }
        let _ = write!(
            text,
            "# TYPE switchboard_backend_panics_total counter\nswitchboard_backend_panics_total {}\n",
            self.panics()
        );
        text.push_str("# TYPE switchboard_backend_handshakes_total counter\n");
        for (outcome, count) in [
            ("done", &self.handshakes.done),
            ("failed", &self.handshakes.failed),
            ("displaced", &self.handshakes.displaced),
        ] {
            let count = count.load(Ordering::Relaxed);
            let _ = writeln!(text, "switchboard_backend_handshakes_total{{outcome=\"{outcome}\"}} {count}");
        }
        let methods = self.methods.read().unwrap_or_else(PoisonError::into_inner);
        let mut sorted: Vec<_> = methods.iter().map(|(path, counts)| (&**path, counts)).collect();
        sorted.push(("unknown", &self.unknown));
        sorted.sort_unstable_by_key(|(path, _)| *path);
        text.push_str("# TYPE switchboard_backend_calls_total counter\n");
        for (path, counts) in &sorted {
            for (code, count) in counts.by_code.iter().enumerate() {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    let _ = writeln!(
                        text,
                        "switchboard_backend_calls_total{{method=\"{path}\",code=\"{code}\"}} {count}"
                    );
                }
            }
        }
        text.push_str("# TYPE switchboard_backend_calls_in_flight gauge\n");
        for (path, counts) in &sorted {
            let count = counts.in_flight.load(Ordering::Relaxed);
            let _ = writeln!(text, "switchboard_backend_calls_in_flight{{method=\"{path}\"}} {count}");
        }
        text.push_str("# TYPE switchboard_backend_call_seconds_total counter\n");
        for (path, counts) in &sorted {
            let seconds = Duration::from_nanos(counts.took_ns.load(Ordering::Relaxed)).as_secs_f64();
            let _ = writeln!(text, "switchboard_backend_call_seconds_total{{method=\"{path}\"}} {seconds}");
        }
        text
    }

    pub(super) fn refused(&self, refusal: &Refusal, request: &Request<Body>) {
        let at = refusal.stage as usize;
        self.refused[at].fetch_add(1, Ordering::Relaxed);
        let Some(hidden) = self.told[at].admit() else { return };
        let call = CallInfo::of(request);
        warn!(
            stage = refusal.stage.as_str(),
            path = request.uri().path(),
            principal = call.and_then(CallInfo::principal).map(|principal| &*principal.name),
            source = call.map(|call| tracing::field::display(call.source())),
            request_id = call.map(CallInfo::request_id),
            hidden,
            "call refused: {}",
            refusal.message
        );
    }

    pub(super) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// The counters of a method: its own once one of its calls ended otherwise than as unimplemented.
    pub(super) fn method(&self, path: &str) -> Arc<MethodCounts> {
        let methods = self.methods.read().unwrap_or_else(PoisonError::into_inner);
        methods.get(path).unwrap_or(&self.unknown).clone()
    }

    /// Counts a call that began with [`Metrics::method`].
    pub(super) fn ended(&self, began_as: &Arc<MethodCounts>, path: &str, code: Code, took: Duration) {
        began_as.in_flight.fetch_sub(1, Ordering::Relaxed);
        let exists = Arc::ptr_eq(began_as, &self.unknown) && code != Code::Unimplemented;
        let counts = if exists { self.begin_method(path) } else { began_as.clone() };
        counts.by_code[code as usize].fetch_add(1, Ordering::Relaxed);
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        counts.took_ns.fetch_add(took_ns, Ordering::Relaxed);
    }

    fn begin_method(&self, path: &str) -> Arc<MethodCounts> {
        let mut methods = self.methods.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = methods.get(path) {
            return counts.clone();
        }
        if methods.len() >= MAX_METHODS {
            return self.unknown.clone();
        }
        methods.entry(path.into()).or_default().clone()
    }
}
