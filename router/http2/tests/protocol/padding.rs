//! RFC 9113 sections 6.1 and 6.2: padding.

use switchboard_http2::ErrorCode;
use switchboard_http2::frame::{flag, kind};

use crate::script::*;

#[test]
fn padding_is_removed_and_counted_as_credit() {
    let mut script = Script::against_server();
    script.request(1, false);
    let mut payload = vec![3];
    payload.extend_from_slice(b"datapad");
    let seen = script.ok(&raw(kind::DATA, flag::PADDED | flag::END_STREAM, 1, &payload));
    assert_eq!(seen, [Seen::Data { stream: 1, data: b"data".to_vec(), credit: 8, end: true }]);
}

#[test]
fn padded_headers_with_priority_are_read() {
    let mut script = Script::against_server();
    let mut payload = vec![2, 0, 0, 0, 0, 16];
    payload.extend(block(REQUEST));
    payload.extend([0, 0]);
    let flags = flag::PADDED | flag::PRIORITY | flag::END_HEADERS | flag::END_STREAM;
    let seen = script.ok(&raw(kind::HEADERS, flags, 1, &payload));
    let [Seen::Headers { headers, end: true, .. }] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(pairs(headers), owned(REQUEST));
}

#[test]
fn all_payload_may_be_padding() {
    let mut script = Script::against_server();
    script.request(1, false);
    script.ignores(&raw(kind::DATA, flag::PADDED, 1, &[3, 0, 0, 0]));
    let seen = script.ok(&raw(kind::DATA, flag::PADDED | flag::END_STREAM, 1, &[3, 0, 0, 0]));
    assert_eq!(seen, [Seen::Data { stream: 1, data: vec![], credit: 4, end: true }]);
}

#[test]
fn padding_as_long_as_the_payload_ends_the_connection() {
    let mut script = Script::against_server();
    script.request(1, false);
    script.fails(&raw(kind::DATA, flag::PADDED, 1, &[4, 0, 0, 0]), ErrorCode::PROTOCOL_ERROR);
    let flags = flag::PADDED | flag::END_HEADERS;
    Script::against_server().fails(&raw(kind::HEADERS, flags, 1, &[9, 0, 0]), ErrorCode::PROTOCOL_ERROR);
}

#[test]
fn missing_fields_are_a_frame_size_error() {
    let mut script = Script::against_server();
    script.request(1, false);
    script.fails(&raw(kind::DATA, flag::PADDED, 1, &[]), ErrorCode::FRAME_SIZE_ERROR);
    let flags = flag::PRIORITY | flag::END_HEADERS;
    Script::against_server().fails(&raw(kind::HEADERS, flags, 1, &[0; 4]), ErrorCode::FRAME_SIZE_ERROR);
}
