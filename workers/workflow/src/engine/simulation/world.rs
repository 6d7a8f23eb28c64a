//! A world that misbehaves, and one that does not any more.

use std::{collections::HashSet, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::runtime::Runtime;
use workflow_machine::{Input, SignalKind, TaskDetail, TaskError, Work, WorkflowDetail, WorkflowId};

use super::{
    disk::{Disk, Fault},
    histories::{Histories, History},
    people::People,
    process::{self, Asked, Process},
    random::Random,
    specs,
};
use crate::{
    attempt::{AttemptId, Report},
    engine::{Gap, LaneSettings, Watch, command::Command},
};

/// Attempts at the same time in the lane that is narrow.
const NARROW: usize = 2;
const LANE: &str = "narrow";

/// How often what was seen, over all schedules: a simulation that never meets a case proves nothing about it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    workflows: u64,
    events: u64,
    crashes: u64,
    failed_syncs: u64,
    jumps: u64,
    replayed: u64,
    stale: u64,
    purged: u64,
    resumed: u64,
    followed: u64,
}

impl Seen {
    /// Fails if something hardly ever happened.
    pub(super) fn everything(&self) {
        let Self {
            workflows,
            events,
            crashes,
            failed_syncs,
            jumps,
            replayed,
            stale,
            purged,
            resumed,
            followed,
        } = self;
        for count in
            [workflows, events, crashes, failed_syncs, jumps, replayed, stale, purged, resumed, followed]
        {
            assert!(*count >= 20, "{self:?}");
        }
    }
}

/// Somebody who looks on, and how far they are.
struct Watcher {
    id: WorkflowId,
    watch: Option<Watch>,
    seq: u64,
}

struct World<'a> {
    random: Random,
    runtime: &'a Runtime,
    disk: Arc<Disk>,
    process: Process,
    people: People,
    histories: Histories,
    watchers: Vec<Watcher>,
    /// Attempts that the executor makes, and their lanes.
    running: Vec<(AttemptId, String)>,
    /// All that it was asked for since the process started.
    asked: HashSet<AttemptId>,
    /// Attempts that are over, and of which somebody may still say something.
    over: Vec<AttemptId>,
    purged: HashSet<String>,
    /// Makes reports different.
    said: u64,
    lives: u64,
    seed: u64,
    seen: &'a mut Seen,
}

/// Runs the schedule of a seed.
pub(super) fn run(seed: u64, runtime: &Runtime, seen: &mut Seen) {
    // Reads of what has ended go through the runtime.
    let _inside = runtime.enter();
    process::set_wall(1_700_000_000_000);
    let mut random = Random::new(seed);
    let disk = Arc::new(Disk::default());
    let process = Process::start(&disk, seed, 1 + random.below(4) as usize);
    let mut world = World {
        random,
        runtime,
        disk,
        process,
        people: People::default(),
        histories: Histories::default(),
        watchers: Vec::new(),
        running: Vec::new(),
        asked: HashSet::new(),
        over: Vec::new(),
        purged: HashSet::new(),
        said: 0,
        lives: 1,
        seed,
        seen,
    };
    world.begin();
    for _ in 0..20 + world.random.below(150) {
        world.misbehave();
    }
    world.behave();
    world.end();
}

impl World<'_> {
    fn begin(&mut self) {
        let lane = LaneSettings { workers: NARROW as u32, ..LaneSettings::DEFAULT };
        let mut set = self.process.handle.set_lane(LANE, lane).boxed();
        assert!((&mut set).now_or_never().is_none());
        drop(set);
        self.turn();
    }

    /// The loop makes a round and the disk has it.
    fn turn(&mut self) {
        self.process.round(usize::MAX);
        self.process.sync(true);
        self.look(true);
    }

    /// Looks at what came of it. `settled`: the disk has all that was done, and everybody was told.
    fn look(&mut self, settled: bool) {
        assert!(
            !self.process.handle.shared().failed.load(std::sync::atomic::Ordering::Relaxed),
            "the engine failed"
        );
        self.histories.read(&self.disk);
        for asked in self.process.asked() {
            self.ask(asked);
        }
        self.people.listen(&self.histories);
        if settled {
            if self.random.one_in(4) {
                self.replay();
            }
            for number in 0..self.watchers.len() {
                self.follow(number, true);
            }
            // Somebody else may have answered for one: it holds no slot then.
            let holds =
                |(attempt, lane): &&(AttemptId, String)| lane == LANE && !self.people.has_ended(attempt);
            let narrow: Vec<_> = self.running.iter().filter(holds).collect();
            assert!(narrow.len() <= NARROW, "in a lane of {NARROW} there are {narrow:?}");
        }
    }

    fn replay(&mut self) {
        let live = &self.process.engine().live;
        self.histories.replay(|id| live.get(id).map(|live| &live.workflow));
    }

    fn ask(&mut self, asked: Asked) {
        match asked {
            Asked::Run(attempt, lane) => {
                let history = self.histories.by_id.get(attempt.workflow.as_str());
                let begun = history.is_none_or(|history| history.has_begun(&attempt));
                assert!(begun, "{attempt:?} is made, and a crash could lose that");
                assert!(self.asked.insert(attempt.clone()), "{attempt:?} is asked for twice");
                self.running.push((attempt, lane));
            }
            Asked::Stop(attempt, grace_ms) => {
                let known = self.running.iter().any(|(running, _)| *running == attempt);
                if grace_ms == 0 {
                    self.running.retain(|(running, _)| *running != attempt);
                    self.over.push(attempt);
                } else if !known {
                    self.report(attempt, Report::Lost);
                }
            }
        }
    }

    fn report(&mut self, attempt: AttemptId, report: Report) {
        if !matches!(report, Report::Progress { .. } | Report::Log { .. }) {
            self.running.retain(|(running, _)| *running != attempt);
            self.over.push(attempt.clone());
        }
        self.people.report(&self.process.reports, attempt, report);
    }

    fn result(&mut self) -> Report {
        self.said += 1;
        Report::Completed { result: Bytes::from(format!("{{\"list\":[1,2],\"said\":{}}}", self.said)) }
    }

    fn any_report(&mut self) -> Report {
        self.said += 1;
        match self.random.below(14) {
            0 | 1 => Report::Failed { error: TaskError::retryable("UNAVAILABLE", "again") },
            2 => Report::Failed { error: TaskError::permanent("BROKEN", "no") },
            3 => Report::Lost,
            4 => Report::Progress { percent: self.random.below(120) as u32, message: "on it".to_owned() },
            5 | 6 => {
                Report::Log { at: 1, level: 2, message: format!("line {}", self.said), fields: Vec::new() }
            }
            _ => self.result(),
        }
    }

    fn misbehave(&mut self) {
        let engine = self.process.handle.clone();
        match self.random.below(100) {
            0..8 => {
                let batch = if self.random.one_in(4) { 2 + self.random.below(2) } else { 1 };
                let specs = (0..batch).map(|_| self.spec()).collect();
                let number = self.people.want(specs);
                self.people.submit(&engine, number);
            }
            8..13 if self.people.wanted() > 0 => {
                let number = self.random.below(self.people.wanted() as u64) as usize;
                self.people.submit(&engine, number);
            }
            13..33 => {
                if let Some((attempt, _)) = self.random.pick(&self.running).cloned() {
                    let report = self.any_report();
                    self.report(attempt, report);
                }
            }
            33..37 => {
                if let Some(attempt) = self.random.pick(&self.over).cloned() {
                    let report = self.any_report();
                    self.report(attempt, report);
                }
            }
            37..57 => {
                let at_most = if self.random.one_in(3) { 1 } else { usize::MAX };
                self.process.round(at_most);
            }
            57..74 => {
                let all = self.random.one_in(2);
                self.process.sync(all);
                self.look(all);
            }
            74..78 => process::pass(Duration::from_millis(self.random.below(4_000))),
            78 => self.jump(),
            79..82 => self.crash(),
            82 if self.random.one_in(2) => self.fail(),
            83..86 => {
                if let Some(id) = self.any() {
                    let name = format!("s{}", self.random.below(3));
                    self.people.signal(&engine, id, name);
                }
            }
            86 if self.people.signals() > 0 => {
                let number = self.random.below(self.people.signals() as u64) as usize;
                self.people.signal_again(&engine, number);
            }
            87..92 => {
                if let Some(id) = self.any() {
                    let input = self.input(&id);
                    self.people.tell(&engine, id, input);
                }
            }
            92 => self.people.pause_engine(&engine, self.random.one_in(2)),
            93 => self.purge(),
            94..96 => {
                if let Some(id) = self.any() {
                    self.people.read(&engine, id);
                }
            }
            96..98 => self.watch(),
            _ if !self.watchers.is_empty() => {
                let number = self.random.below(self.watchers.len() as u64) as usize;
                if self.random.one_in(3) {
                    self.watchers[number].watch = None;
                } else {
                    self.follow(number, false);
                }
            }
            _ => {}
        }
    }

    fn spec(&mut self) -> workflow_machine::Spec {
        let mut spec = specs::spec(&mut self.random);
        if self.random.one_in(2) {
            spec.lane = LANE.to_owned();
        }
        self.seen.workflows += 1;
        spec
    }

    fn any(&mut self) -> Option<WorkflowId> {
        let ids: Vec<_> = self.histories.by_id.values().map(History::id).collect();
        self.random.pick(&ids).cloned()
    }

    fn input(&mut self, id: &WorkflowId) -> Input {
        let history = &self.histories.by_id[id.as_str()];
        let tasks: Vec<_> = history.tasks();
        let task = self.random.pick(&tasks).cloned().unwrap();
        let ended = history.has_ended();
        match self.random.below(10) {
            0 => Input::Pause { reason: "because".to_owned() },
            1 => Input::Resume,
            2 => Input::Cancel { force: self.random.one_in(2), reason: "enough".to_owned() },
            3 => Input::Compensate { reason: "undo".to_owned() },
            4 | 5 if !ended => {
                let kind = [SignalKind::Steer, SignalKind::Interrupt, SignalKind::Collect]
                    [self.random.below(3) as usize];
                let graceful = self.random.one_in(2);
                Input::SignalTask { task, kind, payload: "null".into(), graceful, timeout_ms: 500 }
            }
            _ => {
                let from = self.random.one_in(2).then_some(task);
                Input::Retry { from, reason: "once more".to_owned() }
            }
        }
    }

    fn jump(&mut self) {
        self.seen.jumps += 1;
        let ms = self.random.below(6 * 3_600_000) as i64;
        process::jump(if self.random.one_in(2) { ms } else { -ms });
    }

    /// Asks for some that ended to be deleted.
    fn purge(&mut self) {
        let ended: Vec<_> =
            self.histories.by_id.iter().filter(|(_, it)| it.has_ended()).map(|(id, _)| id.clone()).collect();
        let Some(id) = self.random.pick(&ended).cloned() else { return };
        let history = self.histories.by_id.get_mut(&id).unwrap();
        history.may_go = true;
        let ids = vec![history.summary.id.clone()];
        self.purged.insert(id);
        self.seen.purged += 1;
        let (reply, _) = tokio::sync::oneshot::channel();
        let purge = Command::Purge { ids, before: u64::MAX, reply };
        assert!(self.process.handle.commands.try_send(purge).is_ok());
    }

    fn watch(&mut self) {
        let Some(id) = self.any() else { return };
        let head = self.histories.by_id[id.as_str()].events.len() as u64;
        let seq = if self.random.one_in(2) { 0 } else { self.random.below(head + 1) };
        if self.watchers.len() < 6 {
            self.watchers.push(Watcher { id, watch: None, seq });
        }
    }

    /// A watcher reads on: a little, or all that there is.
    fn follow(&mut self, number: usize, all: bool) {
        let Self { watchers, histories, runtime, process, purged, seen, .. } = self;
        let watcher = &mut watchers[number];
        let Some(history) = histories.by_id.get(watcher.id.as_str()) else { return };
        let watch = match &mut watcher.watch {
            Some(watch) => watch,
            place => {
                seen.resumed += 1;
                match runtime.block_on(process.handle.watch(&watcher.id, watcher.seq)) {
                    Ok(watch) => place.insert(watch),
                    Err(Gap::NotFound) if purged.contains(watcher.id.as_str()) => return,
                    Err(gap) => panic!("{} cannot be watched from {}: {gap}", watcher.id, watcher.seq),
                }
            }
        };
        while watcher.seq < history.events.len() as u64 {
            let next = watch.next();
            let next = if all { Some(runtime.block_on(next)) } else { next.now_or_never() };
            let event = match next {
                None => return,
                Some(Ok(event)) => event,
                Some(Err(Gap::NotFound)) if purged.contains(watcher.id.as_str()) => return,
                Some(Err(gap)) => panic!("{gap}"),
            };
            watcher.seq += 1;
            seen.followed += 1;
            assert_eq!(event.seq, watcher.seq, "a watcher of {} sees all, once", watcher.id);
            assert_eq!(
                Some(&event),
                history.events.get(event.seq as usize - 1),
                "and nothing that a crash could lose"
            );
        }
    }

    /// kill -9, with some of what the committer has on the disk.
    fn crash(&mut self) {
        self.seen.crashes += 1;
        let fault = Fault { after: self.random.below(4), kept: self.random.one_in(2) };
        self.disk.break_down(fault);
        self.restart();
    }

    /// A sync fails: nobody is told anything but that, until the process is started anew.
    fn fail(&mut self) {
        self.seen.failed_syncs += 1;
        let fault = Fault { after: self.random.below(2), kept: self.random.one_in(2) };
        self.disk.break_down(fault);
        for _ in 0..3 {
            self.misbehave_failed();
        }
        self.restart();
    }

    fn misbehave_failed(&mut self) {
        let engine = self.process.handle.clone();
        let spec = self.spec();
        let number = self.people.want(vec![spec]);
        self.people.submit(&engine, number);
        self.process.round(usize::MAX);
        self.process.sync(true);
        self.histories.read(&self.disk);
        for asked in self.process.asked() {
            self.ask(asked);
        }
        self.people.listen(&self.histories);
    }

    fn restart(&mut self) {
        self.watchers.iter_mut().for_each(|watcher| watcher.watch = None);
        self.process.die();
        self.histories.read(&self.disk);
        // What it was still asked for may have been done.
        for asked in self.process.asked() {
            self.ask(asked);
        }
        self.people.hang_up(&self.histories);
        self.people.check(&self.histories, &self.purged);
        self.over.extend(self.running.drain(..).map(|(attempt, _)| attempt));
        self.asked.clear();
        self.disk.mend();
        self.lives += 1;
        let batch = 1 + self.random.below(4) as usize;
        self.process = Process::start(&self.disk, self.seed ^ (self.lives << 32), batch);
    }

    /// Everybody does what they should: everything has to end.
    fn behave(&mut self) {
        let engine = self.process.handle.clone();
        for _ in 0..5_000 {
            self.turn();
            if self.people.calls() == 0 {
                self.people.pause_engine(&engine, false);
                for number in self.people.unacknowledged() {
                    self.people.submit(&engine, number);
                }
            }
            let waits = self.running.is_empty();
            for (attempt, _) in self.running.clone() {
                let result = self.result();
                self.report(attempt, result);
            }
            let told = self.encourage();
            self.process.round(usize::MAX);
            self.process.sync(true);
            self.look(true);
            let live = self.process.engine().live.is_empty();
            if live && self.people.unacknowledged().is_empty() && self.running.is_empty() {
                return;
            }
            if waits && !told && self.running.is_empty() {
                let wait = self.process.engine().wait();
                process::pass(wait.max(Duration::from_millis(1)));
            }
        }
        let live = &self.process.engine().live;
        panic!("{} workflows do not end: {:#?}", live.len(), live.values().next());
    }

    /// Tells those that wait for people what they wait for. Says whether there were any.
    fn encourage(&mut self) -> bool {
        let mut inputs = Vec::new();
        for (id, live) in &self.process.engine().live {
            let workflow = &live.workflow;
            if workflow.is_paused() {
                inputs.push((id.clone(), Input::Resume));
            }
            if workflow.detail() == WorkflowDetail::PendingCompensation {
                inputs.push((id.clone(), Input::Compensate { reason: "at last".to_owned() }));
            }
            for task in &workflow.spec().tasks {
                let Some(Work::WaitSignal(wait)) = &task.work else { continue };
                let waits = |detail: TaskDetail| detail == TaskDetail::Waiting;
                if waits(workflow.task(&task.id).unwrap().detail)
                    || workflow.items(&task.id).any(|item| waits(item.detail))
                {
                    let input = Input::Signal { name: wait.name.clone(), payload: "1".into() };
                    inputs.push((id.clone(), input));
                }
            }
        }
        inputs.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
        let told = !inputs.is_empty();
        let engine = self.process.handle.clone();
        for (id, input) in inputs {
            self.people.tell(&engine, id, input);
        }
        told
    }

    /// All has ended: nothing is left over, and nothing was lost.
    fn end(&mut self) {
        for _ in 0..2 {
            self.turn();
        }
        self.replay();
        self.people.check(&self.histories, &self.purged);
        self.people.check_all(&self.histories, &self.purged);
        for watcher in &self.watchers {
            let head =
                self.histories.by_id.get(watcher.id.as_str()).map(|history| history.events.len() as u64);
            assert!(
                head.is_none_or(|head| watcher.seq == head),
                "a watcher of {} missed the end",
                watcher.id
            );
        }
        self.watchers.clear();
        assert_eq!(self.process.handle.watched(), 0, "who has gone is forgotten");
        let engine = self.process.engine();
        let left = (engine.live.len(), engine.timers.len(), engine.lanes.running(), engine.lanes.waiting());
        assert_eq!(left, (0, 0, 0, 0), "workflows, timers, slots, tasks that wait");
        self.seen.events +=
            self.histories.by_id.values().map(|history| history.events.len() as u64).sum::<u64>();
        self.seen.replayed += self.people.replayed;
        self.seen.stale += self.people.stale;
    }
}
