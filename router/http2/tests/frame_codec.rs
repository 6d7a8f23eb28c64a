//! Frames of each type, byte by byte as RFC 9113 section 6 draws them.

use switchboard_http2::frame::{self, FrameHeader, HeadersPayload, PayloadError, Setting, flag, kind};

#[track_caller]
fn check(write: impl FnOnce(&mut Vec<u8>), expected: &[u8]) {
    let mut out = vec![0xaa];
    write(&mut out);
    assert_eq!(out[0], 0xaa, "frames are appended");
    assert_eq!(&out[1..], expected);
    let header = FrameHeader::parse(&out[1..]).expect("a header");
    assert_eq!(header.length, expected.len() - frame::HEADER_LEN);
}

#[test]
fn each_type_is_written_as_the_rfc_draws_it() {
    check(|o| frame::write_data(o, 1, b"ab", true), b"\0\0\x02\0\x01\0\0\0\x01ab");
    check(|o| frame::write_data(o, 0x7fff_ffff, b"", false), b"\0\0\0\0\0\x7f\xff\xff\xff");
    check(|o| frame::write_headers(o, 3, b"h", true, true), b"\0\0\x01\x01\x05\0\0\0\x03h");
    check(|o| frame::write_headers(o, 3, b"", false, false), b"\0\0\0\x01\0\0\0\0\x03");
    check(|o| frame::write_priority(o, 5, 3, 15), b"\0\0\x05\x02\0\0\0\0\x05\0\0\0\x03\x0f");
    check(|o| frame::write_rst_stream(o, 1, 8), b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08");
    check(|o| frame::write_settings(o, &[(4, 0x1_0000)]), b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\x01\0\0");
    check(frame::write_settings_ack, b"\0\0\0\x04\x01\0\0\0\0");
    check(|o| frame::write_ping(o, *b"12345678", false), b"\0\0\x08\x06\0\0\0\0\x0012345678");
    check(|o| frame::write_ping(o, *b"12345678", true), b"\0\0\x08\x06\x01\0\0\0\x0012345678");
    check(|o| frame::write_goaway(o, 7, 2, b"x"), b"\0\0\x09\x07\0\0\0\0\0\0\0\0\x07\0\0\0\x02x");
    check(|o| frame::write_window_update(o, 1, 256), b"\0\0\x04\x08\0\0\0\0\x01\0\0\x01\0");
    check(|o| frame::write_continuation(o, 3, b"c", true), b"\0\0\x01\x09\x04\0\0\0\x03c");
    check(
        |o| frame::write_data(o, 1, &[0; 70_000], false),
        &[b"\x01\x11\x70\0\0\0\0\0\x01", &[0; 70_000][..]].concat(),
    );
}

#[test]
fn header_needs_nine_bytes_and_drops_the_reserved_bit() {
    let bytes = b"\x01\x02\x03\x09\x2c\xff\xff\xff\xfe";
    for len in 0..9 {
        assert_eq!(FrameHeader::parse(&bytes[..len]), None);
    }
    let header = FrameHeader::parse(bytes).expect("a header");
    let expected =
        FrameHeader { length: 0x01_0203, kind: kind::CONTINUATION, flags: 0x2c, stream: 0x7fff_fffe };
    assert_eq!(header, expected);
    assert!(header.has(flag::PADDED) && header.has(flag::PRIORITY) && !header.has(flag::END_STREAM));
}

fn with_flags(flags: u8) -> FrameHeader {
    FrameHeader { length: 0, kind: kind::HEADERS, flags, stream: 1 }
}

#[test]
fn padding_is_stripped_or_refused() {
    let padded = with_flags(flag::PADDED);
    assert_eq!(frame::strip_padding(with_flags(0), b"\x02ab"), Ok(&b"\x02ab"[..]));
    assert_eq!(frame::strip_padding(padded, b"\x00ab"), Ok(&b"ab"[..]));
    assert_eq!(frame::strip_padding(padded, b"\x02ab"), Ok(&b""[..]));
    assert_eq!(frame::strip_padding(padded, b"\x03ab"), Err(PayloadError::Padding));
    assert_eq!(frame::strip_padding(padded, b""), Err(PayloadError::TooShort));
}

#[test]
fn headers_payload_gives_fragment_and_dependency() {
    let both = with_flags(flag::PADDED | flag::PRIORITY);
    let parsed = frame::parse_headers(both, b"\x01\x80\0\0\x07\x10frag.");
    assert_eq!(parsed, Ok(HeadersPayload { fragment: b"frag", depends_on: Some(7) }));
    let parsed = frame::parse_headers(with_flags(0), b"frag");
    assert_eq!(parsed, Ok(HeadersPayload { fragment: b"frag", depends_on: None }));
    assert_eq!(frame::parse_headers(with_flags(flag::PRIORITY), b"1234"), Err(PayloadError::TooShort));
}

#[test]
fn settings_are_read_in_order() {
    let list: Vec<_> = frame::parse_settings(b"\0\x04\0\0\0\x01\x12\x34\xff\xff\xff\xff").collect();
    assert_eq!(list, [Setting { id: 4, value: 1 }, Setting { id: 0x1234, value: u32::MAX }]);
}
