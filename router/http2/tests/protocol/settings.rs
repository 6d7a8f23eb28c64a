//! RFC 9113 section 6.5: SETTINGS.

use switchboard_http2::frame::{self, flag, kind, setting};
use switchboard_http2::{Config, ErrorCode, OpenError};

use crate::script::*;

#[test]
fn each_settings_frame_is_acknowledged() {
    let mut script = Script::against_server();
    for _ in 0..3 {
        assert_eq!(
            script.ok(&settings(&[(setting::MAX_CONCURRENT_STREAMS, 5), (0x99, 1)])),
            [Seen::Settings]
        );
        let frames = script.frames();
        assert_eq!((frames[0].kind, frames[0].flags, frames.len()), (kind::SETTINGS, flag::ACK, 1));
    }
}

#[test]
fn malformed_settings_frames_end_the_connection() {
    let cases = [
        (raw(kind::SETTINGS, flag::ACK, 0, &[0; 6]), ErrorCode::FRAME_SIZE_ERROR),
        (raw(kind::SETTINGS, 0, 0, &[0; 5]), ErrorCode::FRAME_SIZE_ERROR),
        (raw(kind::SETTINGS, 0, 1, &[]), ErrorCode::PROTOCOL_ERROR),
        (raw(kind::SETTINGS, flag::ACK, 1, &[]), ErrorCode::PROTOCOL_ERROR),
        (settings(&[(setting::ENABLE_PUSH, 2)]), ErrorCode::PROTOCOL_ERROR),
        (settings(&[(setting::INITIAL_WINDOW_SIZE, 1 << 31)]), ErrorCode::FLOW_CONTROL_ERROR),
        (settings(&[(setting::MAX_FRAME_SIZE, 16_383)]), ErrorCode::PROTOCOL_ERROR),
        (settings(&[(setting::MAX_FRAME_SIZE, 1 << 24)]), ErrorCode::PROTOCOL_ERROR),
    ];
    for (bytes, code) in cases {
        Script::against_server().fails(&bytes, code);
        Script::against_client().fails(&bytes, code);
    }
}

#[test]
fn push_may_be_enabled_by_clients_only() {
    let enable = settings(&[(setting::ENABLE_PUSH, 1)]);
    assert_eq!(Script::against_server().ok(&enable), [Seen::Settings]);
    Script::against_client().fails(&enable, ErrorCode::PROTOCOL_ERROR);
}

#[test]
fn concurrency_limit_of_the_peer_bounds_open() {
    let mut script = Script::against_client();
    script.ok(&settings(&[(setting::MAX_CONCURRENT_STREAMS, 2)]));
    assert_eq!(script.connection.available_streams(), 2);
    script.frames();
    script.open(true);
    script.open(true);
    assert_eq!(script.connection.open(fields(REQUEST), true, 0), Err(OpenError::TooManyStreams));
    script.ok(&headers(1, RESPONSE, true));
    assert_eq!(script.connection.available_streams(), 1);
    script.open(true);
}

#[test]
fn header_list_limit_of_the_peer_is_reported() {
    let mut script = Script::against_client();
    assert_eq!(script.connection.peer_header_list_max(), u32::MAX);
    script.ok(&settings(&[(setting::MAX_HEADER_LIST_SIZE, 8192)]));
    assert_eq!(script.connection.peer_header_list_max(), 8192);
}

#[test]
fn large_header_blocks_are_split_by_the_peers_frame_size() {
    let value = "v".repeat(50_000);
    let list = [(":status", "200"), ("x-large", value.as_str())];
    for (max, expected) in [(16_384, 3), (1 << 20, 1)] {
        let mut script = Script::against_server();
        script.ok(&settings(&[(setting::MAX_FRAME_SIZE, max)]));
        script.request(1, true);
        script.frames();
        assert!(script.connection.send_headers(1, fields(&list), true));
        let frames = script.frames();
        assert!(frames.len() >= expected.min(2), "{}", frames.len());
        assert!(frames.iter().all(|f| f.payload.len() <= max as usize && f.stream == 1));
        assert_eq!((frames[0].kind, frames[0].end_stream()), (kind::HEADERS, true));
        assert!(frames[1..].iter().all(|f| f.kind == kind::CONTINUATION && !f.end_stream()));
        for (i, frame) in frames.iter().enumerate() {
            assert_eq!(frame.flags & flag::END_HEADERS != 0, i == frames.len() - 1);
        }
        let block: Vec<u8> = frames.iter().flat_map(|f| f.payload.clone()).collect();
        assert_eq!(script.decode(&block), owned(&list));
    }
}

#[test]
fn smaller_header_table_is_announced_to_the_peer_and_used() {
    let config = Config { header_table_size: 0, ..Config::default() };
    let mut script = Script::against_server_with(config);
    // After the ACK a block has to begin with the size update (RFC 7541 section 4.2).
    let mut reduced = vec![0x20];
    reduced.extend(block(REQUEST));
    let bytes = build(|out| frame::write_headers(out, 1, &reduced, true, true));
    assert_eq!(script.ok(&bytes).len(), 1);
    // A table entry that the announced size has no room for does not exist: index 62 is an error.
    let bytes = build(|out| frame::write_headers(out, 3, &[0xbe], true, true));
    script.fails(&bytes, ErrorCode::COMPRESSION_ERROR);
}
