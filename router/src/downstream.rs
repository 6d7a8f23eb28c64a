//! Step 2: a client's connection: HTTP/2 as server, its drain, its end.
//!
//! Turns what a client sends into steps of calls. A connection begins with a bounded wait for the preface and
//! SETTINGS; it ends by the client, by a broken rule (GOAWAY with the reason), or by drain in two steps:
//! GOAWAY(2^31-1) with a PING, then, when the PING came back and so everything sent before was seen, GOAWAY with
//! the last stream. Calls that run are never ended by it.

use crate::{
    call::Phase,
    keepalive::{self, Check},
    observe::Outcome,
    plane::{CallKey, Conn, ConnKey, Next, Plane, Side, millis},
};
use std::{net::IpAddr, sync::atomic::Ordering::Relaxed};
use switchboard_http2::{self as http2, ConnectionError, ErrorCode, Event, HeadersKind, NO_KEY};

/// How long a client may take until its SETTINGS are read: defaults.md 4.3, as for the first message.
const PREFACE_WAIT_MS: u64 = 10_000;
/// The PING that is sent with the first GOAWAY.
const DRAIN_PING: [u8; 8] = *b"sb-drain";

/// State of a client's connection.
#[derive(Debug, Default)]
pub(crate) struct Downstream {
    drain: Drain,
    /// When its age bids it to reconnect, in ms of the router clock; 0 = never.
    age_at_ms: u64,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Drain {
    #[default]
    No,
    Announced,
    Final,
}

impl Plane {
    /// Takes on a client's connection from that address; the event loop keeps its socket under the key. `None` at the
    /// limit of connections.
    pub(crate) fn accept(&mut self, source: IpAddr) -> Option<ConnKey> {
        let open = self.metrics.downstream_connections.fetch_add(1, Relaxed);
        if open >= self.config.max_connections as u64 {
            self.metrics.downstream_connections.fetch_sub(1, Relaxed);
            self.metrics.downstream_connections_refused_total.fetch_add(1, Relaxed);
            return None;
        }
        self.metrics.downstream_connections_total.fetch_add(1, Relaxed);
        let mut config = self.config.downstream_http2.clone();
        config.stream_window = self.stream_window(config.stream_window);
        let http2 = http2::Connection::server(config);
        let age = millis(self.config.connection_age) as f64 * (0.9 + 0.2 * self.rng.fraction());
        let age_at_ms = if age > 0.0 { self.now_ms + age as u64 } else { 0 };
        let key = self.insert(http2, Side::Downstream(Downstream { drain: Drain::No, age_at_ms }));
        let securing = self.config.serves_tls();
        if let Some(conn) = self.conn(key) {
            conn.source = Some(source);
            conn.securing = securing;
        }
        match securing {
            true => self.conn_timers.set(key, self.now_ms + millis(self.config.tls_handshake_timeout)),
            false => self.expect_preface(key),
        }
        Some(key)
    }

    /// A load balancer said whose connection it is.
    pub(crate) fn comes_from(&mut self, key: ConnKey, source: IpAddr) {
        if let Some(conn) = self.conn(key) {
            conn.source = Some(source);
        }
    }

    /// From now on the client has a bounded time for its preface and SETTINGS.
    pub(crate) fn expect_preface(&mut self, key: ConnKey) {
        self.conn_timers.set(key, self.now_ms + PREFACE_WAIT_MS);
    }

    /// Reads one frame of a client.
    pub(crate) fn downstream_step(
        &mut self,
        key: ConnKey,
        conn: &mut Conn,
        input: &[u8],
    ) -> Result<(usize, Next), ConnectionError> {
        let step = conn.http2.recv(input, self.now_ms)?;
        let consumed = step.consumed;
        let next = match step.event {
            None => Next::Nothing,
            Some(Event::Headers { stream, headers, kind: HeadersKind::Initial, end_stream, .. }) => {
                let call = self.new_call((key, stream), headers, end_stream);
                conn.http2.set_key(stream, call);
                Next::Admit { call }
            }
            // gRPC requests have no trailers; they end the request like END_STREAM on DATA does.
            Some(Event::Headers { key: call, .. }) => self.request_end(call),
            Some(Event::Data { stream, key: call, data, credit, end_stream }) => {
                let (next, release) = self.request_data(call, data, credit, end_stream);
                if release > 0 {
                    conn.http2.release(stream, release);
                }
                next
            }
            Some(Event::Reset { key: NO_KEY, .. } | Event::StreamError { key: NO_KEY, .. }) => Next::Nothing,
            Some(Event::Reset { key: call, .. }) => {
                Next::Cancelled { call, outcome: Outcome::ClientCancelled }
            }
            Some(Event::StreamError { key: call, .. }) => {
                Next::Cancelled { call, outcome: Outcome::ClientBroke }
            }
            Some(Event::Settings) => Next::Ready,
            Some(Event::PingAck { payload: DRAIN_PING }) => Next::Drained,
            Some(Event::PingAck { .. } | Event::GoAway { .. }) => Next::Nothing,
        };
        Ok((consumed, next))
    }

    /// Bytes of the request body came. Returns the stream credit to give back now.
    fn request_data(&mut self, key: CallKey, data: &[u8], credit: u32, end: bool) -> (Next, u32) {
        let Some(call) = self.calls.get_mut(key) else { return (Next::Nothing, credit) };
        if call.phase == Phase::Flushing {
            // The response is complete; the client will stop, and what it still sends is of no use.
            return (Next::Nothing, credit);
        }
        if call.refused.is_some() {
            call.client_done |= end;
            let error = if end { call.refused.take() } else { None };
            return (error.map_or(Next::Nothing, |error| Next::Fail { call: key, error }), credit);
        }
        let padding = credit.saturating_sub(u32::try_from(data.len()).unwrap_or(u32::MAX));
        call.received += data.len() as u64;
        call.active_ms = self.now_ms;
        call.client_done |= end;
        call.request_messages.follow(data);
        if let Err(error) = call.check_request_length() {
            return (Next::Fail { call: key, error: Box::new(error) }, padding);
        }
        if let Err(error) = call.look_for_id(data, &mut self.known_ids) {
            return (Next::Fail { call: key, error: Box::new(error) }, padding);
        }
        let replay_max = self.config.replay_max_bytes as u64;
        match call.up {
            Some((up, stream)) => {
                if call.replayable && call.received <= replay_max {
                    call.held.extend_from_slice(data);
                } else {
                    call.forget_replay();
                }
                if let Some(Some(up_conn)) = self.conns.get_mut(up) {
                    let pending = up_conn.http2.send_data(stream, data, end);
                    call.moved += (data.len() - pending) as u64;
                }
            }
            None => call.held.extend_from_slice(data),
        }
        let release = call.request_credit(replay_max) + padding;
        let (up, routing) = (call.up, call.phase == Phase::Reading);
        if let Some((up, _)) = up {
            self.mark(up);
        }
        (if routing { Next::Route { call: key } } else { Next::Nothing }, release)
    }

    /// The request ended without further data.
    fn request_end(&mut self, key: CallKey) -> Next {
        self.request_data(key, &[], 0, true).0
    }

    /// The client's SETTINGS came (again).
    pub(crate) fn downstream_ready(&mut self, key: ConnKey) {
        let draining = self.draining;
        let Some(conn) = self.conn(key) else { return };
        let Side::Downstream(state) = &conn.side else { return };
        if state.drain == Drain::No {
            match draining {
                true => self.start_drain(key),
                false => self.look_after_client(key),
            }
        }
    }

    /// First step of the drain of a client's connection.
    pub(crate) fn start_drain(&mut self, key: ConnKey) {
        let gap = millis(self.config.drain_goaway_gap);
        let now_ms = self.now_ms;
        let Some(conn) = self.conn(key) else { return };
        let Side::Downstream(state) = &mut conn.side else { return };
        if state.drain == Drain::No && conn.http2.is_ready() {
            state.drain = Drain::Announced;
            conn.http2.drain();
            conn.http2.ping(DRAIN_PING);
            self.conn_timers.set(key, now_ms + gap);
            self.mark(key);
        }
    }

    /// Second step: no further stream will be accepted.
    pub(crate) fn finish_drain(&mut self, key: ConnKey) {
        let Some(conn) = self.conn(key) else { return };
        let Side::Downstream(state) = &mut conn.side else { return };
        if state.drain == Drain::Announced {
            state.drain = Drain::Final;
            conn.http2.goaway(ErrorCode::NO_ERROR, b"");
            self.look_after_client(key);
            self.mark(key);
        }
    }

    /// Asks a silent client for a sign of life, and an old connection to reconnect; sets the time of the next look.
    fn look_after_client(&mut self, key: ConnKey) {
        let (silence, answer) = (self.config.downstream_ping, self.config.ping_timeout);
        let now_ms = self.now_ms;
        let Some(conn) = self.conn(key) else { return };
        let Side::Downstream(state) = &conn.side else { return };
        let age_at_ms =
            if state.drain == Drain::No && state.age_at_ms > 0 { state.age_at_ms } else { u64::MAX };
        if now_ms >= age_at_ms {
            return self.start_drain(key);
        }
        let check = match silence.is_zero() {
            true => Check::Wait { look_again_ms: u64::MAX },
            false => conn.alive.check(silence, answer, now_ms),
        };
        let look_again_ms = match check {
            Check::Dead => return self.lost(key, "the client does not answer PING"),
            Check::Wait { look_again_ms } => look_again_ms,
            Check::Ping { look_again_ms } => {
                conn.http2.ping(keepalive::PING);
                self.mark(key);
                look_again_ms
            }
        };
        match look_again_ms.min(age_at_ms) {
            u64::MAX => self.conn_timers.clear(key),
            at_ms => self.conn_timers.set(key, at_ms),
        }
    }

    pub(crate) fn downstream_timeout(&mut self, key: ConnKey) {
        let Some(conn) = self.conn(key) else { return };
        if conn.securing {
            return self.lost(key, "no TLS handshake in time");
        }
        if conn.http2.is_ready() {
            let announced = matches!(&conn.side, Side::Downstream(state) if state.drain == Drain::Announced);
            return if announced { self.finish_drain(key) } else { self.look_after_client(key) };
        }
        conn.http2.goaway(ErrorCode::PROTOCOL_ERROR, b"no preface and SETTINGS in time");
        conn.closing = true;
        self.linger_until_closed(key);
        self.mark(key);
    }

    /// The client is gone: its calls are cancelled at their instances.
    pub(crate) fn abandon_calls(&mut self, key: ConnKey) {
        let Some(conn) = self.conn(key) else { return };
        let calls: Vec<CallKey> =
            conn.http2.unprocessed(0).map(|(_, call)| call).filter(|&call| call != NO_KEY).collect();
        for call in calls {
            self.cancelled(call, Outcome::ClientGone);
        }
    }
}
