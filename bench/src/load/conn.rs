//! One connection to the target and the calls on it.

use super::{
    call::{Call, Next, take},
    measure::Measure,
    plan::Plan,
};
use crate::link::{Buffers, Link, Outgoing, Sent};
use std::collections::VecDeque;
use switchboard_http2::{ErrorCode, OpenError};

/// Output above which streams wait with their next piece.
const FEED_BYTES: usize = 64 << 10;

/// A connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) link: Link,
    /// It takes calls.
    pub(super) ready: bool,
    /// It stands among those to be flushed.
    pub(super) dirty: bool,
    pub(super) calls: Vec<Call>,
    /// Places without a call.
    pub(super) free: Vec<usize>,
    /// Calls that can send more of their requests, in their turn.
    sending: VecDeque<usize>,
}

/// What the driver has to know of a read.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The connection takes calls since now.
    pub(super) ready: bool,
    /// The socket may have more.
    pub(super) more: bool,
}

/// What a connection's events go to.
pub(super) struct Context<'a> {
    pub(super) plans: &'a mut [Plan],
    pub(super) measure: &'a mut Measure,
    pub(super) buffers: &'a mut Buffers,
    pub(super) now_us: u64,
    /// A call follows when one ends.
    pub(super) closed_loop: bool,
}

impl Conn {
    pub(super) fn new(link: Link, streams: usize) -> Self {
        Conn {
            link,
            ready: false,
            dirty: false,
            calls: (0..streams).map(|_| Call::default()).collect(),
            free: (0..streams).rev().collect(),
            sending: VecDeque::new(),
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.calls.len() - self.free.len()
    }

    /// Begins a call, if a place is free.
    ///
    /// # Errors
    /// The target takes no more.
    pub(super) fn open(&mut self, plans: &mut [Plan], plan: usize, started_us: u64) -> Result<bool, String> {
        let Some(slot) = self.free.pop() else { return Ok(false) };
        let its = &mut plans[plan];
        let request = its.next();
        let http2 = &mut self.link.http2;
        let headers = its.headers.iter().chain(its.latest_unique.iter());
        let stream = http2.open(headers, false, slot).map_err(|error| match error {
            OpenError::TooManyStreams => format!(
                "the target lets a connection have no more than {} calls in flight",
                http2.open_streams()
            ),
            error => error.to_string(),
        })?;
        let outgoing = if request.is_short() {
            http2.send_data(stream, request.piece(0), true);
            None
        } else {
            self.sending.push_back(slot);
            Some(Outgoing::new(stream, request.clone(), 1, true))
        };
        let request_bytes = request.total();
        self.calls[slot] = Call { stream, plan, started_us, outgoing, request_bytes, got: 0, failure: None };
        Ok(true)
    }

    /// Reads once.
    ///
    /// # Errors
    /// The connection is over; the text says why.
    pub(super) fn read(&mut self, context: &mut Context<'_>, closed: bool) -> Result<Option<Seen>, String> {
        let Context { plans, measure, buffers, now_us, closed_loop } = context;
        let now_us = *now_us;
        let Some(filled) = self.link.read(buffers, closed)? else { return Ok(None) };
        let mut seen = Seen { more: filled.more, ..Seen::default() };
        let mut at = 0;
        loop {
            let input = &buffers.plain[at..filled.bytes];
            let step = self.link.http2.recv(input, now_us / 1000);
            let step = step.map_err(|error| format!("the target broke HTTP/2: {error}"))?;
            if step.consumed == 0 {
                break;
            }
            at += step.consumed;
            let next = match step.event {
                Some(event) => take(&mut self.calls, plans, measure, now_us, event),
                None => continue,
            };
            match next {
                Next::Nothing => {}
                Next::Credit(stream, credit) => self.link.http2.release(stream, credit),
                Next::Ready => seen.ready = !std::mem::replace(&mut self.ready, true),
                Next::Closing(why) => return Err(why),
                Next::Ended(slot) => {
                    let plan = self.calls[slot].plan;
                    self.ended(slot, plans, measure, now_us);
                    if *closed_loop {
                        self.open(plans, plan, now_us)?;
                    }
                }
            }
        }
        self.link.keep(&buffers.plain[at..filled.bytes]);
        Ok(Some(seen))
    }

    fn ended(&mut self, slot: usize, plans: &[Plan], measure: &mut Measure, now_us: u64) {
        let call = &mut self.calls[slot];
        let plan = &plans[call.plan];
        match call.failure.take() {
            None => {
                measure.call(call.request_bytes);
                if plan.count == 1 {
                    measure.messages(1);
                }
                if plan.interval_us == 0 {
                    measure.latency(now_us.saturating_sub(call.started_us));
                }
            }
            Some(text) => measure.error(text),
        }
        if self.link.http2.contains(call.stream) {
            // An answer before the end of the request; the rest of it is not wanted.
            self.link.http2.reset(call.stream, ErrorCode::CANCEL);
        }
        call.outgoing = None;
        call.stream = 0;
        self.free.push(slot);
    }

    /// Writes what there is, and what calls have to send, in their turn.
    pub(super) fn flush(&mut self) -> Result<(), String> {
        let Conn { link, calls, sending, .. } = self;
        link.flush(|http2| {
            while let Some((stream, slot, _)) = http2.poll_sent() {
                let call = calls.get_mut(slot).filter(|call| call.stream == stream);
                let outgoing = call.and_then(|call| call.outgoing.as_mut());
                if outgoing.is_some_and(|outgoing| outgoing.resumes(http2)) {
                    sending.push_back(slot);
                }
            }
            while http2.output().len() < FEED_BYTES {
                let Some(slot) = sending.pop_front() else { break };
                let Some(outgoing) = calls.get_mut(slot).and_then(|call| call.outgoing.as_mut()) else {
                    continue;
                };
                match outgoing.send(http2) {
                    Sent::More => sending.push_back(slot),
                    Sent::Waits => {}
                    Sent::Last => calls[slot].outgoing = None,
                }
            }
        })
    }

    /// Gives up what is under way and says so to the target, as far as the socket takes it.
    pub(super) fn close(&mut self) {
        for call in &mut self.calls {
            if call.stream != 0 {
                self.link.http2.reset(call.stream, ErrorCode::CANCEL);
            }
            call.outgoing = None;
        }
        self.link.http2.goaway(ErrorCode::NO_ERROR, b"");
        // What it does not take at once is not worth waiting for.
        let _ = self.flush();
    }
}
