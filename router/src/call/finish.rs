//! The end of a call: by its response, by an error, by its client. Each call ends here, exactly once.

use super::{Call, Phase};
use crate::{
    balance::{self, Verdict},
    error::{Code, Error},
    link::AccessRecord,
    observe::{Finished, Outcome},
    plane::{CallKey, Command, Plane, Side, millis},
    route::Target,
};
use std::sync::atomic::Ordering::Relaxed;
use switchboard_http2::{ErrorCode, NO_KEY};

/// The status that counts for a call that its client gave up: CANCELLED.
const CANCELLED: u8 = 1;

impl Plane {
    /// Answers with an error of the router's own.
    pub(crate) fn fail(&mut self, key: CallKey, mut error: Error) {
        if self.calls.get(key).is_none_or(|call| call.phase == Phase::Flushing) {
            return;
        }
        let late = error.code == Code::DeadlineExceeded && self.is_overdue(key);
        self.add_facts(key, &mut error);
        let Some(call) = self.calls.get_mut(key) else { return };
        let (down, stream) = call.down;
        error.write(call.started, call.request_id(), &mut self.scratch);
        call.started = true;
        if let Some(Some(conn)) = self.conns.get_mut(down) {
            match error.http_status {
                None => {
                    conn.http2.send_headers(stream, self.scratch.iter(), true);
                }
                // No gRPC client asked: whoever did can read the reason in the body.
                Some(_) => {
                    conn.http2.send_headers(stream, self.scratch.iter(), false);
                    conn.http2.send_data(stream, error.message.as_bytes(), true);
                }
            }
        }
        tracing::debug!(code = ?error.code, reason = %error.reason, message = error.message, "call failed");
        self.count(key, error.code as u8, Outcome::Error(error.reason));
        self.judge(key, if error.blames_instance || late { Verdict::Bad } else { Verdict::None });
        self.leave_upstream(key);
        self.leave_downstream(key);
    }

    /// The client ended the call: it reset the stream, broke a rule on it, or is gone.
    pub(crate) fn cancelled(&mut self, key: CallKey, outcome: Outcome) {
        let Some(call) = self.calls.get(key) else { return };
        if call.phase != Phase::Flushing {
            self.count(key, CANCELLED, outcome);
        }
        self.leave_upstream(key);
        self.forget(key);
    }

    /// The instance's response is complete, and its end is on the way to the client.
    pub(crate) fn responded(&mut self, key: CallKey, code: u8, outcome: Outcome) {
        let own = self.calls.get(key).is_some_and(|call| matches!(call.target, Some(Target::Local)));
        self.count(key, code, if own { Outcome::OwnStatus } else { outcome });
        self.judge(key, Verdict::of_status(code));
        self.decided(key);
        self.leave_upstream(key);
        self.leave_downstream(key);
    }

    /// The instance reset the stream: the client's is reset with the same code, unless nothing was processed.
    pub(crate) fn upstream_reset(&mut self, key: CallKey, code: ErrorCode) {
        let Some(call) = self.calls.get(key) else { return };
        let (down, stream) = call.down;
        if code == ErrorCode::REFUSED_STREAM && !call.started {
            let (service, instance) = self.instance_of(key);
            return self.retry_or_fail(key, Error::refused(&service, &instance));
        }
        if self.give_way(key, Verdict::Bad) {
            return;
        }
        if code == ErrorCode::NO_ERROR {
            // A server may end a request like this only after a complete response (RFC 9113 8.1).
            return self.upstream_broken(key, "the stream was reset without error before its response ended");
        }
        let status = match code {
            ErrorCode::CANCEL => CANCELLED,
            ErrorCode::ENHANCE_YOUR_CALM => 8,
            _ => 13,
        };
        self.count(key, status, Outcome::BackendReset);
        self.judge(key, Verdict::Bad);
        if let Some(conn) = self.conn(down) {
            conn.http2.reset(stream, code);
        }
        self.mark(down);
        self.leave_upstream(key);
        self.forget(key);
    }

    /// The instance broke the protocol on the call's stream.
    pub(crate) fn upstream_broken(&mut self, key: CallKey, reason: &str) {
        if self.give_way(key, Verdict::Bad) {
            return;
        }
        let (service, instance) = self.instance_of(key);
        self.fail(key, Error::bad_response(&service, &instance, reason));
    }

    /// Counts a finished call.
    fn count(&mut self, key: CallKey, code: u8, outcome: Outcome) {
        let Some(call) = self.calls.get(key) else { return };
        self.recorder.note(&Finished {
            service: call.service.as_ref(),
            method: call.method.as_ref().map(|method| &method.path),
            code,
            outcome,
            duration_us: self.now_us.saturating_sub(call.began_us),
            instance: call.load.as_ref(),
            stream_us: call.up.map(|_| self.now_us.saturating_sub(call.opened_us)),
        });
        if self.config.access_log {
            let record = AccessRecord {
                request_id: call.request_id().into(),
                method: call.method.as_ref().map(|method| method.path.clone()),
                service: call.service.clone(),
                principal: call.caller.as_ref().and_then(|caller| caller.principal.clone()),
                code,
                origin: outcome.origin().as_str(),
                reason: if code == 0 { "-" } else { outcome.reason() },
                duration_us: self.now_us.saturating_sub(call.began_us),
            };
            self.command(Command::Access(Box::new(record)));
        }
    }

    /// Whether the call's instance has been silent for longer than it, or if that is not known any other of its service,
    /// usually is. What is still on its way from the client, or never left, says nothing of the instance, and neither
    /// does what passes after its first word.
    fn is_overdue(&self, key: CallKey) -> bool {
        let Some(call) = self.calls.get(key) else { return false };
        if call.up.is_none() || !call.client_done || call.started {
            return false;
        }
        let others = || {
            let service = self.directory.services.get(call.service.as_ref()?)?;
            service.endpoints.iter().filter_map(|endpoint| endpoint.load.usual_us()).max()
        };
        let usual_us = call.load.as_ref().and_then(|load| load.usual_us()).or_else(others);
        balance::is_overdue(self.now_ms.saturating_sub(call.active_ms) * 1_000, usual_us)
    }

    /// Notes what the call's end says of its instance, and ejects it if that was the last straw.
    pub(crate) fn judge(&mut self, key: CallKey, verdict: Verdict) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some(load) = &call.load else { return };
        let probe = std::mem::take(&mut call.probe);
        if verdict != Verdict::Bad {
            load.ended(verdict, probe, self.now_ms, 0, || false);
            return;
        }
        let (load, service) = (load.clone(), call.service.clone());
        let directory = self.directory.clone();
        // Never the last one, and never more than half.
        let may_eject = || {
            let known = service.as_ref().and_then(|name| directory.services.get(name));
            known.is_some_and(|known| {
                let ejected = known.endpoints.iter().filter(|endpoint| endpoint.load.is_ejected()).count();
                2 * (ejected + 1) <= known.endpoints.len()
            })
        };
        // A tenth more or less, so that several routers do not try it again at the same moment.
        let pause_ms = (millis(self.config.ejection_time) as f64 * (0.9 + 0.2 * self.rng.fraction())) as u64;
        if load.ended(verdict, probe, self.now_ms, pause_ms, may_eject) {
            self.metrics.ejections_total.fetch_add(1, Relaxed);
            let (service, instance) = self.instance_of(key);
            tracing::warn!(service, instance, "ejected after failures in a row");
        }
    }

    /// Ends the call's part at its instance: the stream is reset unless both sides are done with it.
    pub(crate) fn leave_upstream(&mut self, key: CallKey) {
        self.judge(key, Verdict::None);
        self.leave_room(key);
        if self.calls.get(key).is_some_and(|call| call.other.is_some()) {
            self.drop_other(key);
        }
        let Some(call) = self.calls.get_mut(key) else { return };
        if let Some(load) = call.load.take() {
            load.closed();
        }
        let (up, pool) = (call.up.take(), call.pool.take());
        call.leave_ms = u64::MAX;
        call.early = None;
        call.is_hedge = false;
        match call.phase {
            Phase::Parked => {
                self.metrics.calls_parked.fetch_sub(1, Relaxed);
            }
            Phase::Queued => {
                self.metrics.calls_queued.fetch_sub(1, Relaxed);
            }
            _ => {}
        }
        call.phase = Phase::Reading;
        if let Some((up, stream)) = up {
            self.reset_upstream(up, stream);
        }
        if let Some(pool) = pool {
            self.left_pool(pool);
        }
    }

    /// A stream at the pool's instance is free: sends who waits for one.
    pub(super) fn left_pool(&mut self, pool: usize) {
        let waited_for = !self.full.is_empty();
        let endpoint = self.pools.get(&pool).filter(|_| waited_for).map(|pool| pool.endpoint.clone());
        self.serve_queue(pool);
        if let Some(endpoint) = endpoint {
            self.room_made(&endpoint.service, &endpoint.instance);
        }
    }

    /// Ends the call's part at its client, where the response's end was queued. A client that has not finished
    /// its request is told to stop (RST_STREAM NO_ERROR, RFC 9113 8.1), but not before it has the response.
    fn leave_downstream(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let (down, stream) = call.down;
        let done = call.client_done;
        let Some(Some(conn)) = self.conns.get_mut(down) else { return self.forget(key) };
        let told = done || !conn.http2.contains(stream);
        if !told && conn.http2.pending(stream) > 0 {
            call.phase = Phase::Flushing;
            call.forget_replay();
            self.call_timers.clear(key);
        } else {
            if !told {
                conn.http2.reset(stream, ErrorCode::NO_ERROR);
            }
            self.forget(key);
        }
        self.mark(down);
    }

    /// Removes the call.
    fn forget(&mut self, key: CallKey) {
        let Some(call) = self.calls.try_remove(key) else { return };
        let Call { down: (down, stream), request, .. } = call;
        self.call_timers.clear(key);
        self.metrics.calls_in_flight.fetch_sub(1, Relaxed);
        if let Some(conn) = self.conn(down) {
            conn.http2.set_key(stream, NO_KEY);
        }
        self.give_headers(request);
    }

    /// Pending bytes of a stream moved into the output: the other side gets its credit back.
    pub(crate) fn moved(&mut self, conn: usize, stream: u32, key: CallKey, bytes: usize) {
        let now_ms = self.now_ms;
        let Some(call) = self.calls.get_mut(key) else { return };
        // Bytes that come slowly out of the router are no silence.
        call.active_ms = now_ms;
        if call.down == (conn, stream) {
            if call.phase == Phase::Flushing {
                return self.leave_downstream(key);
            }
            if let Some((up, up_stream)) = call.up
                && let Some(up_conn) = self.conn(up)
            {
                up_conn.http2.release(up_stream, u32::try_from(bytes).unwrap_or(u32::MAX));
                self.mark(up);
            }
        } else if call.up == Some((conn, stream)) {
            call.moved += bytes as u64;
            let (down, down_stream) = call.down;
            let credit = call.request_credit(self.config.replay_max_bytes as u64);
            if credit > 0
                && let Some(down_conn) = self.conn(down)
            {
                down_conn.http2.release(down_stream, credit);
                self.mark(down);
            }
        }
    }

    /// Names of the service and the instance that the call is at, for messages.
    pub(crate) fn instance_of(&self, key: CallKey) -> (String, String) {
        let call = self.calls.get(key);
        let pool = call.and_then(|call| call.pool).and_then(|pool| self.pools.get(&pool));
        match pool {
            Some(pool) => (pool.endpoint.service.to_string(), pool.endpoint.instance.to_string()),
            // Its instance left the directory, and the connection has announced its end.
            None => {
                let service = call.and_then(|call| call.service.as_deref()).unwrap_or("router");
                (service.to_owned(), "no longer registered".to_owned())
            }
        }
    }

    /// A connection became ready: a client's has sent its SETTINGS, an instance's can take streams.
    pub(crate) fn ready(&mut self, key: usize) {
        match self.conn(key).map(|conn| &conn.side) {
            Some(Side::Downstream(_)) => self.downstream_ready(key),
            Some(Side::Upstream(_)) => self.upstream_ready(key),
            None => {}
        }
    }
}
