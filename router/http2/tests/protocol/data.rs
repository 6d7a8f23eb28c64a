//! Messages from headers to trailers, in both roles (RFC 9113 section 8.1).

use switchboard_http2::frame::kind;
use switchboard_http2::{ErrorCode, HeadersKind, NO_KEY};

use crate::script::*;

#[test]
fn server_reads_a_request_and_answers_it() {
    let mut script = Script::against_server();
    let seen = script.ok(&headers(1, REQUEST, false));
    let [Seen::Headers { stream: 1, key: NO_KEY, headers: request, kind: HeadersKind::Initial, end: false }] =
        &seen[..]
    else {
        panic!("{seen:?}")
    };
    assert_eq!(pairs(request), owned(REQUEST));
    script.connection.set_key(1, 42);
    assert_eq!(script.connection.key(1), Some(42));
    assert_eq!(
        script.ok(&data(1, b"hello", false)),
        [Seen::Data { stream: 1, data: b"hello".to_vec(), credit: 5, end: false }]
    );
    assert_eq!(
        script.ok(&data(1, b"", true)),
        [Seen::Data { stream: 1, data: vec![], credit: 0, end: true }]
    );
    assert!(script.connection.recv_closed(1) && !script.connection.send_closed(1));

    assert!(script.connection.send_headers(1, fields(&[(":status", "103")]), false));
    assert!(script.connection.send_headers(1, fields(RESPONSE), false));
    assert_eq!(script.connection.send_data(1, b"world", false), 0);
    assert!(!script.connection.send_headers(1, fields(TRAILERS), false), "trailers end the stream");
    assert!(script.connection.send_headers(1, fields(TRAILERS), true));
    assert!(!script.connection.contains(1));
    let frames = script.frames();
    let kinds: Vec<_> = frames.iter().map(|f| (f.kind, f.end_stream())).collect();
    assert_eq!(
        kinds,
        [(kind::HEADERS, false), (kind::HEADERS, false), (kind::DATA, false), (kind::HEADERS, true)]
    );
    assert_eq!(script.decode(&frames[0].payload), owned(&[(":status", "103")]));
    assert_eq!(script.decode(&frames[1].payload), owned(RESPONSE));
    assert_eq!(frames[2].payload, b"world");
    assert_eq!(script.decode(&frames[3].payload), owned(TRAILERS));
    assert!(!script.connection.send_headers(1, fields(TRAILERS), true));
    assert_eq!(script.connection.send_data(1, b"late", true), 0);
    assert_eq!(script.frames(), []);
}

#[test]
fn client_reads_informational_final_headers_and_trailers() {
    let mut script = Script::against_client();
    let id = script.open(true);
    let mut kinds = Vec::new();
    let bytes = [
        headers(id, &[(":status", "100")], false),
        headers(id, &[(":status", "103")], false),
        headers(id, RESPONSE, false),
        data(id, b"x", false),
        headers(id, TRAILERS, true),
    ];
    for seen in script.ok(&bytes.concat()) {
        match seen {
            Seen::Headers { kind, key: 7, end, .. } => kinds.push((kind, end)),
            Seen::Data { end: false, .. } => {}
            other => panic!("{other:?}"),
        }
    }
    use HeadersKind::{Informational, Initial, Trailers};
    assert_eq!(kinds, [(Informational, false), (Informational, false), (Initial, false), (Trailers, true)]);
    assert!(!script.connection.contains(id));
}

#[test]
fn trailers_only_response_ends_the_stream() {
    let mut script = Script::against_client();
    let id = script.open(true);
    let seen = script.ok(&headers(id, &[(":status", "200"), ("grpc-status", "12")], true));
    assert!(matches!(seen[..], [Seen::Headers { kind: HeadersKind::Initial, end: true, .. }]));
    assert_eq!(script.connection.open_streams(), 0);

    let mut script = Script::against_server();
    script.request(1, true);
    script.respond(1, true);
    let frames = script.frames();
    assert_eq!((frames[0].kind, frames[0].end_stream(), frames.len()), (kind::HEADERS, true, 1));
}

#[test]
fn response_before_the_end_of_the_request_keeps_the_stream() {
    let mut script = Script::against_server();
    script.request(1, false);
    script.respond(1, true);
    assert!(script.connection.contains(1) && script.connection.send_closed(1));
    script.frames();
    assert_eq!(script.ok(&data(1, b"more", false)).len(), 1);
    script.connection.reset(1, ErrorCode::NO_ERROR);
    let frames = script.frames();
    assert_eq!((frames[0].kind, frames[0].u32()), (kind::RST_STREAM, 0));
    script.ignores(&data(1, b"late", true));
}

#[test]
fn client_may_end_its_request_after_the_response() {
    let mut script = Script::against_client();
    let id = script.open(false);
    script.ok(&headers(id, RESPONSE, true));
    assert!(script.connection.contains(id) && script.connection.recv_closed(id));
    assert_eq!(script.connection.send_data(id, b"end", true), 0);
    assert!(!script.connection.contains(id));
}

#[test]
fn client_may_send_trailers() {
    let mut script = Script::against_client();
    let id = script.open(false);
    assert_eq!(script.connection.send_data(id, b"body", false), 0);
    assert!(script.connection.send_headers(id, fields(TRAILERS), true));
    assert!(script.connection.send_closed(id));
    let frames = script.frames();
    assert_eq!((frames[1].kind, frames[1].end_stream()), (kind::HEADERS, true));
}

#[test]
fn resets_pass_in_both_directions_with_any_code() {
    let mut script = Script::against_server();
    script.request(1, false);
    let code = ErrorCode(0xfeed);
    assert_eq!(script.ok(&rst_stream(1, code)), [Seen::Reset { stream: 1, code }]);
    assert!(!script.connection.contains(1));
    script.request(3, true);
    script.connection.reset(3, code);
    assert_eq!(script.frames()[0].u32(), 0xfeed);
    script.connection.reset(3, code);
    script.connection.reset(99, code);
    assert_eq!(script.frames(), []);
}
