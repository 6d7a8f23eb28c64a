//! Our own receive window may change while streams are open (RFC 9113 section 6.9.2), and what is pending can be dropped.

use switchboard_http2::Config;
use switchboard_http2::ErrorCode;
use switchboard_http2::frame::{self, kind, setting};

use crate::script::*;

fn ack(script: &mut Script) {
    script.ok(&build(frame::write_settings_ack));
}

fn small() -> Script {
    Script::against_server_with(Config {
        stream_window: 200_000,
        connection_window: 1 << 20,
        ..Config::default()
    })
}

#[test]
fn a_smaller_window_is_announced_and_holds_from_its_acknowledgement() {
    let mut script = small();
    script.request(1, false);
    script.request(3, false);
    script.connection.set_stream_window(70_000);
    let frames = script.frames();
    assert_eq!(frames.len(), 1);
    assert_eq!(
        frame::parse_settings(&frames[0].payload).map(|s| (s.id, s.value)).collect::<Vec<_>>(),
        [(setting::INITIAL_WINDOW_SIZE, 70_000)]
    );
    // Sent before the peer knew.
    for _ in 0..10 {
        script.ok(&data(1, &[0; 10_000], false));
    }
    ack(&mut script);
    script.frames();
    script.resets(&data(1, b"x", false), 1, ErrorCode::FLOW_CONTROL_ERROR);
    for _ in 0..7 {
        script.ok(&data(3, &[0; 10_000], false));
    }
    script.resets(&data(3, b"x", false), 3, ErrorCode::FLOW_CONTROL_ERROR);
}

#[test]
fn a_stream_beyond_the_smaller_window_goes_on_once_it_is_below() {
    let mut script = small();
    script.request(1, false);
    for _ in 0..10 {
        script.ok(&data(1, &[0; 10_000], false));
    }
    script.connection.release(1, 90_000);
    script.frames();
    script.connection.set_stream_window(20_000);
    ack(&mut script);
    // What was freed, too little for half of the old window, is more than half of the new one.
    let credited = |script: &mut Script| {
        let frames = script.frames();
        frames.iter().filter(|f| f.kind == kind::WINDOW_UPDATE && f.stream == 1).map(|f| f.u32()).sum::<u32>()
    };
    assert_eq!(credited(&mut script), 90_000);
    // The peer's window: 200,000 - 100,000 - 180,000 + 90,000 = 10,000.
    script.ok(&data(1, &[0; 10_000], false));
    script.connection.release(1, 20_000);
    assert_eq!(credited(&mut script), 20_000);
    script.ok(&data(1, &[0; 16_000], false));
}

#[test]
fn a_larger_window_may_be_used_before_its_acknowledgement_is_read() {
    let mut script = small();
    script.request(1, false);
    script.connection.set_stream_window(20_000);
    ack(&mut script);
    script.connection.set_stream_window(200_000);
    for _ in 0..10 {
        script.ok(&data(1, &[0; 10_000], false));
    }
    ack(&mut script);
    script.request(3, false);
    for _ in 0..20 {
        script.ok(&data(3, &[0; 10_000], false));
    }
}

#[test]
fn a_peer_that_acknowledges_nothing_costs_no_memory() {
    let mut script = small();
    for round in 0..1_000 {
        script.connection.set_stream_window(20_000 + round);
    }
    assert!(script.frames().len() <= 8);
}

#[test]
fn pending_data_can_be_dropped_and_the_trailers_sent_at_once() {
    let mut script = small();
    script.ok(&settings(&[(setting::INITIAL_WINDOW_SIZE, 100)]));
    script.request(1, true);
    script.respond(1, false);
    script.frames();
    assert_eq!(script.connection.send_data(1, &[1; 50_000], false), 49_900);
    assert_eq!(
        script.connection.holding().collect::<Vec<_>>(),
        [(1, switchboard_http2::NO_KEY, 49_900, false)]
    );
    script.connection.discard_pending(1);
    assert_eq!(script.connection.holding().count(), 0);
    assert!(script.connection.send_headers(1, fields(TRAILERS), true));
    let frames = script.frames();
    assert_eq!(
        frames.iter().map(|f| (f.kind, f.end_stream())).collect::<Vec<_>>(),
        [(kind::DATA, false), (kind::HEADERS, true)]
    );
    assert_eq!((script.connection.buffered_bytes(), script.connection.open_streams()), (0, 0));
    // Nothing to drop, no such stream, an end that is queued already.
    script.connection.discard_pending(1);
    script.request(3, true);
    script.respond(3, false);
    script.connection.discard_pending(3);
    script.connection.send_data(3, &[1; 50_000], true);
    script.connection.discard_pending(3);
    assert_eq!(script.connection.pending(3), 49_900);
}
