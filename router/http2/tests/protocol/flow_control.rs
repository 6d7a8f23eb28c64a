//! RFC 9113 sections 5.2 and 6.9: flow control in both directions.

use switchboard_http2::frame::{kind, setting};
use switchboard_http2::{Config, Connection, ErrorCode};

use crate::script::*;

fn small() -> Config {
    Config { stream_window: 1000, connection_window: 100_000, ..Config::default() }
}

#[test]
fn stream_window_comes_back_in_halves_as_data_is_released() {
    let mut script = Script::against_server_with(small());
    script.request(1, false);
    script.ok(&data(1, &[0; 600], false));
    script.connection.release(1, 499);
    assert_eq!(script.frames(), []);
    script.connection.release(1, 1);
    let frames = script.frames();
    assert_eq!((frames[0].kind, frames[0].stream, frames[0].u32()), (kind::WINDOW_UPDATE, 1, 500));
    script.ok(&data(1, &[0; 900], false));
    script.resets(&data(1, &[0; 1], false), 1, ErrorCode::FLOW_CONTROL_ERROR);
}

#[test]
fn stream_that_is_not_released_gets_no_more() {
    let mut script = Script::against_server_with(small());
    script.request(1, false);
    script.ok(&data(1, &[0; 1000], false));
    let seen = script.resets(&data(1, b"x", false), 1, ErrorCode::FLOW_CONTROL_ERROR);
    assert_eq!(seen, [Seen::StreamError { stream: 1, code: ErrorCode::FLOW_CONTROL_ERROR }]);
}

#[test]
fn release_after_the_end_or_of_too_much_does_no_harm() {
    let mut script = Script::against_server_with(small());
    script.request(1, false);
    script.connection.release(1, u32::MAX);
    script.ok(&data(1, &[0; 1000], true));
    script.connection.release(1, 1000);
    script.connection.release(99, 1000);
    assert_eq!(script.frames(), []);
}

#[test]
fn connection_window_is_credited_on_receipt() {
    let mut script = Script::against_server_with(Config { stream_window: 100_000, ..small() });
    script.request(1, false);
    let mut credited = 0;
    for _ in 0..4 {
        script.ok(&data(1, &[0; 16_000], false));
        for frame in script.frames() {
            assert_eq!((frame.kind, frame.stream), (kind::WINDOW_UPDATE, 0));
            credited += frame.u32();
        }
    }
    assert_eq!(credited, 64_000);
}

#[test]
fn data_beyond_the_connection_window_ends_the_connection() {
    // Only reachable within one half of the window, as receipt gives credit: so on one DATA of more than all of it.
    let config =
        Config { stream_window: 1 << 20, connection_window: 65_535, max_frame_size: 1 << 20, ..small() };
    let mut script = Script::against_server_with(config);
    script.request(1, false);
    script.fails(&data(1, &[0; 65_536], false), ErrorCode::FLOW_CONTROL_ERROR);
}

#[test]
fn smaller_stream_window_is_enforced_only_after_the_ack() {
    let mut script = Script::fresh(Connection::server(small()));
    script.ok(switchboard_http2::frame::PREFACE);
    script.ok(&settings(&[]));
    script.request(1, false);
    // The peer does not know of the 1000 yet.
    script.ok(&data(1, &[0; 10_000], false));
    script.ok(&build(switchboard_http2::frame::write_settings_ack));
    script.frames();
    script.connection.release(1, 10_000);
    assert_eq!(script.frames()[0].u32(), 10_000);
    script.ok(&data(1, &[0; 1000], false));
    script.resets(&data(1, &[0; 1], false), 1, ErrorCode::FLOW_CONTROL_ERROR);
}

#[test]
fn sending_stops_at_the_stream_window() {
    let mut script = Script::against_server();
    script.ok(&settings(&[(setting::INITIAL_WINDOW_SIZE, 10)]));
    script.request(1, true);
    script.respond(1, false);
    script.frames();
    assert_eq!(script.connection.send_data(1, b"0123456789abcdef", true), 6);
    assert_eq!(script.connection.pending(1), 6);
    assert!(script.connection.send_closed(1) && script.connection.contains(1));
    let frames = script.frames();
    assert_eq!(
        (frames.len(), &frames[0].payload[..], frames[0].end_stream()),
        (1, &b"0123456789"[..], false)
    );
    script.connection.pump();
    assert_eq!(script.connection.poll_sent(), None);

    script.connection.set_key(1, 5);
    script.ok(&window_update(1, 2));
    script.connection.pump();
    assert_eq!(script.connection.poll_sent(), Some((1, 5, 2)));
    assert_eq!(script.connection.poll_sent(), None);
    script.ok(&window_update(1, 100));
    script.connection.pump();
    // Still unread, the first piece and the rest are one frame.
    let frames = script.frames();
    assert_eq!(
        (frames.len(), frames[0].payload.as_slice(), frames[0].end_stream()),
        (1, &b"abcdef"[..], true)
    );
    assert_eq!(script.connection.poll_sent(), Some((1, 5, 4)));
    assert!(!script.connection.contains(1));
    assert_eq!(script.connection.buffered_bytes(), 0);
}

#[test]
fn sending_stops_at_the_connection_window() {
    let mut script = Script::against_server();
    script.ok(&settings(&[(setting::INITIAL_WINDOW_SIZE, 1 << 20)]));
    script.request(1, true);
    script.respond(1, false);
    assert_eq!(script.connection.send_data(1, &[7; 70_000], false), 70_000 - 65_535);
    script.request(3, true);
    script.respond(3, false);
    assert_eq!(script.connection.send_data(3, b"waits", true), 5);
    script.frames();
    script.ok(&window_update(0, 70_000));
    script.connection.pump();
    let frames = script.frames();
    let sent: usize = frames.iter().filter(|f| f.stream == 1).map(|f| f.payload.len()).sum();
    assert_eq!(sent, 70_000 - 65_535);
    assert!(frames.iter().any(|f| f.stream == 3 && f.payload == b"waits" && f.end_stream()));
}

#[test]
fn initial_window_changes_apply_to_open_streams_and_may_go_negative() {
    let mut script = Script::against_server();
    script.ok(&settings(&[(setting::INITIAL_WINDOW_SIZE, 100)]));
    script.request(1, true);
    script.respond(1, false);
    assert_eq!(script.connection.send_data(1, &[1; 150], true), 50);
    script.frames();
    // 0 - 60 = -60; then +100 gives 40 of the 50.
    script.ok(&settings(&[(setting::INITIAL_WINDOW_SIZE, 40)]));
    script.connection.pump();
    assert_eq!(script.connection.pending(1), 50);
    script.ok(&window_update(1, 60));
    script.connection.pump();
    assert_eq!(script.connection.pending(1), 50);
    script.ok(&settings(&[(setting::INITIAL_WINDOW_SIZE, 80)]));
    script.connection.pump();
    assert_eq!(script.connection.pending(1), 10);
    script.ok(&settings(&[(setting::INITIAL_WINDOW_SIZE, 90)]));
    script.connection.pump();
    assert!(!script.connection.contains(1));
}

#[test]
fn window_of_one_byte_is_used() {
    let mut script = Script::against_server();
    script.ok(&settings(&[(setting::INITIAL_WINDOW_SIZE, 1)]));
    script.request(1, true);
    script.respond(1, false);
    script.frames();
    script.connection.send_data(1, b"xyz", true);
    assert_eq!(script.frames()[0].payload, b"x");
}

#[test]
fn end_of_stream_and_trailers_need_no_window() {
    let mut script = Script::against_server();
    script.ok(&settings(&[(setting::INITIAL_WINDOW_SIZE, 0)]));
    script.request(1, true);
    script.respond(1, false);
    script.request(3, true);
    script.respond(3, false);
    script.frames();
    assert_eq!(script.connection.send_data(1, b"", true), 0);
    assert!(script.connection.send_headers(3, fields(TRAILERS), true));
    let frames = script.frames();
    assert_eq!((frames[0].kind, frames[0].payload.len(), frames[0].end_stream()), (kind::DATA, 0, true));
    assert_eq!((frames[1].kind, frames[1].end_stream()), (kind::HEADERS, true));
    assert_eq!(script.connection.open_streams(), 0);
}

#[test]
fn zero_increment_is_an_error_of_stream_or_connection() {
    let mut script = Script::against_server();
    script.request(1, false);
    script.resets(&window_update(1, 0), 1, ErrorCode::PROTOCOL_ERROR);
    script.fails(&window_update(0, 0), ErrorCode::PROTOCOL_ERROR);
}

#[test]
fn window_overflow_is_an_error_of_stream_or_connection() {
    let mut script = Script::against_server();
    script.request(1, false);
    script.resets(&window_update(1, 0x7fff_ffff), 1, ErrorCode::FLOW_CONTROL_ERROR);
    script.fails(&window_update(0, 0x7fff_ffff), ErrorCode::FLOW_CONTROL_ERROR);

    let mut script = Script::against_server();
    script.request(1, false);
    script.ok(&window_update(1, 0x7fff_ffff - 65_535));
    script.fails(&settings(&[(setting::INITIAL_WINDOW_SIZE, 65_536)]), ErrorCode::FLOW_CONTROL_ERROR);
}
