//! Which fields the encoder puts into the shared table, and how secrets travel.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use switchboard_http2::hpack::{Decoder, Encoder};
use switchboard_http2::{Field, Headers};

/// Encodes the field in a block of its own.
fn encode(encoder: &mut Encoder, name: &str, value: &str) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.begin(&mut out);
    encoder.encode(Field::new(name.as_bytes(), value.as_bytes()), &mut out);
    out
}

/// The kind of the representation that a block begins with.
#[derive(Debug, PartialEq)]
enum Kind {
    Indexed,
    Inserted,
    NotIndexed,
    NeverIndexed,
}

fn kind(block: &[u8]) -> Kind {
    match block[0] {
        0x80.. => Kind::Indexed,
        0x40.. => Kind::Inserted,
        0x10..0x20 => Kind::NeverIndexed,
        0x00..0x10 => Kind::NotIndexed,
        other => panic!("unexpected {other:x}"),
    }
}

#[test]
fn a_warm_grpc_request_is_one_octet_per_field() {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/agents.v1.AgentService/ProcessTask"),
        (":authority", "mesh.example:50051"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "grpc-go/1.70.0"),
        ("grpc-accept-encoding", "identity,deflate,gzip"),
    ];
    let mut encoder = Encoder::new(4096);
    for (name, value) in fields {
        encode(&mut encoder, name, value);
    }
    for (name, value) in fields {
        assert_eq!(encode(&mut encoder, name, value).len(), 1, "{name}");
    }
}

#[test]
fn fields_of_the_static_table_are_indexed_at_once() {
    let mut encoder = Encoder::new(4096);
    for (name, value, index) in [
        (":method", "GET", 2),
        (":method", "POST", 3),
        (":path", "/index.html", 5),
        (":status", "200", 8),
        (":status", "500", 14),
        ("accept-encoding", "gzip, deflate", 16),
        (":authority", "", 1),
        ("www-authenticate", "", 61),
    ] {
        assert_eq!(encode(&mut encoder, name, value), [0x80 | index], "{name}: {value}");
    }
}

#[test]
fn a_value_of_another_static_name_is_no_match() {
    let mut encoder = Encoder::new(4096);
    assert_eq!(kind(&encode(&mut encoder, ":method", "/")), Kind::Inserted);
    assert_eq!(kind(&encode(&mut encoder, ":path", "http")), Kind::Inserted);
    assert_eq!(kind(&encode(&mut encoder, "vary", "x")), Kind::Inserted);
}

#[test]
fn values_that_change_with_every_call_evict_nothing() {
    let mut encoder = Encoder::new(4096);
    encode(&mut encoder, "x-tenant", "acme");
    for call in 0..1000 {
        for name in ["grpc-timeout", "x-request-id", "traceparent", "tracestate", "content-length", "date"] {
            let block = encode(&mut encoder, name, &format!("{call:0>32}"));
            assert_eq!(
                kind(&block),
                if call == 0 && block[0] == 0x40 { Kind::Inserted } else { Kind::NotIndexed }
            );
        }
    }
    assert_eq!(kind(&encode(&mut encoder, "x-tenant", "acme")), Kind::Indexed);
}

#[test]
fn the_name_of_a_value_that_changes_is_an_index_from_the_second_call_on() {
    let mut encoder = Encoder::new(4096);
    assert_eq!(encode(&mut encoder, "grpc-timeout", "1S")[0], 0x40);
    assert_eq!(encode(&mut encoder, "grpc-timeout", "2S"), [0x0f, 62 - 15, 2, b'2', b'S']);
    assert_eq!(encode(&mut encoder, "grpc-timeout", "1S"), [0x0f, 62 - 15, 2, b'1', b'S']);
}

#[test]
fn a_long_value_is_not_inserted_even_for_the_sake_of_its_name() {
    let mut encoder = Encoder::new(4096);
    for name in ["grpc-message", "grpc-status-details-bin", "tracestate"] {
        for _ in 0..2 {
            assert_eq!(encode(&mut encoder, name, &"x".repeat(500))[0], 0x00, "{name}");
        }
    }
}

#[test]
fn a_field_larger_than_a_quarter_of_the_table_is_not_inserted() {
    let mut encoder = Encoder::new(4096);
    let fitting = "x".repeat(1024 - 32 - "x-big".len());
    assert_eq!(kind(&encode(&mut encoder, "x-big", &format!("{fitting}x"))), Kind::NotIndexed);
    assert_eq!(kind(&encode(&mut encoder, "x-big", &fitting)), Kind::Inserted);
}

#[test]
fn secrets_are_never_indexed_whether_or_not_they_came_so() {
    let mut encoder = Encoder::new(4096);
    for name in ["authorization", "proxy-authorization", "cookie", "x-api-key"] {
        for _ in 0..2 {
            assert_eq!(kind(&encode(&mut encoder, name, "short")), Kind::NeverIndexed, "{name}");
        }
    }
}

#[test]
fn a_sensitive_field_stays_so_over_both_hops() {
    let field = Field::sensitive(b"x-session", b"0123456789");
    let mut headers = Headers::new();
    headers.push_field(field);
    for _hop in 0..2 {
        let (mut encoder, mut decoder) = (Encoder::new(4096), Decoder::new(4096));
        let mut block = Vec::new();
        encoder.begin(&mut block);
        headers.iter().for_each(|field| encoder.encode(field, &mut block));
        assert_eq!(kind(&block), Kind::NeverIndexed);
        decoder.decode(&block, usize::MAX, &mut headers).unwrap();
        assert_eq!(headers.iter().collect::<Vec<_>>(), [field]);
    }
}

#[test]
fn a_sensitive_field_does_not_use_a_matching_entry() {
    let mut encoder = Encoder::new(4096);
    encode(&mut encoder, "x-session", "public");
    let mut block = Vec::new();
    encoder.encode(Field::sensitive(b"x-session", b"public"), &mut block);
    assert_eq!(block[..2], [0x1f, 62 - 15], "never indexed, with an indexed name");
    block.clear();
    encoder.encode(Field::sensitive(b":method", b"GET"), &mut block);
    assert_eq!(block, [0x12, 3, b'G', b'E', b'T']);
}

#[test]
fn the_shorter_of_plain_and_huffman_is_sent() {
    let mut encoder = Encoder::new(0);
    encoder.begin(&mut Vec::new());
    assert_eq!(encode(&mut encoder, ":path", "/aaaa"), [0x04, 0x84, 0x60, 0x63, 0x18, 0xff]);
    assert_eq!(encode(&mut encoder, ":path", "{|}"), [0x04, 3, b'{', b'|', b'}']);
    assert_eq!(encode(&mut encoder, ":path", "X"), [0x04, 1, b'X'], "plain when equal");
}

/// Blocks that begin as the one before did are read in one piece, and must mean the same whatever happened to the table.
#[test]
fn requests_that_repeat_are_read_the_same_each_time() {
    let mut rng = StdRng::seed_from_u64(9);
    let (mut encoder, mut decoder, mut out) = (Encoder::new(4096), Decoder::new(4096), Headers::new());
    let request = |path: &str, extra: Option<&str>| {
        let mut headers = Headers::new();
        for (name, value) in [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "router"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ] {
            headers.push(name.as_bytes(), value.as_bytes());
        }
        if let Some(extra) = extra {
            headers.push(b"x-extra", extra.as_bytes());
        }
        headers
    };
    for step in 0..5_000 {
        if rng.random_bool(0.01) {
            encoder.set_peer_max_table_size([0, 100, 300, 4096][rng.random_range(0..4)]);
        }
        let path = ["/a/B", "/a/C"][usize::from(rng.random_bool(0.1))];
        let unique = step.to_string();
        let extra = match rng.random_range(0..20) {
            0 => Some(unique.as_str()),
            1..5 => Some("often"),
            _ => None,
        };
        let sent = request(path, extra);
        let mut block = Vec::new();
        encoder.begin(&mut block);
        if rng.random_bool(0.9) {
            encoder.encode_list(&sent, &mut block);
        } else {
            sent.iter().for_each(|field| encoder.encode(field, &mut block));
        }
        // Sometimes too small for the list: nothing of that may be remembered.
        let max = if rng.random_bool(0.05) { 150 } else { 16_384 };
        let decoded = decoder.decode(&block, max, &mut out).unwrap();
        assert_eq!(decoded.over_limit, max == 150);
        if !decoded.over_limit {
            assert_eq!(out, sent);
        }
    }
}
