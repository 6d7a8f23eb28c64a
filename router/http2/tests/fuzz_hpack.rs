//! Mutates valid header blocks and decodes what comes out. Seeded, so that a failure repeats; bounded, so that it runs with
//! all other tests. `FUZZ_SECONDS=600 cargo test --test fuzz_hpack` goes on for that long, over further seeds.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use switchboard_http2::hpack::{Decoder, Encoder, Error};
use switchboard_http2::{Field, Headers};

const MAX_LIST: usize = 16 * 1024;

/// Connections per run without `FUZZ_SECONDS`: two to three seconds unoptimized.
const CONNECTIONS: u64 = 8000;

/// Blocks of one connection: the later ones refer to what the earlier ones inserted.
const BLOCKS: usize = 12;

const NAMES: [&str; 12] = [
    ":method",
    ":path",
    ":authority",
    ":status",
    "content-type",
    "te",
    "x-a",
    "grpc-timeout",
    "traceparent",
    "cookie",
    "authorization",
    "grpc-status",
];

fn random_list(rng: &mut StdRng) -> Headers {
    let mut headers = Headers::new();
    for _ in 0..rng.random_range(0..10) {
        let name = NAMES[rng.random_range(0..NAMES.len())];
        let len = if rng.random_bool(0.05) { rng.random_range(0..3000) } else { rng.random_range(0..12) };
        let any_octet = rng.random_bool(0.1);
        let value: Vec<u8> =
            (0..len).map(|_| if any_octet { rng.random() } else { rng.random_range(b'0'..=b'3') }).collect();
        let field = if rng.random_bool(0.1) { Field::sensitive } else { Field::new };
        headers.push_field(field(name.as_bytes(), &value));
    }
    headers
}

/// Changes a few places. The octets put in are those with a meaning: limits of prefixes, kinds of representations.
fn mutate(rng: &mut StdRng, block: &mut Vec<u8>) {
    const TELLING: [u8; 18] = [
        0x00, 0x01, 0x0f, 0x10, 0x1f, 0x20, 0x3f, 0x3e, 0x40, 0x7e, 0x7f, 0x80, 0x81, 0x82, 0xbd, 0xbe, 0xbf,
        0xff,
    ];
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..=block.len());
        let octet = if rng.random() { TELLING[rng.random_range(0..TELLING.len())] } else { rng.random() };
        match rng.random_range(0..6) {
            0 if at < block.len() => block[at] ^= 1 << rng.random_range(0..8),
            1 if at < block.len() => block[at] = octet,
            2 if at < block.len() => drop(block.remove(at)),
            3 => block.truncate(at),
            4 => {
                let piece = block[at..].iter().copied().take(rng.random_range(0..40)).collect::<Vec<_>>();
                let to = rng.random_range(0..=block.len());
                drop(block.splice(to..to, piece));
            }
            _ => block.insert(at, octet),
        }
    }
}

/// Runs one connection. Returns how many blocks were accepted and how many refused.
fn run(seed: u64) -> (usize, usize) {
    let mut rng = StdRng::seed_from_u64(seed);
    let size = [0, 100, 300, 4096][rng.random_range(0..4)];
    let mut encoder = Encoder::new(size);
    let (mut decoder, mut twin) = (Decoder::new(4096), Decoder::new(4096));
    let (mut headers, mut all) = (Headers::new(), Headers::new());
    let mut accepted = 0;
    for _ in 0..BLOCKS {
        let mut block = Vec::new();
        encoder.begin(&mut block);
        random_list(&mut rng).iter().for_each(|field| encoder.encode(field, &mut block));
        if rng.random_bool(0.7) {
            mutate(&mut rng, &mut block);
        }
        let result = decoder.decode(&block, MAX_LIST, &mut headers);
        let unlimited = twin.decode(&block, usize::MAX, &mut all);
        assert_eq!(result.map(drop), unlimited.map(drop), "the limit decides about errors: seed {seed}");
        assert!(headers.list_size() <= MAX_LIST, "seed {seed}");
        assert!(headers.iter().eq(all.iter().take(headers.len())), "not a prefix: seed {seed}");
        // No octet can stand for more than a whole table entry.
        assert!(all.list_size() <= block.len() * (4096 + 32), "seed {seed}");
        match result {
            Ok(decoded) => assert_eq!(decoded.over_limit, headers.len() < all.len(), "seed {seed}"),
            Err(_) => {
                assert!(headers.is_empty(), "seed {seed}");
                return (accepted, 1);
            }
        }
        accepted += 1;
        reencode(&all, seed);
    }
    (accepted, 0)
}

/// Whatever was decoded can be encoded, and comes back.
fn reencode(headers: &Headers, seed: u64) {
    let (mut encoder, mut decoder) = (Encoder::new(4096), Decoder::new(4096));
    let (mut block, mut back) = (Vec::new(), Headers::new());
    encoder.begin(&mut block);
    headers.iter().for_each(|field| encoder.encode(field, &mut block));
    let result: Result<_, Error> = decoder.decode(&block, usize::MAX, &mut back);
    assert!(result.is_ok_and(|decoded| !decoded.over_limit), "seed {seed}");
    let pairs = |headers: &Headers| -> Vec<(Vec<u8>, Vec<u8>)> {
        headers.iter().map(|field| (field.name.to_vec(), field.value.to_vec())).collect()
    };
    assert_eq!(pairs(headers), pairs(&back), "seed {seed}");
}

#[test]
fn mutated_blocks_neither_panic_nor_exceed_bounds() {
    let seconds: u64 = std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut accepted, mut refused, mut seed) = (0, 0, 0);
    while seed < CONNECTIONS || Instant::now() < end {
        let (ok, failed) = run(seed);
        accepted += ok;
        refused += failed;
        seed += 1;
    }
    // Both ways are worth something only while both are taken.
    assert!(accepted > 1000 && refused > 1000, "{accepted} accepted, {refused} refused");
}
