//! RFC 9113 section 3.4: what comes first.

use switchboard_http2::frame::{self, flag, kind, setting};
use switchboard_http2::{Config, Connection, ErrorCode, OpenError};

use crate::script::*;

#[test]
fn server_sends_its_settings_at_once() {
    let mut script = Script::fresh(Connection::server(Config::default()));
    let frames = script.frames();
    assert_eq!((frames[0].kind, frames[0].flags), (kind::SETTINGS, 0));
    let sent: Vec<_> = frame::parse_settings(&frames[0].payload).map(|s| (s.id, s.value)).collect();
    assert!(sent.contains(&(setting::INITIAL_WINDOW_SIZE, 1 << 20)));
    assert!(sent.contains(&(setting::MAX_CONCURRENT_STREAMS, 1024)));
    assert!(sent.contains(&(setting::MAX_HEADER_LIST_SIZE, 64 << 10)));
    assert_eq!((frames[1].kind, frames[1].stream), (kind::WINDOW_UPDATE, 0));
    assert_eq!(frames[1].u32(), (16 << 20) - 65_535);
    assert_eq!(frames.len(), 2);
}

#[test]
fn client_sends_preface_and_forbids_push() {
    let connection = Connection::client(Config::default());
    let output = connection.output().strip_prefix(frame::PREFACE.as_slice()).expect("the preface");
    let frames = parse(output);
    let sent: Vec<_> = frame::parse_settings(&frames[0].payload).map(|s| (s.id, s.value)).collect();
    assert!(sent.contains(&(setting::ENABLE_PUSH, 0)));
    assert_eq!(frames[1].kind, kind::WINDOW_UPDATE);
}

#[test]
fn preface_may_come_byte_by_byte() {
    let mut connection = Connection::server(Config::default());
    for len in 0..frame::PREFACE.len() {
        assert_eq!(connection.recv(&frame::PREFACE[..len], 0).unwrap().consumed, 0);
    }
    assert_eq!(connection.recv(frame::PREFACE, 0).unwrap().consumed, 24);
}

#[test]
fn wrong_preface_fails_at_its_first_wrong_byte() {
    let mut script = Script::fresh(Connection::server(Config::default()));
    script.fails(b"GET", ErrorCode::PROTOCOL_ERROR);
    let mut script = Script::fresh(Connection::server(Config::default()));
    script.fails(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", ErrorCode::PROTOCOL_ERROR);
}

#[test]
fn first_frame_must_be_settings() {
    let firsts = [
        build(|out| frame::write_ping(out, [0; 8], false)),
        build(frame::write_settings_ack),
        headers(1, REQUEST, true),
        raw(0x77, 0, 0, b""),
    ];
    for first in firsts {
        let mut script = Script::fresh(Connection::server(Config::default()));
        script.ok(frame::PREFACE);
        script.fails(&first, ErrorCode::PROTOCOL_ERROR);
        let mut script = Script::fresh(Connection::client(Config::default()));
        script.connection.consume_output(frame::PREFACE.len());
        script.fails(&first, ErrorCode::PROTOCOL_ERROR);
    }
}

#[test]
fn client_opens_nothing_before_settings() {
    let mut connection = Connection::client(Config::default());
    assert_eq!(connection.available_streams(), 0);
    assert_eq!(connection.open(fields(REQUEST), true, 0), Err(OpenError::NotReady));
    assert!(!connection.is_ready());
    connection.recv(&settings(&[]), 0).unwrap();
    assert!(connection.is_ready());
    assert_eq!(connection.available_streams(), 1024);
    assert_eq!(connection.open(fields(REQUEST), true, 0), Ok(1));
    assert_eq!(connection.open(fields(REQUEST), true, 0), Ok(3));
}

#[test]
fn incomplete_frame_consumes_nothing() {
    let mut script = Script::against_server();
    let bytes = headers(1, REQUEST, true);
    for len in 0..bytes.len() {
        let step = script.connection.recv(&bytes[..len], 0).unwrap();
        assert_eq!((step.consumed, step.event), (0, None));
    }
    script.request(1, true);
}

#[test]
fn oversized_frame_is_refused_by_its_header_alone() {
    let mut script = Script::against_server();
    script
        .fails(&build(|out| frame::write_header(out, 16_385, kind::DATA, 0, 1)), ErrorCode::FRAME_SIZE_ERROR);
    let mut script = Script::against_server();
    script.fails(&raw(0xee, 0, 0, &[0; 16_385]), ErrorCode::FRAME_SIZE_ERROR);
}

#[test]
fn unknown_frames_and_flags_and_the_reserved_bit_are_ignored() {
    let mut script = Script::against_server();
    script.ignores(&raw(0xee, 0xff, 0, b"whatever"));
    script.ignores(&raw(0xee, 0xff, 9, b""));
    script.ok(&raw(kind::PING, 0xfe & !flag::ACK, 0x8000_0000, b"12345678"));
    assert_eq!(script.frames()[0].payload, b"12345678");
}
