//! RFC 9113 section 6.7: PING.

use switchboard_http2::ErrorCode;
use switchboard_http2::frame::{self, flag, kind};

use crate::script::*;

#[test]
fn ping_is_answered_with_its_payload() {
    let mut script = Script::against_server();
    script.ok(&build(|out| frame::write_ping(out, *b"abcdefgh", false)));
    let frames = script.frames();
    assert_eq!((frames[0].kind, frames[0].flags), (kind::PING, flag::ACK));
    assert_eq!(frames[0].payload, b"abcdefgh");
}

#[test]
fn answers_are_reported_and_not_answered() {
    let mut script = Script::against_client();
    script.connection.ping(*b"01234567");
    assert_eq!(script.frames()[0].flags, 0);
    let seen = script.ok(&build(|out| frame::write_ping(out, *b"01234567", true)));
    assert_eq!(seen, [Seen::PingAck(*b"01234567")]);
    assert_eq!(script.frames(), []);
}

#[test]
fn malformed_pings_end_the_connection() {
    Script::against_server().fails(&raw(kind::PING, 0, 0, b"short"), ErrorCode::FRAME_SIZE_ERROR);
    Script::against_server().fails(&raw(kind::PING, flag::ACK, 0, b"123456789"), ErrorCode::FRAME_SIZE_ERROR);
    Script::against_server().fails(&raw(kind::PING, 0, 1, b"12345678"), ErrorCode::PROTOCOL_ERROR);
}
