//! RFC 9113 sections 8.1.1 to 8.5: messages that are not well-formed end their stream, and nothing else.

use switchboard_http2::frame;
use switchboard_http2::{ErrorCode, HeadersKind};

use crate::script::*;

type Fields = Vec<(&'static [u8], &'static [u8])>;

fn base() -> Fields {
    vec![(b":method", b"POST"), (b":scheme", b"https"), (b":path", b"/a.B/C"), (b":authority", b"mesh")]
}

fn with(extra: &[(&'static [u8], &'static [u8])]) -> Fields {
    let mut fields = base();
    fields.extend_from_slice(extra);
    fields
}

fn without(name: &[u8]) -> Fields {
    base().into_iter().filter(|(n, _)| *n != name).collect()
}

fn frame_of(stream: u32, fields: &Fields, end: bool) -> Vec<u8> {
    build(|out| frame::write_headers(out, stream, &raw_block(fields), end, true))
}

#[test]
fn malformed_requests_are_reset_and_not_reported() {
    let cases: Vec<Fields> = vec![
        without(b":method"),
        without(b":scheme"),
        without(b":path"),
        vec![],
        with(&[(b":method", b"GET")]),
        with(&[(b":path", b"/b")]),
        with(&[(b":status", b"200")]),
        with(&[(b":unknown", b"x")]),
        with(&[(b":protocol", b"websocket")]),
        with(&[(b"x-a", b"1"), (b":authority2", b"x")]),
        vec![(b":method", b"POST"), (b"x-a", b"1"), (b":scheme", b"http"), (b":path", b"/")],
        vec![(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"")],
        vec![(b":method", b""), (b":scheme", b"http"), (b":path", b"/")],
        vec![(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"u:p@mesh")],
        vec![(b":method", b"CONNECT"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"mesh")],
        vec![(b":method", b"CONNECT")],
        with(&[(b"X-Upper", b"1")]),
        with(&[(b"", b"1")]),
        with(&[(b"x a", b"1")]),
        with(&[(b"x:a", b"1")]),
        with(&[(b"x\xff", b"1")]),
        with(&[(b"x-a", b"a\0b")]),
        with(&[(b"x-a", b"a\rb")]),
        with(&[(b"x-a", b"a\nb")]),
        with(&[(b"x-a", b" b")]),
        with(&[(b"x-a", b"b\t")]),
        vec![(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a\nb")],
        with(&[(b"connection", b"close")]),
        with(&[(b"keep-alive", b"1")]),
        with(&[(b"proxy-connection", b"close")]),
        with(&[(b"transfer-encoding", b"chunked")]),
        with(&[(b"upgrade", b"h2c")]),
        with(&[(b"te", b"gzip")]),
        with(&[(b"te", b"trailers, deflate")]),
        with(&[(b"content-length", b"x")]),
        with(&[(b"content-length", b"-1")]),
        with(&[(b"content-length", b"1"), (b"content-length", b"2")]),
        with(&[(b"content-length", b"99999999999999999999")]),
        with(&[(b"content-length", b"1")]),
    ];
    let mut script = Script::against_server();
    let mut stream = 1;
    for case in cases {
        let seen = script.resets(&frame_of(stream, &case, true), stream, ErrorCode::PROTOCOL_ERROR);
        assert_eq!(seen, [], "{case:?}");
        script.ignores(&data(stream, b"late", true));
        stream += 2;
    }
}

#[test]
fn unusual_requests_pass() {
    let cases: Vec<Fields> = vec![
        with(&[(b"te", b"trailers")]),
        with(&[(b"te", b"Trailers")]),
        with(&[(b"host", b"other")]),
        with(&[(b"content-length", b"0"), (b"content-length", b"0")]),
        with(&[(b"x-empty", b""), (b"x-bin", b"\xff\x80\x01")]),
        without(b":authority"),
        vec![(b":method", b"CONNECT"), (b":authority", b"mesh:443")],
        vec![(b":method", b"OPTIONS"), (b":scheme", b"http"), (b":path", b"*")],
        with(&[(b"cookie", b"a=b"), (b"cookie", b"c=d")]),
        with(&[(b"x!#$%&'*+-.^_`|~", b"a b\tc")]),
    ];
    let mut script = Script::against_server();
    let mut stream = 1;
    for case in cases {
        let seen = script.ok(&frame_of(stream, &case, true));
        let [Seen::Headers { headers, .. }] = &seen[..] else { panic!("{case:?}: {seen:?}") };
        let got: Vec<_> = headers.iter().map(|f| (f.name, f.value)).collect();
        assert_eq!(got, case);
        stream += 2;
    }
}

#[test]
fn malformed_responses_are_reported_as_stream_errors() {
    let cases: Vec<(Fields, bool)> = vec![
        (vec![(b"content-type", b"application/grpc")], false),
        (vec![(b":status", b"200"), (b":status", b"200")], false),
        (vec![(b":status", b"20")], false),
        (vec![(b":status", b"2x0")], false),
        (vec![(b":status", b"099")], false),
        (vec![(b":status", b"101")], false),
        (vec![(b":status", b"100")], true),
        (vec![(b":status", b"200"), (b":path", b"/")], false),
        (vec![(b"x-a", b"1"), (b":status", b"200")], false),
        (vec![(b":status", b"200"), (b"connection", b"close")], false),
        (vec![(b":status", b"200"), (b"X-A", b"1")], false),
        (vec![(b":status", b"200"), (b"content-length", b"5")], true),
    ];
    for (case, end) in cases {
        let mut script = Script::against_client();
        let id = script.open(true);
        let seen = script.resets(&frame_of(id, &case, end), id, ErrorCode::PROTOCOL_ERROR);
        assert_eq!(seen, [Seen::StreamError { stream: id, code: ErrorCode::PROTOCOL_ERROR }], "{case:?}");
    }
}

#[test]
fn data_before_the_response_headers_is_malformed() {
    let mut script = Script::against_client();
    let id = script.open(true);
    script.ok(&headers(id, &[(":status", "100")], false));
    script.resets(&data(id, b"x", true), id, ErrorCode::PROTOCOL_ERROR);
}

#[test]
fn trailers_have_no_pseudo_fields_and_end_the_stream() {
    for (fields, end) in [(&[(":status", "200")][..], true), (&[("Upper", "1")][..], true), (TRAILERS, false)]
    {
        let mut script = Script::against_client();
        let id = script.open(true);
        script.ok(&headers(id, RESPONSE, false));
        script.resets(&headers(id, fields, end), id, ErrorCode::PROTOCOL_ERROR);
    }
    let mut script = Script::against_server();
    script.request(1, false);
    let seen = script.resets(&headers(1, REQUEST, true), 1, ErrorCode::PROTOCOL_ERROR);
    assert_eq!(seen, [Seen::StreamError { stream: 1, code: ErrorCode::PROTOCOL_ERROR }]);
    script.request(3, false);
    let seen = script.ok(&headers(3, TRAILERS, true));
    assert!(matches!(seen[..], [Seen::Headers { kind: HeadersKind::Trailers, end: true, .. }]));
}

#[test]
fn content_length_must_equal_the_data() {
    let mut list = REQUEST.to_vec();
    list.push(("content-length", "5"));
    let cases: [&[(&[u8], bool)]; 4] = [
        &[(b"123456", false)],
        &[(b"123", false), (b"456", false)],
        &[(b"1234", true)],
        &[(b"1234", false), (b"", true)],
    ];
    for case in cases {
        let mut script = Script::against_server();
        script.ok(&headers(1, &list, false));
        let bytes: Vec<u8> = case.iter().flat_map(|(payload, end)| data(1, payload, *end)).collect();
        let seen = script.resets(&bytes, 1, ErrorCode::PROTOCOL_ERROR);
        assert!(matches!(seen.last(), Some(Seen::StreamError { .. })));
    }
    let mut script = Script::against_server();
    script.ok(&headers(1, &list, false));
    script.resets(&headers(1, TRAILERS, true), 1, ErrorCode::PROTOCOL_ERROR);
    script.ok(&headers(3, &list, false));
    assert_eq!(script.ok(&data(3, b"12345", false)).len(), 1);
    assert_eq!(script.ok(&headers(3, TRAILERS, true)).len(), 1);
}

#[test]
fn responses_without_content_may_announce_a_length() {
    let head = [(":method", "HEAD"), (":scheme", "http"), (":path", "/")];
    let mut script = Script::against_client();
    let id = script.connection.open(fields(&head), true, 0).unwrap();
    let announced = [(":status", "200"), ("content-length", "100")];
    assert_eq!(script.ok(&headers(id, &announced, true)).len(), 1);
    let id = script.connection.open(fields(REQUEST), true, 0).unwrap();
    assert_eq!(script.ok(&headers(id, &[(":status", "304"), ("content-length", "100")], true)).len(), 1);
    assert_eq!(script.connection.open_streams(), 0);
}

#[test]
fn grpc_message_may_begin_and_end_with_blanks() {
    let mut script = Script::against_client();
    let id = script.open(true);
    script.ok(&headers(id, RESPONSE, false));
    let seen = script.ok(&headers(id, &[("grpc-status", "2"), ("grpc-message", " failed: ")], true));
    let [Seen::Headers { headers, .. }] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(headers.get(b"grpc-message"), Some(&b" failed: "[..]));
}
