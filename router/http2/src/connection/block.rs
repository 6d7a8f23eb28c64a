//! Header blocks (RFC 9113 sections 4.3, 6.2, 6.10): from HEADERS and CONTINUATION to requests, responses and trailers.

use super::event::{HeadersKind, NO_KEY, StreamId};
use super::flow::{RecvWindow, SendWindow};
use super::limits::{INTERIM_MAX, OUTPUT_EXCESS_MAX};
use super::recv::{Handled, Outcome, Place, payload_error};
use super::streams::{Closed, Recv, Send, Stream};
use super::{Connection, Role, calm, message, protocol};
use crate::frame::{self, FrameHeader, flag};
use crate::{ConnectionError, ErrorCode, Field, Headers, hpack};

/// Memory that the header list and the block buffer keep between blocks: ordinary gRPC metadata.
const KEEP: usize = 8 << 10;

/// A header block that is not complete yet.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// The stream; 0 if no block is open.
    id: StreamId,
    end_stream: bool,
    depends_on_itself: bool,
    continuations: u32,
    bytes: Vec<u8>,
}

impl Block {
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.id != 0
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// What the frames of a block say about it.
#[derive(Clone, Copy)]
struct BlockFlags {
    end_stream: bool,
    depends_on_itself: bool,
}

impl Connection {
    #[inline]
    pub(super) fn recv_headers<'i>(
        &mut self,
        header: FrameHeader,
        payload: &'i [u8],
        now_ms: u64,
    ) -> Handled<'i> {
        let id = header.stream;
        if id == 0 {
            return Err(protocol("HEADERS on stream 0"));
        }
        if id.is_multiple_of(2) {
            return Err(protocol("HEADERS on a stream of the server"));
        }
        let payload = frame::parse_headers(header, payload).map_err(payload_error)?;
        let flags = BlockFlags {
            end_stream: header.has(flag::END_STREAM),
            depends_on_itself: payload.depends_on == Some(id),
        };
        if header.has(flag::END_HEADERS) {
            return self.recv_block(id, flags, payload.fragment, now_ms);
        }
        // What ends the connection anyway does not wait for the rest of the block.
        match self.place(id) {
            Place::Closed(closed @ (Closed::EndStream | Closed::Skipped)) => {
                return self.recv_on_closed(id, closed, now_ms);
            }
            Place::Idle if self.role == Role::Client => return Err(protocol("HEADERS on an idle stream")),
            _ => {}
        }
        self.block.id = id;
        self.block.end_stream = flags.end_stream;
        self.block.depends_on_itself = flags.depends_on_itself;
        self.block.continuations = 0;
        self.extend_block(payload.fragment)?;
        Ok(Outcome::Nothing)
    }

    pub(super) fn recv_continuation<'i>(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        now_ms: u64,
    ) -> Handled<'i> {
        if !self.block.is_open() || header.stream != self.block.id {
            return Err(protocol("CONTINUATION without its HEADERS"));
        }
        self.block.continuations += 1;
        if self.block.continuations > self.config.max_continuation_frames {
            return Err(calm("too many CONTINUATION frames"));
        }
        self.extend_block(payload)?;
        if !header.has(flag::END_HEADERS) {
            return Ok(Outcome::Nothing);
        }
        let id = std::mem::take(&mut self.block.id);
        let flags =
            BlockFlags { end_stream: self.block.end_stream, depends_on_itself: self.block.depends_on_itself };
        let mut bytes = std::mem::take(&mut self.block.bytes);
        let handled = self.recv_block(id, flags, &bytes, now_ms);
        bytes.clear();
        bytes.shrink_to(KEEP);
        self.block.bytes = bytes;
        handled
    }

    fn extend_block(&mut self, fragment: &[u8]) -> Result<(), ConnectionError> {
        // Twice the list size, so that a list somewhat too large costs its own stream and not all others.
        let max = (self.config.header_list_max as usize).saturating_mul(2);
        if self.block.bytes.len() + fragment.len() > max {
            return Err(calm("header block too large"));
        }
        self.block.bytes.extend_from_slice(fragment);
        Ok(())
    }

    /// Decodes a complete block (whatever becomes of it, or the HPACK tables would differ) and applies it.
    #[inline]
    fn recv_block<'i>(&mut self, id: StreamId, flags: BlockFlags, block: &[u8], now_ms: u64) -> Handled<'i> {
        self.headers.clear();
        self.headers.shrink(KEEP);
        let over_limit = self
            .decoder
            .decode(block, self.config.header_list_max as usize, &mut self.headers)
            .map_err(|error| match error {
                hpack::Error::ListFarTooLarge => calm("header list far too large"),
                _ => ConnectionError {
                    code: ErrorCode::COMPRESSION_ERROR,
                    reason: "header block does not decode",
                },
            })?
            .over_limit;
        match self.place(id) {
            Place::Open(index) => self.recv_block_on_open(index, flags, over_limit, now_ms),
            Place::Idle if self.role == Role::Client => Err(protocol("HEADERS on an idle stream")),
            Place::Idle => self.recv_request(id, flags, over_limit, now_ms),
            Place::Closed(closed) => {
                self.charge_ignored(now_ms)?;
                self.recv_on_closed(id, closed, now_ms)
            }
        }
    }

    fn recv_request<'i>(
        &mut self,
        id: StreamId,
        flags: BlockFlags,
        over_limit: bool,
        now_ms: u64,
    ) -> Handled<'i> {
        let previous = std::mem::replace(&mut self.max_peer_id, id);
        if id > previous + 2 || (previous == 0 && id > 1) {
            self.streams.note_skipped(previous, id);
        }
        if self.refuses_silently(id) {
            self.charge_ignored(now_ms)?;
            return Ok(Outcome::Nothing);
        }
        if self.output.len() > self.config.output_high_water.saturating_add(OUTPUT_EXCESS_MAX) {
            return Err(calm("answers are not read"));
        }
        let refusal = if self.streams.len() >= self.config.max_concurrent_streams as usize {
            Err(ErrorCode::REFUSED_STREAM)
        } else if flags.depends_on_itself {
            Err(ErrorCode::PROTOCOL_ERROR)
        } else if over_limit {
            return self.refuse_large_request(id, flags.end_stream, now_ms);
        } else {
            message::request(&self.headers).map_err(|_| ErrorCode::PROTOCOL_ERROR)
        };
        let content_left = match refusal {
            Ok(request) => request.content_length.unwrap_or(u64::MAX),
            Err(code) => return self.refuse_request(id, code, now_ms),
        };
        if flags.end_stream && content_left != u64::MAX && content_left != 0 {
            return self.refuse_request(id, ErrorCode::PROTOCOL_ERROR, now_ms);
        }
        self.note_useful();
        self.streams.insert(Stream {
            id,
            recv: if flags.end_stream { Recv::Closed } else { Recv::Body },
            send: Send::Headers,
            queued: false,
            no_content: false,
            interim: 0,
            send_window: SendWindow::new(self.peer.initial_window),
            recv_window: RecvWindow::new(self.recv_initial),
            key: NO_KEY,
            content_left,
            pending: None,
        });
        Ok(Outcome::Headers {
            stream: id,
            key: NO_KEY,
            kind: HeadersKind::Initial,
            end_stream: flags.end_stream,
        })
    }

    fn refuse_request<'i>(&mut self, id: StreamId, code: ErrorCode, now_ms: u64) -> Handled<'i> {
        self.streams.remember(id, Closed::ByUs);
        self.refuse(id, code, now_ms)?;
        Ok(Outcome::Nothing)
    }

    /// Answers a request with too large a header list: a status tells people more than a reset (RFC 9113 section 10.5.1).
    fn refuse_large_request<'i>(&mut self, id: StreamId, end_stream: bool, now_ms: u64) -> Handled<'i> {
        let before = self.output.len();
        let status = Field::new(b":status", b"431");
        self.write_block(id, &Headers::new(), std::iter::once(status), true);
        if !end_stream {
            frame::write_rst_stream(self.output.tail(), id, ErrorCode::NO_ERROR.0);
            self.streams.remember(id, Closed::ByUs);
        }
        self.account_control(self.output.len() - before)?;
        self.charge_reset(now_ms)?;
        Ok(Outcome::Nothing)
    }

    fn recv_block_on_open<'i>(
        &mut self,
        index: usize,
        flags: BlockFlags,
        over_limit: bool,
        now_ms: u64,
    ) -> Handled<'i> {
        let recv = self.streams[index].recv;
        if recv == Recv::Closed {
            return self.stream_error(index, ErrorCode::STREAM_CLOSED, "HEADERS after END_STREAM", now_ms);
        }
        if flags.depends_on_itself {
            return self.malformed(index, "stream depends on itself", now_ms);
        }
        if over_limit {
            return self.stream_error(index, ErrorCode::ENHANCE_YOUR_CALM, "header list too large", now_ms);
        }
        let kind = match recv {
            Recv::Headers => self.check_response(index, flags.end_stream),
            _ if !flags.end_stream => Err("trailers without END_STREAM"),
            _ => message::trailers(&self.headers).map(|()| HeadersKind::Trailers),
        };
        let kind = match kind {
            Ok(kind) => kind,
            Err(reason) => return self.malformed(index, reason, now_ms),
        };
        let stream = &mut self.streams[index];
        if flags.end_stream && !stream.account_content(0, true) {
            return self.malformed(index, "DATA does not match content-length", now_ms);
        }
        if kind == HeadersKind::Informational {
            if stream.interim >= INTERIM_MAX {
                // A status among them is no answer.
                self.headers.clear();
                let reason = "too many interim responses";
                return self.stream_error(index, ErrorCode::ENHANCE_YOUR_CALM, reason, now_ms);
            }
            stream.interim += 1;
        }
        let (id, key) = (stream.id, stream.key);
        if flags.end_stream {
            stream.recv = Recv::Closed;
        } else if kind == HeadersKind::Initial {
            stream.recv = Recv::Body;
        }
        self.note_useful();
        self.remove_if_closed(index);
        Ok(Outcome::Headers { stream: id, key, kind, end_stream: flags.end_stream })
    }

    fn check_response(&mut self, index: usize, end_stream: bool) -> Result<HeadersKind, message::Malformed> {
        let response = message::response(&self.headers)?;
        if response.status < 200 {
            return if end_stream { Err("1xx with END_STREAM") } else { Ok(HeadersKind::Informational) };
        }
        let stream = &mut self.streams[index];
        // These announce the length of content that is not sent (RFC 9110 section 8.6).
        if !stream.no_content && response.status != 304 {
            stream.content_left = response.content_length.unwrap_or(u64::MAX);
        }
        Ok(HeadersKind::Initial)
    }

    /// An accepted block: some clients still send a PRIORITY for each, and a RST_STREAM may cross each stream's end.
    #[inline]
    fn note_useful(&mut self) {
        self.limits.empty_data = 0;
        self.limits.ignored.give(2);
    }
}
