//! The connections to one instance: a call joins the first with room, or waits until another one is open.

use super::Upstream;
use crate::{
    call::{Phase, is_full},
    directory::Endpoint,
    error::{Error, Reason},
    plane::{CallKey, CallRef, Command, ConnKey, Plane, Side, millis},
};
use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, LazyLock, atomic::Ordering::Relaxed},
};
use switchboard_http2::{self as http2, OpenError};

/// The connections of one worker thread to one instance.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(super) conns: Vec<ConnKey>,
    /// Calls that wait for a stream, oldest first. Entries of calls that gave up are skipped.
    pub(super) waiting: VecDeque<CallRef>,
    /// How often the instance ended a connection because of PINGs.
    pub(super) pinged_too_often: u32,
    /// The instance left the directory: no new call comes, and the pool ends with its last stream.
    pub(super) retired: bool,
    /// Its calls were given a time at which they end.
    pub(super) ends: bool,
}

/// The router's own services as an instance. Its address is never connected to.
pub(super) static LOCAL: LazyLock<Arc<Endpoint>> = LazyLock::new(|| {
    Arc::new(Endpoint {
        instance: "router".into(),
        service: "router".into(),
        addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        version: None,
        capacity: 0,
        weight: 1,
        load: Arc::default(),
    })
});

impl Plane {
    /// Sends the call to the router's own services.
    pub(crate) fn send_local(&mut self, key: CallKey) {
        if let Some(call) = self.calls.get_mut(key) {
            call.service = Some(LOCAL.service.clone());
        }
        self.send_to(key, LOCAL.clone());
    }

    /// Sends the call to the picked instance: on a connection with room, or into the pool's queue.
    pub(crate) fn send_to(&mut self, key: CallKey, endpoint: Arc<Endpoint>) {
        self.leave_room(key);
        let Some(call) = self.calls.get_mut(key) else { return };
        if call.phase == Phase::Parked {
            self.metrics.calls_parked.fetch_sub(1, Relaxed);
        }
        call.phase = Phase::Queued;
        self.metrics.calls_queued.fetch_add(1, Relaxed);
        endpoint.load.opened();
        call.load = Some(endpoint.load.clone());
        call.pool = Some(endpoint.load.number());
        let service = endpoint.service.clone();
        if !self.join_pool(key, endpoint) {
            let limit = self.queue_max(key);
            let message = format!("{limit} calls wait for {service} already: call again, or add instances");
            self.fail(key, Error::limit(Reason::QUEUE_FULL, message));
        }
    }

    /// Opens a stream for the call on a connection with room, or has it wait in the pool's queue. False if that is full.
    pub(crate) fn join_pool(&mut self, key: CallKey, endpoint: Arc<Endpoint>) -> bool {
        let pool_key = endpoint.load.number();
        let limit = self.queue_max(key);
        let Some(serial) = self.calls.get(key).map(|call| call.serial) else { return true };
        let pool = self.pools.entry(pool_key).or_insert_with(|| Pool {
            endpoint,
            conns: Vec::new(),
            waiting: VecDeque::new(),
            pinged_too_often: 0,
            retired: false,
            ends: false,
        });
        // The queue goes first, or a steady stream of new calls would starve it.
        if pool.waiting.is_empty()
            && let Some(conn) = self.conn_with_room(pool_key)
        {
            self.open_stream(key, conn);
            return true;
        }
        let Some(pool) = self.pools.get_mut(&pool_key) else { return true };
        if is_full(&mut pool.waiting, limit, &self.calls, |call| call.waits_at(pool_key)) {
            return false;
        }
        pool.waiting.push_back((key, serial));
        self.set_call_timer(key);
        self.grow(pool_key);
        true
    }

    /// The first connection of the pool that takes another stream now: one that can also send its messages at once,
    /// or, where no further one may be opened, any. A connection whose window is more than half used up may have a stream
    /// that its instance does not read: another such stream there, and all calls beside them would wait.
    pub(super) fn conn_with_room(&self, pool: usize) -> Option<ConnKey> {
        let pool = self.pools.get(&pool)?;
        let open = |key: &ConnKey| match self.conns.get(*key) {
            Some(Some(conn)) if !conn.closing && conn.http2.available_streams() > 0 => {
                Some((*key, &conn.http2))
            }
            _ => None,
        };
        let high_water = self.config.upstream_http2.output_high_water;
        let free = |http2: &http2::Connection| {
            let (left, most) = http2.send_window();
            left >= most / 2 && http2.output().len() < high_water
        };
        let found = pool.conns.iter().filter_map(open).find(|(_, http2)| free(http2));
        let may_grow = pool.conns.len() < self.config.connections_per_endpoint
            && !pool.endpoint.load.is_down(self.now_ms);
        if found.is_some() || may_grow {
            return found.map(|(key, _)| key);
        }
        pool.conns.iter().find_map(open).map(|(key, _)| key)
    }

    /// Opens another connection if calls wait, none is being opened, and the limit allows it.
    pub(super) fn grow(&mut self, pool_key: usize) {
        let limit = self.config.connections_per_endpoint;
        let Some(pool) = self.pools.get(&pool_key) else { return };
        let opening = |key: &ConnKey| matches!(self.conns.get(*key), Some(Some(conn)) if matches!(&conn.side, Side::Upstream(up) if !up.ready));
        if pool.waiting.is_empty() || pool.conns.len() >= limit || pool.conns.iter().any(opening) {
            return;
        }
        // Calls that wait are served by the connections there are, until the instance may accept again.
        if !pool.conns.is_empty() && pool.endpoint.load.is_down(self.now_ms) {
            return;
        }
        let (local, addr, service) =
            (Arc::ptr_eq(&pool.endpoint, &LOCAL), pool.endpoint.addr, pool.endpoint.service.clone());
        self.metrics.upstream_connections.fetch_add(1, Relaxed);
        self.metrics.upstream_connections_total.fetch_add(1, Relaxed);
        let config = http2::Config {
            max_concurrent_streams: self.config.streams_per_upstream_connection,
            stream_window: self.stream_window(self.config.upstream_http2.stream_window),
            ..self.config.upstream_http2.clone()
        };
        let http2 = http2::Connection::client(config);
        let conn = self.insert(http2, Side::Upstream(Upstream::new(pool_key)));
        if let Some(pool) = self.pools.get_mut(&pool_key) {
            pool.conns.push(conn);
        }
        self.conn_timers.set(conn, self.now_ms + millis(self.config.connect_timeout));
        self.command(match local {
            true => Command::ConnectLocal { conn },
            false => Command::Connect { conn, addr, service },
        });
    }

    /// Opens the call's stream on the connection and sends what came of the request so far.
    pub(super) fn open_stream(&mut self, key: CallKey, conn_key: ConnKey) {
        let now_ms = self.now_ms;
        let replay_max = self.config.replay_max_bytes as u64;
        let Some(call) = self.calls.get_mut(key) else { return };
        if call.phase != Phase::Queued {
            return self.open_hedge(key, conn_key);
        }
        let Some(Some(conn)) = self.conns.get_mut(conn_key) else { return };
        let (stream, pending) = match call.send_on(&mut conn.http2, key, now_ms) {
            Ok(opened) => opened,
            // `conn_with_room` looked before; only a connection that is used up says no now.
            Err(
                OpenError::TooManyStreams
                | OpenError::NotReady
                | OpenError::GoingAway
                | OpenError::IdsExhausted
                | OpenError::Closed,
            ) => {
                let serial = call.serial;
                let pool = call.pool.and_then(|pool| self.pools.get_mut(&pool));
                if let Some(pool) = pool {
                    pool.waiting.push_front((key, serial));
                }
                return;
            }
        };
        self.metrics.calls_queued.fetch_sub(1, Relaxed);
        call.phase = Phase::Forwarding;
        call.up = Some((conn_key, stream));
        call.moved = (call.held.len() - pending) as u64;
        call.attempts += 1;
        call.opened_us = self.now_us;
        call.active_ms = now_ms;
        call.patience_ms = match (call.hedge_ms, call.attempts) {
            (0, _) | (_, 2..) => u64::MAX,
            (ms, _) => now_ms + u64::from(ms),
        };
        if call.received > replay_max {
            call.forget_replay();
        }
        let (down, down_stream) = call.down;
        let credit = call.request_credit(replay_max);
        if credit > 0
            && let Some(down_conn) = self.conn(down)
        {
            down_conn.http2.release(down_stream, credit);
            self.mark(down);
        }
        self.set_call_timer(key);
        self.stream_opened(conn_key);
    }

    /// The connection has another stream, and output.
    pub(crate) fn stream_opened(&mut self, key: ConnKey) {
        self.mark(key);
        if !self.conn_timers.is_set(key) {
            self.look_after_instance(key);
        }
    }

    /// Streams or a connection became free: sends waiting calls, oldest first.
    pub(crate) fn serve_queue(&mut self, pool_key: usize) {
        while let Some(pool) = self.pools.get_mut(&pool_key) {
            let Some(&(key, serial)) = pool.waiting.front() else { break };
            let call = self.calls.get(key).filter(|call| call.serial == serial);
            if !call.is_some_and(|call| call.waits_at(pool_key)) {
                pool.waiting.pop_front();
                continue;
            }
            let Some(conn) = self.conn_with_room(pool_key) else { break };
            if let Some(pool) = self.pools.get_mut(&pool_key) {
                pool.waiting.pop_front();
            }
            self.open_stream(key, conn);
        }
        self.grow(pool_key);
        self.close_if_retired(pool_key);
    }
}
