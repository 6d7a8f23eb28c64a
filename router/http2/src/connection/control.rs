//! Frames that carry no message: SETTINGS, PING, GOAWAY, WINDOW_UPDATE, RST_STREAM, PRIORITY (RFC 9113 section 6).

use super::event::{Event, StreamId};
use super::limits::TINY_WINDOW_UPDATE;
use super::recv::{Handled, Outcome, Place};
use super::streams::{Closed, Recv};
use super::{Connection, Role, calm, flow_control, frame_size, protocol};
use crate::frame::{self, FrameHeader, HEADER_LEN, MAX_31, flag, setting};
use crate::{ConnectionError, ErrorCode};

/// SETTINGS of ours that may wait for their acknowledgement.
const UNACKED_SETTINGS_MAX: usize = 8;

impl Connection {
    pub(super) fn recv_settings<'i>(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        now_ms: u64,
    ) -> Handled<'i> {
        if header.stream != 0 {
            return Err(protocol("SETTINGS on a stream"));
        }
        if header.has(flag::ACK) {
            if !payload.is_empty() {
                return Err(frame_size("SETTINGS ACK with a payload"));
            }
            match self.unacked_windows.pop_front() {
                Some(window) => self.settings_acknowledged(window),
                None => self.charge_ignored(now_ms)?,
            }
            return Ok(Outcome::Nothing);
        }
        if !payload.len().is_multiple_of(6) {
            return Err(frame_size("SETTINGS of a length that is no multiple of 6"));
        }
        if !self.limits.settings.take(now_ms) {
            return Err(calm("too many SETTINGS"));
        }
        let mut initial_window = self.peer.initial_window;
        for setting in frame::parse_settings(payload) {
            self.apply_setting(setting, &mut initial_window)?;
        }
        self.apply_initial_window(initial_window)?;
        self.ready = true;
        frame::write_settings_ack(self.output.tail());
        self.account_control(HEADER_LEN)?;
        Ok(Outcome::Event(Event::Settings))
    }

    fn apply_setting(
        &mut self,
        setting: frame::Setting,
        initial_window: &mut u32,
    ) -> Result<(), ConnectionError> {
        let value = setting.value;
        match setting.id {
            setting::HEADER_TABLE_SIZE => self.encoder.set_peer_max_table_size(value as usize),
            // Only a client may allow pushes (RFC 9113 section 6.5.2).
            setting::ENABLE_PUSH if value > 1 || (value == 1 && self.role == Role::Client) => {
                return Err(protocol("invalid ENABLE_PUSH"));
            }
            setting::MAX_CONCURRENT_STREAMS => self.peer.max_concurrent_streams = value,
            setting::INITIAL_WINDOW_SIZE if value > MAX_31 => {
                return Err(flow_control("invalid INITIAL_WINDOW_SIZE"));
            }
            setting::INITIAL_WINDOW_SIZE => *initial_window = value,
            setting::MAX_FRAME_SIZE => {
                if !(frame::MIN_MAX_FRAME_SIZE..=frame::MAX_MAX_FRAME_SIZE).contains(&value) {
                    return Err(protocol("invalid MAX_FRAME_SIZE"));
                }
                self.peer.max_frame_size = value as usize;
            }
            setting::MAX_HEADER_LIST_SIZE => self.peer.max_header_list_size = value,
            _ => {}
        }
        Ok(())
    }

    /// Changes the send windows of all streams by the difference (RFC 9113 section 6.9.2). Once per frame, whatever the
    /// number of parameters in it: a frame can hold 2730 of them.
    fn apply_initial_window(&mut self, size: u32) -> Result<(), ConnectionError> {
        let change = i64::from(size) - i64::from(self.peer.initial_window);
        self.peer.initial_window = size;
        if change == 0 {
            return Ok(());
        }
        for (index, stream) in self.streams.iter_mut() {
            if stream.send_window.shift(change).is_err() {
                return Err(flow_control("INITIAL_WINDOW_SIZE overflows a window"));
            }
            if !stream.queued && stream.pending.is_some() && stream.send_window.available() > 0 {
                stream.queued = true;
                self.queue.push_back(index);
            }
        }
        Ok(())
    }

    /// From here on the peer keeps to these SETTINGS of ours, so what they reduce can be enforced.
    fn settings_acknowledged(&mut self, window: u32) {
        self.acked_window = window;
        self.decoder.set_max_table_size(self.config.header_table_size as usize);
        self.settle_recv_windows();
    }

    /// Announces another receive window for all streams, those that are open included (RFC 9113 section 6.9.2). The peer
    /// may use a larger one at once; a smaller one holds from its acknowledgement on, and a stream that has more than
    /// that under way gets no credit until it is back below it.
    pub fn set_stream_window(&mut self, size: u32) {
        let size = size.min(MAX_31);
        // A peer that acknowledges nothing keeps what it has.
        let silent = self.unacked_windows.len() >= UNACKED_SETTINGS_MAX;
        if self.failed.is_some() || silent || size == self.config.stream_window {
            return;
        }
        self.config.stream_window = size;
        self.unacked_windows.push_back(size);
        frame::write_settings(self.output.tail(), &[(setting::INITIAL_WINDOW_SIZE, size)]);
        self.settle_recv_windows();
    }

    /// Has the windows of all streams follow the largest size that the peer may have in mind.
    fn settle_recv_windows(&mut self) {
        let size = self.unacked_windows.iter().fold(self.acked_window, |most, window| most.max(*window));
        let change = i64::from(size) - i64::from(self.recv_initial);
        self.recv_initial = size;
        if change == 0 {
            return;
        }
        for (_, stream) in self.streams.iter_mut() {
            if let Some(increment) = stream.recv_window.resize(change, size)
                && stream.recv != Recv::Closed
            {
                frame::write_window_update(self.output.tail(), stream.id, increment);
            }
        }
    }

    pub(super) fn recv_ping<'i>(&mut self, header: FrameHeader, payload: &[u8], now_ms: u64) -> Handled<'i> {
        if header.stream != 0 {
            return Err(protocol("PING on a stream"));
        }
        let Ok(payload) = <[u8; 8]>::try_from(payload) else {
            return Err(frame_size("PING of a length other than 8"));
        };
        if header.has(flag::ACK) {
            return Ok(Outcome::Event(Event::PingAck { payload }));
        }
        if !self.limits.pings.take(now_ms) {
            // gRPC clients know this text and ping less often on their next connection (gRFC A8).
            return Err(calm("too_many_pings"));
        }
        frame::write_ping(self.output.tail(), payload, true);
        self.account_control(HEADER_LEN + 8)?;
        Ok(Outcome::Nothing)
    }

    pub(super) fn recv_goaway<'i>(&mut self, header: FrameHeader, payload: &'i [u8]) -> Handled<'i> {
        if header.stream != 0 {
            return Err(protocol("GOAWAY on a stream"));
        }
        let (Some(last), Some(code), Some(debug)) =
            (frame::read_u31(payload), payload.get(4..).and_then(frame::read_u32), payload.get(8..))
        else {
            return Err(frame_size("GOAWAY shorter than 8"));
        };
        // A later GOAWAY may only lower it (RFC 9113 section 6.8); one that raises it changes nothing.
        let last_stream = self.goaway_received.map_or(last, |before| before.min(last));
        self.goaway_received = Some(last_stream);
        Ok(Outcome::Event(Event::GoAway { last_stream, code: ErrorCode(code), debug }))
    }

    pub(super) fn recv_window_update<'i>(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        now_ms: u64,
    ) -> Handled<'i> {
        let Some(increment) = (payload.len() == 4).then(|| frame::read_u31(payload)).flatten() else {
            return Err(frame_size("WINDOW_UPDATE of a length other than 4"));
        };
        if increment < TINY_WINDOW_UPDATE {
            self.charge_window_update(now_ms)?;
        }
        if header.stream != 0 {
            return self.recv_stream_window_update(header.stream, increment, now_ms);
        }
        if increment == 0 {
            return Err(protocol("WINDOW_UPDATE of 0"));
        }
        if self.send_window.shift(i64::from(increment)).is_err() {
            return Err(flow_control("WINDOW_UPDATE overflows the connection's window"));
        }
        self.send_window_max = self.send_window_max.max(self.send_window.available());
        Ok(Outcome::Nothing)
    }

    fn recv_stream_window_update<'i>(&mut self, id: StreamId, increment: u32, now_ms: u64) -> Handled<'i> {
        let index = match self.place(id) {
            Place::Open(index) => index,
            Place::Idle => return Err(protocol("WINDOW_UPDATE on an idle stream")),
            // Sent before the peer knew of the stream's end, as a rule.
            Place::Closed(_) => {
                if increment >= TINY_WINDOW_UPDATE {
                    self.charge_window_update(now_ms)?;
                }
                return Ok(Outcome::Nothing);
            }
        };
        if increment == 0 {
            return self.malformed(index, "WINDOW_UPDATE of 0", now_ms);
        }
        let stream = &mut self.streams[index];
        if stream.send_window.shift(i64::from(increment)).is_err() {
            let reason = "WINDOW_UPDATE overflows the stream's window";
            return self.stream_error(index, ErrorCode::FLOW_CONTROL_ERROR, reason, now_ms);
        }
        if !stream.queued && stream.pending.is_some() && stream.send_window.available() > 0 {
            stream.queued = true;
            self.queue.push_back(index);
        }
        Ok(Outcome::Nothing)
    }

    pub(super) fn recv_rst_stream<'i>(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        now_ms: u64,
    ) -> Handled<'i> {
        if header.stream == 0 {
            return Err(protocol("RST_STREAM on stream 0"));
        }
        let Some(code) = (payload.len() == 4).then(|| frame::read_u32(payload)).flatten() else {
            return Err(frame_size("RST_STREAM of a length other than 4"));
        };
        match self.place(header.stream) {
            Place::Open(index) => {
                self.charge_reset(now_ms)?;
                let stream = self.remove(index, Closed::ByPeer);
                Ok(Outcome::Event(Event::Reset { stream: stream.id, key: stream.key, code: ErrorCode(code) }))
            }
            Place::Idle => Err(protocol("RST_STREAM on an idle stream")),
            Place::Closed(_) => self.charge_ignored(now_ms).map(|()| Outcome::Nothing),
        }
    }

    pub(super) fn recv_priority<'i>(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        now_ms: u64,
    ) -> Handled<'i> {
        if header.stream == 0 {
            return Err(protocol("PRIORITY on stream 0"));
        }
        self.charge_ignored(now_ms)?;
        let (code, reason) = if payload.len() != 5 {
            (ErrorCode::FRAME_SIZE_ERROR, "PRIORITY of a length other than 5")
        } else if frame::read_u31(payload) == Some(header.stream) {
            (ErrorCode::PROTOCOL_ERROR, "stream depends on itself")
        } else {
            return Ok(Outcome::Nothing);
        };
        match self.place(header.stream) {
            Place::Open(index) => self.stream_error(index, code, reason, now_ms),
            // PRIORITY may come in any state, and its errors are the stream's (RFC 9113 section 6.3).
            _ => self.refuse(header.stream, code, now_ms).map(|()| Outcome::Nothing),
        }
    }

    /// Accounts a WINDOW_UPDATE that moves nothing, or hardly anything.
    fn charge_window_update(&mut self, now_ms: u64) -> Result<(), ConnectionError> {
        if self.limits.window_updates.take(now_ms) {
            return Ok(());
        }
        Err(calm("too many WINDOW_UPDATE frames without effect"))
    }
}
