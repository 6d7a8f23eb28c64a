//! The scanner against hand-written messages, every split, and prost.

use super::{scanner::ID_MAX, *};
use proptest::prelude::*;
use prost::Message;
use std::io::Write;
use switchboard_proto::agentplatform::{TaskRequest, TaskStatusRequest};

const LIMITS: Limits = Limits { id_field: 2, affinity_field: 1, decide_bytes: 65_536 };

fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut out = vec![flag];
    out.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    out.extend_from_slice(message);
    out
}

fn run(
    limits: Limits,
    encoding: Encoding,
    bytes: &[u8],
    chunk: usize,
) -> (Peek, Result<Progress, PeekError>) {
    let mut peek = Peek::new(limits, encoding);
    let mut last = Ok(Progress::NeedMore);
    for piece in bytes.chunks(chunk) {
        last = peek.push(piece);
        if last.is_err() {
            break;
        }
    }
    (peek, last)
}

fn request(id: &str, input: &str) -> Vec<u8> {
    TaskRequest {
        task_id: "t-1".into(),
        agent_id: id.into(),
        input: input.into(),
        parameters: [("k".to_string(), "v".to_string())].into(),
        ..Default::default()
    }
    .encode_to_vec()
}

#[test]
fn finds_id_and_affinity_in_every_split() {
    let bytes = framed(0, &request("echo-agent", "hello"));
    for chunk in 1..=bytes.len() {
        let (peek, result) = run(LIMITS, Encoding::Identity, &bytes, chunk);
        assert_eq!(result, Ok(Progress::Decided));
        assert_eq!((peek.id(), peek.affinity()), (&b"echo-agent"[..], &b"t-1"[..]));
    }
}

#[test]
fn is_undecided_until_the_message_is_complete() {
    let bytes = framed(0, &request("echo-agent", "hello"));
    let (_, result) = run(LIMITS, Encoding::Identity, &bytes[..bytes.len() - 1], 7);
    assert_eq!(result, Ok(Progress::NeedMore));
}

#[test]
fn the_last_of_repeated_fields_wins() {
    let mut message = request("first-agent", "x");
    message.extend(request("second-agent", "y"));
    let (peek, result) = run(LIMITS, Encoding::Identity, &framed(0, &message), 3);
    assert_eq!((result, peek.id()), (Ok(Progress::Decided), &b"second-agent"[..]));
}

#[test]
fn unknown_fields_of_every_wire_type_are_passed_over() {
    // 1000: varint, 1001: 64 bit, 1002: bytes, 1003: group holding field 2, 1004: 32 bit.
    let mut message = vec![0xc0, 0x3e, 0xff, 0x01];
    message.extend([0xc9, 0x3e, 1, 2, 3, 4, 5, 6, 7, 8]);
    message.extend([0xd2, 0x3e, 3, 0x12, 1, b'x']);
    message.extend([0xdb, 0x3e, 0x12, 1, b'x', 0xdc, 0x3e]);
    message.extend([0xe5, 0x3e, 1, 2, 3, 4]);
    message.extend(request("echo-agent", "z"));
    let (peek, result) = run(LIMITS, Encoding::Identity, &framed(0, &message), 1);
    assert_eq!((result, peek.id()), (Ok(Progress::Decided), &b"echo-agent"[..]));
}

#[test]
fn a_field_number_of_two_bytes_is_found() {
    let limits = Limits { id_field: 100, ..LIMITS };
    let message =
        TaskStatusRequest { task_id: "t".into(), worker_id: "itinerary-worker".into() }.encode_to_vec();
    let (peek, _) = run(limits, Encoding::Identity, &framed(0, &message), 2);
    assert_eq!(peek.id(), b"itinerary-worker");
}

#[test]
fn malformed_messages_are_told() {
    for message in [
        &b"\x12\x05abc"[..],                                 // cut in a value
        b"\x80",                                             // cut in a tag
        b"\x02\x00",                                         // field number 0
        b"\x16\x00",                                         // wire type 6
        b"\x0c",                                             // group end without start
        b"\x0b",                                             // group without end
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", // varint of eleven bytes
        b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",     // length beyond the message
    ] {
        let (_, result) = run(LIMITS, Encoding::Identity, &framed(0, message), 1);
        assert_eq!(result, Err(PeekError::Malformed), "{message:x?}");
    }
    let (_, result) = run(LIMITS, Encoding::Identity, &framed(7, b""), 1);
    assert_eq!(result, Err(PeekError::BadFlag));
}

#[test]
fn a_long_message_is_decided_early_and_watched_to_its_end() {
    let long = "x".repeat(200_000);
    let mut message = request("echo-agent", &long);
    let bytes = framed(0, &message);
    let mut peek = Peek::new(LIMITS, Encoding::Identity);
    assert_eq!(peek.push(&bytes[..70_000]), Ok(Progress::Decided));
    assert!(!peek.is_done());
    assert_eq!(peek.push(&bytes[70_000..]), Ok(Progress::Decided));
    assert!(peek.is_done());

    message.extend([0x12, 4, b'e', b'v', b'i', b'l']);
    let bytes = framed(0, &message);
    let mut peek = Peek::new(LIMITS, Encoding::Identity);
    assert_eq!(peek.push(&bytes[..70_000]), Ok(Progress::Decided));
    assert_eq!(peek.push(&bytes[70_000..]), Err(PeekError::Ambiguous));
}

#[test]
fn an_id_longer_than_any_valid_one_is_cut_and_marked() {
    let (peek, result) = run(LIMITS, Encoding::Identity, &framed(0, &request(&"a".repeat(5_000), "")), 999);
    assert_eq!((result, peek.id().len(), peek.id_too_long()), (Ok(Progress::Decided), ID_MAX, true));
}

#[test]
fn compressed_messages_are_inflated_for_the_scan() {
    let plain = request("echo-agent", &"z".repeat(300_000));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&plain).unwrap();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    zlib.write_all(&plain).unwrap();
    for (encoding, bytes) in
        [(Encoding::Gzip, gzip.finish().unwrap()), (Encoding::Deflate, zlib.finish().unwrap())]
    {
        let (peek, result) = run(LIMITS, encoding, &framed(1, &bytes), 11);
        assert_eq!((result, peek.id()), (Ok(Progress::Decided), &b"echo-agent"[..]));
        assert_eq!(run(LIMITS, Encoding::Other, &framed(1, &bytes), 11).1, Err(PeekError::Encoding));
    }
    assert_eq!(run(LIMITS, Encoding::Gzip, &framed(1, b"not gzip"), 3).1, Err(PeekError::Encoding));
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(plain).unwrap();
    gzip.finish().unwrap()
}

/// Text that does not compress well, so that its size is what is tested.
fn noise(bytes: usize) -> String {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b' ' + (state >> 33) as u8 % 90)
    };
    (0..bytes).map(|_| next()).collect()
}

#[test]
fn a_compressed_message_is_watched_to_its_end_as_well() {
    let mut plain = request("echo-agent", &noise(200_000));
    for chunk in [1_000, usize::MAX] {
        let (peek, result) = run(LIMITS, Encoding::Gzip, &framed(1, &gzip(&plain)), chunk);
        assert_eq!((result, peek.id()), (Ok(Progress::Decided), &b"echo-agent"[..]));
        assert!(peek.is_done());
    }
    plain.extend([0x12, 4, b'e', b'v', b'i', b'l']);
    let result = run(LIMITS, Encoding::Gzip, &framed(1, &gzip(&plain)), 1_000).1;
    assert_eq!(result, Err(PeekError::Ambiguous));
}

#[test]
fn a_bomb_is_refused_before_it_has_cost_much() {
    let bomb = gzip(&request("echo-agent", &"z".repeat(64 << 20)));
    assert!(bomb.len() < 100_000);
    assert_eq!(run(LIMITS, Encoding::Gzip, &framed(1, &bomb), usize::MAX).1, Err(PeekError::Bomb));
}

/// tonic reads the first member only, Go reads all of them: whoever names another ID in each would be two callers.
#[test]
fn a_second_gzip_member_is_refused() {
    let members = [gzip(&request("evil-agent", "")), gzip(&request("echo-agent", ""))].concat();
    assert_eq!(run(LIMITS, Encoding::Gzip, &framed(1, &members), 7).1, Err(PeekError::Encoding));
    let trailing = [gzip(&request("echo-agent", "")), vec![0]].concat();
    assert_eq!(run(LIMITS, Encoding::Gzip, &framed(1, &trailing), 7).1, Err(PeekError::Encoding));
}

/// As protobuf says: a known number with another wire type is an unknown field.
#[test]
fn the_id_s_number_with_another_wire_type_is_no_id() {
    for other in [&[0x10, 5][..], &[0x15, 1, 2, 3, 4], &[0x11, 1, 2, 3, 4, 5, 6, 7, 8], &[0x13, 0x14]] {
        let mut message = request("echo-agent", "x");
        message.extend(other);
        let (peek, result) = run(LIMITS, Encoding::Identity, &framed(0, &message), 1);
        assert_eq!((result, peek.id()), (Ok(Progress::Decided), &b"echo-agent"[..]), "{other:x?}");
    }
}

#[test]
fn what_follows_the_first_message_is_not_read() {
    let mut bytes = framed(0, &request("echo-agent", "x"));
    bytes.extend(framed(0, &request("evil-agent", "x")));
    let (peek, result) = run(LIMITS, Encoding::Identity, &bytes, 5);
    assert_eq!((result, peek.id()), (Ok(Progress::Decided), &b"echo-agent"[..]));
}

proptest! {
    #[test]
    fn any_bytes_in_any_split_end_without_panic_and_alike(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        chunk in 1usize..50,
        flag in 0u8..2,
    ) {
        let framed = framed(flag, &bytes);
        let (one, a) = run(LIMITS, Encoding::Gzip, &framed, framed.len());
        let (two, b) = run(LIMITS, Encoding::Gzip, &framed, chunk);
        prop_assert_eq!(a, b);
        if a.is_ok() {
            prop_assert_eq!(one.id(), two.id());
        }
    }

    #[test]
    fn agrees_with_prost_on_every_request(id in "[a-z-]{0,80}", task in ".{0,40}", input in ".{0,300}", chunk in 1usize..64) {
        let message = TaskRequest { task_id: task.clone(), agent_id: id.clone(), input, ..Default::default() };
        let (peek, result) = run(LIMITS, Encoding::Identity, &framed(0, &message.encode_to_vec()), chunk);
        prop_assert_eq!(result, Ok(Progress::Decided));
        prop_assert_eq!(peek.id(), id.as_bytes());
        prop_assert_eq!(peek.affinity(), task.as_bytes());
    }
}
