//! A peer's end of a link: bytes through its HTTP/2, and what comes of them to the client's or the instance's script.

use super::{
    World,
    link::Who,
    plan::{MS, NEVER},
};
use switchboard_http2::{ErrorCode, Event, Headers, HeadersKind, StreamId};

/// An event that borrows nothing.
#[derive(Debug)]
pub(super) enum Seen {
    Headers { stream: StreamId, key: usize, headers: Headers, initial: bool, end: bool },
    Data { stream: StreamId, key: usize, data: Vec<u8>, credit: u32, end: bool },
    Reset { key: usize, code: ErrorCode },
    GoAway { last_stream: StreamId, code: ErrorCode },
}

impl World {
    /// A piece arrives at the peer.
    pub(super) fn peer_reads(&mut self, at: usize) {
        let next_us = self.now_us + self.dice.span(self.plan.delay_us);
        let now_ms = self.now_us / MS;
        if self.dice.chance(self.plan.stalls) {
            self.links[at].stall_until_us = self.now_us + self.dice.span(5_000 * MS);
        }
        let link = &mut self.links[at];
        let piece = link.to_peer.read(next_us, &mut self.dice);
        if link.blocked && !link.to_peer.is_full() {
            link.blocked = false;
            if let Some(key) = link.key {
                self.plane.mark(key);
            }
        }
        if piece.is_empty() {
            self.note(|| format!("peer of link {at} sees its end"));
            return self.peer_leaves(at);
        }
        let mut input = std::mem::take(&mut self.links[at].unread);
        input.extend(&piece);
        let mut used = 0;
        loop {
            let who = self.links[at].who;
            let step = match self.links[at].http2.recv(&input[used..], now_ms) {
                Ok(step) => step,
                Err(error) => panic!("the plane broke HTTP/2 towards {who:?} on link {at}: {error}"),
            };
            if step.consumed == 0 {
                break;
            }
            used += step.consumed;
            if let Some(seen) = step.event.and_then(owned) {
                self.note(|| format!("{who:?} link {at}: {}", brief(&seen)));
                match who {
                    Who::Client(_) => self.client_sees(at, seen),
                    Who::Instance(instance) => self.instance_sees(at, instance, seen),
                }
            }
        }
        input.drain(..used);
        self.links[at].unread = input;
        self.wake_senders(at);
    }

    /// Moves the peer's pending bytes, and wakes the scripts that waited for it.
    pub(super) fn wake_senders(&mut self, at: usize) {
        let link = &mut self.links[at];
        link.http2.pump();
        while let Some((_, key, _)) = link.http2.poll_sent() {
            let wake_us = self.now_us + self.dice.span(50 * MS);
            match link.who {
                Who::Client(_) => self.calls[key].next_us = self.calls[key].next_us.min(wake_us),
                Who::Instance(_) => self.attempts[key].next_us = self.attempts[key].next_us.min(wake_us),
            }
        }
    }

    /// The peer writes some of its output.
    pub(super) fn peer_writes(&mut self, at: usize) {
        let link = &mut self.links[at];
        let at_us = self.now_us + self.dice.span(self.plan.delay_us);
        let taken = link.to_plane.write(link.http2.output(), at_us, &mut self.dice);
        link.http2.consume_output(taken);
        self.wake_senders(at);
    }

    /// The peer's application has taken bytes.
    pub(super) fn peer_releases(&mut self, at: usize) {
        let now_us = self.now_us;
        let link = &mut self.links[at];
        let (due, rest) =
            std::mem::take(&mut link.releases).into_iter().partition(|release| release.0 <= now_us);
        link.releases = rest;
        let due: Vec<(u64, StreamId, u32)> = due;
        for (_, stream, credit) in due {
            link.http2.release(stream, credit);
        }
    }

    /// Gives back the credit of DATA now, or later if the reader is slow.
    pub(super) fn take_data(&mut self, at: usize, stream: StreamId, credit: u32) {
        match self.dice.chance(self.plan.slow_readers) {
            true => {
                let at_us = self.now_us + self.dice.span(4_000 * MS);
                self.links[at].releases.push((at_us, stream, credit));
            }
            false => self.links[at].http2.release(stream, credit),
        }
    }

    /// The peer has nothing more to do on the link, or lost it: it closes its end.
    pub(super) fn peer_leaves(&mut self, at: usize) {
        let link = &mut self.links[at];
        if std::mem::replace(&mut link.gone, true) {
            return;
        }
        link.to_plane.ended = true;
        link.releases.clear();
        link.blocked = false;
        if let Some(key) = link.key {
            self.plane.mark(key);
        }
        match link.who {
            Who::Client(_) => self.client_lost(at),
            Who::Instance(_) => {
                for attempt in self.attempts.iter_mut().filter(|attempt| attempt.link == at) {
                    attempt.next_us = NEVER;
                }
            }
        }
    }
}

fn owned(event: Event<'_>) -> Option<Seen> {
    Some(match event {
        Event::Headers { stream, key, headers, kind, end_stream } => Seen::Headers {
            stream,
            key,
            headers: headers.clone(),
            initial: kind == HeadersKind::Initial,
            end: end_stream,
        },
        Event::Data { stream, key, data, credit, end_stream } => {
            Seen::Data { stream, key, data: data.to_vec(), credit, end: end_stream }
        }
        Event::Reset { key, code, .. } => Seen::Reset { key, code },
        Event::StreamError { stream, code, reason, .. } => {
            panic!("the plane broke HTTP/2 on stream {stream}: {code} {reason}")
        }
        Event::GoAway { last_stream, code, .. } => Seen::GoAway { last_stream, code },
        Event::Settings | Event::PingAck { .. } => return None,
    })
}

fn brief(seen: &Seen) -> String {
    match seen {
        Seen::Data { key, data, end, .. } => format!("data key {key} {} bytes end {end}", data.len()),
        Seen::Headers { stream, key, headers, end, .. } => {
            let status = headers.get(b"grpc-status").map(|s| s.escape_ascii().to_string());
            let message = headers.get(b"grpc-message").map(|s| s.escape_ascii().to_string());
            format!("headers stream {stream} key {key} end {end} {status:?} {message:?}")
        }
        seen => format!("{seen:?}"),
    }
}
