//! Sending: header blocks and DATA into the output, as far as windows and the high-water mark allow, the rest pending.

use super::event::StreamId;
use super::flow::{RecvWindow, SendWindow};
use super::output::DATA_FRAME_MAX;
use super::pending::Pending;
use super::streams::{Closed, Recv, Send, Stream};
use super::{Connection, Role, message};
use crate::frame::{self, HEADER_LEN, MAX_31, flag, kind};
use crate::{ErrorCode, Field, Headers, OpenError};

/// Pending boxes that are kept for reuse.
const SPARE_MAX: usize = 16;

/// The share of the peer's connection window, in eighths, that one of several streams may have under way. Where both
/// windows are equal (the default of gRPC servers), a stream that is not read would otherwise use up all of it, and its
/// neighbours' messages would wait for as long as it is not read. More than half, because peers give window back when
/// half of it is used.
const SHARE_EIGHTHS: usize = 5;

/// For blocks whose fields come one by one.
static NO_FIELDS: Headers = Headers::new();

impl Connection {
    /// Opens a stream with a request's header section (client role). The caller answers for its validity.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing was written, and another connection may be tried.
    pub fn open<'b>(
        &mut self,
        headers: impl Iterator<Item = Field<'b>>,
        end_stream: bool,
        key: usize,
    ) -> Result<StreamId, OpenError> {
        let mut no_content = false;
        let headers = headers.inspect(|f| no_content |= f.name == b":method" && f.value == b"HEAD");
        let id = self.next_stream()?;
        self.write_block(id, &NO_FIELDS, headers, end_stream);
        self.insert_opened(id, end_stream, no_content, key);
        Ok(id)
    }

    /// The same with the fields of a list, and some more after them. Fields that the list has in common with the latest ones
    /// cost next to nothing.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub fn open_list<'b>(
        &mut self,
        list: &Headers,
        more: impl Iterator<Item = Field<'b>>,
        end_stream: bool,
        key: usize,
    ) -> Result<StreamId, OpenError> {
        let id = self.next_stream()?;
        self.write_block(id, list, more, end_stream);
        self.insert_opened(id, end_stream, list.get(b":method") == Some(b"HEAD"), key);
        Ok(id)
    }

    fn next_stream(&mut self) -> Result<StreamId, OpenError> {
        self.check_open()?;
        let id = self.next_id;
        self.next_id += 2;
        Ok(id)
    }

    fn insert_opened(&mut self, id: StreamId, end_stream: bool, no_content: bool, key: usize) {
        self.streams.insert(Stream {
            id,
            recv: Recv::Headers,
            send: if end_stream { Send::Closed } else { Send::Body },
            queued: false,
            no_content,
            interim: 0,
            send_window: SendWindow::new(self.peer.initial_window),
            recv_window: RecvWindow::new(self.recv_initial),
            key,
            content_left: u64::MAX,
            pending: None,
        });
    }

    fn check_open(&self) -> Result<(), OpenError> {
        if self.failed.is_some() || self.role == Role::Server {
            Err(OpenError::Closed)
        } else if !self.ready {
            Err(OpenError::NotReady)
        } else if self.goaway_received.is_some() || self.goaway_sent.is_some() {
            Err(OpenError::GoingAway)
        } else if self.next_id > MAX_31 {
            Err(OpenError::IdsExhausted)
        } else if self.streams.len() >= self.max_open() {
            Err(OpenError::TooManyStreams)
        } else {
            Ok(())
        }
    }

    fn max_open(&self) -> usize {
        self.config.max_concurrent_streams.min(self.peer.max_concurrent_streams) as usize
    }

    /// Returns how many streams [`Connection::open`] would accept now.
    pub fn available_streams(&self) -> usize {
        match self.check_open() {
            Ok(()) => {
                let ids = (MAX_31 - self.next_id) as usize / 2 + 1;
                ids.min(self.max_open() - self.streams.len())
            }
            Err(_) => 0,
        }
    }

    /// Sends a response's header section (server role; 1xx ones leave the stream as it is) or trailers, which end the
    /// stream. Trailers wait behind pending DATA. Returns false if the stream does not accept them: unknown, closed, or
    /// trailers without `end_stream`.
    pub fn send_headers<'b>(
        &mut self,
        stream: StreamId,
        headers: impl Iterator<Item = Field<'b>>,
        end_stream: bool,
    ) -> bool {
        let Some(index) = self.streams.find(stream) else { return false };
        if self.failed.is_some() {
            return false;
        }
        match self.streams[index].send {
            Send::Headers => {
                let mut headers = headers.peekable();
                let informational = headers
                    .peek()
                    .is_some_and(|f| f.name == b":status" && message::is_informational(f.value));
                self.write_block(stream, &NO_FIELDS, headers, end_stream && !informational);
                if !informational {
                    self.streams[index].send = if end_stream { Send::Closed } else { Send::Body };
                    self.remove_if_closed(index);
                }
                true
            }
            Send::Body if end_stream => {
                self.send_trailers(index, headers);
                true
            }
            Send::Body | Send::Ending | Send::Closed => false,
        }
    }

    fn send_trailers<'b>(&mut self, index: usize, headers: impl Iterator<Item = Field<'b>>) {
        let stream = &mut self.streams[index];
        let id = stream.id;
        let Some(pending) = stream.pending.as_mut() else {
            stream.send = Send::Closed;
            self.write_block(id, &NO_FIELDS, headers, true);
            self.remove_if_closed(index);
            return;
        };
        for field in headers {
            pending.trailers.push_field(field);
        }
        self.pending_total += pending.trailers.list_size();
        stream.send = Send::Ending;
    }

    /// Sends DATA, split into frames, or joined to the stream's frame that is last in the output. What windows or the high-water mark do not allow stays pending, behind what is
    /// pending already. Returns how many of these bytes are pending. Data for an unknown stream, or one that has ended or
    /// not begun, is dropped: 0.
    pub fn send_data(&mut self, stream: StreamId, data: &[u8], end_stream: bool) -> usize {
        let Some(index) = self.streams.find(stream) else { return 0 };
        let state = &mut self.streams[index];
        if state.send != Send::Body || self.failed.is_some() || (data.is_empty() && !end_stream) {
            return 0;
        }
        let mut written = 0;
        // Streams that wait go first, or a busy one would starve them.
        if state.pending.is_none() && (self.queue.is_empty() || data.is_empty()) {
            written = self.write_frames(index, data, end_stream);
            if written == data.len() {
                if end_stream {
                    self.streams[index].send = Send::Closed;
                    self.remove_if_closed(index);
                }
                return 0;
            }
        }
        let rest = &data[written..];
        let state = &mut self.streams[index];
        let spare = &mut self.spare;
        let pending = state.pending.get_or_insert_with(|| spare.pop().unwrap_or_default());
        pending.push(rest);
        self.pending_total += rest.len();
        if end_stream {
            state.send = Send::Ending;
        }
        if !state.queued && state.send_window.available() > 0 {
            state.queued = true;
            self.queue.push_back(index);
        }
        rest.len()
    }

    /// Writes DATA frames as far as possible; returns the bytes written. END_STREAM goes on the last frame.
    fn write_frames(&mut self, index: usize, data: &[u8], end_stream: bool) -> usize {
        if data.is_empty() {
            self.output.data(self.streams[index].id, data, end_stream);
            return 0;
        }
        let mut allowed = self.allowance(index);
        let stream = &mut self.streams[index];
        let mut written = 0;
        while written < data.len() && self.output.len() < self.config.output_high_water {
            let rest = &data[written..];
            let n = rest.len().min(DATA_FRAME_MAX).min(allowed);
            if n == 0 {
                break;
            }
            stream.send_window.take(n);
            self.output.data(stream.id, &rest[..n], end_stream && n == rest.len());
            self.limits.data_sent();
            allowed -= n;
            written += n;
        }
        self.send_window.take(written);
        self.data_sent += written as u64;
        written
    }

    /// Returns how many bytes the stream may send now: what both windows allow, within its share of the connection's.
    fn allowance(&self, index: usize) -> usize {
        let stream = &self.streams[index];
        let windows = stream.send_window.available().min(self.send_window.available());
        // Streams with more window than the connection give it back late: what they have under way says nothing.
        if self.streams.len() == 1 || self.peer.initial_window as usize > self.send_window_max {
            return windows;
        }
        let share = self.send_window_max / 8 * SHARE_EIGHTHS;
        windows.min(share.saturating_sub(stream.outstanding(self.peer.initial_window)))
    }

    /// Moves pending DATA and trailers into the output as windows and the high-water mark allow, one frame per stream in
    /// turn. Call it after `recv` and after the output has drained, and then empty [`Connection::poll_sent`].
    pub fn pump(&mut self) {
        if self.failed.is_some() {
            return;
        }
        // Streams in a row that had to stay as they are, because they have their share of the window.
        let mut stayed = 0;
        while self.output.len() < self.config.output_high_water && self.send_window.available() > 0 {
            if stayed == self.queue.len() {
                break;
            }
            let Some(index) = self.queue.pop_front() else { break };
            stayed = if self.pump_one(index) { 0 } else { stayed + 1 };
        }
    }

    /// Writes one frame of a stream's pending DATA, and its trailers if that was the last. Puts the stream back into the
    /// queue if it can go on later without a WINDOW_UPDATE of its own; false if it stands there as before.
    fn pump_one(&mut self, index: usize) -> bool {
        let allowed = self.allowance(index);
        let stream = &mut self.streams[index];
        stream.queued = false;
        let Some(pending) = stream.pending.as_mut() else { return true };
        let next = pending.next();
        let n = next.len().min(DATA_FRAME_MAX).min(allowed);
        if n == 0 {
            let capped = stream.send_window.available() > 0;
            if capped {
                stream.queued = true;
                self.queue.push_back(index);
            }
            return !capped;
        }
        let last = n == pending.len();
        let ends = stream.send == Send::Ending;
        let end_stream = last && ends && pending.trailers.is_empty();
        self.output.data(stream.id, &next[..n], end_stream);
        self.limits.data_sent();
        self.data_sent += n as u64;
        pending.consume(n);
        stream.send_window.take(n);
        self.send_window.take(n);
        self.pending_total -= n;
        let (id, key) = (stream.id, stream.key);
        if !last {
            if stream.send_window.available() > 0 {
                stream.queued = true;
                self.queue.push_back(index);
            }
        } else if let Some(pending) = stream.pending.take() {
            if ends {
                stream.send = Send::Closed;
                if !end_stream {
                    self.pending_total -= pending.trailers.list_size();
                    self.write_block(id, &NO_FIELDS, pending.trailers.iter(), true);
                }
                self.remove_if_closed(index);
            }
            self.recycle(pending);
        }
        self.note_sent(id, key, n);
        true
    }

    /// Drops what a stream has pending, so that its trailers can follow at once. For a peer that does not take its data
    /// when their memory is needed: what it has got is a beginning of what was sent, and the trailers have to say so. Does
    /// nothing for a stream that is unknown or has its end queued; that one can only be reset.
    pub fn discard_pending(&mut self, stream: StreamId) {
        let Some(index) = self.streams.find(stream) else { return };
        let stream = &mut self.streams[index];
        if stream.send != Send::Body {
            return;
        }
        if std::mem::take(&mut stream.queued) {
            self.queue.retain(|queued| *queued != index);
        }
        if let Some(pending) = self.streams[index].pending.take() {
            self.pending_total -= pending.len();
            self.recycle(pending);
        }
    }

    /// Returns the stream that has most of the connection's window under way, while that is used up and others wait to
    /// send: they wait for the peer to read it. Bytes of DATA sent so far tell whether it does.
    pub fn starving(&self) -> Option<(StreamId, usize)> {
        if self.send_window.available() > 0 || self.queue.is_empty() {
            return None;
        }
        let outstanding = |stream: &&Stream| stream.outstanding(self.peer.initial_window);
        let most = self.streams.iter().max_by_key(outstanding)?;
        let others_wait = self.queue.iter().any(|&index| self.streams[index].id != most.id);
        others_wait.then_some((most.id, most.key))
    }

    /// Returns how many bytes of DATA were sent since the connection began.
    pub fn data_sent(&self) -> u64 {
        self.data_sent
    }

    fn note_sent(&mut self, id: StreamId, key: usize, bytes: usize) {
        match self.sent.back_mut() {
            Some(entry) if entry.0 == id => entry.2 += bytes,
            _ => self.sent.push_back((id, key, bytes)),
        }
    }

    /// Reports pending bytes that [`Connection::pump`] moved into the output: stream, key, bytes. Their credit can go back
    /// to where they came from. A stream may have left the table since.
    pub fn poll_sent(&mut self) -> Option<(StreamId, usize, usize)> {
        self.sent.pop_front()
    }

    pub(super) fn recycle(&mut self, mut pending: Box<Pending>) {
        if self.spare.len() < SPARE_MAX {
            pending.recycle();
            self.spare.push(pending);
        }
    }

    /// Resets a stream: RST_STREAM is written, what is pending is dropped, and the stream is gone. Late frames of it are
    /// ignored. Nothing is written for a stream that the peer's GOAWAY excluded: the peer does not know it.
    pub fn reset(&mut self, stream: StreamId, code: ErrorCode) {
        let Some(index) = self.streams.find(stream) else { return };
        self.remove(index, Closed::ByUs);
        // Headers, trailers and a RST_STREAM may be on their way.
        self.limits.ignored.give(3);
        let excluded = self.role == Role::Client && self.goaway_received.is_some_and(|last| stream > last);
        if self.failed.is_none() && !excluded {
            frame::write_rst_stream(self.output.tail(), stream, code.0);
        }
    }

    /// Gives back the credit of a DATA event, once its bytes have moved on. The peer hears of it in batches of half a
    /// window. Unknown streams are ignored, and more than was received is not given back.
    #[inline]
    pub fn release(&mut self, stream: StreamId, credit: u32) {
        if let Some(index) = self.streams.find(stream) {
            self.release_index(index, credit);
        }
    }

    #[inline]
    pub(super) fn release_index(&mut self, index: usize, credit: u32) {
        let stream = &mut self.streams[index];
        if stream.recv == Recv::Closed || self.failed.is_some() {
            return;
        }
        if let Some(increment) = stream.recv_window.free(credit, self.recv_initial) {
            frame::write_window_update(self.output.tail(), stream.id, increment);
        }
    }

    /// Encodes a header block into the output: HEADERS, and CONTINUATION if the peer's frame size demands it.
    #[inline]
    pub(super) fn write_block<'b>(
        &mut self,
        id: StreamId,
        list: &Headers,
        more: impl Iterator<Item = Field<'b>>,
        end_stream: bool,
    ) {
        let out = self.output.tail();
        let start = out.len();
        let end_stream = if end_stream { flag::END_STREAM } else { 0 };
        frame::write_header(out, 0, kind::HEADERS, end_stream | flag::END_HEADERS, id);
        self.encoder.begin(out);
        self.encoder.encode_list(list, out);
        for field in more {
            self.encoder.encode(field, out);
        }
        let len = out.len() - start - HEADER_LEN;
        let max = self.peer.max_frame_size;
        if len <= max {
            let bytes = (len as u32).to_be_bytes();
            out[start..start + 3].copy_from_slice(&bytes[1..]);
            return;
        }
        let block = out.split_off(start + HEADER_LEN);
        out.truncate(start);
        let mut fragments = block.chunks(max).peekable();
        let mut kind = kind::HEADERS;
        let mut flags = end_stream;
        while let Some(fragment) = fragments.next() {
            if fragments.peek().is_none() {
                flags |= flag::END_HEADERS;
            }
            frame::write_header(out, fragment.len(), kind, flags, id);
            out.extend_from_slice(fragment);
            kind = kind::CONTINUATION;
            flags = 0;
        }
    }
}
