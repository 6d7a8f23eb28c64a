//! A bounded fuzzer for the stable toolchain: mutated transcripts of valid connections, cut at random, into both roles,
//! while the caller acts at random too. Nothing panics, memory stays bounded, errors are final, output is whole frames.
//!
//! `FUZZ_SECONDS=60 cargo test -p switchboard-http2 --test fuzz_connection` runs longer, with seeds that go on from the
//! default ones. A failure prints its seed.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use switchboard_http2::frame::{self, FrameHeader, HEADER_LEN, kind};
use switchboard_http2::{Config, Connection, ErrorCode, Event, Field, StreamId};

const REQUEST: &[(&str, &str)] = &[
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/x"),
    (":authority", "a"),
    ("content-length", "300"),
];
const RESPONSE: &[(&str, &str)] = &[(":status", "200"), ("content-type", "application/grpc")];
const TRAILERS: &[(&str, &str)] =
    &[("grpc-status", "0"), ("x-long", "0123456789012345678901234567890123456789")];

/// Runs without FUZZ_SECONDS: about five seconds in debug.
const RUNS: u64 = 25_000;

/// What the caller may leave pending per run; the rest of the bound is output, one block and the connection's answers.
const CALLER_MAX: usize = 200_000;

fn fields<'a>(list: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = Field<'a>> {
    list.iter().map(|(n, v)| Field::new(n.as_bytes(), v.as_bytes()))
}

fn config() -> Config {
    Config { stream_window: 20_000, header_list_max: 4000, output_high_water: 20_000, ..Config::default() }
}

/// What a valid client and a valid server say to each other, as bytes of each direction.
fn transcript(rng: &mut StdRng) -> (Vec<u8>, Vec<u8>) {
    let mut client = Connection::client(config());
    let mut server = Connection::server(config());
    let (mut up, mut down) = (Vec::new(), Vec::new());
    for turn in 0..rng.random_range(2..8) {
        if let Ok(id) = client.open(fields(REQUEST), false, 0) {
            client.send_data(id, &[1; 300], rng.random_bool(0.7));
            if rng.random_bool(0.1) {
                client.reset(id, ErrorCode::CANCEL);
            }
        }
        client.ping([turn; 8]);
        exchange(&mut client, &mut server, &mut up);
        for id in (1..20).step_by(2).filter(|id| server.contains(*id)).collect::<Vec<_>>() {
            server.send_headers(id, fields(RESPONSE), false);
            server.send_data(id, &[2; 500], false);
            server.send_headers(id, fields(TRAILERS), true);
        }
        if rng.random_bool(0.05) {
            server.goaway(ErrorCode::NO_ERROR, b"bye");
        }
        exchange(&mut server, &mut client, &mut down);
    }
    (up, down)
}

fn exchange(from: &mut Connection, to: &mut Connection, log: &mut Vec<u8>) {
    let bytes = from.output().to_vec();
    from.consume_output(bytes.len());
    let mut rest = &bytes[..];
    loop {
        let consumed = to.recv(rest, 0).expect("a valid transcript").consumed;
        if consumed == 0 {
            break;
        }
        rest = &rest[consumed..];
    }
    log.extend_from_slice(&bytes);
}

/// Where frames begin, so that mutations hit headers and whole frames, not only payload.
fn starts(bytes: &[u8]) -> Vec<usize> {
    let mut at = if bytes.starts_with(frame::PREFACE) { frame::PREFACE.len() } else { 0 };
    let mut starts = Vec::new();
    while let Some(header) = bytes.get(at..).and_then(FrameHeader::parse) {
        starts.push(at);
        at += HEADER_LEN + header.length;
    }
    starts
}

fn mutate(rng: &mut StdRng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.random_range(0..6) {
        let frames = starts(bytes);
        if frames.len() < 2 {
            return;
        }
        let n = rng.random_range(0..frames.len() - 1);
        let range = frames[n]..frames[n + 1];
        match rng.random_range(0..8) {
            // A random byte anywhere, or in a frame's header.
            0 => {
                let at = rng.random_range(0..bytes.len());
                bytes[at] ^= 1 << rng.random_range(0..8);
            }
            1 => bytes[range.start + rng.random_range(0..HEADER_LEN)] = rng.random(),
            // Another stream, type or flags.
            2 => bytes[range.start + 8] = rng.random_range(0..20),
            3 => bytes[range.start + 3] = rng.random_range(0..12),
            4 => bytes[range.start + 4] ^= 1 << rng.random_range(0..6),
            // A frame twice, gone, or elsewhere.
            5 => {
                let copy = bytes[range.clone()].to_vec();
                let at = frames[rng.random_range(0..frames.len())];
                bytes.splice(at..at, copy);
            }
            6 => {
                bytes.drain(range);
            }
            _ => {
                let mut extra = Vec::new();
                let payload: Vec<u8> = (0..rng.random_range(0..40)).map(|_| rng.random()).collect();
                let stream = rng.random_range(0..20);
                frame::write_header(&mut extra, payload.len(), rng.random_range(0..12), rng.random(), stream);
                extra.extend(payload);
                bytes.splice(range.start..range.start, extra);
            }
        }
    }
    if rng.random_bool(0.1) {
        let len = rng.random_range(0..=bytes.len());
        bytes.truncate(len);
    }
}

/// Something a caller may do at any time, sensible or not.
fn act(rng: &mut StdRng, connection: &mut Connection, known: &[StreamId], sent: &mut usize) {
    let stream = match known {
        [] => rng.random_range(0..9),
        _ => known[rng.random_range(0..known.len())],
    };
    match rng.random_range(0..14) {
        0 => connection.reset(stream, ErrorCode(rng.random_range(0..14))),
        1 => connection.release(stream, rng.random_range(0..30_000)),
        2..5 => {
            let len = rng.random_range(0..5000);
            if *sent + len < CALLER_MAX {
                *sent += len;
                connection.send_data(stream, &vec![3; len], rng.random_bool(0.2));
            }
        }
        5 => drop(connection.send_headers(stream, fields(RESPONSE), rng.random_bool(0.2))),
        6 => drop(connection.send_headers(stream, fields(TRAILERS), true)),
        7 => connection.set_key(stream, rng.random_range(0..100)),
        8 => connection.pump(),
        9 => drop(connection.open(fields(REQUEST), rng.random_bool(0.5), 0)),
        10 if rng.random_bool(0.05) => connection.goaway(ErrorCode::NO_ERROR, b"age"),
        10 if rng.random_bool(0.1) => connection.drain(),
        11 => connection.set_stream_window(rng.random_range(0..100_000)),
        12 => connection.discard_pending(stream),
        _ => while connection.poll_sent().is_some() {},
    }
}

fn run(seed: u64) {
    let rng = &mut StdRng::seed_from_u64(seed);
    let (up, down) = transcript(rng);
    let server = rng.random_bool(0.5);
    let mut bytes = if server { up } else { down };
    mutate(rng, &mut bytes);
    let mut connection = if server { Connection::server(config()) } else { Connection::client(config()) };
    let (mut now_ms, mut sent, mut end) = (0_u64, 0, 0);
    let (mut input, mut written, mut known) = (Vec::new(), Vec::new(), Vec::new());
    while end < bytes.len() || !input.is_empty() {
        let more = rng.random_range(1..2000).min(bytes.len() - end);
        input.extend_from_slice(&bytes[end..end + more]);
        end += more;
        let mut used = 0;
        loop {
            let (consumed, stream) = match connection.recv(&input[used..], now_ms) {
                Ok(step) => (step.consumed, step.event.as_ref().and_then(stream_of)),
                Err(error) => {
                    assert_eq!(connection.recv(frame::PREFACE, now_ms).expect_err("errors are final"), error);
                    assert!(connection.is_finished());
                    finish(connection, written, server);
                    return;
                }
            };
            used += consumed;
            known.extend(stream);
            assert!(consumed > 0 || input.len() - used < HEADER_LEN + 16_384, "a whole frame is consumed");
            if consumed == 0 {
                break;
            }
            if rng.random_bool(0.5) {
                act(rng, &mut connection, &known, &mut sent);
            }
            // Caller's bytes, high water and a frame, refusals, one block; and the header sections of 100 acts.
            assert!(connection.buffered_bytes() < CALLER_MAX + 36_000 + (64 << 10) + 8000 + 10_000);
        }
        input.drain(..used);
        if more == 0 {
            break;
        }
        now_ms += rng.random_range(0..50);
        if rng.random_bool(0.7) {
            let n = rng.random_range(0..=connection.output().len());
            written.extend_from_slice(&connection.output()[..n]);
            connection.consume_output(n);
        }
    }
    finish(connection, written, server);
}

fn stream_of(event: &Event<'_>) -> Option<StreamId> {
    match event {
        Event::Headers { stream, .. } | Event::Data { stream, .. } => Some(*stream),
        _ => None,
    }
}

/// Everything that was written is whole frames that a peer would accept.
fn finish(connection: Connection, mut written: Vec<u8>, server: bool) {
    written.extend_from_slice(connection.output());
    let mut rest = &written[..];
    if !server {
        rest = rest.strip_prefix(frame::PREFACE.as_slice()).expect("the preface");
    }
    let mut first = true;
    while !rest.is_empty() {
        let header = FrameHeader::parse(rest).expect("a whole header");
        assert!(header.length <= 16_384);
        assert!(!first || (header.kind == kind::SETTINGS && header.flags == 0), "our SETTINGS come first");
        first = false;
        rest = rest.get(HEADER_LEN + header.length..).expect("a whole frame");
    }
}

#[test]
fn mutated_transcripts_do_no_harm() {
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
    let deadline = seconds.map(|s| Instant::now() + Duration::from_secs(s));
    for seed in 0.. {
        let outcome = std::panic::catch_unwind(|| run(seed));
        assert!(outcome.is_ok(), "seed {seed}");
        if deadline.map_or(seed >= RUNS, |deadline| Instant::now() >= deadline) {
            break;
        }
    }
}
