//! What is counted, and the line of JSON that it becomes.

use super::observe::{Observed, Usage};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;

/// The longest latency that is told apart from longer ones.
const LATENCY_MAX_US: u64 = 3_600_000_000;
/// Different texts of errors; further ones are counted together.
const ERROR_TEXTS_MAX: usize = 20;

/// Counts of the window; errors count at any time.
#[derive(Debug)]
pub(super) struct Measure {
    /// The window is open.
    counts: bool,
    /// A call has ended as it should have, in the window or not.
    any: bool,
    calls: u64,
    messages: u64,
    bytes: u64,
    latency: Histogram<u64>,
    errors: BTreeMap<String, u64>,
    began: Option<(u64, Usage)>,
}

/// The figures of a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    shape: &'static str,
    calls: u64,
    messages: u64,
    bytes: u64,
    seconds: f64,
    rps: f64,
    p50_us: u64,
    p90_us: u64,
    p99_us: u64,
    p999_us: u64,
    max_us: u64,
    pub(super) errors: BTreeMap<String, u64>,
    observed: Vec<Observed>,
    load_cpu_ns: u64,
}

impl Measure {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Measure {
            counts: false,
            any: false,
            calls: 0,
            messages: 0,
            bytes: 0,
            latency: Histogram::new_with_bounds(1, LATENCY_MAX_US, 3)?,
            errors: BTreeMap::new(),
            began: None,
        })
    }

    /// Opens the window.
    pub(super) fn begin(&mut self, now_us: u64, usage: Usage) {
        self.counts = true;
        self.began = Some((now_us, usage));
    }

    /// Closes the window. What follows is an error or nothing.
    pub(super) fn end(&mut self, now_us: u64, usage: Usage, shape: &'static str) -> Report {
        self.counts = false;
        let (began_us, before) = self.began.take().unwrap_or((now_us, usage.clone()));
        let seconds = (now_us - began_us) as f64 / 1e6;
        let quantile = |q| self.latency.value_at_quantile(q);
        let (observed, load_cpu_ns) = usage.since(&before);
        Report {
            shape,
            calls: self.calls,
            messages: self.messages,
            bytes: self.bytes,
            seconds,
            rps: if seconds > 0.0 { self.calls as f64 / seconds } else { 0.0 },
            p50_us: quantile(0.5),
            p90_us: quantile(0.9),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
            max_us: self.latency.max(),
            errors: BTreeMap::new(),
            observed,
            load_cpu_ns,
        }
    }

    /// A call ended as it should have.
    #[inline]
    pub(super) fn call(&mut self, request_bytes: usize) {
        self.any = true;
        if self.counts {
            self.calls += 1;
            self.bytes += request_bytes as u64;
        }
    }

    #[inline]
    pub(super) fn latency(&mut self, us: u64) {
        if self.counts {
            self.latency.saturating_record(us);
        }
    }

    #[inline]
    pub(super) fn messages(&mut self, count: u64) {
        if self.counts {
            self.messages += count;
        }
    }

    #[inline]
    pub(super) fn received(&mut self, bytes: usize) {
        if self.counts {
            self.bytes += bytes as u64;
        }
    }

    pub(super) fn error(&mut self, text: String) {
        let known = self.errors.len() < ERROR_TEXTS_MAX || self.errors.contains_key(&text);
        *self.errors.entry(if known { text } else { "other".to_owned() }).or_default() += 1;
    }

    pub(super) fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Takes the errors out, once there are no more to come.
    pub(super) fn take_errors(&mut self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.errors)
    }

    /// Whether any call, or any message of one that is still open, came as it should.
    pub(super) fn has_calls(&self) -> bool {
        self.any || self.messages > 0
    }
}
