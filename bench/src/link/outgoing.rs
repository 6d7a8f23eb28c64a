//! Messages that go out piece by piece, as windows and the socket allow.

use crate::message::Message;
use std::rc::Rc;
use switchboard_http2::{Connection, StreamId};

/// A stream's messages, and how far they are sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    stream: StreamId,
    message: Rc<Message>,
    /// Sent of the message that is under way.
    at: usize,
    /// Messages that are not sent whole.
    left: u64,
    /// END_STREAM comes with the last byte.
    ends: bool,
    /// HTTP/2 holds the latest piece.
    waits: bool,
}

/// What [`Outgoing::send`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// There is more to send.
    More,
    /// There is more, once HTTP/2 has reported by `poll_sent` that what it holds is gone.
    Waits,
    /// That was the last byte.
    Last,
}

impl Outgoing {
    pub(crate) fn new(stream: StreamId, message: Rc<Message>, count: u64, ends: bool) -> Self {
        Outgoing { stream, message, at: 0, left: count, ends, waits: false }
    }

    pub(crate) fn stream(&self) -> StreamId {
        self.stream
    }

    /// Whether it waited for HTTP/2, and goes on now: to be asked after `poll_sent` has named the stream.
    pub(crate) fn resumes(&mut self, http2: &Connection) -> bool {
        self.waits && http2.pending(self.stream) == 0 && std::mem::take(&mut self.waits)
    }

    /// Sends the next piece, which never holds parts of two messages.
    pub(crate) fn send(&mut self, http2: &mut Connection) -> Sent {
        if self.left == 0 {
            return Sent::Last;
        }
        let piece = self.message.piece(self.at);
        self.at += piece.len();
        if self.at == self.message.total() {
            self.at = 0;
            self.left -= 1;
        }
        let pending = http2.send_data(self.stream, piece, self.ends && self.left == 0);
        self.waits = pending > 0;
        match (self.left, pending) {
            (0, _) => Sent::Last,
            (_, 0) => Sent::More,
            _ => Sent::Waits,
        }
    }

    /// Sends the rest of the message that is under way, or the next one. HTTP/2 holds what windows do not take.
    pub(crate) fn send_message(&mut self, http2: &mut Connection) -> Sent {
        loop {
            let sent = self.send(http2);
            if self.at == 0 {
                return sent;
            }
        }
    }
}
