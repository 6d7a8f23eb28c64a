//! RFC 9113 section 5.1: which frames a stream takes in which state.

use switchboard_http2::frame::{self, kind};
use switchboard_http2::{Config, ErrorCode};

use crate::script::*;

#[test]
fn frames_on_idle_streams_end_the_connection() {
    let frames = [
        data(1, b"x", true),
        rst_stream(1, ErrorCode::CANCEL),
        window_update(1, 100),
        data(2, b"x", true),
        window_update(2, 100),
        rst_stream(2, ErrorCode::CANCEL),
    ];
    for bytes in frames {
        Script::against_server().fails(&bytes, ErrorCode::PROTOCOL_ERROR);
        Script::against_client().fails(&bytes, ErrorCode::PROTOCOL_ERROR);
    }
    Script::against_client().fails(&headers(1, RESPONSE, true), ErrorCode::PROTOCOL_ERROR);
    let unfinished = build(|out| frame::write_headers(out, 1, &block(RESPONSE), true, false));
    Script::against_client().fails(&unfinished, ErrorCode::PROTOCOL_ERROR);
}

#[test]
fn stream_0_carries_no_message() {
    Script::against_server().fails(&data(0, b"x", true), ErrorCode::PROTOCOL_ERROR);
    Script::against_server().fails(&headers(0, REQUEST, true), ErrorCode::PROTOCOL_ERROR);
    Script::against_server().fails(&rst_stream(0, ErrorCode::CANCEL), ErrorCode::PROTOCOL_ERROR);
}

#[test]
fn identifiers_are_odd_and_rise() {
    Script::against_server().fails(&headers(2, REQUEST, true), ErrorCode::PROTOCOL_ERROR);
    Script::against_client().fails(&headers(2, RESPONSE, true), ErrorCode::PROTOCOL_ERROR);
    let mut script = Script::against_server();
    script.request(5, true);
    script.fails(&headers(3, REQUEST, true), ErrorCode::PROTOCOL_ERROR);
    let mut script = Script::against_server();
    script.request(1, false);
    script.request(9, true);
    script.fails(&data(7, b"x", false), ErrorCode::PROTOCOL_ERROR);
}

#[test]
fn half_closed_remote_takes_no_message() {
    for bytes in [data(1, b"x", false), headers(1, TRAILERS, true)] {
        let mut script = Script::against_server();
        script.request(1, true);
        let seen = script.resets(&bytes, 1, ErrorCode::STREAM_CLOSED);
        assert_eq!(seen, [Seen::StreamError { stream: 1, code: ErrorCode::STREAM_CLOSED }]);
    }
    let mut script = Script::against_server();
    script.request(1, true);
    script.ignores(&window_update(1, 10));
}

#[test]
fn closed_by_both_sides_is_final() {
    for bytes in [
        data(1, b"x", false),
        headers(1, TRAILERS, true),
        build(|out| frame::write_headers(out, 1, &block(TRAILERS), true, false)),
    ] {
        let mut script = Script::against_server();
        script.request(1, true);
        script.respond(1, true);
        script.frames();
        script.fails(&bytes, ErrorCode::STREAM_CLOSED);
        let mut script = Script::against_client();
        let id = script.open(true);
        script.ok(&headers(id, RESPONSE, true));
        script.fails(&bytes, ErrorCode::STREAM_CLOSED);
    }
}

#[test]
fn closed_streams_tolerate_what_may_have_crossed() {
    let mut script = Script::against_server();
    script.request(1, true);
    script.respond(1, true);
    script.frames();
    script.ignores(&window_update(1, 10));
    script.ignores(&window_update(1, 0x7fff_ffff));
    script.ignores(&rst_stream(1, ErrorCode::CANCEL));
    script.ignores(&build(|out| frame::write_priority(out, 1, 0, 0)));
    script.is_alive();
}

#[test]
fn late_frames_after_our_reset_are_ignored_but_accounted() {
    let mut script = Script::against_server();
    script.request(1, false);
    script.connection.reset(1, ErrorCode::CANCEL);
    script.frames();
    script.ignores(&data(1, b"late", false));
    script.ignores(&window_update(1, 10));
    script.ignores(&headers(1, TRAILERS, true));
    script.ignores(&rst_stream(1, ErrorCode::CANCEL));
    // Half the connection's window in late DATA is given back.
    let large = data(1, &[0; 16_384], false);
    for _ in 0..520 {
        assert_eq!(script.ok(&large), []);
    }
    let frames = script.frames();
    assert_eq!((frames.len(), frames[0].kind, frames[0].stream), (1, kind::WINDOW_UPDATE, 0));
}

#[test]
fn frames_after_the_peers_own_reset_are_a_stream_error() {
    for bytes in [data(1, b"x", false), headers(1, TRAILERS, true)] {
        let mut script = Script::against_server();
        script.request(1, false);
        script.ok(&rst_stream(1, ErrorCode::CANCEL));
        assert_eq!(script.resets(&bytes, 1, ErrorCode::STREAM_CLOSED), []);
    }
}

#[test]
fn hpack_state_survives_ignored_blocks() {
    let mut script = Script::against_client();
    let id = script.open(true);
    script.connection.reset(id, ErrorCode::CANCEL);
    script.frames();
    // Literal with incremental indexing: x-a: 1 becomes index 62.
    let mut insert = block(RESPONSE);
    insert.extend_from_slice(b"\x40\x03x-a\x011");
    script.ignores(&build(|out| frame::write_headers(out, id, &insert, false, true)));
    let next = script.open(true);
    let mut by_index = block(RESPONSE);
    by_index.push(0x80 | 62);
    let seen = script.ok(&build(|out| frame::write_headers(out, next, &by_index, true, true)));
    let [Seen::Headers { headers, .. }] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(headers.get(b"x-a"), Some(&b"1"[..]));
}

#[test]
fn long_forgotten_resets_stay_harmless() {
    let mut script = Script::against_client();
    for _ in 0..3000 {
        let id = script.open(false);
        script.connection.reset(id, ErrorCode::CANCEL);
    }
    script.frames();
    script.ignores(&data(1, b"very late", true));
    script.is_alive();
}

#[test]
fn push_promise_ends_the_connection() {
    let promise = raw(kind::PUSH_PROMISE, 4, 1, &[0, 0, 0, 2]);
    let mut script = Script::against_server();
    script.request(1, false);
    script.fails(&promise, ErrorCode::PROTOCOL_ERROR);
    let mut script = Script::against_client();
    script.open(true);
    script.fails(&promise, ErrorCode::PROTOCOL_ERROR);
}

#[test]
fn streams_beyond_the_limit_are_refused() {
    let config = Config { max_concurrent_streams: 2, ..Config::default() };
    let mut script = Script::against_server_with(config);
    script.request(1, true);
    script.request(3, false);
    assert_eq!(script.resets(&headers(5, REQUEST, false), 5, ErrorCode::REFUSED_STREAM), []);
    script.ignores(&data(5, b"late", true));
    script.respond(1, true);
    script.request(7, true);
    assert_eq!(script.connection.open_streams(), 2);
}

#[test]
fn wrong_sizes_of_fixed_frames_end_the_connection() {
    for (kind, stream, len) in [
        (kind::RST_STREAM, 1, 3),
        (kind::RST_STREAM, 1, 5),
        (kind::WINDOW_UPDATE, 1, 3),
        (kind::WINDOW_UPDATE, 0, 5),
    ] {
        let mut script = Script::against_server();
        script.request(1, false);
        script.fails(&raw(kind, 0, stream, &vec![1; len]), ErrorCode::FRAME_SIZE_ERROR);
    }
}
