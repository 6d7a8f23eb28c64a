//! What lanes did over the last minute: counters, sampled.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::engine::LaneState;

/// How often the counters are looked at.
pub(super) const EVERY: Duration = Duration::from_secs(5);
/// Samples of a lane: a minute, with the one before it.
const SAMPLES: usize = 13;

/// Samples by lane.
#[derive(Debug, Default)]
pub(super) struct LaneRates(Mutex<HashMap<String, VecDeque<Sample>>>);

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    ended: u64,
    failed: u64,
}

/// What a lane did lately.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    /// Attempts that ended per second.
    pub(super) per_sec: f64,
    /// Share of them that failed.
    pub(super) failed: f64,
}

impl LaneRates {
    pub(super) fn sample(&self, lanes: &[LaneState]) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Lanes that went take their samples along.
        samples.retain(|name, _| lanes.iter().any(|lane| lane.name == *name));
        for lane in lanes {
            let of_lane = samples.entry(lane.name.clone()).or_default();
            of_lane.push_back(Sample { at: Instant::now(), ended: lane.ended, failed: lane.failed });
            if of_lane.len() > SAMPLES {
                of_lane.pop_front();
            }
        }
    }

    /// From the oldest sample of the last minute to now.
    pub(super) fn of(&self, lane: &LaneState) -> Rates {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = samples.get(&lane.name).and_then(VecDeque::front);
        // A lane that was deleted and made anew counts from zero.
        let Some(first) = first.filter(|first| first.ended <= lane.ended) else { return Rates::default() };
        let (ended, failed) = (lane.ended - first.ended, lane.failed.saturating_sub(first.failed));
        let seconds = first.at.elapsed().as_secs_f64();
        if ended == 0 || seconds <= 0.0 {
            return Rates::default();
        }
        Rates { per_sec: ended as f64 / seconds, failed: failed as f64 / ended as f64 }
    }
}
