//! The data plane of one worker thread, without sockets and without a clock.
//!
//! [`Plane`] owns the connections' HTTP/2 state, the calls, the upstream pools and the deadlines. The event loop
//! (`worker.rs`) tells it what happened (bytes came, a connect succeeded, time passed, the control plane sent an
//! update) and carries out what it asks for ([`Command`], and output to write). The steps of a call stand in
//! `downstream.rs`, `call.rs` and `upstream.rs`, each an `impl Plane` block; this file holds what they share.
//!
//! A connection is taken out of its slot while one of its events is handled, because the event borrows its
//! HTTP/2 state; everything else stays reachable meanwhile.

mod next;
mod pressure;

pub(crate) use next::{Next, Taken};
use pressure::Pressure;

use crate::{
    balance::Rng,
    call::{Call, Room},
    config::Config,
    directory::Directory,
    downstream::Downstream,
    keepalive::Keepalive,
    link::{AccessRecord, Lookup, Notice, Update},
    observe::{Metrics, Recorder},
    policy::{Enforced, Failures},
    route::{KnownIds, RouteTable},
    timers::Timers,
    upstream::{Pool, Upstream},
};
use foldhash::HashMap;
use slab::Slab;
use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use switchboard_http2::{self as http2, ErrorCode, Headers};
use switchboard_transport::PeerIdentity;

/// Slab key of a connection, and the event loop's token for its socket.
pub(crate) type ConnKey = usize;
/// Slab key of a call, and its handle in both connections' stream tables.
pub(crate) type CallKey = usize;

/// A call by key and serial number, for places that may outlive it.
pub(crate) type CallRef = (CallKey, u64);

/// What the plane asks of the event loop, in this order.
#[derive(Debug)]
pub(crate) enum Command {
    /// Connect the new connection to an instance of the service.
    Connect { conn: ConnKey, addr: SocketAddr, service: Arc<str> },
    /// Connect the new connection to the router's own services.
    ConnectLocal { conn: ConnKey },
    /// Drop the connection's socket; the key may be in use again afterwards.
    Close { conn: ConnKey },
    /// Ask the control plane.
    Lookup(Lookup),
    /// Write a line of the access log.
    Access(Box<AccessRecord>),
    /// Write of a refusal or of a decision on administration.
    Notice(Box<Notice>),
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) http2: http2::Connection,
    pub(crate) side: Side,
    /// Whom the peer's certificate names; `None` in clear, and for clients that showed none.
    pub(crate) peer: Option<Arc<PeerIdentity>>,
    /// The client's address, `None` of instances.
    pub(crate) source: Option<IpAddr>,
    /// Tokens of the client that were looked at in vain.
    pub(crate) failed_tokens: Failures,
    /// Whether the peer still answers.
    pub(crate) alive: Keepalive,
    /// Whether it is in `Plane::dirty`.
    dirty: bool,
    /// Whether a TLS handshake with the client is under way.
    pub(crate) securing: bool,
    /// Bytes of a frame that is not whole yet; the event loop keeps them.
    partial: usize,
    /// Bytes that are encrypted and not taken by the socket; likewise.
    sealed: usize,
    /// Close it once its output is written.
    pub(crate) closing: bool,
    /// Everything is written and the sending side is shut; waits for the peer to close.
    lingering: bool,
}

#[derive(Debug)]
pub(crate) enum Side {
    Downstream(Downstream),
    Upstream(Upstream),
}

impl Side {
    /// Counters of bytes read and written.
    fn bytes<'m>(&self, metrics: &'m Metrics) -> [&'m AtomicU64; 2] {
        match self {
            Side::Downstream(_) => {
                [&metrics.downstream_read_bytes_total, &metrics.downstream_written_bytes_total]
            }
            Side::Upstream(_) => [&metrics.upstream_read_bytes_total, &metrics.upstream_written_bytes_total],
        }
    }
}

/// Output beyond which nothing more is read from a client: it has to take its answers first. Four times
/// what HTTP/2 lets DATA fill (`output_high_water`), since headers are not held back.
const READ_PAUSE_FACTOR: usize = 4;
/// How long a closed connection is given to take what was written (RFC 9112 9.6 calls it lingering close).
const LINGER: Duration = Duration::from_secs(1);
/// What one connection may have done in one turn, in frames; a call that begins counts as some of them. About a third of a
/// millisecond: a flood within all limits must not keep the others waiting for longer.
const EFFORT_PER_TURN: u32 = 1_024;
const EFFORT_OF_A_CALL: u32 = 4;
/// Retired header lists kept for the next calls.
const SPARE_HEADERS: usize = 256;
/// Largest retired header list that is kept.
const SPARE_BYTES: usize = 4096;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Plane {
    pub(crate) config: Arc<Config>,
    pub(crate) routes: Arc<RouteTable>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) known_ids: KnownIds,
    /// `None` while every call passes.
    pub(crate) policy: Option<Box<Enforced>>,
    pub(crate) conns: Slab<Option<Box<Conn>>>,
    pub(crate) calls: Slab<Call>,
    /// Pools by the number of the instance's `Load`.
    pub(crate) pools: HashMap<usize, Pool>,
    pub(crate) call_timers: Timers,
    pub(crate) conn_timers: Timers,
    /// Calls that wait for the directory. In order, so that a run can be repeated.
    pub(crate) parked: BTreeMap<Lookup, VecDeque<CallRef>>,
    /// Calls that wait until an instance has room.
    pub(crate) full: HashMap<Room, VecDeque<CallRef>>,
    /// Those are being served.
    pub(crate) making_room: bool,
    /// Services whose refresh was asked for since the last snapshot.
    pub(crate) refreshing: HashSet<Arc<str>>,
    dirty: Vec<ConnKey>,
    commands: Vec<Command>,
    pub(crate) now_ms: u64,
    pub(crate) now_us: u64,
    pub(crate) rng: Rng,
    pub(crate) recorder: Recorder,
    pub(crate) next_serial: u64,
    pub(crate) draining: bool,
    pressure: Pressure,
    pub(crate) scratch: Headers,
    spare: Vec<Headers>,
}

impl Plane {
    pub(crate) fn new(
        config: Arc<Config>,
        routes: Arc<RouteTable>,
        metrics: Arc<Metrics>,
        seed: u64,
    ) -> Self {
        Plane {
            config,
            routes,
            metrics,
            directory: Arc::default(),
            known_ids: KnownIds::default(),
            policy: None,
            conns: Slab::new(),
            calls: Slab::new(),
            pools: HashMap::default(),
            call_timers: Timers::default(),
            conn_timers: Timers::default(),
            parked: BTreeMap::new(),
            full: HashMap::default(),
            making_room: false,
            refreshing: HashSet::new(),
            dirty: Vec::new(),
            commands: Vec::new(),
            now_ms: 1,
            now_us: 1_000,
            rng: Rng::new(seed),
            recorder: Recorder::new(),
            next_serial: 0,
            draining: false,
            pressure: Pressure::default(),
            scratch: Headers::new(),
            spare: Vec::new(),
        }
    }

    /// Sets the time, microseconds of the router clock, for all that follows.
    pub(crate) fn set_now(&mut self, now_us: u64) {
        self.now_us = now_us;
        self.now_ms = now_us / 1_000;
    }

    /// Handles every deadline that has passed.
    pub(crate) fn tick(&mut self) {
        while let Some(call) = self.call_timers.pop_due(self.now_ms) {
            self.call_timeout(call);
        }
        while let Some(conn) = self.conn_timers.pop_due(self.now_ms) {
            self.conn_timeout(conn);
        }
    }

    /// The next deadline in ms of the router clock.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        [self.call_timers.next(), self.conn_timers.next()].into_iter().flatten().min()
    }

    /// Takes the next command.
    pub(crate) fn commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.commands)
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.commands.push(command);
    }

    pub(crate) fn insert(&mut self, http2: http2::Connection, side: Side) -> ConnKey {
        let alive = Keepalive::new(self.now_ms);
        let conn = Conn {
            http2,
            side,
            peer: None,
            source: None,
            failed_tokens: Failures::default(),
            alive,
            dirty: false,
            securing: false,
            partial: 0,
            sealed: 0,
            closing: false,
            lingering: false,
        };
        let key = self.conns.insert(Some(Box::new(conn)));
        self.mark(key);
        key
    }

    /// The connection's TLS handshake is finished: it has this peer, if any.
    pub(crate) fn secured(&mut self, key: ConnKey, peer: Option<Arc<PeerIdentity>>) {
        let Some(conn) = self.conn(key) else { return };
        conn.peer = peer;
        if std::mem::take(&mut conn.securing) {
            self.expect_preface(key);
        }
        self.mark(key);
    }

    /// Notes how many encrypted bytes wait for the socket.
    pub(crate) fn sealed(&mut self, key: ConnKey, bytes: usize) {
        if let Some(conn) = self.conn(key) {
            conn.sealed = bytes;
        }
    }

    /// The connection, unless it is gone (or taken out of its slot just now).
    pub(crate) fn conn(&mut self, conn: ConnKey) -> Option<&mut Conn> {
        self.conns.get_mut(conn)?.as_deref_mut()
    }

    /// Notes that the connection may have output.
    pub(crate) fn mark(&mut self, key: ConnKey) {
        if let Some(conn) = self.conns.get_mut(key).and_then(|slot| slot.as_deref_mut())
            && !conn.dirty
        {
            conn.dirty = true;
            self.dirty.push(key);
        }
    }

    /// Takes the next connection that may have output.
    pub(crate) fn next_dirty(&mut self) -> Option<ConnKey> {
        while let Some(key) = self.dirty.pop() {
            if let Some(conn) = self.conn(key) {
                conn.dirty = false;
                return Some(key);
            }
        }
        None
    }

    /// Feeds bytes that a connection received. What was not consumed is to be kept and handed in again: with what
    /// follows, or in the next turn if this one was enough. All are consumed once the connection is done for.
    pub(crate) fn received(&mut self, key: ConnKey, input: &[u8]) -> Taken {
        let all = Taken { bytes: input.len(), more: false };
        let mut used = 0;
        let mut effort = 0;
        while effort < EFFORT_PER_TURN {
            let Some(slot) = self.conns.get_mut(key) else { return all };
            let Some(mut conn) = slot.take() else { return all };
            if conn.lingering || conn.closing {
                self.conns[key] = Some(conn);
                return all;
            }
            conn.alive.heard(self.now_ms);
            let step = match conn.side {
                Side::Downstream(_) => self.downstream_step(key, &mut conn, &input[used..]),
                Side::Upstream(_) => self.upstream_step(key, &mut conn, &input[used..]),
            };
            self.conns[key] = Some(conn);
            match step {
                Ok((0, Next::Nothing)) => break,
                Ok((consumed, next)) => {
                    used += consumed;
                    effort += if matches!(next, Next::Admit { .. }) { EFFORT_OF_A_CALL } else { 1 };
                    self.next(key, next);
                }
                Err(error) => {
                    self.protocol_error(key, error);
                    return all;
                }
            }
        }
        if let Some(conn) = self.conn(key) {
            conn.partial = input.len() - used;
        }
        self.mark(key);
        Taken { bytes: used, more: effort >= EFFORT_PER_TURN }
    }

    /// Does what an event asked for, now that its connection is back in its slot.
    fn next(&mut self, key: ConnKey, next: Next) {
        match next {
            Next::Nothing => {}
            Next::Admit { call } => self.admit(call),
            Next::Route { call } => self.route(call),
            Next::Fail { call, error } => self.fail(call, *error),
            Next::Cancelled { call, outcome } => self.cancelled(call, outcome),
            Next::Ready => self.ready(key),
            Next::Decided { call } => self.decided(call),
            Next::Responded { call, code, outcome } => self.responded(call, code, outcome),
            Next::Retry { call, wait_ms } => self.retry_after(call, wait_ms),
            Next::UpstreamReset { call, code } => self.upstream_reset(call, code),
            Next::UpstreamBroken { call, reason, .. } => self.upstream_broken(call, reason),
            Next::GoAway { last_stream } => self.upstream_goaway(key, last_stream),
            Next::Drained => self.finish_drain(key),
        }
    }

    /// The peer broke HTTP/2: GOAWAY is in the output already.
    fn protocol_error(&mut self, key: ConnKey, error: http2::ConnectionError) {
        let Some(conn) = self.conn(key) else { return };
        conn.closing = true;
        let downstream = matches!(conn.side, Side::Downstream(_));
        tracing::debug!(conn = key, downstream, %error, "closing connection");
        if downstream {
            self.metrics.downstream_protocol_errors_total.fetch_add(1, Relaxed);
            self.abandon_calls(key);
        } else {
            self.metrics.upstream_protocol_errors_total.fetch_add(1, Relaxed);
            self.upstream_lost(key, error.reason);
        }
        self.linger_until_closed(key);
        self.mark(key);
    }

    /// The socket is gone: end of stream, reset, or a failed connect.
    pub(crate) fn lost(&mut self, key: ConnKey, why: &str) {
        let Some(conn) = self.conn(key) else { return };
        match conn.side {
            Side::Downstream(_) => self.abandon_calls(key),
            Side::Upstream(_) => self.upstream_lost(key, why),
        }
        self.remove(key);
    }

    /// Forgets the connection and has its socket dropped.
    pub(crate) fn remove(&mut self, key: ConnKey) {
        if let Some(Some(conn)) = self.conns.try_remove(key) {
            self.conn_timers.clear(key);
            let gauge = match conn.side {
                Side::Downstream(_) => &self.metrics.downstream_connections,
                Side::Upstream(_) => &self.metrics.upstream_connections,
            };
            gauge.fetch_sub(1, Relaxed);
            self.commands.push(Command::Close { conn: key });
        }
    }

    /// Whether the event loop should read from the connection now. False while the peer does not take what
    /// was written for it.
    pub(crate) fn wants_read(&self, key: ConnKey) -> bool {
        let Some(Some(conn)) = self.conns.get(key) else { return false };
        let limit = self.config.downstream_http2.output_high_water.saturating_mul(READ_PAUSE_FACTOR);
        matches!(conn.side, Side::Upstream(_)) || conn.http2.output().len() < limit
    }

    /// Moves pending data into the output as far as windows allow, and gives the other side its credit back.
    pub(crate) fn pump(&mut self, key: ConnKey) {
        let Some(conn) = self.conn(key) else { return };
        conn.http2.pump();
        while let Some((stream, call, bytes)) = self.conn(key).and_then(|conn| conn.http2.poll_sent()) {
            self.moved(key, stream, call, bytes);
        }
    }

    /// What is to be written to the connection's socket.
    pub(crate) fn output(&self, key: ConnKey) -> &[u8] {
        match self.conns.get(key) {
            Some(Some(conn)) => conn.http2.output(),
            _ => &[],
        }
    }

    /// Notes that the first `bytes` of the output were written.
    pub(crate) fn written(&mut self, key: ConnKey, bytes: usize) {
        if let Some(Some(conn)) = self.conns.get_mut(key) {
            conn.http2.consume_output(bytes);
            let [_, counter] = conn.side.bytes(&self.metrics);
            counter.fetch_add(bytes as u64, Relaxed);
        }
    }

    /// Counts bytes that were read.
    pub(crate) fn count_read(&mut self, key: ConnKey, bytes: usize) {
        self.grow_unmeasured(bytes);
        if let Some(Some(conn)) = self.conns.get(key) {
            let [counter, _] = conn.side.bytes(&self.metrics);
            counter.fetch_add(bytes as u64, Relaxed);
        }
    }

    /// Whether all is written and the connection has no further use: the event loop shuts the sending side.
    pub(crate) fn is_done(&self, key: ConnKey) -> bool {
        match self.conns.get(key) {
            Some(Some(conn)) => {
                !conn.lingering
                    && conn.http2.output().is_empty()
                    && (conn.closing || conn.http2.is_finished())
            }
            _ => false,
        }
    }

    /// The sending side is shut: waits for the peer's end, but not for long.
    pub(crate) fn linger(&mut self, key: ConnKey) {
        if let Some(conn) = self.conn(key) {
            conn.lingering = true;
        }
        self.detach_upstream(key);
        self.linger_until_closed(key);
    }

    pub(crate) fn linger_until_closed(&mut self, key: ConnKey) {
        self.conn_timers.set(key, self.now_ms + millis(LINGER));
    }

    /// A message of the control plane. `Connection` and `Certificates` are the event loop's.
    pub(crate) fn update(&mut self, update: Update) {
        match update {
            Update::Policy(policy) => self.policy = Enforced::of(policy),
            Update::Snapshot(directory) => self.swap_directory(directory),
            Update::Missing(lookup, nearest) => self.lookup_missing(&lookup, &nearest),
            Update::LookupFailed(lookup, why) => self.lookup_failed(&lookup, &why),
            Update::Connection(..) | Update::Certificates(_) => {}
            Update::GoAway => self.drain_all(),
            Update::Drain => {
                self.draining = true;
                self.drain_all();
            }
            Update::Stop => self.stop(),
        }
    }

    fn drain_all(&mut self) {
        let keys: Vec<ConnKey> = self.conns.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.start_drain(key);
        }
    }

    fn stop(&mut self) {
        let calls: Vec<CallKey> = self.calls.iter().map(|(key, _)| key).collect();
        for call in calls {
            self.fail(call, crate::error::Error::shutting_down());
        }
        let keys: Vec<ConnKey> = self.conns.iter().map(|(key, _)| key).collect();
        for key in keys {
            if let Some(conn) = self.conn(key) {
                conn.http2.goaway(ErrorCode::NO_ERROR, b"shutting down");
                conn.closing = true;
                self.mark(key);
            }
        }
        self.recorder.merge(&self.metrics);
    }

    fn conn_timeout(&mut self, key: ConnKey) {
        let Some(conn) = self.conn(key) else { return };
        if conn.lingering || conn.closing {
            return self.lost(key, "closed");
        }
        match conn.side {
            Side::Downstream(_) => self.downstream_timeout(key),
            Side::Upstream(_) => self.upstream_timeout(key),
        }
    }

    /// Bytes that connections and calls hold now.
    fn buffered_bytes(&self) -> u64 {
        let conns = self.conns.iter().filter_map(|(_, conn)| conn.as_deref());
        let held: usize = self.calls.iter().map(|(_, call)| call.held.len()).sum();
        (conns.map(|conn| conn.http2.buffered_bytes() + conn.partial + conn.sealed).sum::<usize>() + held)
            as u64
    }

    /// A cleared header list, from a finished call where there is one.
    pub(crate) fn take_headers(&mut self) -> Headers {
        self.spare.pop().unwrap_or_default()
    }

    pub(crate) fn give_headers(&mut self, mut headers: Headers) {
        if self.spare.len() < SPARE_HEADERS {
            headers.clear();
            headers.shrink(SPARE_BYTES);
            self.spare.push(headers);
        }
    }
}

/// A duration in whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod simulator;
#[cfg(test)]
mod tests;
