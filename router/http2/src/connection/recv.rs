//! From bytes to frames, and DATA: the first steps of everything that the peer sends.

use super::event::{Event, HeadersKind, Step, StreamId};
use super::streams::{Closed, Recv, Send};
use super::{Connection, Role, calm, flow_control, frame_size, protocol};
use crate::frame::{self, FrameHeader, HEADER_LEN, PREFACE, PayloadError, flag, kind};
use crate::{ConnectionError, ErrorCode};

/// What a frame came to, before the header list is attached: handlers may not borrow the connection.
pub(super) enum Outcome<'i> {
    Nothing,
    Headers { stream: StreamId, key: usize, kind: HeadersKind, end_stream: bool },
    Event(Event<'i>),
}

pub(super) type Handled<'i> = Result<Outcome<'i>, ConnectionError>;

/// Where a stream identifier stands.
pub(super) enum Place {
    Open(usize),
    Idle,
    Closed(Closed),
}

impl Connection {
    /// Takes in the peer's bytes: at most one complete frame (or the preface) per call.
    ///
    /// `consumed == 0` means that the frame is incomplete: call again with the same bytes and more. Never more than nine
    /// bytes and [`Config::max_frame_size`](crate::Config::max_frame_size) are needed. `now_ms` feeds the flood budgets;
    /// any origin does, as long as it does not step back.
    ///
    /// # Errors
    /// The connection is over (RFC 9113 section 5.4.1). GOAWAY is in the output: flush it and close. Every later call
    /// returns the same error.
    #[inline]
    pub fn recv<'a>(&'a mut self, input: &'a [u8], now_ms: u64) -> Result<Step<'a>, ConnectionError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.step(input, now_ms) {
            Ok((consumed, outcome)) => {
                let event = match outcome {
                    Outcome::Nothing => None,
                    Outcome::Event(event) => Some(event),
                    Outcome::Headers { stream, key, kind, end_stream } => {
                        Some(Event::Headers { stream, key, headers: &self.headers, kind, end_stream })
                    }
                };
                Ok(Step { consumed, event })
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn step<'i>(&mut self, input: &'i [u8], now_ms: u64) -> Result<(usize, Outcome<'i>), ConnectionError> {
        if self.preface_pending {
            return Ok((self.recv_preface(input)?, Outcome::Nothing));
        }
        let Some(header) = FrameHeader::parse(input) else {
            return Ok((0, Outcome::Nothing));
        };
        if header.length > self.config.max_frame_size as usize {
            return Err(frame_size("frame larger than the maximum"));
        }
        if !self.ready && (header.kind != kind::SETTINGS || header.has(flag::ACK)) {
            return Err(protocol("the first frame is not SETTINGS"));
        }
        if self.block.is_open() && header.kind != kind::CONTINUATION {
            return Err(protocol("frame within a header block"));
        }
        let end = HEADER_LEN + header.length;
        let Some(payload) = input.get(HEADER_LEN..end) else {
            return Ok((0, Outcome::Nothing));
        };
        let outcome = match header.kind {
            kind::DATA => self.recv_data(header, payload, now_ms),
            kind::HEADERS => self.recv_headers(header, payload, now_ms),
            kind::CONTINUATION => self.recv_continuation(header, payload, now_ms),
            kind::WINDOW_UPDATE => self.recv_window_update(header, payload, now_ms),
            kind::RST_STREAM => self.recv_rst_stream(header, payload, now_ms),
            kind::SETTINGS => self.recv_settings(header, payload, now_ms),
            kind::PING => self.recv_ping(header, payload, now_ms),
            kind::GOAWAY => self.recv_goaway(header, payload),
            kind::PRIORITY => self.recv_priority(header, payload, now_ms),
            // Clients never push, and we forbid it to servers.
            kind::PUSH_PROMISE => Err(protocol("PUSH_PROMISE")),
            _ => self.charge_ignored(now_ms).map(|()| Outcome::Nothing),
        }?;
        Ok((end, outcome))
    }

    fn recv_preface(&mut self, input: &[u8]) -> Result<usize, ConnectionError> {
        let len = input.len().min(PREFACE.len());
        if input[..len] != PREFACE[..len] {
            return Err(protocol("not an HTTP/2 preface"));
        }
        if len < PREFACE.len() {
            return Ok(0);
        }
        self.preface_pending = false;
        Ok(len)
    }

    /// Says where a stream identifier stands (RFC 9113 section 5.1.1).
    #[inline]
    pub(super) fn place(&self, id: StreamId) -> Place {
        match self.streams.find(id) {
            Some(index) => Place::Open(index),
            None => self.place_absent(id),
        }
    }

    fn place_absent(&self, id: StreamId) -> Place {
        let used = match self.role {
            // Only odd identifiers are ever used: nobody pushes.
            Role::Server => id % 2 == 1 && id <= self.max_peer_id,
            Role::Client => id % 2 == 1 && id < self.next_id,
        };
        match used {
            false => Place::Idle,
            // Streams above our final GOAWAY are ignored from their HEADERS on.
            true if self.refuses_silently(id) => Place::Closed(Closed::ByUs),
            true => Place::Closed(self.streams.closed(id)),
        }
    }

    pub(super) fn refuses_silently(&self, id: StreamId) -> bool {
        self.role == Role::Server && self.goaway_sent.is_some_and(|last| id > last)
    }

    #[inline]
    fn recv_data<'i>(&mut self, header: FrameHeader, payload: &'i [u8], now_ms: u64) -> Handled<'i> {
        let id = header.stream;
        if id == 0 {
            return Err(protocol("DATA on stream 0"));
        }
        let credit = payload.len() as u32;
        self.recv_connection_credit(credit)?;
        let data = frame::strip_padding(header, payload).map_err(payload_error)?;
        let end_stream = header.has(flag::END_STREAM);
        if !data.is_empty() {
            self.limits.empty_data = 0;
        } else if !end_stream {
            self.limits.empty_data += 1;
            if self.limits.empty_data > self.config.empty_data_burst {
                return Err(calm("too many empty DATA frames"));
            }
        }
        let index = match self.place(id) {
            Place::Open(index) => index,
            Place::Idle => return Err(protocol("DATA on an idle stream")),
            Place::Closed(closed) => return self.recv_on_closed(id, closed, now_ms),
        };
        let stream = &mut self.streams[index];
        match stream.recv {
            Recv::Body => {}
            Recv::Closed => {
                let reason = "DATA after END_STREAM";
                return self.stream_error(index, ErrorCode::STREAM_CLOSED, reason, now_ms);
            }
            Recv::Headers => return self.malformed(index, "DATA before the response's headers", now_ms),
        }
        if !stream.recv_window.receive(credit) {
            let reason = "DATA beyond the stream's window";
            return self.stream_error(index, ErrorCode::FLOW_CONTROL_ERROR, reason, now_ms);
        }
        if !stream.account_content(data.len(), end_stream) {
            return self.malformed(index, "DATA does not match content-length", now_ms);
        }
        let key = stream.key;
        if end_stream {
            stream.recv = Recv::Closed;
            self.remove_if_closed(index);
        } else if data.is_empty() {
            // Nothing for the caller, so nobody else would give the padding's share of the window back.
            self.release_index(index, credit);
            return Ok(Outcome::Nothing);
        }
        Ok(Outcome::Event(Event::Data { stream: id, key, data, credit, end_stream }))
    }

    /// Takes `credit` from the connection's window and gives it back at once: what a stream may hold is bounded by its own
    /// window, and a stalled stream must not block the others.
    #[inline]
    fn recv_connection_credit(&mut self, credit: u32) -> Result<(), ConnectionError> {
        if !self.recv_window.receive(credit) {
            return Err(flow_control("DATA beyond the connection's window"));
        }
        if let Some(increment) = self.recv_window.free(credit, self.config.connection_window) {
            frame::write_window_update(self.output.tail(), 0, increment);
        }
        Ok(())
    }

    /// HEADERS or DATA on a stream that is closed; see the table in `streams.rs`.
    pub(super) fn recv_on_closed<'i>(&mut self, id: StreamId, closed: Closed, now_ms: u64) -> Handled<'i> {
        match closed {
            Closed::ByUs | Closed::Forgotten => {}
            Closed::ByPeer => self.refuse(id, ErrorCode::STREAM_CLOSED, now_ms)?,
            Closed::Skipped => return Err(protocol("stream identifier below a used one")),
            Closed::EndStream => {
                let reason = "frame on a closed stream";
                return Err(ConnectionError { code: ErrorCode::STREAM_CLOSED, reason });
            }
        }
        Ok(Outcome::Nothing)
    }

    /// Takes the stream out of the table if both sides are done.
    #[inline]
    pub(super) fn remove_if_closed(&mut self, index: usize) {
        let stream = &self.streams[index];
        if stream.recv == Recv::Closed && stream.send == Send::Closed {
            self.remove(index, Closed::EndStream);
        }
    }

    /// A malformed message (RFC 9113 section 8.1.1).
    pub(super) fn malformed<'i>(&mut self, index: usize, reason: &'static str, now_ms: u64) -> Handled<'i> {
        self.stream_error(index, ErrorCode::PROTOCOL_ERROR, reason, now_ms)
    }

    /// Ends a stream that the caller knows, because the peer broke a rule on it.
    pub(super) fn stream_error<'i>(
        &mut self,
        index: usize,
        code: ErrorCode,
        reason: &'static str,
        now_ms: u64,
    ) -> Handled<'i> {
        let stream = self.remove(index, Closed::ByUs);
        self.refuse(stream.id, code, now_ms)?;
        Ok(Outcome::Event(Event::StreamError { stream: stream.id, key: stream.key, code, reason }))
    }

    /// Sends a RST_STREAM that the peer provoked.
    pub(super) fn refuse(
        &mut self,
        id: StreamId,
        code: ErrorCode,
        now_ms: u64,
    ) -> Result<(), ConnectionError> {
        frame::write_rst_stream(self.output.tail(), id, code.0);
        self.account_control(HEADER_LEN + 4)?;
        self.charge_reset(now_ms)
    }

    /// Accounts a reset that a client sent or provoked. A server can only end what we opened, so it needs no budget.
    pub(super) fn charge_reset(&mut self, now_ms: u64) -> Result<(), ConnectionError> {
        if self.role == Role::Client || self.limits.resets.take(now_ms) {
            return Ok(());
        }
        Err(calm("too many resets"))
    }

    /// Accounts a frame that has no effect.
    pub(super) fn charge_ignored(&mut self, now_ms: u64) -> Result<(), ConnectionError> {
        if self.limits.ignored.take(now_ms) { Ok(()) } else { Err(calm("too many frames without effect")) }
    }
}

pub(super) fn payload_error(error: PayloadError) -> ConnectionError {
    match error {
        PayloadError::TooShort => frame_size("frame too short for its flags"),
        PayloadError::Padding => protocol("padding as long as the payload"),
    }
}
