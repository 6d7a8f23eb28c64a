//! One call in flight: what has come of its answer, and whether that is right.

use super::{measure::Measure, plan::Plan};
use crate::link::Outgoing;
use switchboard_http2::{Event, Headers, HeadersKind, StreamId};

/// A call's place; used again when the call is over.
#[derive(Debug, Default)]
pub(super) struct Call {
    /// 0: there is no call.
    pub(super) stream: StreamId,
    /// Which of the driver's plans it follows.
    pub(super) plan: usize,
    /// When it began, or was to begin.
    pub(super) started_us: u64,
    /// Its request, if that is not sent at once.
    pub(super) outgoing: Option<Outgoing>,
    /// Bytes of the request.
    pub(super) request_bytes: usize,
    /// Bytes of the answer so far.
    pub(super) got: u64,
    /// The first thing that was wrong.
    pub(super) failure: Option<String>,
}

/// What follows from an event.
#[derive(Debug)]
pub(super) enum Next {
    Nothing,
    /// DATA was taken.
    Credit(StreamId, u32),
    /// The call is over.
    Ended(usize),
    /// The connection takes calls.
    Ready,
    /// The connection takes no more calls.
    Closing(String),
}

/// Takes an event of a connection in.
pub(super) fn take(
    calls: &mut [Call],
    plans: &[Plan],
    measure: &mut Measure,
    now_us: u64,
    event: Event<'_>,
) -> Next {
    match event {
        Event::Data { stream, key, data, credit, end_stream } => {
            let Some(call) = calls.get_mut(key) else { return Next::Nothing };
            let plan = &plans[call.plan];
            call.data(data, plan, measure, now_us);
            if end_stream {
                call.failed(|| "the answer ended without a grpc-status".to_owned());
                return Next::Ended(key);
            }
            if plan.stalls { Next::Nothing } else { Next::Credit(stream, credit) }
        }
        Event::Headers { key, headers, kind, end_stream, .. } => {
            let Some(call) = calls.get_mut(key) else { return Next::Nothing };
            if kind == HeadersKind::Initial {
                call.check_http_status(headers);
            }
            if !end_stream {
                return Next::Nothing;
            }
            call.check_status(headers, &plans[call.plan]);
            Next::Ended(key)
        }
        // A stream whose call is over may still have a RST_STREAM under way.
        Event::Reset { stream, key, code } => {
            let Some(call) = calls.get_mut(key).filter(|call| call.stream == stream) else {
                return Next::Nothing;
            };
            call.failed(|| format!("the stream was reset: {code}"));
            Next::Ended(key)
        }
        Event::StreamError { stream, key, reason, .. } => {
            let Some(call) = calls.get_mut(key).filter(|call| call.stream == stream) else {
                return Next::Nothing;
            };
            call.failed(|| format!("the target broke HTTP/2: {reason}"));
            Next::Ended(key)
        }
        Event::Settings => Next::Ready,
        Event::GoAway { code, debug, .. } => {
            Next::Closing(format!("the target sent GOAWAY {code} {}", String::from_utf8_lossy(debug)))
        }
        Event::PingAck { .. } => Next::Nothing,
    }
}

impl Call {
    fn failed(&mut self, text: impl FnOnce() -> String) {
        if self.failure.is_none() {
            self.failure = Some(text());
        }
    }

    #[inline]
    fn data(&mut self, data: &[u8], plan: &Plan, measure: &mut Measure, now_us: u64) {
        let Some(reply) = &plan.reply else {
            self.got += data.len() as u64;
            measure.received(data.len());
            return;
        };
        if !reply.matches(self.got, data) {
            self.failed(|| "the answer's bytes are wrong".to_owned());
        }
        let total = reply.total() as u64;
        let before = self.got;
        self.got += data.len() as u64;
        measure.received(data.len());
        if plan.count > 1 {
            let (first, end) = (before / total, self.got / total);
            measure.messages(end - first);
            if plan.interval_us > 0 {
                for message in first..end {
                    let due_us = self.started_us + message * plan.interval_us;
                    measure.latency(now_us.saturating_sub(due_us));
                }
            }
        }
    }

    fn check_http_status(&mut self, headers: &Headers) {
        if headers.get(b":status") != Some(b"200") {
            let status = String::from_utf8_lossy(headers.get(b":status").unwrap_or_default()).into_owned();
            self.failed(|| format!("HTTP status {status}"));
        }
    }

    fn check_status(&mut self, headers: &Headers, plan: &Plan) {
        match headers.get(b"grpc-status") {
            Some(b"0") => {
                let expected = plan.reply.as_ref().map(|reply| reply.total() as u64 * plan.count);
                if let Some(expected) = expected.filter(|expected| self.got != *expected) {
                    let got = self.got;
                    self.failed(|| format!("the answer has {got} bytes, not {expected}"));
                }
            }
            Some(status) => {
                let status = String::from_utf8_lossy(status).into_owned();
                let message = percent_decoded(headers.get(b"grpc-message").unwrap_or_default());
                self.failed(|| format!("status {status}: {message}"));
            }
            None => self.failed(|| "the answer ended without a grpc-status".to_owned()),
        }
    }
}

/// The text of a `grpc-message`. What is not encoded as it should be stays as it is.
fn percent_decoded(value: &[u8]) -> String {
    let mut bytes = Vec::new();
    let mut rest = value;
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|digits| str::from_utf8(digits).ok());
        let code = code.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *first == b'%');
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
