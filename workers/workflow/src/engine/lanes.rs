//! Lanes: who waits for a slot, and who has one.
//!
//! A slot is an attempt that is under way, never a counter of its own that could leak: each live workflow says which of
//! its attempts hold slots (`Live::slots`), and a lane counts exactly those.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, VecDeque},
};

use prost::Message;
use workflow_machine::{Millis, WorkflowId, limits::DEFAULT_LANE};

use super::command::EngineError;

/// What a lane allows. Kept in the store as protobuf.
#[derive(Clone, PartialEq, Message)]
pub struct LaneSettings {
    /// Attempts at the same time.
    #[prost(uint32, tag = "1")]
    pub workers: u32,
    /// Tasks that may wait before new workflows are refused.
    #[prost(uint32, tag = "2")]
    pub capacity: u32,
    /// Attempts that may begin per second; 0 is no limit.
    #[prost(double, tag = "3")]
    pub rate_per_sec: f64,
    /// Nothing begins.
    #[prost(bool, tag = "4")]
    pub paused: bool,
}

impl LaneSettings {
    /// 256 workers: attempts wait for others, not for this machine. 100,000 waiting tasks are some 30 MB.
    pub const DEFAULT: Self = Self { workers: 256, capacity: 100_000, rate_per_sec: 0.0, paused: false };
}

/// What a lane does.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneState {
    /// Its name.
    pub name: String,
    /// What it allows.
    pub settings: LaneSettings,
    /// Tasks that wait for a slot.
    pub waiting: usize,
    /// Attempts that hold one.
    pub running: usize,
    /// Since when the first in the queue waits.
    pub oldest: Option<Millis>,
    /// Attempts that ended since the start, and how many of them failed.
    pub ended: u64,
    /// See `ended`.
    pub failed: u64,
}

/// A task that waits for a slot.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) workflow: WorkflowId,
    pub(super) task: String,
    since: Millis,
}

/// Names a lane in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LaneKey(usize);

#[derive(Debug)]
struct Lane {
    name: String,
    settings: LaneSettings,
    /// By priority, highest first, then by age.
    queues: BTreeMap<Reverse<i32>, VecDeque<Waiting>>,
    waiting: usize,
    running: usize,
    /// When the next attempt may begin, in microseconds, under a rate.
    next_us: u64,
    ended: u64,
    failed: u64,
    /// Nobody knows it any more; its place is free.
    removed: bool,
}

/// All lanes. The first is the default lane.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    by_name: HashMap<String, LaneKey>,
    default: LaneSettings,
    max: usize,
    /// Where the search for the next task begins, so that lanes take turns.
    turn: usize,
}

/// How many attempts may begin at once under a rate after a pause, in seconds of the rate.
const BURST_US: u64 = 1_000_000;

impl Lanes {
    pub(super) fn new(default: LaneSettings, max: usize) -> Self {
        let mut lanes =
            Self { lanes: Vec::new(), by_name: HashMap::new(), default, max: max.max(1), turn: 0 };
        lanes.of(DEFAULT_LANE);
        lanes
    }

    /// The lane of that name. One that nobody made is made; where there are too many, it is the default lane.
    pub(super) fn of(&mut self, name: &str) -> LaneKey {
        if let Some(key) = self.by_name.get(name) {
            return *key;
        }
        let free = self.lanes.iter().position(|lane| lane.removed);
        if free.is_none() && self.lanes.len() >= self.max {
            return LaneKey(0);
        }
        let key = LaneKey(free.unwrap_or(self.lanes.len()));
        let lane = Lane {
            name: name.to_owned(),
            settings: self.default.clone(),
            queues: BTreeMap::new(),
            waiting: 0,
            running: 0,
            next_us: 0,
            ended: 0,
            failed: 0,
            removed: false,
        };
        match self.lanes.get_mut(key.0) {
            Some(place) => *place = lane,
            None => self.lanes.push(lane),
        }
        self.by_name.insert(name.to_owned(), key);
        key
    }

    /// Whether there is a lane of that name, or room for it.
    pub(super) fn has_room_for(&self, name: &str) -> bool {
        self.by_name.contains_key(name) || self.by_name.len() < self.max
    }

    /// Forgets a lane that nobody needs.
    pub(super) fn remove(&mut self, name: &str) -> Result<(), EngineError> {
        let key = *self.by_name.get(name).ok_or_else(|| EngineError::NoLane(name.to_owned()))?;
        let lane = &mut self.lanes[key.0];
        if key.0 == 0 || lane.waiting > 0 || lane.running > 0 {
            let (waiting, running) = (lane.waiting, lane.running);
            return Err(EngineError::LaneInUse { name: name.to_owned(), waiting, running });
        }
        lane.removed = true;
        self.by_name.remove(name);
        Ok(())
    }

    pub(super) fn set(&mut self, name: &str, settings: LaneSettings) {
        let key = self.of(name);
        self.lanes[key.0].settings = settings;
    }

    pub(super) fn wait(
        &mut self,
        name: &str,
        priority: i32,
        workflow: WorkflowId,
        task: String,
        since: Millis,
    ) {
        let key = self.of(name);
        let lane = &mut self.lanes[key.0];
        lane.queues.entry(Reverse(priority)).or_default().push_back(Waiting { workflow, task, since });
        lane.waiting += 1;
    }

    /// The next task that may begin now, of any lane.
    pub(super) fn next(&mut self, now: Millis) -> Option<(LaneKey, Waiting)> {
        for at in 0..self.lanes.len() {
            let key = (self.turn + at) % self.lanes.len();
            let lane = &mut self.lanes[key];
            if !lane.is_open(now) {
                continue;
            }
            let Some(mut first) = lane.queues.first_entry() else { continue };
            let waiting = first.get_mut().pop_front();
            if first.get().is_empty() {
                first.remove();
            }
            lane.waiting -= 1;
            self.turn = key + 1;
            return waiting.map(|waiting| (LaneKey(key), waiting));
        }
        None
    }

    /// An attempt of the lane begins.
    pub(super) fn begin(&mut self, key: LaneKey, now: Millis) {
        let lane = &mut self.lanes[key.0];
        lane.running += 1;
        if lane.settings.rate_per_sec > 0.0 {
            let step_us = (1e6 / lane.settings.rate_per_sec) as u64;
            lane.next_us = lane.next_us.max((now * 1_000).saturating_sub(BURST_US)) + step_us;
        }
    }

    /// An attempt of the lane ended.
    pub(super) fn end(&mut self, key: LaneKey, failed: bool) {
        let lane = &mut self.lanes[key.0];
        lane.running = lane.running.saturating_sub(1);
        lane.ended += 1;
        lane.failed += u64::from(failed);
    }

    /// How many wait in the lane and how many may, if it is full.
    pub(super) fn overfull(&self, name: &str) -> Option<(usize, usize)> {
        let lane = &self.lanes[self.by_name.get(name)?.0];
        let capacity = lane.settings.capacity as usize;
        (lane.waiting >= capacity).then_some((lane.waiting, capacity))
    }

    /// When a rate lets the next attempt begin, if that is all that is waited for.
    pub(super) fn due(&self, now: Millis) -> Option<Millis> {
        let held_back = |lane: &&Lane| {
            lane.waiting > 0 && lane.has_slot() && !lane.settings.paused && lane.next_us > now * 1_000
        };
        self.lanes.iter().filter(held_back).map(|lane| lane.next_us.div_ceil(1_000)).min()
    }

    pub(super) fn waiting(&self) -> usize {
        self.lanes.iter().map(|lane| lane.waiting).sum()
    }

    pub(super) fn running(&self) -> usize {
        self.lanes.iter().map(|lane| lane.running).sum()
    }

    /// Every lane, by name.
    pub(super) fn states(&self) -> Vec<LaneState> {
        let oldest = |lane: &Lane| lane.queues.values().filter_map(VecDeque::front).map(|it| it.since).min();
        let state = |lane: &Lane| LaneState {
            name: lane.name.clone(),
            settings: lane.settings.clone(),
            waiting: lane.waiting,
            running: lane.running,
            oldest: oldest(lane),
            ended: lane.ended,
            failed: lane.failed,
        };
        let mut states: Vec<_> = self.lanes.iter().filter(|lane| !lane.removed).map(state).collect();
        states.sort_by(|a, b| a.name.cmp(&b.name));
        states
    }
}

impl Lane {
    fn has_slot(&self) -> bool {
        self.running < self.settings.workers as usize
    }

    fn is_open(&self, now: Millis) -> bool {
        let rate = self.settings.rate_per_sec <= 0.0 || self.next_us <= now * 1_000;
        self.waiting > 0 && self.has_slot() && !self.settings.paused && rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(lanes: &mut Lanes, lane: &str, priority: i32, task: &str) {
        lanes.wait(lane, priority, WorkflowId::from("w"), task.to_owned(), 7);
    }

    fn take(lanes: &mut Lanes, now: Millis) -> Option<String> {
        let (key, waiting) = lanes.next(now)?;
        lanes.begin(key, now);
        Some(waiting.task)
    }

    #[test]
    fn higher_priorities_go_first_and_equal_ones_by_age() {
        let mut lanes = Lanes::new(LaneSettings::DEFAULT, 10);
        for (priority, task) in [(0, "a"), (5, "b"), (0, "c"), (5, "d"), (-1, "e")] {
            wait(&mut lanes, "default", priority, task);
        }
        let order: Vec<_> = std::iter::from_fn(|| take(&mut lanes, 0)).collect();
        assert_eq!(order, ["b", "d", "a", "c", "e"]);
    }

    #[test]
    fn a_lane_has_as_many_slots_as_workers_and_gets_them_back() {
        let mut lanes = Lanes::new(LaneSettings { workers: 2, ..LaneSettings::DEFAULT }, 10);
        for task in ["a", "b", "c"] {
            wait(&mut lanes, "x", 0, task);
        }
        assert_eq!((take(&mut lanes, 0).as_deref(), take(&mut lanes, 0).as_deref()), (Some("a"), Some("b")));
        assert_eq!(take(&mut lanes, 0), None);
        let key = lanes.of("x");
        lanes.end(key, true);
        assert_eq!(take(&mut lanes, 0).as_deref(), Some("c"));
        let state = &lanes.states()[1];
        assert_eq!((state.waiting, state.running, state.ended, state.failed), (0, 2, 1, 1));
    }

    #[test]
    fn a_full_or_paused_lane_does_not_hold_up_the_others() {
        let mut lanes = Lanes::new(LaneSettings { workers: 1, ..LaneSettings::DEFAULT }, 10);
        for task in ["a", "b"] {
            wait(&mut lanes, "slow", 0, task);
            wait(&mut lanes, "other", 0, task);
        }
        lanes.set("other", LaneSettings { workers: 9, ..LaneSettings::DEFAULT });
        let taken: Vec<_> = std::iter::from_fn(|| take(&mut lanes, 0)).collect();
        assert_eq!(taken.len(), 3);
        wait(&mut lanes, "other", 0, "c");
        lanes.set("other", LaneSettings { paused: true, ..LaneSettings::DEFAULT });
        assert_eq!(take(&mut lanes, 0), None);
    }

    #[test]
    fn a_rate_allows_its_burst_and_then_so_many_per_second() {
        let mut lanes = Lanes::new(LaneSettings { rate_per_sec: 10.0, ..LaneSettings::DEFAULT }, 10);
        for n in 0..100 {
            wait(&mut lanes, "x", 0, &n.to_string());
        }
        let now = 1_000_000;
        let burst = std::iter::from_fn(|| take(&mut lanes, now)).count();
        assert!((10..=11).contains(&burst), "{burst}");
        assert_eq!(lanes.due(now), Some(now + 100));
        assert!(take(&mut lanes, now + 100).is_some());
        assert!(take(&mut lanes, now + 100).is_none());
    }

    #[test]
    fn a_lane_that_nobody_needs_goes_and_leaves_its_place() {
        let mut lanes = Lanes::new(LaneSettings::DEFAULT, 2);
        wait(&mut lanes, "a", 0, "t");
        assert!(matches!(lanes.remove("a"), Err(EngineError::LaneInUse { waiting: 1, .. })));
        assert!(take(&mut lanes, 0).is_some());
        let key = lanes.of("a");
        lanes.end(key, false);
        lanes.remove("a").unwrap();
        assert!(matches!(lanes.remove("a"), Err(EngineError::NoLane(_))));
        assert!(matches!(lanes.remove("default"), Err(EngineError::LaneInUse { .. })));
        wait(&mut lanes, "b", 0, "t");
        let names: Vec<_> = lanes.states().into_iter().map(|lane| lane.name).collect();
        assert_eq!(names, ["b", "default"]);
    }

    #[test]
    fn beyond_the_most_lanes_the_default_lane_takes_all() {
        let mut lanes = Lanes::new(LaneSettings::DEFAULT, 2);
        let _ = lanes.of("a");
        assert_eq!(lanes.of("b"), lanes.of("default"));
        assert!(!lanes.has_room_for("b"));
        assert!(lanes.has_room_for("a"));
    }
}
