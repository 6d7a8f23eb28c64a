//! The frame codec (RFC 9113 sections 4 and 6): frame headers, flags, padding and fixed payloads. It knows no streams and
//! keeps no state; [`Connection`](crate::Connection) applies the rules.

mod payload;
mod write;

pub use payload::{HeadersPayload, PayloadError, Setting, parse_headers, parse_settings, strip_padding};
pub(crate) use payload::{read_u31, read_u32};
pub use write::{
    write_continuation, write_data, write_goaway, write_header, write_headers, write_ping, write_priority,
    write_rst_stream, write_settings, write_settings_ack, write_window_update,
};

/// Length in bytes of every frame's header.
pub const HEADER_LEN: usize = 9;
/// What a client sends first (RFC 9113 section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The largest window and the largest stream identifier.
pub const MAX_31: u32 = 0x7fff_ffff;
/// The window of connection and streams before any SETTINGS.
pub const DEFAULT_WINDOW: u32 = 65_535;
/// The smallest permitted maximum frame size, which is also the default.
pub const MIN_MAX_FRAME_SIZE: u32 = 16_384;
/// The largest permitted maximum frame size.
pub const MAX_MAX_FRAME_SIZE: u32 = 0x00ff_ffff;

/// Frame types (RFC 9113 section 6).
pub mod kind {
    #![expect(missing_docs, reason = "the names are those of RFC 9113 section 6")]
    pub const DATA: u8 = 0x0;
    pub const HEADERS: u8 = 0x1;
    pub const PRIORITY: u8 = 0x2;
    pub const RST_STREAM: u8 = 0x3;
    pub const SETTINGS: u8 = 0x4;
    pub const PUSH_PROMISE: u8 = 0x5;
    pub const PING: u8 = 0x6;
    pub const GOAWAY: u8 = 0x7;
    pub const WINDOW_UPDATE: u8 = 0x8;
    pub const CONTINUATION: u8 = 0x9;
}

/// Frame flags (RFC 9113 section 6).
pub mod flag {
    #![expect(missing_docs, reason = "the names are those of RFC 9113 section 6")]
    pub const END_STREAM: u8 = 0x1;
    pub const ACK: u8 = 0x1;
    pub const END_HEADERS: u8 = 0x4;
    pub const PADDED: u8 = 0x8;
    pub const PRIORITY: u8 = 0x20;
}

/// Settings (RFC 9113 section 6.5.2).
pub mod setting {
    #![expect(missing_docs, reason = "the names are those of RFC 9113 section 6.5.2")]
    pub const HEADER_TABLE_SIZE: u16 = 0x1;
    pub const ENABLE_PUSH: u16 = 0x2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 0x3;
    pub const INITIAL_WINDOW_SIZE: u16 = 0x4;
    pub const MAX_FRAME_SIZE: u16 = 0x5;
    pub const MAX_HEADER_LIST_SIZE: u16 = 0x6;
}

/// The nine bytes before each frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Payload length in bytes, 24 bits.
    pub length: usize,
    /// Frame type, see [`kind`].
    pub kind: u8,
    /// Flags, see [`flag`].
    pub flags: u8,
    /// Stream identifier, 31 bits; the reserved bit is dropped.
    pub stream: u32,
}

impl FrameHeader {
    /// Reads the header at the start of `input`; `None` if fewer than nine bytes are there.
    #[inline]
    pub fn parse(input: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_LEN] = input.first_chunk()?;
        Some(Self {
            length: usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]),
            kind: bytes[3],
            flags: bytes[4],
            stream: u32::from_be_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]) & MAX_31,
        })
    }

    /// True if all bits of `flag` are set.
    #[inline]
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag == flag
    }
}
