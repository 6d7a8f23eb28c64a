//! The control plane: look-ups answered late, wrongly or never, and a registry that changes.

use super::{
    World,
    plan::{Dice, MS, NEVER, Plan},
};
use crate::{
    directory::{Directory, Endpoint, Hedge, Limits, Load, Service, Strategy, Usage},
    link::{Lookup, Update},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

#[derive(Debug)]
pub(super) struct Instance {
    service: String,
    addr: SocketAddr,
    pub(super) listed: bool,
    /// It takes connections.
    pub(super) alive: bool,
}

#[derive(Debug)]
pub(super) struct Entry {
    strategy: Strategy,
    hedge: Option<Hedge>,
    limits: Option<Arc<Limits>>,
    pub(super) usage: Arc<Usage>,
}

/// Keys of services are `s0`, the middle of `agent-s0`, `s0-agent` and `demo.S0`.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) services: BTreeMap<String, Entry>,
    pub(super) idempotent: BTreeSet<String>,
    pub(super) instances: Vec<Instance>,
    /// What the directory holds.
    known: BTreeSet<String>,
    known_grpc: BTreeSet<String>,
    /// Loads of all instances that ever were, by address.
    pub(super) loads: BTreeMap<SocketAddr, Arc<Load>>,
    capacity: u32,
    /// Messages to the plane on their way; `None` is a snapshot, made when it arrives.
    pub(super) answers: Vec<(u64, Option<Update>)>,
}

impl Registry {
    pub(super) fn new(plan: &Plan, dice: &mut Dice) -> Self {
        let mut registry = Registry {
            services: BTreeMap::new(),
            idempotent: BTreeSet::new(),
            instances: Vec::new(),
            known: BTreeSet::new(),
            known_grpc: BTreeSet::new(),
            loads: BTreeMap::new(),
            capacity: plan.capacity,
            answers: Vec::new(),
        };
        for number in 0..plan.services {
            let name = format!("s{number}");
            let strategy = match dice.below(4) {
                2 => Strategy::Affinity("x-sim-call".into()),
                0 => Strategy::RoundRobin,
                1 => Strategy::LeastRequest,
                _ => Strategy::P2c,
            };
            let hedge = match dice.below(4) {
                0 => Some(Hedge::Tracked),
                1 => Some(Hedge::After(Duration::from_millis(dice.one_of(&[1, 20, 500])))),
                _ => None,
            };
            if dice.chance(300) {
                registry.idempotent.insert(name.clone());
            }
            let limits = dice.chance(300).then(|| Arc::new(limits(dice)));
            let entry = Entry { strategy, hedge, limits, usage: Arc::default() };
            registry.services.insert(name.clone(), entry);
            (0..1 + dice.below(3)).for_each(|_| registry.add_instance(&name));
        }
        registry
    }

    fn add_instance(&mut self, service: &str) {
        let port = 10_000 + u16::try_from(self.instances.len()).unwrap();
        let addr = ([127, 0, 0, 1], port).into();
        self.instances.push(Instance { service: service.to_owned(), addr, listed: true, alive: true });
    }

    pub(super) fn instance_at(&self, addr: SocketAddr) -> Option<usize> {
        self.instances.iter().position(|instance| instance.addr == addr)
    }

    fn directory(&mut self, now_ms: u64) -> Directory {
        let mut directory = Directory::default();
        for name in &self.known {
            let entry = &self.services[name];
            let full: Arc<str> = format!("agent-{name}").into();
            let listed = self.instances.iter().enumerate().filter(|(_, i)| i.listed && i.service == *name);
            let endpoints: Vec<Arc<Endpoint>> = listed
                .map(|(number, instance)| {
                    let joining = || Arc::new(Load::joining(now_ms));
                    Arc::new(Endpoint {
                        instance: format!("i{number}").into(),
                        service: full.clone(),
                        addr: instance.addr,
                        version: (number % 2 == 1).then(|| "v2".into()),
                        capacity: self.capacity,
                        weight: 1,
                        load: self.loads.entry(instance.addr).or_insert_with(joining).clone(),
                    })
                })
                .collect();
            let service = Service {
                name: full.clone(),
                known: endpoints.len(),
                endpoints,
                last_seen: None,
                fresh_until_ms: now_ms + 20_000,
                uniform: true,
                strategy: entry.strategy.clone(),
                idempotent: self.idempotent.contains(name),
                limits: entry.limits.clone(),
                hedge: entry.hedge,
                usage: entry.usage.clone(),
            };
            if self.known_grpc.contains(name) {
                directory.grpc_services.insert(format!("demo.{}", name.to_uppercase()).into(), full.clone());
            }
            directory.services.insert(full, Arc::new(service));
        }
        directory
    }

    /// Changes something; returns which instance takes no connections any more.
    fn change(&mut self, dice: &mut Dice) -> Option<usize> {
        let service = format!("s{}", dice.below(self.services.len()));
        let at = dice.below(self.instances.len());
        match dice.below(6) {
            0 if self.instances.len() < 12 => self.add_instance(&service),
            1 => self.instances[at].listed = false,
            2 => self.instances.iter_mut().filter(|i| i.service == service).for_each(|i| i.listed = false),
            3 if self.instances.len() < 12 => {
                let service = self.instances[at].service.clone();
                (self.instances[at].listed, self.instances[at].alive) = (false, false);
                self.add_instance(&service);
                return Some(at);
            }
            4 => {
                self.instances[at].alive = !self.instances[at].alive;
                return (!self.instances[at].alive).then_some(at);
            }
            _ => self.instances[at].listed = true,
        }
        None
    }

    /// Nothing is registered any more.
    pub(super) fn clear(&mut self) {
        self.known.clear();
        self.known_grpc.clear();
        self.answers.clear();
    }
}

impl World {
    pub(super) fn look_up(&mut self, lookup: Lookup) {
        self.note(|| format!("plane asks {lookup:?}"));
        let dice = &mut self.dice;
        let registry = &mut self.registry;
        let bad = dice.chance(self.plan.lookups_fail);
        let at_us = self.now_us + dice.span(if bad { 8_000 } else { 500 } * MS);
        let name = match &lookup {
            Lookup::Service(name) => name.strip_prefix("agent-").unwrap().to_owned(),
            Lookup::GrpcService(name) => name.strip_prefix("demo.").unwrap().to_lowercase(),
        };
        let answer = match dice.below(4) {
            0 if bad => return,
            1 if bad => Some(Update::LookupFailed(lookup, "the dice say so".into())),
            2 if bad => Some(Update::Missing(lookup, Arc::default())),
            _ if !registry.services.contains_key(&name) => Some(Update::Missing(lookup, Arc::default())),
            _ => {
                if let Lookup::GrpcService(_) = lookup {
                    registry.known_grpc.insert(name.clone());
                }
                registry.known.insert(name);
                None
            }
        };
        registry.answers.push((at_us, answer));
    }

    pub(super) fn answer_arrives(&mut self, index: usize) {
        let (_, answer) = self.registry.answers.remove(index);
        self.note(|| {
            format!("control plane answers {}", if answer.is_some() { "without" } else { "a snapshot" })
        });
        let update = answer.unwrap_or_else(|| {
            let directory = self.registry.directory(self.now_us / MS);
            Update::Snapshot(Arc::new(directory))
        });
        self.plane.update(update);
    }

    /// The registry changes, and the plane hears of it later.
    pub(super) fn registry_changes(&mut self) {
        let dead = self.registry.change(&mut self.dice);
        let at_us = self.now_us + self.dice.span(2_000 * MS);
        self.registry.answers.push((at_us, None));
        self.note(|| format!("the registry changes; dead: {dead:?}"));
        let Some(dead) = dead else { return };
        for at in 0..self.links.len() {
            if self.links[at].who == super::link::Who::Instance(dead) && self.links[at].is_usable() {
                self.cut(at);
            }
        }
    }

    /// The next message's time and place.
    pub(super) fn next_answer(&self) -> Option<(u64, usize)> {
        let answers = self.registry.answers.iter().enumerate().map(|(index, answer)| (answer.0, index));
        answers.min().filter(|answer| answer.0 != NEVER)
    }
}

/// What a service holds its calls to.
fn limits(dice: &mut Dice) -> Limits {
    let mut some =
        |most_ms: u64| dice.chance(500).then(|| Duration::from_millis(dice.span(most_ms * MS) / MS + 1));
    let [timeout, timeout_max, drain_streams_after] = [5_000, 20_000, 5_000].map(&mut some);
    let mut number = |choices: &[u32]| dice.chance(500).then(|| dice.one_of(choices));
    Limits {
        timeout,
        timeout_max,
        // Longer than anything that is no silence.
        stream_idle: Some(Duration::from_secs(120)),
        drain_streams_after,
        max_message_bytes: number(&[1_000, 100_000]),
        max_queue: number(&[1, 10]),
        max_calls: number(&[1, 5, 50]),
    }
}
