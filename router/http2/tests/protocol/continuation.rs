//! RFC 9113 sections 4.3 and 6.10: header blocks in pieces.

use switchboard_http2::frame::{self, flag, kind};
use switchboard_http2::{Config, ErrorCode, HeadersKind};

use crate::script::*;

fn first(stream: u32, fragment: &[u8], end_stream: bool) -> Vec<u8> {
    build(|out| frame::write_headers(out, stream, fragment, end_stream, false))
}

fn next(stream: u32, fragment: &[u8], end: bool) -> Vec<u8> {
    build(|out| frame::write_continuation(out, stream, fragment, end))
}

#[test]
fn pieces_of_any_size_make_one_block() {
    let whole = block(REQUEST);
    for cut in 0..=whole.len() {
        let mut script = Script::against_server();
        assert_eq!(script.ok(&first(1, &whole[..cut], true)), []);
        assert_eq!(script.ok(&next(1, &whole[cut..], false)), []);
        let seen = script.ok(&next(1, b"", true));
        let [Seen::Headers { stream: 1, kind: HeadersKind::Initial, end: true, headers, .. }] = &seen[..]
        else {
            panic!("{seen:?}")
        };
        assert_eq!(pairs(headers), owned(REQUEST));
    }
}

#[test]
fn nothing_may_come_between() {
    let between = [
        data(1, b"x", false),
        headers(3, REQUEST, true),
        settings(&[]),
        build(|out| frame::write_ping(out, [0; 8], false)),
        window_update(0, 1),
        raw(0xee, 0, 0, b""),
        next(3, b"", true),
    ];
    for bytes in between {
        let mut script = Script::against_server();
        script.ok(&first(1, &block(REQUEST), true));
        script.fails(&bytes, ErrorCode::PROTOCOL_ERROR);
    }
}

#[test]
fn continuation_without_headers_ends_the_connection() {
    let mut script = Script::against_server();
    script.request(1, false);
    script.fails(&next(1, b"", true), ErrorCode::PROTOCOL_ERROR);
    Script::against_server().fails(&next(0, b"", true), ErrorCode::PROTOCOL_ERROR);
    Script::against_server()
        .fails(&raw(kind::CONTINUATION, flag::END_HEADERS, 1, b""), ErrorCode::PROTOCOL_ERROR);
}

#[test]
fn broken_block_is_a_compression_error() {
    let broken = build(|out| frame::write_headers(out, 1, &[0xff, 0xff], true, true));
    Script::against_server().fails(&broken, ErrorCode::COMPRESSION_ERROR);
    // Even where the stream's fate is sealed, because the table is the connection's.
    let mut script = Script::against_server();
    script.request(1, false);
    script.connection.reset(1, ErrorCode::CANCEL);
    script.frames();
    script.fails(&broken, ErrorCode::COMPRESSION_ERROR);
}

#[test]
fn flood_of_continuations_ends_the_connection() {
    let mut script = Script::against_server();
    script.ok(&first(1, b"", true));
    for _ in 0..32 {
        script.ok(&next(1, b"", false));
    }
    script.fails(&next(1, b"", false), ErrorCode::ENHANCE_YOUR_CALM);
}

#[test]
fn block_memory_is_bounded() {
    let mut script = Script::against_server();
    script.ok(&first(1, &[0; 16_384], true));
    for _ in 1..8 {
        script.ok(&next(1, &[0; 16_384], false));
    }
    assert!(script.connection.buffered_bytes() >= 128 << 10);
    script.fails(&next(1, &[0], false), ErrorCode::ENHANCE_YOUR_CALM);
}

#[test]
fn too_large_request_headers_are_answered_with_431() {
    let value = "v".repeat(40_000);
    let mut list = REQUEST.to_vec();
    list.extend([("x-a", value.as_str()), ("x-b", value.as_str())]);
    let whole = block(&list);
    let pieces: Vec<_> = whole.chunks(16_000).collect();
    for end_stream in [true, false] {
        let mut script = Script::against_server();
        script.ok(&first(1, pieces[0], end_stream));
        for (i, piece) in pieces[1..].iter().enumerate() {
            assert_eq!(script.ok(&next(1, piece, i == pieces.len() - 2)), []);
        }
        let frames = script.frames();
        assert_eq!((frames[0].kind, frames[0].stream, frames[0].end_stream()), (kind::HEADERS, 1, true));
        assert_eq!(script.decode(&frames[0].payload.clone()), owned(&[(":status", "431")]));
        assert_eq!(frames.len(), if end_stream { 1 } else { 2 });
        if !end_stream {
            assert_eq!((frames[1].kind, frames[1].u32()), (kind::RST_STREAM, 0));
            script.ignores(&data(1, b"late", true));
        }
        script.request(3, true);
    }
}

#[test]
fn too_large_response_trailers_end_their_stream_only() {
    let config = Config { header_list_max: 1000, ..Config::default() };
    let mut script = Script::against_client_with(config);
    let id = script.open(true);
    script.ok(&headers(id, RESPONSE, false));
    let value = "v".repeat(1000);
    let list = [("grpc-status", "8"), ("x-large", value.as_str())];
    let seen = script.resets(&headers(id, &list, true), id, ErrorCode::ENHANCE_YOUR_CALM);
    assert_eq!(seen, [Seen::StreamError { stream: id, code: ErrorCode::ENHANCE_YOUR_CALM }]);
    let partial = script.connection.partial_headers();
    assert_eq!(partial.get(b"grpc-status"), Some(&b"8"[..]));
}
