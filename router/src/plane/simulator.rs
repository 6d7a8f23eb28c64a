//! A simulator of the data plane: a [`Plane`] under a virtual clock, with scripted clients, instances and registry.
//!
//! One seed decides everything: what is sent, in which pieces it arrives and when, and what goes wrong. The peers are the
//! other role's HTTP/2, so what the plane gets is well-formed, and what it sends is checked by a second opinion. What has
//! to hold stands in `invariants.rs`, and in `client.rs` and `instance.rs` where a peer sees something. Not here: sockets
//! (`sockets.rs` does what `worker.rs` does), peers that break HTTP/2, and the router's own services.
//!
//! `SIM_SEED=7 cargo test -p switchboard-router --lib simulator` repeats one run and says what happened in it;
//! `SIM_SEEDS=100000` tries that many.

mod client;
mod fault;
mod instance;
mod invariants;
mod link;
mod peer;
mod plan;
mod registry;
mod script;
mod sockets;

use super::{ConnKey, Plane};
use crate::{observe::Metrics, route::RouteTable};
use instance::Attempt;
use link::{Link, Who};
use plan::{Dice, MS, NEVER, Plan};
use registry::Registry;
use script::SimCall;
use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Runs of the default test: some 35 s of two cores, unoptimized.
const SEEDS: u64 = 1_000;
/// Steps of one run: beyond it the plane turns in a circle.
const STEPS: usize = 1_000_000;
/// Virtual time of one run in s: longer than every deadline, idle time and back-off together.
const LONGEST_S: u64 = 1_200;

#[derive(Debug, Clone, Copy)]
enum Step {
    Connect(usize),
    PlaneReads(usize),
    PeerReads(usize),
    PeerWrites(usize),
    PeerReleases(usize),
    PeerLeaves(usize),
    Call(usize),
    Attempt(usize),
    Answer(usize),
    Fault,
}

struct World {
    dice: Dice,
    plan: Plan,
    now_us: u64,
    plane: Plane,
    links: Vec<Link>,
    /// By the plane's key.
    sockets: HashMap<ConnKey, usize>,
    calls: Vec<SimCall>,
    attempts: Vec<Attempt>,
    registry: Registry,
    next_fault_us: u64,
    measure_at_ms: u64,
    stopped: bool,
    /// What happened, if anybody wants to know.
    tell: bool,
    steps: usize,
}

impl World {
    fn new(seed: u64, routes: &Arc<RouteTable>, tell: bool) -> Self {
        let mut dice = Dice::new(seed);
        let plan = Plan::new(&mut dice);
        let config = Arc::new(plan.config(&mut dice));
        let registry = Registry::new(&plan, &mut dice);
        let plane =
            Plane::new(config, routes.clone(), Arc::new(Metrics::default()), seed.wrapping_mul(0x9e37_79b9));
        let next_fault_us = if plan.pause_us > 0 { plan.pause_us } else { NEVER };
        let mut world = World {
            dice,
            plan,
            now_us: MS,
            plane,
            links: Vec::new(),
            sockets: HashMap::new(),
            calls: Vec::new(),
            attempts: Vec::new(),
            registry,
            next_fault_us,
            measure_at_ms: 0,
            stopped: false,
            tell,
            steps: 0,
        };
        world.note(|| "begin".into());
        (0..world.plan.calls).for_each(|_| world.plan_call());
        world
    }

    fn note(&self, what: impl FnOnce() -> String) {
        if self.tell {
            eprintln!("{:>12} {}", self.now_us, what());
        }
    }

    /// Returns how many hedges there were, and how many of them won.
    fn run(&mut self) -> [u64; 2] {
        if self.tell {
            eprintln!("{:?}", self.plan);
        }
        while self.calls.iter().any(|call| call.end.is_none()) {
            self.step();
        }
        self.next_fault_us = NEVER;
        // Longer than it takes to find out about a frozen peer.
        self.run_for(80_000 * MS);
        self.check_quiet();
        self.note(|| {
            format!("all calls have ended: {:?}", self.calls.iter().map(|call| call.end).collect::<Vec<_>>())
        });
        for at in 0..self.links.len() {
            if let Who::Client(_) = self.links[at].who {
                self.links[at].cut = true;
                self.peer_leaves(at);
            }
        }
        self.registry.clear();
        self.registry.answers.push((self.now_us, None));
        self.run_for(20_000 * MS);
        self.check_empty();
        [&self.plane.metrics.hedges_total, &self.plane.metrics.hedges_won_total].map(|n| n.load(Relaxed))
    }

    fn run_for(&mut self, span_us: u64) {
        let until_us = self.now_us + span_us;
        while self.now_us < until_us {
            self.step_until(until_us);
        }
    }

    fn step(&mut self) {
        assert!(self.now_us < LONGEST_S * 1_000 * MS, "calls hang: {:?}", self.hanging());
        self.step_until(NEVER);
    }

    fn hanging(&self) -> Vec<String> {
        let hanging = self.calls.iter().enumerate().filter(|(_, call)| call.end.is_none());
        hanging.map(|(id, call)| format!("{id} sent {} ended {}", call.sent, call.request_ended)).collect()
    }

    /// One thing happens, or time passes.
    fn step_until(&mut self, until_us: u64) {
        self.steps += 1;
        assert!(self.steps < STEPS, "no end after {STEPS} steps: {:?}", self.agenda());
        let mut agenda = self.agenda();
        if agenda.iter().all(|(at_us, _)| *at_us > self.now_us) {
            self.turn();
            self.check();
            agenda = self.agenda();
        }
        let due: Vec<Step> =
            agenda.iter().filter(|(at_us, _)| *at_us <= self.now_us).map(|due| due.1).collect();
        if due.is_empty() {
            let deadline_us = self.plane.next_deadline().map(|ms| ms * MS);
            let next_us = agenda.iter().map(|next| next.0).chain(deadline_us).min().unwrap_or(NEVER);
            assert!(next_us.min(until_us) != NEVER, "nothing will ever happen: {:?}", self.hanging());
            self.now_us = next_us.min(until_us).max(self.now_us);
            return self.plane.set_now(self.now_us);
        }
        match due[self.dice.below(due.len())] {
            Step::Connect(link) => self.answer_connect(link),
            Step::PlaneReads(link) => self.plane_reads(link),
            Step::PeerReads(link) => self.peer_reads(link),
            Step::PeerWrites(link) => self.peer_writes(link),
            Step::PeerReleases(link) => self.peer_releases(link),
            Step::PeerLeaves(link) => self.peer_leaves(link),
            Step::Call(call) => self.call_acts(call),
            Step::Attempt(attempt) => self.attempt_acts(attempt),
            Step::Answer(answer) => self.answer_arrives(answer),
            Step::Fault => self.fault(),
        }
        self.run_commands();
        if self.dice.chance(500) {
            self.turn();
        }
        self.check();
    }

    /// What may happen, and when.
    fn agenda(&self) -> Vec<(u64, Step)> {
        let mut agenda = Vec::new();
        let mut add = |at_us: u64, step: Step| {
            if at_us != NEVER {
                agenda.push((at_us, step));
            }
        };
        for (at, link) in self.links.iter().enumerate() {
            if let (Some((at_us, _)), Some(_)) = (link.connecting, link.key) {
                add(at_us, Step::Connect(at));
                continue;
            }
            if link.key.is_some() && !link.paused {
                add(link.to_plane.readable_us(), Step::PlaneReads(at));
            }
            if link.gone || link.frozen {
                continue;
            }
            if link.to_peer.readable_us() != NEVER {
                add(link.to_peer.readable_us().max(link.stall_until_us), Step::PeerReads(at));
            }
            if !link.http2.output().is_empty() && !link.to_plane.is_full() && !link.to_plane.ended {
                add(link.mute_until_us, Step::PeerWrites(at));
            }
            if link.http2.is_finished() && link.http2.output().is_empty() {
                add(self.now_us, Step::PeerLeaves(at));
            }
            link.releases.iter().for_each(|release| add(release.0, Step::PeerReleases(at)));
        }
        for (id, call) in self.calls.iter().enumerate() {
            add(call.next_us.min(call.cancel_us), Step::Call(id));
        }
        self.attempts.iter().enumerate().for_each(|(id, attempt)| add(attempt.next_us, Step::Attempt(id)));
        if let Some((at_us, answer)) = self.next_answer() {
            add(at_us, Step::Answer(answer));
        }
        add(self.next_fault_us, Step::Fault);
        agenda
    }
}

#[test]
fn nothing_is_lost_doubled_or_left_over_under_any_faults() {
    let routes = Arc::new(RouteTable::from_descriptor_set(switchboard_proto::DESCRIPTOR_SET).unwrap());
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let one = number("SIM_SEED");
    let (first, count) = one.map_or((0, number("SIM_SEEDS").unwrap_or(SEEDS)), |seed| (seed, 1));
    let (next, hedges) = (AtomicU64::new(first), [AtomicU64::new(0), AtomicU64::new(0)]);
    let take_seeds = || {
        while let Some(seed) = Some(next.fetch_add(1, Relaxed)).filter(|seed| *seed < first + count) {
            let run = || World::new(seed, &routes, one.is_some()).run();
            let repeat = "cargo test -p switchboard-router --lib simulator";
            let Ok([sent, won]) = catch_unwind(AssertUnwindSafe(run)) else {
                panic!("repeat it with SIM_SEED={seed} {repeat}");
            };
            hedges[0].fetch_add(sent, Relaxed);
            hedges[1].fetch_add(won, Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(take_seeds);
        }
    });
    let [sent, won] = hedges.map(AtomicU64::into_inner);
    // What is rare must not vanish from the runs unnoticed.
    assert!(count < SEEDS || won > 10 && sent > won, "{sent} hedges sent, {won} won");
}
