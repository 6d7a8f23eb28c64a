//! Step 8: connections to instances: pools, HTTP/2 as client, reconnect, and the one safe retry.
//!
//! Each worker thread keeps one [`Pool`] per instance. Calls share its connections, the first with room before
//! the next, because full connections batch better; another one is opened when all are full. A stream is opened
//! only on a connection whose peer has sent SETTINGS, so that its limit of streams is known and a peer that
//! accepts and then says nothing counts as a failed connect. Calls wait in the pool's queue until then.
//!
//! Which calls are sent a second time, `call/retry.rs` says.

mod leaving;
mod pool;
mod resets;

pub(crate) use pool::Pool;

use crate::{
    balance::Verdict,
    call::{Call, grpc_status},
    error::Error,
    keepalive::{self, Check},
    observe::Outcome,
    plane::{CallKey, Conn, ConnKey, Next, Plane, Side, millis},
};
use resets::Resets;
use std::{sync::atomic::Ordering::Relaxed, time::Duration};
use switchboard_http2::{self as http2, ConnectionError, ErrorCode, Event, HeadersKind, NO_KEY};

/// Longest silence towards an instance: gRPC servers permit a PING every five minutes by default, by their own clock.
const PING_INTERVAL_MAX: Duration = Duration::from_secs(330);
/// PINGs that may come faster than that while the instance has nothing to say. gRPC servers (C, Go, Java) take the
/// first, strike twice, and end the connection with all its streams at the next (gRFC A8).
const PINGS_IN_A_ROW: u8 = 3;
/// What is left of a `grpc-message` whose trailers were too large.
const CUT_MESSAGE_MAX: usize = 1_024;
/// The status CANCELLED.
const CANCELLED: u8 = 1;

/// State of a connection to an instance.
#[derive(Debug)]
pub(crate) struct Upstream {
    pool: usize,
    /// The peer's SETTINGS came: streams may be opened.
    ready: bool,
    /// It did not prove that it is an instance of its service.
    unverified: bool,
    resets: Resets,
    /// Since when streams wait in vain for the connection's window, in ms of the router clock, and the bytes sent by then.
    pub(crate) starved: Option<(u64, u64)>,
}

impl Upstream {
    fn new(pool: usize) -> Self {
        Upstream { pool, ready: false, unverified: false, resets: Resets::default(), starved: None }
    }
}

impl Plane {
    /// Reads one frame of an instance.
    pub(crate) fn upstream_step(
        &mut self,
        key: ConnKey,
        conn: &mut Conn,
        input: &[u8],
    ) -> Result<(usize, Next), ConnectionError> {
        let step = conn.http2.recv(input, self.now_ms)?;
        let consumed = step.consumed;
        let next = match step.event {
            None => Next::Nothing,
            Some(Event::Headers { stream, key: call, headers, kind, end_stream }) => {
                conn.alive.spoke();
                self.turn_to(call, (key, stream));
                self.response_headers(call, headers, kind, end_stream)
            }
            Some(Event::Data { stream, key: call, data, credit, end_stream }) => {
                conn.alive.spoke();
                self.turn_to(call, (key, stream));
                let (next, release) = self.response_data(call, data, credit, end_stream);
                if release > 0 {
                    conn.http2.release(stream, release);
                }
                next
            }
            Some(Event::Reset { key: NO_KEY, .. } | Event::StreamError { key: NO_KEY, .. }) => Next::Nothing,
            Some(Event::Reset { stream, key: call, code }) => {
                self.turn_to(call, (key, stream));
                Next::UpstreamReset { call, code }
            }
            Some(Event::StreamError { stream, key: call, code, reason }) => {
                self.turn_to(call, (key, stream));
                Next::UpstreamBroken { call, code, reason }
            }
            Some(Event::Settings) => Next::Ready,
            Some(Event::GoAway { last_stream, code, debug }) => {
                if code == ErrorCode::ENHANCE_YOUR_CALM
                    && debug == b"too_many_pings"
                    && let Side::Upstream(state) = &conn.side
                    && let Some(pool) = self.pools.get_mut(&state.pool)
                {
                    pool.pinged_too_often += 1;
                    tracing::info!(instance = %pool.endpoint.instance, "instance asks for fewer PINGs");
                }
                tracing::debug!(conn = key, %code, last_stream, "instance sent GOAWAY");
                Next::GoAway { last_stream }
            }
            Some(Event::PingAck { .. }) => Next::Nothing,
        };
        match next {
            // Too large to pass on, but what was read of them may hold the status.
            Next::UpstreamBroken { call, code: ErrorCode::ENHANCE_YOUR_CALM, reason } => {
                let next = self.cut_status(call, conn.http2.partial_headers());
                Ok((
                    consumed,
                    next.unwrap_or(Next::UpstreamBroken { call, code: ErrorCode::ENHANCE_YOUR_CALM, reason }),
                ))
            }
            next => Ok((consumed, next)),
        }
    }

    /// Trailers (or a trailers-only response) over the limit: the status goes to the client, its message cut, the
    /// rest is lost (complaint 38).
    fn cut_status(&mut self, key: CallKey, fields: &http2::Headers) -> Option<Next> {
        let code = fields.get(b"grpc-status")?;
        let call = self.calls.get_mut(key)?;
        let (started, (down, stream)) = (call.started || call.early.is_some(), call.down);
        self.commit(key);
        self.scratch.clear();
        if !started {
            self.scratch.push(b":status", b"200");
            self.scratch.push(b"content-type", b"application/grpc");
        }
        self.scratch.push(b"grpc-status", code);
        if let Some(message) = fields.get(b"grpc-message") {
            self.scratch.push(b"grpc-message", &message[..message.len().min(CUT_MESSAGE_MAX)]);
        }
        if let Some(Some(conn)) = self.conns.get_mut(down) {
            conn.http2.send_headers(stream, self.scratch.iter(), true);
        }
        self.mark(down);
        Some(Next::Responded { call: key, code: grpc_status(fields), outcome: Outcome::BackendStatus })
    }

    /// Response headers or trailers came: they go to the client as they are.
    fn response_headers(
        &mut self,
        key: CallKey,
        headers: &http2::Headers,
        kind: HeadersKind,
        end: bool,
    ) -> Next {
        let Some(call) = self.calls.get_mut(key) else { return Next::Nothing };
        // gRPC knows no informational responses; the client would have no use for them.
        if kind == HeadersKind::Informational {
            return Next::Nothing;
        }
        if !call.started && end && grpc_status(headers) == CANCELLED && call.deadline_is_near(self.now_ms) {
            // Nobody cancelled: some servers (tonic) name the passing of a deadline so.
            let service = call.service.as_deref().unwrap_or("the instance");
            return Next::Fail { call: key, error: Box::new(Error::deadline_exceeded(service)) };
        }
        call.active_ms = self.now_ms;
        if call.client_done && !call.started && call.early.is_none() {
            // How soon an instance answers; a stream whose answer waits for the client's next word says nothing.
            let latency_us = self.now_us.saturating_sub(call.opened_us);
            if let Some(load) = &call.load {
                load.responded(latency_us, self.now_ms);
            }
        }
        if end && let Some(wait_ms) = self.wants_retry(key, grpc_status(headers), headers) {
            return Next::Retry { call: key, wait_ms };
        }
        let Some(call) = self.calls.get_mut(key) else { return Next::Nothing };
        if !end && call.idempotent && call.client_done && call.replayable && !call.started {
            // The commit point is the first message, not the first header (complaint 51). Not while the client may
            // wait for the headers before it goes on.
            call.early = Some(Box::new(headers.clone()));
            return Next::Nothing;
        }
        self.commit(key);
        let Some(call) = self.calls.get(key) else { return Next::Nothing };
        let (down, stream) = call.down;
        if let Some(Some(conn)) = self.conns.get_mut(down) {
            conn.http2.send_headers(stream, headers.iter(), end);
        }
        self.mark(down);
        match end {
            true => Next::Responded {
                call: key,
                code: grpc_status(headers),
                outcome: Outcome::of_trailers(headers),
            },
            false => Next::Nothing,
        }
    }

    /// The response is the client's from here on: no second attempt, and headers that were kept go out.
    fn commit(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        if call.started {
            return;
        }
        call.started = true;
        call.forget_replay();
        // A stream may stay for days.
        let spent = match &call.method {
            Some(method) if method.unary => None,
            _ => Some(call.shed_request()),
        };
        if call.hedge_ms > 0 && call.client_done && !call.is_hedge {
            let (opened_us, now_us) = (call.opened_us, self.now_us);
            if let Some(call) = self.calls.get(key) {
                self.note_answer(call, now_us.saturating_sub(opened_us));
            }
        }
        if let Some(spent) = spent {
            self.give_headers(spent);
        }
        let Some(call) = self.calls.get_mut(key) else { return };
        let (down, stream) = call.down;
        if let Some(early) = call.early.take()
            && let Some(Some(conn)) = self.conns.get_mut(down)
        {
            conn.http2.send_headers(stream, early.iter(), false);
        }
    }

    /// Response bytes came. Returns the stream credit to give back now; the rest follows as the client takes them.
    fn response_data(&mut self, key: CallKey, data: &[u8], credit: u32, end: bool) -> (Next, u32) {
        let Some(call) = self.calls.get_mut(key) else { return (Next::Nothing, credit) };
        call.response_messages.follow(data);
        if let Err(error) = call.check_response_length() {
            return (Next::Fail { call: key, error: Box::new(error) }, credit);
        }
        if !call.started {
            self.commit(key);
        }
        if self.calls.get(key).is_some_and(|call| call.probe) {
            // A stream may go on for hours: its first message is answer enough.
            self.judge(key, Verdict::Good);
        }
        let Some(call) = self.calls.get_mut(key) else { return (Next::Nothing, credit) };
        call.active_ms = self.now_ms;
        let ((down, stream), hedged) = (call.down, call.other.is_some());
        let mut pending = 0;
        if let Some(Some(conn)) = self.conns.get_mut(down) {
            pending = conn.http2.send_data(stream, data, end);
        }
        self.mark(down);
        let release = credit.saturating_sub(u32::try_from(pending).unwrap_or(u32::MAX));
        // A response without trailers has no status; gRPC clients take it as UNKNOWN.
        let outcome = Outcome::BackendNoStatus;
        let next = match (end, hedged) {
            (true, _) => Next::Responded { call: key, code: 2, outcome },
            (false, true) => Next::Decided { call: key },
            (false, false) => Next::Nothing,
        };
        (next, release)
    }

    /// The instance's SETTINGS came: it is reachable, and its limit of streams may have changed.
    pub(crate) fn upstream_ready(&mut self, key: ConnKey) {
        let Some(conn) = self.conn(key) else { return };
        let Side::Upstream(state) = &mut conn.side else { return };
        let pool_key = state.pool;
        if !state.ready {
            state.ready = true;
            self.look_after_instance(key);
            if let Some(pool) = self.pools.get(&pool_key) {
                pool.endpoint.load.connected();
            }
        }
        self.serve_queue(pool_key);
    }

    /// The instance announced its end: no new streams, and those it has not taken go elsewhere.
    pub(crate) fn upstream_goaway(&mut self, key: ConnKey, last_stream: u32) {
        let Some(conn) = self.conn(key) else { return };
        let unprocessed: Vec<(u32, CallKey)> = conn.http2.unprocessed(last_stream).collect();
        self.detach_upstream(key);
        for (stream, call) in unprocessed {
            if let Some(conn) = self.conn(key) {
                conn.http2.set_key(stream, NO_KEY);
                conn.http2.reset(stream, ErrorCode::CANCEL);
            }
            if call != NO_KEY {
                self.turn_to(call, (key, stream));
                let (service, instance) = self.instance_of(call);
                // Another instance is better; but the same one may only have aged this connection.
                if let Some(call) = self.calls.get_mut(call) {
                    call.may_return = true;
                }
                self.retry_or_fail(call, Error::refused(&service, &instance));
            }
        }
        self.mark(key);
    }

    /// No connection in time, or, once there is one, the end of a pause between resets.
    pub(crate) fn upstream_timeout(&mut self, key: ConnKey) {
        match self.conn(key).map(|conn| &conn.side) {
            Some(Side::Upstream(state)) if state.ready => {
                if !self.resets_due(key) {
                    self.look_after_instance(key);
                }
            }
            _ => self.lost(key, "no connection within the connect timeout"),
        }
    }

    /// Asks a silent instance that has streams for a sign of life; sets the time of the next look. Without streams
    /// nothing is asked (gRFC A8): the next call does so. Unless it does not even take what it was sent.
    fn look_after_instance(&mut self, key: ConnKey) {
        let (now_ms, answer) = (self.now_ms, self.config.ping_timeout);
        let Some(silence) = self.ping_interval(key) else { return self.conn_timers.clear(key) };
        let Some(conn) = self.conn(key) else { return };
        // An answer that is due is waited for: a call must not be sent only to find that the connection is dead.
        if conn.http2.open_streams() == 0 && conn.http2.output().is_empty() && !conn.alive.is_asked() {
            return self.conn_timers.clear(key);
        }
        let look_again_ms = match conn.alive.check(silence, answer, now_ms) {
            Check::Dead => return self.lost(key, "it does not answer PING"),
            Check::Wait { look_again_ms } => look_again_ms,
            Check::Ping { look_again_ms } => {
                conn.http2.ping(keepalive::PING);
                self.mark(key);
                look_again_ms
            }
        };
        // A word of the instance meanwhile shortens the silence that is borne.
        let soon_ms = now_ms + millis(self.config.upstream_ping);
        self.conn_timers.set(key, look_again_ms.min(soon_ms));
    }

    /// The silence that is borne on the connection; `None` if it is never asked. Long after a few PINGs that the
    /// instance only acknowledged, and doubled for each time that it called them too many (gRFC A8).
    fn ping_interval(&mut self, key: ConnKey) -> Option<Duration> {
        let base = self.config.upstream_ping;
        let conn = self.conn(key)?;
        let Side::Upstream(Upstream { pool, .. }) = conn.side else { return None };
        if conn.alive.asked_in_a_row() >= PINGS_IN_A_ROW && !base.is_zero() {
            return Some(PING_INTERVAL_MAX.max(base));
        }
        // The pool of an instance that left may end before the streams of a connection that it announced the end of.
        let times = self.pools.get(&pool).map_or(0, |pool| pool.pinged_too_often.min(8));
        (!base.is_zero()).then(|| (base * (1 << times)).min(PING_INTERVAL_MAX).max(base))
    }

    /// Whoever answered did not prove to be an instance of the service: nothing is sent to it.
    pub(crate) fn unverified(&mut self, key: ConnKey, why: &str) {
        if let Some(Side::Upstream(state)) = self.conn(key).map(|conn| &mut conn.side) {
            state.unverified = true;
        }
        self.lost(key, why);
    }

    /// The connection is gone: ends or retries its calls. The caller removes it.
    pub(crate) fn upstream_lost(&mut self, key: ConnKey, why: &str) {
        let Some(conn) = self.conn(key) else { return };
        let Side::Upstream(state) = &conn.side else { return };
        let (pool_key, ready, unverified) = (state.pool, state.ready, state.unverified);
        let calls: Vec<(u32, CallKey)> =
            conn.http2.unprocessed(0).filter(|&(_, call)| call != NO_KEY).collect();
        self.detach_upstream(key);
        for (stream, call) in calls {
            self.turn_to(call, (key, stream));
            let (service, instance) = self.instance_of(call);
            self.retry_or_fail(call, Error::connection_lost(&service, &instance, why));
        }
        let Some(pool) = self.pools.get_mut(&pool_key) else { return };
        if ready {
            return self.serve_queue(pool_key);
        }
        self.metrics.upstream_connect_failures_total.fetch_add(1, Relaxed);
        pool.endpoint.load.connect_failed(self.now_ms);
        if !pool.conns.is_empty() {
            return self.serve_queue(pool_key);
        }
        // The only connection could not be made: whoever waits for it may go elsewhere.
        let waiting = std::mem::take(&mut pool.waiting);
        let (service, instance) = (pool.endpoint.service.clone(), pool.endpoint.instance.clone());
        tracing::debug!(%service, %instance, why, waiting = waiting.len(), "connect failed");
        for (call, serial) in waiting {
            let waits = |call: &&Call| call.serial == serial && call.waits_at(pool_key);
            if self.calls.get(call).filter(waits).is_some() {
                let error = match unverified {
                    true => Error::not_verified(&service, &instance, why),
                    false => Error::connect_failed(&service, &instance, why),
                };
                self.unreached(call, error);
            }
        }
        self.close_if_retired(pool_key);
    }

    /// Takes the connection out of its pool, so that no new stream is opened on it.
    pub(crate) fn detach_upstream(&mut self, key: ConnKey) {
        let Some(Side::Upstream(state)) = self.conn(key).map(|conn| &conn.side) else { return };
        let pool_key = state.pool;
        if let Some(pool) = self.pools.get_mut(&pool_key) {
            pool.conns.retain(|&conn| conn != key);
        }
    }
}
