//! The part of `worker.rs`: carries out commands, reads and writes the plane's ends of the links.

use super::{
    World,
    link::{Answer, Link, Who},
    plan::{MS, NEVER},
};
use crate::plane::{Command, ConnKey};
use std::net::SocketAddr;
use switchboard_http2 as http2;

/// How often memory is measured, as in `worker.rs`.
const MEASURE_MS: u64 = 100;

impl World {
    /// One turn of the event loop after its events.
    pub(super) fn turn(&mut self) {
        self.plane.tick();
        self.settle();
        if self.plane.now_ms >= self.measure_at_ms || self.plane.is_measure_due() {
            self.plane.relieve_pressure();
            self.check_memory();
            self.settle();
            self.measure_at_ms = self.plane.now_ms + MEASURE_MS;
        }
    }

    fn settle(&mut self) {
        self.run_commands();
        while let Some(key) = self.plane.next_dirty() {
            self.write(key);
            self.run_commands();
        }
    }

    pub(super) fn run_commands(&mut self) {
        loop {
            let commands = self.plane.commands();
            if commands.is_empty() {
                return;
            }
            for command in commands {
                match command {
                    Command::Connect { conn, addr, .. } => self.connect(conn, addr),
                    Command::ConnectLocal { conn } => self.plane.lost(conn, "no services here"),
                    Command::Close { conn } => {
                        self.note(|| format!("plane closes conn {conn}"));
                        if let Some(link) = self.sockets.remove(&conn) {
                            self.links[link].key = None;
                            self.links[link].to_peer.ended = true;
                        }
                    }
                    Command::Lookup(lookup) => self.look_up(lookup),
                    Command::Access(_) | Command::Notice(_) => {}
                }
            }
        }
    }

    fn connect(&mut self, conn: ConnKey, addr: SocketAddr) {
        let dice = &mut self.dice;
        let instance = self.registry.instance_at(addr);
        let bad = dice.chance(self.plan.bad_connects);
        let answer = match instance {
            Some(instance) if self.registry.instances[instance].alive && !bad => Answer::Accept,
            _ => Answer::Refuse,
        };
        if bad && dice.chance(300) {
            return self.plane.lost(conn, "refused at once");
        }
        let at_us = if bad && dice.chance(500) { NEVER } else { self.now_us + dice.span(600 * MS) };
        let config = self.plan.peer_http2(dice);
        let who = Who::Instance(instance.unwrap_or(0));
        let mut link = Link::new(conn, who, http2::Connection::server(config), self.plan.socket);
        link.connecting = Some((at_us, answer));
        if dice.chance(self.plan.slow_settings) {
            link.mute_until_us = self.now_us + dice.span(3_000 * MS);
        }
        self.note(|| format!("connect {conn} to {who:?}: {answer:?} at {at_us}"));
        self.adopt(conn, link);
    }

    /// Gives the plane's connection its socket.
    pub(super) fn adopt(&mut self, conn: ConnKey, link: Link) -> usize {
        self.links.push(link);
        let before = self.sockets.insert(conn, self.links.len() - 1);
        assert!(before.is_none(), "key {conn} is given out twice");
        self.plane.mark(conn);
        self.links.len() - 1
    }

    /// The connect is answered.
    pub(super) fn answer_connect(&mut self, link: usize) {
        let Some((_, answer)) = self.links[link].connecting.take() else { return };
        let Some(key) = self.links[link].key else { return };
        match answer {
            Answer::Accept => self.plane.mark(key),
            Answer::Refuse => {
                self.links[link].gone = true;
                self.plane.lost(key, "connection refused");
            }
        }
    }

    /// A piece arrives at the plane.
    pub(super) fn plane_reads(&mut self, at: usize) {
        let next_us = self.now_us + self.dice.span(self.plan.delay_us);
        let link = &mut self.links[at];
        let Some(key) = link.key else { return };
        if !self.plane.wants_read(key) {
            link.paused = true;
            return;
        }
        let piece = link.to_plane.read(next_us, &mut self.dice);
        if piece.is_empty() {
            self.note(|| format!("plane sees the end of link {at} (conn {key})"));
            return self.plane.lost(key, "the peer closed the connection");
        }
        let mut input = std::mem::take(&mut link.partial);
        input.extend(&piece);
        loop {
            let taken = self.plane.received(key, &input);
            assert!(taken.bytes <= input.len(), "more consumed than given");
            input.drain(..taken.bytes);
            if !taken.more {
                break;
            }
        }
        self.links[at].partial = input;
        self.plane.count_read(key, piece.len());
    }

    /// Writes a connection's output until it is empty or the socket is full.
    fn write(&mut self, key: ConnKey) {
        loop {
            self.plane.pump(key);
            let Some(&at) = self.sockets.get(&key) else { return };
            let link = &mut self.links[at];
            if link.connecting.is_some() || link.blocked {
                return;
            }
            let output = self.plane.output(key);
            if output.is_empty() {
                break;
            }
            let at_us = self.now_us + self.dice.span(self.plan.delay_us);
            let taken = match link.gone {
                true => output.len(),
                false => link.to_peer.write(output, at_us, &mut self.dice),
            };
            if taken == 0 {
                link.blocked = true;
                return;
            }
            self.plane.written(key, taken);
            if link.paused && self.plane.wants_read(key) {
                link.paused = false;
            }
        }
        let Some(&at) = self.sockets.get(&key) else { return };
        if self.plane.is_done(key) && !self.links[at].to_peer.ended {
            self.links[at].to_peer.ended = true;
            self.plane.linger(key);
        }
    }
}
