//! One stream that is not read leaves its neighbours a part of the connection's window.

use switchboard_http2::frame::{kind, setting};

use crate::script::*;

/// What one of several streams may have under way of the default window.
const SHARE: usize = 65_535 / 8 * 5;

/// Streams 1, 3 and 5 are answered; both windows are the default.
fn three_streams() -> Script {
    let mut script = Script::against_server();
    for stream in [1, 3, 5] {
        script.request(stream, true);
        script.respond(stream, false);
    }
    script.frames();
    script
}

fn bytes_of(script: &mut Script, stream: u32) -> usize {
    let frames = script.frames();
    frames.iter().filter(|f| f.kind == kind::DATA && f.stream == stream).map(|f| f.payload.len()).sum()
}

#[test]
fn a_stream_that_is_not_read_stops_at_its_share() {
    let mut script = three_streams();
    assert_eq!(script.connection.send_data(1, &[1; 100_000], true), 100_000 - SHARE);
    assert_eq!(bytes_of(&mut script, 1), SHARE);
    script.connection.pump();
    assert!(script.connection.output().is_empty());
    // The others have what is left, also behind the one that waits.
    script.connection.send_data(3, b"small", true);
    script.connection.send_data(5, &[5; 20_000], true);
    script.connection.pump();
    let frames = script.frames();
    assert!(frames.iter().any(|f| f.stream == 3 && f.payload == b"small" && f.end_stream()));
    let sent = |stream: u32| -> usize {
        frames.iter().filter(|f| f.stream == stream).map(|f| f.payload.len()).sum()
    };
    assert_eq!(sent(5), 20_000);
    // When they are done it has all that is left.
    assert_eq!(sent(1), 65_535 - SHARE - 5 - 20_000);
    assert_eq!(script.connection.starving(), None, "nobody else waits");
}

#[test]
fn a_stream_that_is_read_gets_on_with_half_of_the_window_back() {
    let mut script = three_streams();
    let body = vec![7; 400_000];
    let mut waiting = script.connection.send_data(1, &body, true);
    let (mut got, mut unacknowledged) = (0, 0);
    for _ in 0..100 {
        script.connection.pump();
        while let Some((_, _, bytes)) = script.connection.poll_sent() {
            waiting -= bytes;
        }
        let bytes = bytes_of(&mut script, 1);
        got += bytes;
        unacknowledged += bytes;
        // As servers do: window is given back when half of it is used up.
        if unacknowledged >= 65_535 / 2 {
            script.ok(&window_update(1, unacknowledged as u32));
            script.ok(&window_update(0, unacknowledged as u32));
            unacknowledged = 0;
        }
    }
    assert_eq!((got, waiting), (400_000, 0));
}

#[test]
fn a_wide_connection_window_limits_no_stream() {
    let mut script = three_streams();
    script.ok(&window_update(0, 1 << 20));
    assert_eq!(script.connection.send_data(1, &[1; 100_000], true), 100_000 - 65_535);
}

#[test]
fn a_stream_window_wider_than_the_connections_says_nothing() {
    let mut script = three_streams();
    script.ok(&settings(&[(setting::INITIAL_WINDOW_SIZE, 1 << 20)]));
    assert_eq!(script.connection.send_data(1, &[1; 100_000], true), 100_000 - 65_535);
}

#[test]
fn who_uses_up_the_window_that_others_wait_for_is_named() {
    let mut script = three_streams();
    script.connection.set_key(3, 33);
    script.connection.send_data(3, &[3; 100_000], false);
    script.connection.send_data(1, &[1; 20_000], false);
    assert_eq!(script.connection.starving(), None, "the window is not used up");
    script.connection.send_data(5, &[5; 20_000], false);
    script.connection.pump();
    assert_eq!(script.connection.send_window().0, 0);
    assert_eq!(script.connection.starving(), Some((3, 33)));
    let sent = script.connection.data_sent();
    script.connection.reset(3, switchboard_http2::ErrorCode::CANCEL);
    script.ok(&window_update(0, SHARE as u32));
    script.connection.pump();
    assert_eq!(script.connection.starving(), None);
    assert_eq!(script.connection.data_sent() - sent, 40_000 - (65_535 - SHARE as u64));
}
