//! One worker thread's counts since the last merge.

use super::{
    CallLabels, Calls, Histogram, MAX_SERVICES, Metrics, Origin, Outcome,
    served::{BROKEN, Counted},
};
use crate::{directory::Load, policy::Stage};
use foldhash::HashMap;
use std::sync::{Arc, PoisonError};

/// A call that has ended.
#[derive(Debug)]
pub(crate) struct Finished<'a> {
    /// Consul service, or `router`; `None` if the call never got as far.
    pub(crate) service: Option<&'a Arc<str>>,
    /// Path of a method that the contract knows; `None` counts as `other`.
    pub(crate) method: Option<&'a Arc<str>>,
    pub(crate) code: u8,
    pub(crate) outcome: Outcome,
    pub(crate) duration_us: u64,
    /// Where it ended.
    pub(crate) instance: Option<&'a Arc<Load>>,
    /// How long its stream was open there; `None` if there was none.
    pub(crate) stream_us: Option<u64>,
}

/// The last code of gRPC; what is beyond counts as UNKNOWN, as clients take it.
const LAST_CODE: u8 = 16;
const UNKNOWN: u8 = 2;

/// Counts by pointer, which is cheaper than by text; the merge goes by text. Emptied several times a second, so
/// it holds no more than the distinct label sets of that time.
#[derive(Debug)]
pub(crate) struct Recorder {
    counts: HashMap<(usize, usize, u8, Origin), (CallLabels, u64)>,
    failures: HashMap<(Outcome, u8), u64>,
    rejections: HashMap<(Stage, &'static str), u64>,
    durations: HashMap<usize, (Arc<str>, Histogram)>,
    instances: HashMap<usize, (Arc<Load>, Counted)>,
    none: Arc<str>,
    other: Arc<str>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Recorder {
            counts: HashMap::default(),
            failures: HashMap::default(),
            rejections: HashMap::default(),
            durations: HashMap::default(),
            instances: HashMap::default(),
            none: "none".into(),
            other: "other".into(),
        }
    }

    /// Notes one call.
    pub(crate) fn note(&mut self, call: &Finished<'_>) {
        let service = call.service.unwrap_or(&self.none);
        let method = call.method.unwrap_or(&self.other);
        let code = if call.code > LAST_CODE { UNKNOWN } else { call.code };
        let origin = call.outcome.origin();
        if code != 0 {
            *self.failures.entry((call.outcome, code)).or_insert(0) += 1;
        }
        let address = |text: &Arc<str>| Arc::as_ptr(text).cast::<u8>() as usize;
        self.counts
            .entry((address(service), address(method), code, origin))
            .or_insert_with(|| {
                let labels = CallLabels { service: service.clone(), method: method.clone(), code, origin };
                (labels, 0)
            })
            .1 += 1;
        let (_, histogram) =
            self.durations.entry(address(service)).or_insert_with(|| (service.clone(), Histogram::default()));
        histogram.note(call.duration_us);
        if let Some(load) = call.instance {
            let counted = self.instance(load);
            counted.calls += 1;
            counted.failures += u64::from(BROKEN.contains(&code));
            if let Some(stream_us) = call.stream_us {
                counted.durations.note(stream_us);
            }
        }
    }

    /// Notes an attempt that failed at an instance and is followed by another one.
    pub(crate) fn attempt_failed(&mut self, load: &Arc<Load>) {
        let counted = self.instance(load);
        counted.calls += 1;
        counted.failures += 1;
    }

    /// Notes a call that a stage of the policy refused.
    pub(crate) fn rejected(&mut self, stage: Stage, why: &'static str) {
        *self.rejections.entry((stage, why)).or_insert(0) += 1;
    }

    fn instance(&mut self, load: &Arc<Load>) -> &mut Counted {
        let new = || (load.clone(), Counted::default());
        &mut self.instances.entry(Arc::as_ptr(load) as usize).or_insert_with(new).1
    }

    /// Adds the counts to the shared ones and starts anew.
    pub(crate) fn merge(&mut self, metrics: &Metrics) {
        for (_, (load, counted)) in self.instances.drain() {
            load.served.add(&counted);
        }
        if self.counts.is_empty() {
            return;
        }
        let mut calls = metrics.calls.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, (mut labels, count)) in self.counts.drain() {
            labels.service = bounded(&mut calls, labels.service, &self.other);
            *calls.counts.entry(labels).or_insert(0) += count;
        }
        for (key, count) in self.failures.drain() {
            *calls.failures.entry(key).or_insert(0) += count;
        }
        for (key, count) in self.rejections.drain() {
            *calls.rejections.entry(key).or_insert(0) += count;
        }
        for (_, (service, local)) in self.durations.drain() {
            let service = bounded(&mut calls, service, &self.other);
            let shared = calls.durations.entry(service).or_default();
            for (sum, count) in shared.buckets.iter_mut().zip(local.buckets) {
                *sum += count;
            }
            shared.sum_us += local.sum_us;
        }
    }
}

fn bounded(calls: &mut Calls, service: Arc<str>, other: &Arc<str>) -> Arc<str> {
    if calls.services.contains(&service) {
        return service;
    }
    if calls.services.len() >= MAX_SERVICES {
        return other.clone();
    }
    calls.services.insert(service.clone());
    service
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(recorder: &mut Recorder, service: &Arc<str>, code: u8) {
        recorder.note(&Finished {
            service: Some(service),
            method: None,
            code,
            outcome: Outcome::BackendStatus,
            duration_us: 1_500,
            instance: None,
            stream_us: None,
        });
    }

    #[test]
    fn instances_count_attempts_failures_and_the_time_of_streams() {
        let (metrics, load) = (Metrics::default(), Arc::new(Load::default()));
        let mut recorder = Recorder::new();
        for (code, stream_us) in [(0, Some(1_500)), (5, Some(1_500)), (14, Some(400_000_000)), (14, None)] {
            recorder.note(&Finished {
                service: None,
                method: None,
                code,
                outcome: Outcome::BackendStatus,
                duration_us: 1,
                instance: Some(&load),
                stream_us,
            });
        }
        recorder.attempt_failed(&load);
        assert_eq!(load.served.calls(), 0, "not before the merge");
        assert!(load.served.durations_us().is_empty());
        recorder.merge(&metrics);
        assert_eq!((load.served.calls(), load.served.failures()), (5, 3));
        let buckets = load.served.durations_us();
        assert_eq!((buckets.len(), buckets[1], buckets[12]), (13, (Some(2_000), 2), (None, 1)));
        assert_eq!(buckets.iter().map(|(_, count)| count).sum::<u64>(), 3);
    }

    #[test]
    fn counts_add_up_over_merges_and_equal_names() {
        let metrics = Metrics::default();
        let mut recorder = Recorder::new();
        for _ in 0..3 {
            // A new allocation each time, as after a new snapshot.
            let service: Arc<str> = "agent-echo".into();
            note(&mut recorder, &service, 0);
            note(&mut recorder, &service, 14);
            recorder.merge(&metrics);
        }
        let mut out = String::new();
        metrics.render(&mut out);
        for line in [
            "switchboard_calls_total{service=\"agent-echo\",method=\"other\",code=\"0\",origin=\"backend\"} 3",
            "switchboard_calls_total{service=\"agent-echo\",method=\"other\",code=\"14\",origin=\"backend\"} 3",
            "switchboard_call_failures_total{reason=\"BACKEND_STATUS\",origin=\"backend\",code=\"14\"} 3",
            "switchboard_call_duration_seconds_bucket{service=\"agent-echo\",le=\"0.001\"} 0",
            "switchboard_call_duration_seconds_bucket{service=\"agent-echo\",le=\"0.002\"} 6",
            "switchboard_call_duration_seconds_count{service=\"agent-echo\"} 6",
        ] {
            assert!(out.contains(line), "{line} not in\n{out}");
        }
    }

    #[test]
    fn labels_are_bounded() {
        let metrics = Metrics::default();
        let mut recorder = Recorder::new();
        (0..=255).for_each(|code| note(&mut recorder, &"agent-0".into(), code));
        recorder.merge(&metrics);
        for i in 0..MAX_SERVICES + 50 {
            note(&mut recorder, &format!("agent-{i}").into(), 0);
        }
        recorder.merge(&metrics);
        let mut out = String::new();
        metrics.render(&mut out);
        assert!(out.contains("service=\"other\",method=\"other\",code=\"0\",origin=\"backend\"} 50"));
        let codes = usize::from(LAST_CODE);
        assert_eq!(out.matches("switchboard_calls_total{").count(), MAX_SERVICES + 1 + codes);
        assert_eq!(out.matches("switchboard_call_failures_total{").count(), codes);
    }
}
