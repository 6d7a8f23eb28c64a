//! RFC 9113 section 6.8: GOAWAY in both directions, graceful and final.

use switchboard_http2::frame::{self, kind};
use switchboard_http2::{ErrorCode, OpenError};

use crate::script::*;

fn goaway(last: u32, code: ErrorCode) -> Vec<u8> {
    build(|out| frame::write_goaway(out, last, code.0, b"bye"))
}

#[test]
fn drain_announces_and_goaway_decides() {
    let mut script = Script::against_server();
    script.request(1, true);
    script.connection.drain();
    script.connection.drain();
    let frames = script.frames();
    assert_eq!((frames.len(), frames[0].kind), (1, kind::GOAWAY));
    assert_eq!(frames[0].payload, [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    script.request(3, true);
    assert!(!script.connection.is_finished());

    script.connection.goaway(ErrorCode::NO_ERROR, b"age");
    assert_eq!(script.frames()[0].payload, b"\0\0\0\x03\0\0\0\0age");
    // From here on new streams are ignored, with all that follows on them.
    script.ignores(&headers(5, REQUEST, false));
    script.ignores(&data(5, b"x", true));
    script.ignores(&rst_stream(5, ErrorCode::CANCEL));
    script.ignores(&window_update(5, 1));
    for id in [1, 3] {
        assert!(!script.connection.is_finished());
        script.respond(id, true);
    }
    assert!(script.connection.is_finished());
    // A connection error that comes now may not raise the last stream.
    script.connection.recv(&goaway(0, ErrorCode::NO_ERROR)[..9], 0).unwrap();
    let error = script.feed(&window_update(0, 0)).unwrap_err();
    assert_eq!(error.code, ErrorCode::PROTOCOL_ERROR);
    assert_eq!(script.frames().last().unwrap().payload[..4], [0, 0, 0, 3]);
}

#[test]
fn peers_goaway_stops_opening_and_names_what_was_not_processed() {
    let mut script = Script::against_client();
    let (a, b, c) = (script.open(true), script.open(true), script.open(false));
    let seen = script.ok(&goaway(a, ErrorCode::ENHANCE_YOUR_CALM));
    let expected = Seen::GoAway { last: a, code: ErrorCode::ENHANCE_YOUR_CALM, debug: b"bye".to_vec() };
    assert_eq!(seen, [expected]);
    assert!(script.connection.is_going_away());
    assert_eq!(script.connection.available_streams(), 0);
    assert_eq!(script.connection.open(fields(REQUEST), true, 0), Err(OpenError::GoingAway));
    let mut unprocessed: Vec<_> = script.connection.unprocessed(a).collect();
    unprocessed.sort_unstable();
    assert_eq!(unprocessed, [(b, 7), (c, 7)]);
    script.connection.reset(b, ErrorCode::CANCEL);
    script.connection.reset(c, ErrorCode::CANCEL);
    assert_eq!(script.frames(), [], "the peer does not know these streams");
    assert!(!script.connection.is_finished());
    script.ok(&headers(a, RESPONSE, true));
    assert!(script.connection.is_finished());
}

#[test]
fn later_goaway_lowers_the_last_stream_only() {
    let mut script = Script::against_client();
    script.open(true);
    let last = |seen: Vec<Seen>| match seen[..] {
        [Seen::GoAway { last, .. }] => last,
        _ => panic!("{seen:?}"),
    };
    assert_eq!(last(script.ok(&goaway(0x7fff_ffff, ErrorCode::NO_ERROR))), 0x7fff_ffff);
    assert_eq!(last(script.ok(&goaway(1, ErrorCode::NO_ERROR))), 1);
    assert_eq!(last(script.ok(&goaway(9, ErrorCode::NO_ERROR))), 1);
}

#[test]
fn malformed_goaway_ends_the_connection() {
    Script::against_server().fails(&raw(kind::GOAWAY, 0, 1, &[0; 8]), ErrorCode::PROTOCOL_ERROR);
    Script::against_server().fails(&raw(kind::GOAWAY, 0, 0, &[0; 7]), ErrorCode::FRAME_SIZE_ERROR);
}

#[test]
fn connection_error_names_the_last_stream_and_the_reason() {
    let mut script = Script::against_server();
    script.request(1, false);
    script.request(7, false);
    script.feed(&window_update(0, 0)).unwrap_err();
    let frame = script.frames().pop().unwrap();
    assert_eq!(frame.payload[..8], [0, 0, 0, 7, 0, 0, 0, 1]);
    assert_eq!(&frame.payload[8..], b"WINDOW_UPDATE of 0");
    script.respond_after_failure();
}

impl Script {
    fn respond_after_failure(&mut self) {
        assert!(!self.connection.send_headers(1, fields(RESPONSE), true));
        assert_eq!(self.connection.send_data(1, b"x", true), 0);
        self.connection.reset(1, ErrorCode::CANCEL);
        self.connection.release(7, 1);
        self.connection.ping([0; 8]);
        self.connection.drain();
        self.connection.goaway(ErrorCode::NO_ERROR, b"");
        self.connection.pump();
        assert_eq!(self.frames(), [], "nothing follows the GOAWAY");
    }
}
