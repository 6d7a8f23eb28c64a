//! What holds after every step, and what is left when all is over: nothing.

use super::{World, plan::MS};
use crate::{call::Phase, plane::Side};
use std::sync::{Arc, atomic::Ordering::Relaxed};

impl World {
    /// After every step.
    pub(super) fn check(&self) {
        let plane = &self.plane;
        let count = |phase: Phase| plane.calls.iter().filter(|(_, call)| call.phase == phase).count() as u64;
        let metrics = &plane.metrics;
        assert_eq!(metrics.calls_in_flight.load(Relaxed), plane.calls.len() as u64, "calls in flight");
        assert_eq!(metrics.calls_parked.load(Relaxed), count(Phase::Parked), "calls parked");
        assert_eq!(metrics.calls_queued.load(Relaxed), count(Phase::Queued), "calls queued");
        let open: u32 = self.registry.loads.values().map(|load| load.open()).sum();
        let held = plane.calls.iter().filter(|(_, call)| call.load.is_some()).count();
        let hedges = plane.calls.iter().filter(|(_, call)| call.other.is_some()).count();
        assert_eq!(open as usize, held + hedges, "streams counted at the instances");
        let counted: u32 = self.registry.services.values().map(|service| service.usage.calls()).sum();
        let places = plane.calls.iter().filter(|(_, call)| call.has_place()).count();
        assert_eq!(counted as usize, places, "calls counted for services that limit them");
        for (key, call) in &plane.calls {
            let listed = call.load.as_ref().is_some_and(|load| {
                let here = plane.directory.services.values().flat_map(|service| &service.endpoints);
                here.into_iter().any(|endpoint| Arc::ptr_eq(&endpoint.load, load))
            });
            let ends = call.leave_ms != u64::MAX;
            assert!(
                !ends || (call.load.is_some() && !listed),
                "call {key} is to leave an instance that is there"
            );
            let waits = matches!(call.phase, Phase::Parked | Phase::Backoff);
            assert!(!waits || plane.call_timers.is_set(key), "call {key} waits for ever: {:?}", call.phase);
            let most = plane.config.replay_max_bytes + self.plan.windows[0].max(65_535) as usize;
            // Nothing but a slow call that may be sent twice has two attempts, and only until one of them answers.
            let hedgeable = call.phase == Phase::Forwarding && call.idempotent && call.hedge_ms > 0;
            let open = hedgeable && !call.started && call.client_done && call.attempts <= 2;
            assert!(call.other.is_none() || open, "call {key} is hedged: {call:?}");
            assert!(call.held.len() <= most, "call {key} holds {} bytes", call.held.len());
        }
        for (key, conn) in plane.conns.iter().filter_map(|(key, conn)| Some((key, conn.as_deref()?))) {
            // A stream holds what the other side's window let in, and an attempt's replay.
            let [down, up] = self.plan.windows.map(|window| window.max(65_535) as usize);
            let (stream_most, high_water) = match &conn.side {
                Side::Downstream(_) => (up, plane.config.downstream_http2.output_high_water),
                Side::Upstream(_) => {
                    (down + plane.config.replay_max_bytes, plane.config.upstream_http2.output_high_water)
                }
            };
            let mut pending = 0;
            for (stream, _) in conn.http2.unprocessed(0) {
                let bytes = conn.http2.pending(stream);
                assert!(bytes <= stream_most, "stream {stream} of connection {key} holds {bytes} bytes");
                pending += bytes;
            }
            let output = conn.http2.buffered_bytes() - pending;
            assert!(output <= 4 * high_water + (512 << 10), "connection {key} has {output} bytes of output");
        }
    }

    /// After the plane has seen to its memory: what is left beyond the budget is not worth a call or a connection each.
    pub(super) fn check_memory(&self) {
        let plane = &self.plane;
        let conns = plane.conns.iter().filter_map(|(_, conn)| conn.as_deref());
        let small: usize = conns.map(|conn| (80 << 10) + conn.http2.open_streams() * (8 << 10)).sum();
        let held = plane.metrics.buffered_bytes.load(Relaxed) as usize;
        assert!(held <= self.plan.memory_budget + small, "{held} bytes are held, {small} in small parts");
    }

    /// After all calls have ended and everything is delivered.
    pub(super) fn check_quiet(&self) {
        let plane = &self.plane;
        let left: Vec<_> = plane.calls.iter().map(|(_, call)| (call.phase, call.down, call.up)).collect();
        assert!(left.is_empty(), "calls outlive their clients: {left:?}");
        assert_eq!(plane.call_timers.len(), 0, "call timers");
        for (key, conn) in plane.conns.iter().filter_map(|(key, conn)| Some((key, conn.as_deref()?))) {
            assert_eq!(conn.http2.open_streams(), 0, "streams of connection {key} outlive their calls");
            assert_eq!(conn.http2.buffered_bytes(), 0, "bytes of connection {key} outlive their calls");
        }
        for (at, link) in self.links.iter().enumerate().filter(|(_, link)| !link.gone && !link.frozen) {
            assert_eq!(link.http2.open_streams(), 0, "streams of link {at} outlive their calls");
        }
    }

    /// After all have ended: each call is counted once, each failed one under one reason, and what instances count is
    /// made of calls and their further attempts.
    fn check_counts(&mut self) {
        self.plane.recorder.merge(&self.plane.metrics);
        let mut text = String::new();
        self.plane.metrics.render(&mut text);
        let sum = |family: &str, but: &str| -> u64 {
            let lines = text.lines().filter(|line| line.starts_with(family) && !line.contains(but));
            lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
        };
        let calls = sum("switchboard_calls_total{", "none of them");
        assert_eq!(calls, self.plane.next_serial, "calls counted");
        let failed = sum("switchboard_calls_total{", "code=\"0\"");
        assert_eq!(sum("switchboard_call_failures_total{", "none of them"), failed, "failures by reason");
        let at_instances: u64 = self.registry.loads.values().map(|load| load.served.calls()).sum();
        let attempts = calls + self.plane.metrics.retries_total.load(Relaxed);
        assert!(at_instances <= attempts, "{at_instances} attempts counted at instances, {attempts} made");
        for load in self.registry.loads.values() {
            let streams: u64 = load.served.durations_us().iter().map(|(_, count)| count).sum();
            assert!(load.served.failures().max(streams) <= load.served.calls(), "{load:?}");
        }
    }

    /// After all connections are closed and the registry is empty.
    pub(super) fn check_empty(&mut self) {
        self.check_counts();
        let plane = &self.plane;
        assert!(plane.conns.is_empty(), "connections: {:?}", plane.conns);
        assert!(plane.parked.is_empty(), "parked: {:?}", plane.parked);
        assert!(plane.pools.is_empty(), "pools: {:?}", plane.pools);
        assert!(plane.full.is_empty() && plane.refreshing.is_empty(), "full {:?}", plane.full);
        assert_eq!(plane.conn_timers.len(), 0, "connection timers");
        assert!(self.registry.loads.values().all(|load| load.open() == 0), "open streams");
        assert_eq!(plane.metrics.downstream_connections.load(Relaxed), 0);
        assert_eq!(plane.metrics.upstream_connections.load(Relaxed), 0);
        if !self.plan.garbage {
            assert_eq!(plane.metrics.downstream_protocol_errors_total.load(Relaxed), 0);
            assert_eq!(plane.metrics.upstream_protocol_errors_total.load(Relaxed), 0);
        }
        assert!(self.sockets.is_empty() && plane.now_us / MS >= plane.now_ms);
    }
}
