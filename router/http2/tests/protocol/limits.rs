//! Floods end the connection with ENHANCE_YOUR_CALM; what honest gRPC peers do never does.

use switchboard_http2::frame;
use switchboard_http2::{Connection, ErrorCode, Event};

use crate::script::*;

/// Feeds `bytes(n)` for n = 0, 1, ... without reading answers in between (but as if they were read), until the connection
/// ends; returns after how many.
#[track_caller]
fn floods(script: &mut Script, max: u32, mut bytes: impl FnMut(u32) -> Vec<u8>) -> u32 {
    for n in 0..max {
        if let Err(error) = script.feed(&bytes(n)) {
            assert_eq!(error.code, ErrorCode::ENHANCE_YOUR_CALM, "{error}");
            return n;
        }
        let len = script.connection.output().len();
        script.connection.consume_output(len);
    }
    panic!("{max} and no end");
}

fn ping() -> Vec<u8> {
    build(|out| frame::write_ping(out, [0; 8], false))
}

#[test]
fn rapid_reset_ends_the_connection() {
    let mut script = Script::against_server();
    let n = floods(&mut script, 10_000, |n| {
        [headers(n * 2 + 1, REQUEST, true), rst_stream(n * 2 + 1, ErrorCode::CANCEL)].concat()
    });
    assert!(n >= 1000, "{n}");
}

#[test]
fn a_bomb_in_the_header_table_ends_the_connection() {
    let mut script = Script::against_server();
    let insert = [vec![0x40, 1, b'a', 0x7f, 0xa1, 0x1e], vec![b'v'; 4000]].concat();
    let bomb = [insert, vec![0xbe; 12_000]].concat();
    let frame = build(|out| frame::write_headers(out, 1, &bomb, true, true));
    assert_eq!(floods(&mut script, 1, |_| frame.clone()), 0);
}

#[test]
fn resets_that_we_are_made_to_send_count_too() {
    let mut script = Script::against_server();
    floods(&mut script, 10_000, |n| {
        [headers(n * 2 + 1, REQUEST, false), window_update(n * 2 + 1, 0)].concat()
    });
    let mut script = Script::against_server();
    floods(&mut script, 10_000, |n| headers(n * 2 + 1, TRAILERS, false));
    let mut script = Script::against_server();
    script.request(1, false);
    script.ok(&rst_stream(1, ErrorCode::CANCEL));
    floods(&mut script, 10_000, |_| data(1, b"x", false));
}

#[test]
fn floods_of_frames_without_effect_end_the_connection() {
    let cases: [fn() -> Vec<u8>; 8] = [
        ping,
        || settings(&[]),
        || settings(&[(frame::setting::INITIAL_WINDOW_SIZE, 1000)]),
        || build(|out| frame::write_priority(out, 5, 3, 1)),
        || raw(0xee, 0, 0, b"unknown"),
        || window_update(0, 1),
        || window_update(1, 1),
        || data(1, b"", false),
    ];
    for case in cases {
        let mut script = Script::against_server();
        script.request(1, false);
        floods(&mut script, 100_000, |_| case());
    }
}

#[test]
fn late_frames_on_closed_streams_are_bounded() {
    for bytes in [rst_stream(1, ErrorCode::CANCEL), window_update(1, 5000), headers(1, TRAILERS, true)] {
        let mut script = Script::against_server();
        script.request(1, false);
        script.connection.reset(1, ErrorCode::CANCEL);
        floods(&mut script, 100_000, |_| bytes.clone());
    }
}

#[test]
fn answers_that_are_never_read_end_the_connection() {
    let mut script = Script::against_server();
    for n in 0..1_000_000_u64 {
        script.now_ms += 1000;
        if let Err(error) = script.feed(&ping()) {
            assert_eq!(error.reason, "answers are not read");
            assert!(script.connection.buffered_bytes() < 70_000);
            assert!(n > 1000);
            return;
        }
    }
    panic!("no end");
}

#[test]
fn responses_that_are_never_read_end_the_connection() {
    let mut script = Script::against_server();
    for n in 0..300_000_u32 {
        let id = n * 2 + 1;
        if let Err(error) = script.feed(&headers(id, REQUEST, true)) {
            assert_eq!(error.code, ErrorCode::ENHANCE_YOUR_CALM);
            assert!(script.connection.buffered_bytes() < 2 << 20);
            return;
        }
        script.respond(id, true);
    }
    panic!("no end");
}

#[test]
fn steady_cancelling_is_no_flood() {
    let mut script = Script::against_server();
    for n in 0..30_000_u32 {
        script.now_ms += 10;
        let id = n * 2 + 1;
        script.request(id, false);
        assert_eq!(script.ok(&rst_stream(id, ErrorCode::CANCEL)).len(), 1);
    }
    script.is_alive();
}

#[test]
fn all_streams_cancelled_at_once_are_no_flood() {
    let mut script = Script::against_server();
    for round in 0..3_u32 {
        script.now_ms += 10_000;
        let ids = (0..1024_u32).map(|n| (round * 1024 + n) * 2 + 1);
        for id in ids.clone() {
            script.request(id, false);
        }
        for id in ids {
            script.ok(&rst_stream(id, ErrorCode::CANCEL));
        }
    }
    script.is_alive();
}

#[test]
fn keepalive_and_small_messages_are_no_flood() {
    let mut script = Script::against_server();
    script.request(1, false);
    for n in 0..200_000_u32 {
        if n % 1000 == 0 {
            script.now_ms += 10_000;
            script.is_alive();
        }
        assert_eq!(script.ok(&data(1, &[0; 60], false)).len(), 1);
        script.connection.release(1, 60);
    }
    let len = script.connection.output().len();
    assert!(len < 64 << 10, "{len}");
}

#[test]
fn bandwidth_probes_and_window_updates_per_frame_are_no_flood() {
    let mut script = Script::against_server();
    script.request(1, true);
    script.respond(1, false);
    for _ in 0..20_000_u32 {
        assert_eq!(script.connection.send_data(1, &[0; 60], false), 0);
        script.ok(&[window_update(0, 60), window_update(1, 60), ping()].concat());
        script.frames();
    }
}

#[test]
fn unary_calls_with_late_frames_are_no_flood() {
    let mut script = Script::against_server();
    for n in 0..20_000_u32 {
        let id = n * 2 + 1;
        script.request(id, true);
        script.respond(id, false);
        assert_eq!(script.connection.send_data(id, b"answer", true), 0);
        script.ok(&[window_update(id, 6), window_update(0, 6), rst_stream(id, ErrorCode::NO_ERROR)].concat());
        script.frames();
    }
}

#[test]
fn cancel_storm_of_ours_is_no_fault_of_the_server() {
    let mut script = Script::against_client();
    for _ in 0..20_000 {
        let id = script.connection.open(fields(REQUEST), false, 0).unwrap();
        script.connection.reset(id, ErrorCode::CANCEL);
        script.frames();
        // Sent before the server knew.
        script.ignores(
            &[headers(id, RESPONSE, false), data(id, b"x", false), headers(id, TRAILERS, true)].concat(),
        );
        script.ignores(&rst_stream(id, ErrorCode::NO_ERROR));
    }
    // And it may reset every stream that we open.
    for _ in 0..20_000 {
        let id = script.open(false);
        assert_eq!(script.ok(&rst_stream(id, ErrorCode::NO_ERROR)).len(), 1);
    }
}

#[test]
fn a_server_that_only_hints_loses_the_stream_and_no_other() {
    let mut script = Script::against_client();
    let (hinted, other) = (script.open(true), script.open(true));
    let hint = headers(hinted, &[(":status", "103"), ("grpc-status", "0")], false);
    for _ in 0..100 {
        assert_eq!(script.ok(&hint).len(), 1);
        assert_eq!(script.ok(&headers(other, &[(":status", "100")], false)).len(), 1);
    }
    script.resets(&hint, hinted, ErrorCode::ENHANCE_YOUR_CALM);
    assert!(script.connection.partial_headers().is_empty(), "no status is taken from a hint");
    // Those that were under way are dropped, as on any stream that was reset; a flood of them ends the connection.
    script.ignores(&hint);
    let kinds = script.ok(&[headers(other, RESPONSE, false), headers(other, TRAILERS, true)].concat());
    assert_eq!(kinds.len(), 2);
    floods(&mut script, 10_000, |_| hint.clone());
}

#[test]
fn idle_connection_is_small() {
    let script = Script::against_server();
    assert!(size_of::<Connection>() < 2048, "{}", size_of::<Connection>());
    assert!(size_of::<Event<'_>>() <= 64, "{}", size_of::<Event<'_>>());
    assert_eq!(script.connection.buffered_bytes(), 0);
    assert_eq!(script.connection.output().len(), 0);
}
