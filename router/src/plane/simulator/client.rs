//! The clients: what each call sends and when, and what its client may see.

use super::{
    World,
    instance::Attempt,
    link::{Link, Who},
    peer::Seen,
    plan::{MS, NEVER, pattern},
};
use switchboard_http2::{self as http2, ErrorCode, Headers};

/// How a call ended at its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Status(u8),
    /// The response ended without trailers.
    NoStatus,
    Reset(ErrorCode),
    Cancelled,
    /// With its connection, or above its last stream.
    Lost,
    /// The client found no connection any more.
    NeverSent,
}

impl World {
    /// The client's connection; a new one if it has none that takes calls.
    fn client_link(&mut self, client: usize) -> Option<usize> {
        let who = Who::Client(client);
        if let Some(at) = self.links.iter().position(|link| link.who == who && link.is_usable()) {
            return Some(at);
        }
        let before = self.links.iter().filter(|link| link.who == who).count();
        if before >= 10 || self.stopped {
            return None;
        }
        let key = self.plane.accept(std::net::Ipv4Addr::LOCALHOST.into())?;
        let config = http2::Config { max_concurrent_streams: 100, ..self.plan.peer_http2(&mut self.dice) };
        let mut link = Link::new(key, who, http2::Connection::client(config), self.plan.socket);
        if self.dice.chance(self.plan.slow_settings) {
            link.mute_until_us = self.now_us + self.dice.span(9_000 * MS);
        }
        Some(self.adopt(key, link))
    }

    /// The next step of a call's script.
    pub(super) fn call_acts(&mut self, id: usize) {
        let (now_us, later_us) = (self.now_us, self.now_us + self.dice.span(500 * MS));
        if self.calls[id].link == usize::MAX {
            return self.open_call(id, later_us);
        }
        let call = &mut self.calls[id];
        let link = &mut self.links[call.link];
        call.next_us = NEVER;
        if link.gone || !link.http2.contains(call.stream) {
            call.cancel_us = NEVER;
            return;
        }
        if now_us >= call.cancel_us {
            call.cancel_us = NEVER;
            let code = self.dice.one_of(&[ErrorCode::CANCEL, ErrorCode::NO_ERROR, ErrorCode(77)]);
            link.http2.reset(call.stream, code);
            call.end = call.end.or(Some(End::Cancelled));
            return;
        }
        if call.request_ended || link.http2.pending(call.stream) > 0 {
            return;
        }
        let rest = call.body.len() - call.sent;
        let size = if self.dice.chance(500) { rest } else { self.dice.below(rest + 1) };
        let end = size == rest && (rest == 0 || self.dice.chance(600));
        let from = call.sent;
        call.sent += size;
        call.request_ended = end;
        link.http2.send_data(call.stream, &call.body[from..from + size], end);
        call.next_us = later_us;
    }

    fn open_call(&mut self, id: usize, later_us: u64) {
        let link = self.client_link(self.calls[id].client);
        let call = &mut self.calls[id];
        let Some(at) = link else {
            (call.end, call.next_us, call.cancel_us) = (Some(End::NeverSent), NEVER, NEVER);
            return;
        };
        if self.now_us >= call.cancel_us {
            (call.end, call.next_us, call.cancel_us) = (Some(End::Cancelled), NEVER, NEVER);
            return;
        }
        call.next_us = later_us;
        if self.links[at].http2.available_streams() == 0 {
            call.next_us += self.dice.between(100, 1_000) * MS;
            return;
        }
        let end = call.body.is_empty() && self.dice.chance(500);
        call.request_ended = end;
        call.stream = self.links[at].http2.open(call.headers.iter(), end, id).unwrap();
        call.link = at;
        let stream = call.stream;
        self.note(|| format!("call {id} is stream {stream} of link {at}"));
    }

    /// What a client sees has to be what the call's instance sent, or the router's own answer.
    pub(super) fn client_sees(&mut self, at: usize, seen: Seen) {
        match seen {
            Seen::Headers { key, headers, end, .. } => {
                let attempt = number(&headers, b"x-sim-attempt");
                let status = number(&headers, b"grpc-status").and_then(|status| u8::try_from(status).ok());
                let call = &mut self.calls[key];
                assert!(call.end.is_none(), "call {key} goes on after {:?}", call.end);
                if let Some(attempt) = attempt {
                    assert_eq!(self.attempts[attempt].call, key, "another call's response");
                    assert!(
                        call.attempt.is_none_or(|a| a == attempt),
                        "responses of two attempts to call {key}"
                    );
                    call.attempt = Some(attempt);
                }
                if !end {
                    return;
                }
                let status = status.unwrap_or_else(|| panic!("call {key} ended without a status"));
                if let Some(attempt) = attempt {
                    let attempt = &self.attempts[attempt];
                    assert_eq!(attempt.status, Some(status), "call {key} has another status");
                    assert_eq!(call.got, attempt.sent, "call {key} lost response bytes");
                }
                let idle = |message: &[u8]| message.starts_with(b"no message passed");
                if headers.get(b"grpc-message").is_some_and(idle) {
                    // The last one, or the one that it was to hedge.
                    let mut its = self.attempts.iter().rev().filter(|attempt| attempt.call == key).take(2);
                    assert!(its.any(Attempt::is_silent), "call {key} stood still");
                }
                self.ended(key, End::Status(status));
            }
            Seen::Data { stream, key, data, credit, end } => {
                let call = &mut self.calls[key];
                assert!(call.end.is_none(), "call {key} goes on after {:?}", call.end);
                if call.odd {
                    self.take_data(at, stream, credit);
                    return if end {
                        self.ended(key, End::NoStatus)
                    };
                }
                let from = call.attempt.unwrap_or_else(|| panic!("call {key} has data without headers"));
                let attempt = &self.attempts[from];
                let right = (call.got..).zip(&data).all(|(at, &byte)| byte == pattern(from, at));
                let right = right || self.links[attempt.link].spoiled;
                assert!(right && call.got + data.len() <= attempt.sent, "call {key}: wrong response bytes");
                call.got += data.len();
                assert!(!end || (attempt.ended && attempt.status.is_none()), "call {key}: no trailers");
                if end {
                    assert_eq!(call.got, attempt.sent, "call {key} lost response bytes");
                    self.ended(key, End::NoStatus);
                }
                self.take_data(at, stream, credit);
            }
            Seen::Reset { key, code } => match self.calls[key].end {
                Some(end) => assert_eq!(code, ErrorCode::NO_ERROR, "call {key} was reset after {end:?}"),
                None => {
                    let caused = self.attempts.iter().any(|a| a.call == key && a.reset == Some(code));
                    // The answer was complete, and the client did not take it while memory was short.
                    let calm = code == ErrorCode::ENHANCE_YOUR_CALM && self.plan.tight();
                    assert!(caused || calm, "call {key} was reset with {code}, and no instance did that");
                    self.ended(key, End::Reset(code));
                }
            },
            Seen::GoAway { last_stream, code } => {
                assert_eq!(code, ErrorCode::NO_ERROR, "GOAWAY to a client that did nothing wrong");
                for (stream, id) in self.links[at].http2.unprocessed(last_stream).collect::<Vec<_>>() {
                    self.links[at].http2.reset(stream, ErrorCode::CANCEL);
                    self.ended(id, End::Lost);
                }
            }
        }
    }

    fn ended(&mut self, id: usize, end: End) {
        let call = &mut self.calls[id];
        call.end = call.end.or(Some(end));
        if !call.request_ended && self.dice.chance(300) {
            call.cancel_us = call.cancel_us.min(self.now_us + self.dice.span(100 * MS));
        }
    }

    /// The client's connection is no more.
    pub(super) fn client_lost(&mut self, at: usize) {
        // A connection whose output is not taken is closed when memory is short.
        let excused = self.links[at].cut || self.stopped || self.plan.tight();
        for (id, call) in self.calls.iter_mut().enumerate().filter(|(_, call)| call.link == at) {
            (call.next_us, call.cancel_us) = (NEVER, NEVER);
            assert!(excused || call.end.is_some(), "call {id}: the router closed its connection");
            call.end = call.end.or(Some(End::Lost));
        }
    }
}

/// A field that is a number.
pub(super) fn number(headers: &Headers, name: &[u8]) -> Option<usize> {
    str::from_utf8(headers.get(name)?).ok()?.parse().ok()
}
