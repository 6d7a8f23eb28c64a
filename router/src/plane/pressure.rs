//! What the plane does when its peers do not take what waits for them: memory, and windows that others wait for.
//!
//! A stream that is not read holds up to one stream window. Many of them are held within `memory_budget`, bytes over all
//! worker threads, in three steps:
//!
//! | bytes held | step |
//! |---|---|
//! | three quarters of the budget | stream windows shrink to 64 KiB, of open streams too, until half of the budget is free |
//! | the budget | new calls are refused with RESOURCE_EXHAUSTED (`call/request.rs`) |
//! | beyond | the calls that hold most, which are those that are read least, end with RESOURCE_EXHAUSTED |
//!
//! And a stream that an instance does not read may use up the window of the connection that it shares. New calls avoid
//! that connection; those in flight have a part of the window for them (`http2`, `Connection::starving`). Where that is used
//! up too, the stream that holds most ends after `starved_after`.

use super::{Conn, ConnKey, Plane, Side, millis};
use crate::{
    call::Phase,
    error::{Error, Reason},
    observe::Outcome,
};
use std::sync::atomic::Ordering::Relaxed;
use switchboard_http2::{ErrorCode, NO_KEY, StreamId};

/// Stream window under pressure: HTTP/2's own default, with which every peer works.
const TIGHT_WINDOW: u32 = 65_535;
/// How long windows stay shrunk at least: one SETTINGS frame per connection and second costs nothing.
const TIGHT_MS: u64 = 1_000;
/// Bytes read between two measurements at least: measuring looks at every connection.
const MEASURE_MIN: u64 = 1 << 20;
/// Output of a connection below which closing it is not worth its calls.
const OUTPUT_WORTH: usize = 64 << 10;
/// Pending bytes of a stream below which ending it is not worth the call.
const PENDING_WORTH: usize = 4 << 10;

/// One worker thread's view of the memory that streams hold.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    /// Bytes held here, as of the last measurement.
    held: u64,
    /// Bytes read since then, which is what may have come on top, and how many call for the next.
    unmeasured: u64,
    measure_after: u64,
    /// Since when windows are shrunk, in ms of the router clock.
    tight_since_ms: Option<u64>,
}

/// Who holds bytes.
#[derive(Debug, Clone, Copy)]
enum Holder {
    Stream {
        conn: ConnKey,
        stream: StreamId,
        call: usize,
    },
    /// A call that has no stream at an instance yet.
    Call(usize),
}

impl Plane {
    /// Notes bytes that were read.
    pub(super) fn grow_unmeasured(&mut self, bytes: usize) {
        self.pressure.unmeasured += bytes as u64;
    }

    /// Whether so much was read since the last measurement that the next should not wait for its time.
    pub(crate) fn is_measure_due(&self) -> bool {
        self.pressure.unmeasured > self.pressure.measure_after.max(MEASURE_MIN)
    }

    /// Measures what is held, and takes the steps that it calls for.
    pub(crate) fn relieve_pressure(&mut self) {
        let budget = self.config.memory_budget as u64;
        let all = self.measure();
        // A quarter of what is left, so that all threads together stay below it.
        self.pressure.measure_after = budget.saturating_sub(all) / (4 * self.config.workers as u64);
        match self.pressure.tight_since_ms {
            None if all > budget / 4 * 3 => self.tighten(),
            Some(since) if all < budget / 2 && self.now_ms >= since + TIGHT_MS => self.loosen(),
            _ => {}
        }
        if all > budget {
            // Each thread frees its share.
            let excess = u128::from(all - budget) * u128::from(self.pressure.held) / u128::from(all.max(1));
            self.end_heaviest(u64::try_from(excess).unwrap_or(u64::MAX));
            self.measure();
        }
        self.end_starving();
    }

    /// Counts what this thread holds; returns what all of them do.
    fn measure(&mut self) -> u64 {
        let held = self.buffered_bytes();
        let before = std::mem::replace(&mut self.pressure.held, held);
        self.pressure.unmeasured = 0;
        // The gauge is the sum of all worker threads; wrapping makes a difference of either sign right.
        let change = held.wrapping_sub(before);
        self.metrics.buffered_bytes.fetch_add(change, Relaxed).wrapping_add(change)
    }

    /// The stream window for connections of this side now.
    pub(crate) fn stream_window(&self, configured: u32) -> u32 {
        if self.pressure.tight_since_ms.is_some() { configured.min(TIGHT_WINDOW) } else { configured }
    }

    fn tighten(&mut self) {
        tracing::warn!(
            held = self.pressure.held,
            budget = self.config.memory_budget,
            "memory is short: stream windows shrink"
        );
        self.metrics.threads_with_shrunk_windows.fetch_add(1, Relaxed);
        self.pressure.tight_since_ms = Some(self.now_ms);
        self.set_stream_windows();
    }

    fn loosen(&mut self) {
        tracing::info!(held = self.pressure.held, "memory is free again: stream windows grow back");
        self.metrics.threads_with_shrunk_windows.fetch_sub(1, Relaxed);
        self.pressure.tight_since_ms = None;
        self.set_stream_windows();
    }

    fn set_stream_windows(&mut self) {
        let down = self.stream_window(self.config.downstream_http2.stream_window);
        let up = self.stream_window(self.config.upstream_http2.stream_window);
        let mut changed = Vec::new();
        for (key, slot) in &mut self.conns {
            if let Some(conn) = slot.as_deref_mut() {
                conn.http2.set_stream_window(if matches!(conn.side, Side::Upstream(_)) { up } else { down });
                changed.push(key);
            }
        }
        for key in changed {
            self.mark(key);
        }
    }

    /// Ends the calls that hold most until `excess` bytes are free, then closes connections whose output is not taken.
    fn end_heaviest(&mut self, excess: u64) {
        let mut left = usize::try_from(excess).unwrap_or(usize::MAX);
        let mut heaviest: Vec<(usize, Holder)> = Vec::new();
        for (key, conn) in self.conns.iter().filter_map(|(key, conn)| Some((key, conn.as_deref()?))) {
            let holding = conn.http2.holding().filter(|(_, _, bytes, _)| *bytes >= PENDING_WORTH);
            heaviest.extend(
                holding.map(|(stream, call, bytes, _)| (bytes, Holder::Stream { conn: key, stream, call })),
            );
        }
        let waiting =
            self.calls.iter().filter(|(_, call)| call.up.is_none() && call.held.len() >= PENDING_WORTH);
        heaviest.extend(waiting.map(|(key, call)| (call.held.len(), Holder::Call(key))));
        heaviest.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        for (bytes, holder) in heaviest {
            if left == 0 {
                return;
            }
            if self.end_holder(holder, bytes) {
                left = left.saturating_sub(bytes);
            }
        }
        let mut outputs: Vec<(usize, ConnKey)> = self
            .conns
            .iter()
            .filter_map(|(key, conn)| Some((conn.as_deref()?.http2.output().len(), key)))
            .filter(|(bytes, _)| *bytes >= OUTPUT_WORTH)
            .collect();
        outputs.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        for (bytes, key) in outputs {
            if left == 0 {
                return;
            }
            self.metrics.connections_closed_for_memory_total.fetch_add(1, Relaxed);
            self.lost(key, "it does not read, and its output's memory is needed");
            left = left.saturating_sub(bytes);
        }
    }

    /// Ends what holds the bytes; false if it is gone, because its other side was ended before.
    fn end_holder(&mut self, holder: Holder, bytes: usize) -> bool {
        let budget = self.config.memory_budget;
        match holder {
            Holder::Call(key) => {
                if self.calls.get(key).is_none_or(|call| call.held.len() != bytes) {
                    return false;
                }
                self.metrics.calls_ended_for_memory_total.fetch_add(1, Relaxed);
                self.fail(key, Error::held_too_much(bytes, budget));
            }
            Holder::Stream { conn: key, stream, call } => {
                let flushing = self.calls.get(call).is_some_and(|call| call.phase == Phase::Flushing);
                let Some(Some(conn)) = self.conns.get_mut(key) else { return false };
                let Conn { http2, side, .. } = &mut **conn;
                if http2.pending(stream) == 0 {
                    return false;
                }
                self.metrics.calls_ended_for_memory_total.fetch_add(1, Relaxed);
                if call == NO_KEY || flushing {
                    // A response that is complete but not taken leaves no room for another status. gRPC reads this code
                    // as RESOURCE_EXHAUSTED.
                    let calm = matches!(side, Side::Downstream(_));
                    http2.reset(stream, if calm { ErrorCode::ENHANCE_YOUR_CALM } else { ErrorCode::CANCEL });
                    if flushing {
                        self.cancelled(call, Outcome::Error(Reason::MEMORY_HELD));
                    }
                } else {
                    if matches!(side, Side::Downstream(_)) {
                        http2.discard_pending(stream);
                    }
                    self.fail(call, Error::held_too_much(bytes, budget));
                }
                self.mark(key);
            }
        }
        true
    }

    /// Ends streams that their instances do not read, where others have waited for their windows for too long.
    fn end_starving(&mut self) {
        let (limit, now_ms) = (self.config.starved_after, self.now_ms);
        if limit.is_zero() {
            return;
        }
        let mut ending = Vec::new();
        for (key, slot) in &mut self.conns {
            let Some(Conn { http2, side: Side::Upstream(state), .. }) = slot.as_deref_mut() else { continue };
            let sent = http2.data_sent();
            match (http2.starving(), state.starved) {
                (None, _) => state.starved = None,
                (Some((stream, call)), Some((since_ms, then))) if then == sent => {
                    if now_ms >= since_ms + millis(limit) {
                        state.starved = None;
                        ending.push((key, stream, call));
                    }
                }
                (Some(_), _) => state.starved = Some((now_ms, sent)),
            }
        }
        for (key, stream, call) in ending {
            self.metrics.calls_ended_for_others_total.fetch_add(1, Relaxed);
            if call == NO_KEY {
                if let Some(conn) = self.conn(key) {
                    conn.http2.reset(stream, ErrorCode::CANCEL);
                }
            } else {
                let (service, instance) = self.instance_of(call);
                self.fail(call, Error::not_read(&service, &instance, limit));
            }
            self.mark(key);
        }
    }
}
