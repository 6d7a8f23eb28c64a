//! RFC 9113 section 6.3 (and RFC 7540 section 5.3.1): PRIORITY is checked and has no effect.

use switchboard_http2::ErrorCode;
use switchboard_http2::frame::{self, flag, kind};

use crate::script::*;

fn priority(stream: u32, depends_on: u32) -> Vec<u8> {
    build(|out| frame::write_priority(out, stream, depends_on, 15))
}

#[test]
fn priority_is_ignored_in_every_state() {
    let mut script = Script::against_server();
    script.ignores(&priority(5, 0));
    script.request(1, true);
    script.ignores(&priority(1, 3));
    script.respond(1, true);
    script.frames();
    script.ignores(&priority(1, 3));
}

#[test]
fn stream_that_depends_on_itself_is_reset() {
    let mut script = Script::against_server();
    script.request(1, false);
    let seen = script.resets(&priority(1, 1), 1, ErrorCode::PROTOCOL_ERROR);
    assert_eq!(seen, [Seen::StreamError { stream: 1, code: ErrorCode::PROTOCOL_ERROR }]);
    assert_eq!(script.resets(&priority(2, 2), 2, ErrorCode::PROTOCOL_ERROR), []);

    let mut payload = vec![0, 0, 0, 3, 16];
    payload.extend(block(REQUEST));
    let bytes = raw(kind::HEADERS, flag::PRIORITY | flag::END_HEADERS | flag::END_STREAM, 3, &payload);
    assert_eq!(script.resets(&bytes, 3, ErrorCode::PROTOCOL_ERROR), []);
}

#[test]
fn wrong_size_is_the_streams_error() {
    let mut script = Script::against_server();
    script.request(1, false);
    script.resets(&raw(kind::PRIORITY, 0, 1, &[0; 4]), 1, ErrorCode::FRAME_SIZE_ERROR);
}

#[test]
fn priority_on_stream_0_ends_the_connection() {
    Script::against_server().fails(&priority(0, 1), ErrorCode::PROTOCOL_ERROR);
}
