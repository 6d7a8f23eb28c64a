//! Schedules in a process that dies, on clocks that jump, with people who pause: each time fires once, never early and never
//! too late.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures_util::FutureExt;
use workflow_machine::{Call, Millis, Spec, TaskSpec, Work};
use workflow_store::{Filter, Store};

use super::{
    disk::{Disk, Fault},
    process::{self, Asked, Process},
    random::Random,
    seeds,
};
use crate::{
    attempt::{AttemptId, Report},
    engine::{NewSchedule, Overlap, Timing},
};

/// Less than a second of an unoptimized build.
const SEEDS: u64 = 40;

const MINUTE: Millis = 60_000;

/// How late a run may be.
const CATCH_UP: Millis = 2 * MINUTE;
const JITTER: Millis = 20_000;

fn schedules() -> [NewSchedule; 4] {
    let call = Call { target: "echo-agent".to_owned(), ..Call::default() };
    let task = TaskSpec { id: "a".to_owned(), work: Some(Work::Call(call)), ..TaskSpec::default() };
    let workflow = Spec { name: "w".to_owned(), tasks: vec![task], ..Spec::default() };
    let cron = |cron: &str| Timing { cron: cron.to_owned(), ..Timing::default() };
    let every = |interval_ms| Timing { interval_ms, ..Timing::default() };
    let new = |id: &str, timing, overlap| NewSchedule {
        id: Some(id.to_owned()),
        timing,
        overlap,
        catch_up_ms: CATCH_UP,
        workflow: workflow.clone(),
        shown: "shown".into(),
        paused: false,
        note: String::new(),
    };
    [
        new("cron", cron("*/3 * * * *"), Overlap::Allow),
        new("skip", cron("* * * * *"), Overlap::Skip),
        new("cancel", every(100_000), Overlap::CancelOther),
        new("jitter", Timing { jitter_ms: JITTER, ..every(70_000) }, Overlap::Allow),
    ]
}

struct World {
    random: Random,
    disk: Arc<Disk>,
    process: Process,
    seed: u64,
    lives: u64,
    running: Vec<AttemptId>,
    /// Runs that the disk has had, by name.
    runs: BTreeSet<String>,
}

#[test]
fn each_time_fires_once_whatever_happens_to_process_and_clock() {
    let mut runs = 0;
    let seeds = seeds::each(SEEDS, |seed| runs += run(seed));
    assert!(runs as u64 > 10 * seeds, "{runs} runs prove nothing");
}

fn run(seed: u64) -> usize {
    process::set_wall(1_700_000_000_000);
    let mut random = Random::new(seed);
    let disk = Arc::new(Disk::default());
    let process = Process::start(&disk, seed, 1 + random.below(4) as usize);
    let mut world =
        World { random, disk, process, seed, lives: 1, running: Vec::new(), runs: BTreeSet::new() };
    let engine = world.process.handle.clone();
    for schedule in schedules() {
        let mut call = engine.create_schedule(schedule, None).boxed();
        assert!((&mut call).now_or_never().is_none(), "answered before anything is done");
        world.turn();
        call.now_or_never().expect("it is answered").unwrap();
    }
    for _ in 0..150 {
        world.misbehave();
        let failed = world.process.handle.shared().failed.load(Relaxed);
        assert!(!failed, "the store refused something");
    }
    world.behave();
    world.runs.len()
}

impl World {
    fn turn(&mut self) {
        self.process.round(usize::MAX);
        self.process.sync(true);
        for asked in self.process.asked() {
            match asked {
                Asked::Run(attempt, _) => self.running.push(attempt),
                Asked::Stop(attempt, _) => self.running.retain(|running| *running != attempt),
            }
        }
    }

    fn misbehave(&mut self) {
        let engine = self.process.handle.clone();
        let id = ["cron", "skip", "cancel", "jitter"][self.random.below(4) as usize];
        match self.random.below(24) {
            0..8 => process::pass(Duration::from_millis(self.random.below(30_000))),
            8 => {
                let by = self.random.below(600_000) as i64;
                process::jump(if self.random.one_in(2) { by } else { -by });
            }
            9..13 => self.process.round(usize::MAX),
            13..16 => self.process.sync(false),
            16..19 => self.turn(),
            // Whoever asks goes away: what was asked is done all the same.
            19 => drop(engine.set_paused(self.random.one_in(3)).now_or_never()),
            20 if self.random.one_in(3) => drop(engine.pause_schedule(id, String::new()).now_or_never()),
            20 => drop(engine.resume_schedule(id).now_or_never()),
            21 => self.crash(),
            _ => {
                if let Some(attempt) = self.random.pick(&self.running).cloned() {
                    self.complete(attempt);
                }
            }
        }
    }

    fn complete(&mut self, attempt: AttemptId) {
        self.running.retain(|running| *running != attempt);
        let report = Report::Completed { result: "1".into() };
        drop(self.process.reports.report(attempt, report).now_or_never());
    }

    /// kill -9, with some of what the committer has on the disk.
    fn crash(&mut self) {
        let fault = Fault { after: self.random.below(4), kept: self.random.one_in(2) };
        self.disk.break_down(fault);
        self.process.die();
        self.disk.mend();
        self.check();
        self.running.clear();
        self.lives += 1;
        let batch = 1 + self.random.below(4) as usize;
        self.process = Process::start(&self.disk, self.seed ^ (self.lives << 32), batch);
    }

    /// Runs and marks are the same, and no run is early, too late or gone.
    fn check(&mut self) {
        let page = self.disk.list(&Filter::default(), None, 1_000).unwrap();
        let created =
            |id: &str| page.summaries.iter().find(|one| one.id.as_str() == id).map(|one| one.created_ms);
        let mut marked = BTreeSet::new();
        for id in ["cron", "skip", "cancel", "jitter"] {
            for mark in self.disk.fired(id, 64).unwrap() {
                let run = String::from_utf8(mark.data.to_vec()).unwrap();
                let at = created(&run).unwrap_or_else(|| panic!("{run} has a mark and is not there"));
                let late = at.checked_sub(mark.at_ms).unwrap_or_else(|| panic!("{run} is early"));
                let delay = if id == "jitter" { JITTER } else { 0 };
                assert!(late <= CATCH_UP + delay, "{run} is {late} ms late");
                marked.insert(run);
            }
        }
        let runs: BTreeSet<String> = page.summaries.iter().map(|one| one.id.to_string()).collect();
        assert_eq!(runs, marked, "runs, and marks");
        assert!(runs.is_superset(&self.runs), "{:?} are gone", self.runs.difference(&runs));
        self.runs = runs;
        self.disk.check();
    }

    /// Everybody does what they should: all schedules fire.
    fn behave(&mut self) {
        let engine = self.process.handle.clone();
        drop(engine.set_paused(false).now_or_never());
        for id in ["cron", "skip", "cancel", "jitter"] {
            drop(engine.resume_schedule(id).now_or_never());
        }
        let mut before = None;
        for _ in 0..30 {
            for _ in 0..3 {
                self.turn();
                for attempt in self.running.clone() {
                    self.complete(attempt);
                }
            }
            let mut call = engine.schedules(String::new(), 10).boxed();
            assert!((&mut call).now_or_never().is_none());
            self.turn();
            let now = call.now_or_never().expect("it is answered").unwrap().schedules;
            self.check();
            for schedule in &now {
                let own = self.runs.iter().filter(|run| run.starts_with(&format!("{}:", schedule.id)));
                assert_eq!(own.count() as u64, schedule.runs, "runs of {}", schedule.id);
            }
            let first = before.get_or_insert_with(|| now.clone());
            if first.iter().zip(&now).all(|(first, now)| now.runs >= first.runs + 2) {
                return;
            }
            process::pass(Duration::from_millis(20_000));
        }
        panic!("not all schedules fire: {before:#?}");
    }
}
