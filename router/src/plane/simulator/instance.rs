//! The instances: what each does with a call that reaches it, and what it may see of it.

use super::{
    World,
    client::{End, number},
    peer::Seen,
    plan::{MS, NEVER, pattern},
};
use switchboard_http2::{ErrorCode, Headers, StreamId};

/// What an instance makes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// REFUSED_STREAM at once.
    Refuse,
    TrailersOnly,
    /// Headers, data, trailers.
    Full,
    /// Headers and data; END_STREAM comes with the data.
    NoTrailers,
    /// As `Full`, but it resets the stream on the way.
    Reset(ErrorCode),
    Silent,
}

/// One stream at an instance.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) call: usize,
    pub(super) link: usize,
    stream: StreamId,
    shape: Shape,
    /// The status that it ends with, and the bytes of its response: to send, and sent.
    code: u8,
    total: usize,
    pub(super) sent: usize,
    begun: bool,
    /// The response is complete, with this status in trailers.
    pub(super) ended: bool,
    pub(super) status: Option<u8>,
    /// It reset the stream.
    pub(super) reset: Option<ErrorCode>,
    wait_for_end: bool,
    /// Of the request.
    pub(super) received: usize,
    pub(super) request_ended: bool,
    pub(super) next_us: u64,
}

impl Attempt {
    /// The instance has nothing to say to it.
    pub(super) fn is_silent(&self) -> bool {
        self.shape == Shape::Silent
    }
}

impl World {
    pub(super) fn instance_sees(&mut self, at: usize, instance: usize, seen: Seen) {
        match seen {
            Seen::Headers { stream, headers, initial: true, end, .. } => {
                self.attempt_begins(at, instance, stream, &headers, end);
            }
            Seen::Headers { key, .. } => panic!("trailers of a request, attempt {key}"),
            Seen::Data { stream, key, data, credit, end } => {
                let later_us = self.now_us + self.dice.span(500 * MS);
                let attempt = &mut self.attempts[key];
                let call = &self.calls[attempt.call];
                let expected = call.body[..call.sent].get(attempt.received..attempt.received + data.len());
                let spoiled = self.links[call.link].spoiled && expected.is_some();
                assert!(spoiled || expected == Some(&data[..]), "call {}: wrong request bytes", attempt.call);
                attempt.received += data.len();
                if end {
                    assert!(call.request_ended, "call {}: the request has not ended", attempt.call);
                    assert_eq!(attempt.received, call.body.len(), "call {} lost request bytes", attempt.call);
                    attempt.request_ended = true;
                    attempt.next_us = attempt.next_us.min(later_us);
                }
                self.take_data(at, stream, credit);
            }
            Seen::Reset { key, code } => {
                // Trailers beyond the limit are the one thing that an instance is told off for.
                let oversized = self.plan.odd > 0 && self.attempts[key].ended;
                assert!(
                    code == ErrorCode::CANCEL || (oversized && code == ErrorCode::ENHANCE_YOUR_CALM),
                    "{code}"
                );
                self.attempts[key].next_us = NEVER;
            }
            Seen::GoAway { code, .. } => assert_eq!(code, ErrorCode::NO_ERROR),
        }
    }

    fn attempt_begins(&mut self, at: usize, instance: usize, stream: StreamId, headers: &Headers, end: bool) {
        let id = self.attempts.len();
        let call = number(headers, b"x-sim-call").unwrap();
        let dice = &mut self.dice;
        let refuse = dice.chance(self.plan.refuses);
        let shape = match dice.below(4) {
            _ if refuse => Shape::Refuse,
            _ if dice.chance(self.plan.silences) => Shape::Silent,
            _ if dice.chance(self.plan.resets) => {
                let codes = [0, 2, 7, 8, 11, 4242].map(ErrorCode);
                Shape::Reset(dice.one_of(&codes))
            }
            _ if dice.chance(self.plan.no_trailers) => Shape::NoTrailers,
            0 => Shape::TrailersOnly,
            _ => Shape::Full,
        };
        let before: Vec<&Attempt> = self.attempts.iter().filter(|attempt| attempt.call == call).collect();
        let refused = |attempt: &&Attempt| attempt.reset == Some(ErrorCode::REFUSED_STREAM);
        assert!(
            self.calls[call].idempotent || before.iter().all(refused),
            "call {call} is processed twice: {before:?}"
        );
        assert!(before.len() < 4, "call {call} is tried for ever");
        let failing = dice.chance(self.plan.resets);
        let attempt = Attempt {
            call,
            link: at,
            stream,
            shape,
            code: if failing { dice.one_of(&[1, 2, 5, 14, 14]) } else { 0 },
            total: dice.size(self.plan.body_max),
            sent: 0,
            begun: false,
            ended: false,
            status: None,
            reset: None,
            wait_for_end: !dice.chance(self.plan.early_ends),
            received: 0,
            request_ended: end,
            next_us: if refuse { self.now_us } else { self.now_us + dice.span(3_000 * MS) },
        };
        let left = self.calls[call].end;
        self.note(|| format!("attempt {id} of call {call} at instance {instance}: {attempt:?}"));
        assert!(!matches!(left, Some(End::NeverSent)), "call {call} was never sent");
        self.links[at].http2.set_key(stream, id);
        self.attempts.push(attempt);
    }

    /// The next step of an attempt's script.
    pub(super) fn attempt_acts(&mut self, id: usize) {
        let later_us = self.now_us + self.dice.span(1_000 * MS);
        let attempt = &mut self.attempts[id];
        attempt.next_us = NEVER;
        let link = &mut self.links[attempt.link];
        if link.gone || !link.http2.contains(attempt.stream) || attempt.shape == Shape::Silent {
            return;
        }
        let (stream, http2) = (attempt.stream, &mut link.http2);
        if attempt.shape == Shape::Refuse {
            attempt.reset = Some(ErrorCode::REFUSED_STREAM);
            return http2.reset(stream, ErrorCode::REFUSED_STREAM);
        }
        if http2.pending(stream) > 0 || (attempt.wait_for_end && !attempt.request_ended) {
            return;
        }
        if attempt.ended {
            // A server may tell the client to stop, once its response is on the way.
            attempt.reset = Some(ErrorCode::NO_ERROR);
            return http2.reset(stream, ErrorCode::NO_ERROR);
        }
        if let Shape::Reset(code) = attempt.shape
            && self.dice.chance(300)
        {
            attempt.reset = Some(code);
            return http2.reset(stream, code);
        }
        attempt.next_us = later_us;
        let (tag, code) = (id.to_string(), attempt.code.to_string());
        let mut fields = Headers::new();
        if !attempt.begun {
            fields.push(b":status", b"200");
            fields.push(b"content-type", b"application/grpc");
        }
        fields.push(b"x-sim-attempt", tag.as_bytes());
        if attempt.shape == Shape::TrailersOnly || (attempt.begun && attempt.sent == attempt.total) {
            if attempt.shape == Shape::NoTrailers {
                attempt.ended = true;
                http2.send_data(stream, &[], true);
                return;
            }
            fields.push(b"grpc-status", code.as_bytes());
            if self.dice.chance(self.plan.odd) {
                // Beyond the limit at times: then the status remains.
                fields.push(b"x-pad", &vec![b'x'; self.dice.size(80_000)]);
            }
            (attempt.begun, attempt.ended, attempt.status) = (true, true, Some(attempt.code));
            http2.send_headers(stream, fields.iter(), true);
        } else if !attempt.begun {
            attempt.begun = true;
            http2.send_headers(stream, fields.iter(), false);
        } else {
            let rest = attempt.total - attempt.sent;
            let size = if self.dice.chance(500) { rest } else { 1 + self.dice.below(rest) };
            let piece: Vec<u8> = (attempt.sent..attempt.sent + size).map(|at| pattern(id, at)).collect();
            attempt.sent += size;
            attempt.ended = attempt.shape == Shape::NoTrailers && size == rest && self.dice.chance(500);
            http2.send_data(stream, &piece, attempt.ended);
        }
    }
}
