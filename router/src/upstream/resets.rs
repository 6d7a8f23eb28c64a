//! Paces the RST_STREAMs towards an instance, so that a storm of cancelled calls does not look like an attack.
//!
//! Servers end a connection for too many resets in a short time (the h2 crate: at 20 of streams that it has not taken
//! up), and other clients' calls are on it. Beyond a few at a time a stream stays open for a while instead, and what
//! still comes on it is dropped. An instance that is busy, or that was stopped for a moment, finds all of them at once
//! when it reads again: more follow soon only when it was heard of since the last.

use crate::plane::{ConnKey, Plane, Side};
use std::collections::VecDeque;
use switchboard_http2::{ErrorCode, NO_KEY, StreamId};

/// RST_STREAMs that an instance gets at a time, and the pause before more: 320 a second on each connection, at less
/// than half of what the h2 crate takes at once.
const AT_ONCE: usize = 8;
const PAUSE_MS: u64 = 25;
/// The pause while nothing comes from the instance. It may have nothing to say, so that the resets must go on.
const SILENT_PAUSE_MS: u64 = 250;

/// Resets of one connection. Those that wait are streams of it, so its limit of streams bounds them.
#[derive(Debug, Default)]
pub(super) struct Resets {
    /// Sent since the last pause.
    sent: usize,
    /// When the first of them was sent, in ms of the router clock.
    began_ms: u64,
    waiting: VecDeque<StreamId>,
}

impl Plane {
    /// Resets a stream whose call has left it, now or when its turn comes.
    pub(crate) fn reset_upstream(&mut self, key: ConnKey, stream: StreamId) {
        let now_ms = self.now_ms;
        let Some(conn) = self.conn(key) else { return };
        conn.http2.set_key(stream, NO_KEY);
        let Side::Upstream(state) = &mut conn.side else { return };
        if !conn.http2.contains(stream) || conn.closing {
            return self.mark(key);
        }
        state.resets.waiting.push_back(stream);
        if state.resets.sent == 0 {
            state.resets.began_ms = now_ms;
            self.conn_timers.set(key, now_ms + PAUSE_MS);
        }
        self.send_resets(key);
    }

    /// A pause is over; false if no reset waited for its end.
    pub(super) fn resets_due(&mut self, key: ConnKey) -> bool {
        let now_ms = self.now_ms;
        let at_ms = now_ms + PAUSE_MS;
        let Some(conn) = self.conn(key) else { return false };
        let Side::Upstream(state) = &mut conn.side else { return false };
        let (pool, began_ms) = (state.pool, state.resets.began_ms);
        if state.resets.waiting.is_empty() {
            state.resets.sent = 0;
            return false;
        }
        if !conn.alive.heard_since(began_ms) && now_ms < began_ms + SILENT_PAUSE_MS {
            self.conn_timers.set(key, at_ms);
            return true;
        }
        (state.resets.sent, state.resets.began_ms) = (0, now_ms);
        self.conn_timers.set(key, at_ms);
        self.send_resets(key);
        // The streams that they free may be waited for.
        self.serve_queue(pool);
        true
    }

    fn send_resets(&mut self, key: ConnKey) {
        let Some(conn) = self.conn(key) else { return };
        let Side::Upstream(state) = &mut conn.side else { return };
        while state.resets.sent < AT_ONCE
            && let Some(stream) = state.resets.waiting.pop_front()
        {
            // It may have ended by itself while it waited.
            if conn.http2.contains(stream) {
                conn.http2.reset(stream, ErrorCode::CANCEL);
                state.resets.sent += 1;
            }
        }
        self.mark(key);
    }
}
