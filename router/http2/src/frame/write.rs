//! Appends frames to a buffer. Lengths are the caller's business: payloads fit the peer's maximum frame size.

use super::{HEADER_LEN, MAX_31, flag, kind};

/// Appends a frame header.
#[inline]
pub fn write_header(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    debug_assert!(length < 1 << 24, "a frame length has 24 bits");
    let l = (length as u32).to_be_bytes();
    let s = stream.to_be_bytes();
    let header: [u8; HEADER_LEN] = [l[1], l[2], l[3], kind, flags, s[0], s[1], s[2], s[3]];
    out.extend_from_slice(&header);
}

/// Appends a DATA frame without padding.
#[inline]
pub fn write_data(out: &mut Vec<u8>, stream: u32, data: &[u8], end_stream: bool) {
    out.reserve(HEADER_LEN + data.len());
    write_header(out, data.len(), kind::DATA, if end_stream { flag::END_STREAM } else { 0 }, stream);
    out.extend_from_slice(data);
}

/// Appends a HEADERS frame that carries `fragment`.
pub fn write_headers(out: &mut Vec<u8>, stream: u32, fragment: &[u8], end_stream: bool, end_headers: bool) {
    let flags =
        if end_stream { flag::END_STREAM } else { 0 } | if end_headers { flag::END_HEADERS } else { 0 };
    write_header(out, fragment.len(), kind::HEADERS, flags, stream);
    out.extend_from_slice(fragment);
}

/// Appends a CONTINUATION frame that carries `fragment`.
pub fn write_continuation(out: &mut Vec<u8>, stream: u32, fragment: &[u8], end_headers: bool) {
    let flags = if end_headers { flag::END_HEADERS } else { 0 };
    write_header(out, fragment.len(), kind::CONTINUATION, flags, stream);
    out.extend_from_slice(fragment);
}

/// Appends a PRIORITY frame (deprecated; for tests). `weight` is the wire's value, one below the weight.
pub fn write_priority(out: &mut Vec<u8>, stream: u32, depends_on: u32, weight: u8) {
    write_header(out, 5, kind::PRIORITY, 0, stream);
    out.extend_from_slice(&depends_on.to_be_bytes());
    out.push(weight);
}

/// Appends a RST_STREAM frame.
pub fn write_rst_stream(out: &mut Vec<u8>, stream: u32, code: u32) {
    write_header(out, 4, kind::RST_STREAM, 0, stream);
    out.extend_from_slice(&code.to_be_bytes());
}

/// Appends a SETTINGS frame with the given identifiers and values.
pub fn write_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    write_header(out, settings.len() * 6, kind::SETTINGS, 0, 0);
    for (id, value) in settings {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Appends the acknowledgement of the peer's SETTINGS.
pub fn write_settings_ack(out: &mut Vec<u8>) {
    write_header(out, 0, kind::SETTINGS, flag::ACK, 0);
}

/// Appends a PING frame, or the answer to one.
pub fn write_ping(out: &mut Vec<u8>, payload: [u8; 8], ack: bool) {
    write_header(out, 8, kind::PING, if ack { flag::ACK } else { 0 }, 0);
    out.extend_from_slice(&payload);
}

/// Appends a GOAWAY frame.
pub fn write_goaway(out: &mut Vec<u8>, last_stream: u32, code: u32, debug: &[u8]) {
    write_header(out, 8 + debug.len(), kind::GOAWAY, 0, 0);
    out.extend_from_slice(&(last_stream & MAX_31).to_be_bytes());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(debug);
}

/// Appends a WINDOW_UPDATE frame; stream 0 is the connection.
pub fn write_window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    write_header(out, 4, kind::WINDOW_UPDATE, 0, stream);
    out.extend_from_slice(&increment.to_be_bytes());
}
