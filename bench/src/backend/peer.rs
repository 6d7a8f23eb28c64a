//! One client connection and its calls.

use super::{
    answer::Answers,
    call::{Call, Request},
};
use crate::link::{Buffers, Link, Outgoing, Sent};
use slab::Slab;
use std::collections::VecDeque;
use switchboard_http2::{self as http2, Event, Field, HeadersKind, NO_KEY, StreamId};

/// Output above which streams wait with their next piece.
const FEED_BYTES: usize = 64 << 10;

const RESPONSE: [Field<'static>; 2] =
    [Field::new(b":status", b"200"), Field::new(b"content-type", b"application/grpc")];
const OK: [Field<'static>; 1] = [Field::new(b"grpc-status", b"0")];

/// A message of a stream is due. The earliest is the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    pub(super) at_us: u64,
    pub(super) peer: usize,
    /// Of the peer, since its number is used again.
    pub(super) born: u64,
    pub(super) call: usize,
    pub(super) stream: StreamId,
}

/// A client connection.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) link: Link,
    key: usize,
    /// Which connection of the process it is.
    pub(super) born: u64,
    /// It stands among those to be flushed.
    pub(super) dirty: bool,
    calls: Slab<Call>,
    /// Calls that can send, in their turn.
    ready: VecDeque<usize>,
}

/// What follows from an event.
enum Next {
    Nothing,
    Credit(StreamId, u32),
    Answer(usize),
    Begin(StreamId, Call, bool),
}

impl Peer {
    pub(super) fn new(link: Link, key: usize, born: u64) -> Self {
        Peer { link, key, born, dirty: false, calls: Slab::new(), ready: VecDeque::new() }
    }

    /// Reads once; true if there may be more. `due` takes messages that are to be sent at a time.
    ///
    /// # Errors
    /// The connection is over. What is in the output may still be of use to the client.
    pub(super) fn read(
        &mut self,
        buffers: &mut Buffers,
        closed: bool,
        answers: &mut Answers,
        now_us: u64,
        due: &mut impl FnMut(Due),
    ) -> Result<bool, ()> {
        let Some(filled) = self.link.read(buffers, closed).map_err(|_| ())? else { return Ok(false) };
        let mut at = 0;
        loop {
            let input = &buffers.plain[at..filled.bytes];
            let step = self.link.http2.recv(input, now_us / 1000).map_err(|_| ())?;
            if step.consumed == 0 {
                break;
            }
            at += step.consumed;
            let next = match step.event {
                Some(event) => take(&mut self.calls, event, answers),
                None => continue,
            };
            match next {
                Next::Nothing => {}
                Next::Credit(stream, credit) => self.link.http2.release(stream, credit),
                Next::Answer(key) => self.answer(key, answers, now_us, due),
                Next::Begin(stream, call, ended) => {
                    let key = self.calls.insert(call);
                    self.link.http2.set_key(stream, key);
                    if ended {
                        self.answer(key, answers, now_us, due);
                    }
                }
            }
        }
        self.link.keep(&buffers.plain[at..filled.bytes]);
        Ok(filled.more)
    }

    /// The request is complete.
    fn answer(&mut self, key: usize, answers: &Answers, now_us: u64, due: &mut impl FnMut(Due)) {
        let Some(call) = self.calls.get_mut(key) else { return };
        if !call.request.is_whole() {
            call.answer = answers.damaged.clone();
        }
        let (stream, answer) = (call.stream, &*call.answer);
        let http2 = &mut self.link.http2;
        if answer.status != 0 {
            let status = answer.status.to_string();
            let status = [
                Field::new(b"grpc-status", status.as_bytes()),
                Field::new(b"grpc-message", answer.text.as_bytes()),
            ];
            http2.send_headers(stream, RESPONSE.into_iter().chain(status), true);
            self.calls.remove(key);
            return;
        }
        http2.send_headers(stream, RESPONSE.into_iter(), false);
        if answer.count == 1 && answer.message.is_short() {
            let pending = http2.send_data(stream, answer.message.piece(0), false);
            finish(http2, stream, pending > 0);
            self.calls.remove(key);
            return;
        }
        let outgoing = Outgoing::new(stream, answer.message.clone(), answer.count, false);
        call.outgoing = Some(outgoing);
        if answer.interval_us == 0 {
            self.ready.push_back(key);
        } else {
            due(Due { at_us: now_us, peer: self.key, born: self.born, call: key, stream });
        }
    }

    /// Sends a message that is due. Returns when the next one is.
    pub(super) fn send_due(&mut self, due: &Due) -> Option<u64> {
        let call = self.calls.get_mut(due.call).filter(|call| call.stream == due.stream)?;
        let next_us = due.at_us + call.answer.interval_us;
        // One that does not take its messages gets this one later, so that no more than one waits.
        if self.link.http2.pending(due.stream) > 0 {
            return Some(next_us);
        }
        let outgoing = call.outgoing.as_mut()?;
        // A long message is not for a clock: what windows do not take of it waits in HTTP/2.
        match outgoing.send_message(&mut self.link.http2) {
            Sent::More | Sent::Waits => Some(next_us),
            Sent::Last => {
                let pending = self.link.http2.pending(due.stream) > 0;
                finish(&mut self.link.http2, due.stream, pending);
                self.calls.remove(due.call);
                None
            }
        }
    }

    /// Writes what there is, and what streams have to send, in their turn.
    pub(super) fn flush(&mut self) -> Result<(), String> {
        let Peer { link, calls, ready, .. } = self;
        link.flush(|http2| {
            while let Some((stream, key, _)) = http2.poll_sent() {
                let call =
                    calls.get_mut(key).filter(|call| call.stream == stream && call.answer.interval_us == 0);
                let outgoing = call.and_then(|call| call.outgoing.as_mut());
                if outgoing.is_some_and(|outgoing| outgoing.resumes(http2)) {
                    ready.push_back(key);
                }
            }
            while http2.output().len() < FEED_BYTES {
                let Some(key) = ready.pop_front() else { break };
                let Some(outgoing) = calls.get_mut(key).and_then(|call| call.outgoing.as_mut()) else {
                    continue;
                };
                match outgoing.send(http2) {
                    Sent::More => ready.push_back(key),
                    Sent::Waits => {}
                    Sent::Last => {
                        let stream = outgoing.stream();
                        let pending = http2.pending(stream) > 0;
                        finish(http2, stream, pending);
                        calls.remove(key);
                    }
                }
            }
        })
    }
}

/// Ends an answer. The call's key is used again; the stream may live on.
fn finish(http2: &mut http2::Connection, stream: StreamId, lives_on: bool) {
    if lives_on {
        http2.set_key(stream, NO_KEY);
    }
    http2.send_headers(stream, OK.into_iter(), true);
}

fn take(calls: &mut Slab<Call>, event: Event<'_>, answers: &mut Answers) -> Next {
    match event {
        Event::Headers { stream, headers, kind: HeadersKind::Initial, end_stream, .. } => {
            let answer = answers.find(headers);
            let call = Call { stream, answer, outgoing: None, request: Request::default() };
            Next::Begin(stream, call, end_stream)
        }
        Event::Headers { key, end_stream: true, .. } => Next::Answer(key),
        Event::Data { stream, key, data, credit, end_stream } => {
            if let Some(call) = calls.get_mut(key) {
                call.request.take(data);
            }
            if end_stream { Next::Answer(key) } else { Next::Credit(stream, credit) }
        }
        Event::Reset { stream, key, .. } | Event::StreamError { stream, key, .. } => {
            if calls.get(key).is_some_and(|call| call.stream == stream) {
                calls.remove(key);
            }
            Next::Nothing
        }
        Event::Headers { .. } | Event::Settings | Event::GoAway { .. } | Event::PingAck { .. } => {
            Next::Nothing
        }
    }
}
