//! What [`Connection::recv`](super::Connection::recv) reports. Events borrow from the connection (headers) and from the
//! input (payloads); nothing is copied.

use crate::{ErrorCode, Headers};

/// A stream identifier: 31 bits, odd for streams of the client.
pub type StreamId = u32;

/// The key of a stream that was not given one by [`Connection::set_key`](super::Connection::set_key) yet.
pub const NO_KEY: usize = usize::MAX;

/// Which header section of a message a block is (RFC 9113 section 8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadersKind {
    /// The request's or the final response's header section.
    Initial,
    /// A 1xx response (client role); the final one follows.
    Informational,
    /// The trailer section; END_STREAM is set.
    Trailers,
}

/// One thing that the peer did.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// A complete, validated header block. Server: `Initial` is a new request stream (`key` is [`NO_KEY`]).
    Headers {
        /// The stream.
        stream: StreamId,
        /// The caller's key of the stream.
        key: usize,
        /// The fields in wire order, pseudo-fields first.
        headers: &'a Headers,
        /// Which section it is.
        kind: HeadersKind,
        /// True if the peer sends nothing more on the stream.
        end_stream: bool,
    },
    /// The payload of one DATA frame without its padding. Empty only with `end_stream`.
    Data {
        /// The stream.
        stream: StreamId,
        /// The caller's key of the stream.
        key: usize,
        /// The payload, borrowed from the input.
        data: &'a [u8],
        /// Flow-controlled bytes (payload and padding), for [`Connection::release`](super::Connection::release).
        credit: u32,
        /// True if the peer sends nothing more on the stream.
        end_stream: bool,
    },
    /// The peer reset the stream; it is gone.
    Reset {
        /// The stream.
        stream: StreamId,
        /// The caller's key of the stream.
        key: usize,
        /// The peer's code, unknown ones included.
        code: ErrorCode,
    },
    /// The peer broke a rule on this stream. RST_STREAM with `code` is in the output; the stream is gone. Only for streams
    /// that the caller knows: reported by `Headers`, or opened by itself.
    StreamError {
        /// The stream.
        stream: StreamId,
        /// The caller's key of the stream.
        key: usize,
        /// The code that was sent.
        code: ErrorCode,
        /// The rule that was broken, for logs.
        reason: &'static str,
    },
    /// The peer's SETTINGS were applied and acknowledged. After the first, the connection is ready.
    Settings,
    /// The peer will not process streams above `last_stream` (RFC 9113 section 6.8).
    GoAway {
        /// The highest stream of ours that the peer may have processed.
        last_stream: StreamId,
        /// Why.
        code: ErrorCode,
        /// Free text of the peer.
        debug: &'a [u8],
    },
    /// The answer to a [`Connection::ping`](super::Connection::ping), or to none: the caller compares the payload.
    PingAck {
        /// The payload of the PING.
        payload: [u8; 8],
    },
}

/// The result of one [`Connection::recv`](super::Connection::recv).
#[derive(Clone, Debug, PartialEq)]
pub struct Step<'a> {
    /// Input bytes that were used up. Zero: more input is needed.
    pub consumed: usize,
    /// What happened, if anything that concerns the caller.
    pub event: Option<Event<'a>>,
}
