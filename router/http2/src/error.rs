//! Error codes of the wire (RFC 9113 section 7) and the errors of this crate. Stream errors are events, not errors:
//! see [`Event::StreamError`](crate::Event::StreamError).

use std::fmt;

/// An error code of RST_STREAM or GOAWAY (RFC 9113 section 7). Unknown codes are kept as they came, so that a reset
/// passes through a proxy unchanged.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// Graceful end.
    pub const NO_ERROR: Self = Self(0x0);
    /// A rule of the protocol was broken, and no other code says it better.
    pub const PROTOCOL_ERROR: Self = Self(0x1);
    /// An internal fault of the sender.
    pub const INTERNAL_ERROR: Self = Self(0x2);
    /// More bytes than the window allowed, or a window beyond 2^31-1.
    pub const FLOW_CONTROL_ERROR: Self = Self(0x3);
    /// SETTINGS were not acknowledged in time.
    pub const SETTINGS_TIMEOUT: Self = Self(0x4);
    /// A frame on a stream that was closed already.
    pub const STREAM_CLOSED: Self = Self(0x5);
    /// A frame of a wrong size.
    pub const FRAME_SIZE_ERROR: Self = Self(0x6);
    /// The stream was not processed at all: safe to send again.
    pub const REFUSED_STREAM: Self = Self(0x7);
    /// The stream is not wanted any more.
    pub const CANCEL: Self = Self(0x8);
    /// The header compression state is lost.
    pub const COMPRESSION_ERROR: Self = Self(0x9);
    /// The connection of a CONNECT request was reset.
    pub const CONNECT_ERROR: Self = Self(0xa);
    /// The peer causes excessive load.
    pub const ENHANCE_YOUR_CALM: Self = Self(0xb);
    /// The transport is not secure enough.
    pub const INADEQUATE_SECURITY: Self = Self(0xc);
    /// HTTP/1.1 is required.
    pub const HTTP_1_1_REQUIRED: Self = Self(0xd);

    /// Returns the name that RFC 9113 gives to the code, or `UNKNOWN`.
    pub fn name(self) -> &'static str {
        match self.0 {
            0x0 => "NO_ERROR",
            0x1 => "PROTOCOL_ERROR",
            0x2 => "INTERNAL_ERROR",
            0x3 => "FLOW_CONTROL_ERROR",
            0x4 => "SETTINGS_TIMEOUT",
            0x5 => "STREAM_CLOSED",
            0x6 => "FRAME_SIZE_ERROR",
            0x7 => "REFUSED_STREAM",
            0x8 => "CANCEL",
            0x9 => "COMPRESSION_ERROR",
            0xa => "CONNECT_ERROR",
            0xb => "ENHANCE_YOUR_CALM",
            0xc => "INADEQUATE_SECURITY",
            0xd => "HTTP_1_1_REQUIRED",
            _ => "UNKNOWN",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            "UNKNOWN" => write!(f, "UNKNOWN({:#x})", self.0),
            name => f.write_str(name),
        }
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The end of a connection: the peer broke a rule that concerns all streams (RFC 9113 section 5.4.1).
///
/// A GOAWAY with `code` is in the output already; its debug data is `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {reason}")]
pub struct ConnectionError {
    /// The code that was sent to the peer.
    pub code: ErrorCode,
    /// The rule that was broken, for logs; also sent to the peer.
    pub reason: &'static str,
}

/// Why [`Connection::open`](crate::Connection::open) did not open a stream. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The peer's SETTINGS have not arrived yet.
    #[error("the peer's settings have not arrived")]
    NotReady,
    /// As many streams are open as the peer, or the configuration, allows.
    #[error("too many open streams")]
    TooManyStreams,
    /// One of the two sides has sent GOAWAY.
    #[error("the connection is going away")]
    GoingAway,
    /// All 2^30 stream identifiers of a client are used up.
    #[error("stream identifiers are used up")]
    IdsExhausted,
    /// The connection failed, or it is the server's end.
    #[error("the connection is closed")]
    Closed,
}
