//! Our own sending: frame sizes, the high-water mark, turns between streams, pending trailers.

use switchboard_http2::frame::{kind, setting};
use switchboard_http2::{Config, ErrorCode};

use crate::script::*;

fn wide_open(config: Config) -> Script {
    let mut script = Script::against_server_with(config);
    script.ok(&settings(&[(setting::INITIAL_WINDOW_SIZE, 1 << 30)]));
    script.ok(&window_update(0, 1 << 30));
    script.frames();
    script
}

#[test]
fn data_is_split_into_frames() {
    let mut script = wide_open(Config::default());
    script.request(1, true);
    script.respond(1, false);
    script.frames();
    assert_eq!(script.connection.send_data(1, &[9; 40_000], true), 0);
    let frames: Vec<_> = script.frames().iter().map(|f| (f.payload.len(), f.end_stream())).collect();
    assert_eq!(frames, [(16_384, false), (16_384, false), (7232, true)]);
}

#[test]
fn data_waits_in_its_stream_above_the_high_water_mark() {
    let mut script = wide_open(Config { output_high_water: 50_000, ..Config::default() });
    script.request(1, true);
    script.respond(1, false);
    let body: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    let mut waiting = script.connection.send_data(1, &body, false);
    assert!(script.connection.send_headers(1, fields(TRAILERS), true));
    let (mut got, mut rounds) = (Vec::new(), 0);
    let mut trailers = None;
    while script.connection.contains(1) || !script.connection.output().is_empty() {
        assert!(script.connection.output().len() < 50_000 + 17_000);
        assert!(script.connection.buffered_bytes() >= script.connection.output().len() + waiting);
        for frame in script.frames() {
            match frame.kind {
                kind::DATA => got.extend(frame.payload),
                _ if frame.end_stream() => trailers = Some(frame.payload),
                _ => {
                    script.decode(&frame.payload);
                }
            }
        }
        script.connection.pump();
        while let Some((1, _, bytes)) = script.connection.poll_sent() {
            waiting -= bytes;
        }
        rounds += 1;
    }
    assert!(rounds >= 4);
    assert_eq!((got == body, waiting), (true, 0));
    assert_eq!(script.decode(&trailers.expect("trailers")), owned(TRAILERS));
    assert_eq!(script.connection.buffered_bytes(), 0);
}

#[test]
fn streams_take_turns() {
    let mut script = wide_open(Config { output_high_water: 20_000, ..Config::default() });
    for id in [1, 3, 5] {
        script.request(id, true);
        script.respond(id, false);
        script.connection.send_data(id, &[id as u8; 60_000], true);
    }
    let mut turns = Vec::new();
    while script.connection.open_streams() > 0 {
        turns.extend(script.frames().iter().filter(|f| f.kind == kind::DATA).map(|f| f.stream));
        script.connection.pump();
    }
    turns.extend(script.frames().iter().filter(|f| f.kind == kind::DATA).map(|f| f.stream));
    // Stream 1 came first and filled the output alone; from then on no stream gets two frames more than another.
    let shared = &turns[3..];
    for end in 0..shared.len() - 2 {
        let count = |id| shared[..end].iter().filter(|s| **s == id).count();
        assert!(count(3).abs_diff(count(5)) <= 1 && count(1) <= count(3) + 1, "{turns:?}");
    }
    assert_eq!(turns.len(), 12, "each stream's 60,000 bytes in four frames");
}

#[test]
fn busy_stream_does_not_overtake_waiting_ones() {
    let mut script = wide_open(Config { output_high_water: 20_000, ..Config::default() });
    for id in [1, 3] {
        script.request(id, true);
        script.respond(id, false);
    }
    script.connection.send_data(1, &[1; 60_000], true);
    script.frames();
    // There is room now, but stream 1 was first.
    assert_eq!(script.connection.send_data(3, b"second", true), 6);
    script.connection.pump();
    assert_eq!(script.frames()[0].stream, 1);
}

#[test]
fn reset_drops_what_is_pending() {
    let mut script = wide_open(Config { output_high_water: 20_000, ..Config::default() });
    for id in [1, 3] {
        script.request(id, true);
        script.respond(id, false);
        script.connection.send_data(id, &[1; 60_000], false);
        script.connection.send_headers(id, fields(TRAILERS), true);
    }
    script.connection.reset(1, ErrorCode::CANCEL);
    script.ok(&rst_stream(3, ErrorCode::CANCEL));
    assert_eq!(script.connection.buffered_bytes(), script.connection.output().len());
    script.frames();
    script.connection.pump();
    assert_eq!(script.frames(), []);
}

#[test]
fn messages_have_frames_of_their_own_where_that_is_asked_for() {
    for (join_data, frames) in [(true, 1), (false, 3)] {
        let mut script = wide_open(Config { join_data, ..Config::default() });
        script.request(1, true);
        script.respond(1, false);
        script.frames();
        for _ in 0..3 {
            script.connection.send_data(1, &[5; 60], false);
        }
        assert_eq!(script.frames().len(), frames);
    }
}

#[test]
fn small_pieces_that_wait_leave_in_few_frames() {
    let mut script = Script::against_server();
    script.ok(&settings(&[(setting::INITIAL_WINDOW_SIZE, 0)]));
    script.request(1, true);
    script.respond(1, false);
    script.frames();
    for _ in 0..1000 {
        script.connection.send_data(1, &[5; 60], false);
    }
    script.ok(&window_update(1, 60_000));
    script.connection.pump();
    assert_eq!(script.frames().len(), 4, "60,000 bytes in frames of 16 KiB");
}

#[test]
fn small_pieces_that_the_socket_has_not_taken_share_a_frame() {
    let mut script = wide_open(Config::default());
    script.request(1, true);
    script.respond(1, false);
    script.frames();
    for n in 0..100 {
        assert_eq!(script.connection.send_data(1, &[n; 60], false), 0);
    }
    assert_eq!(script.connection.send_data(1, b"", true), 0);
    let frames = script.frames();
    assert_eq!((frames.len(), frames[0].payload.len(), frames[0].end_stream()), (1, 6000, true));
    assert!(frames[0].payload.chunks(60).enumerate().all(|(n, piece)| piece == [n as u8; 60]));
}
