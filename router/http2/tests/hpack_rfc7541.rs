//! The examples of RFC 7541 appendix C (C.1, integers, is tested next to the integer code). They show the dynamic table
//! after each block; it is made visible here by decoding a block of its indices, which changes nothing.

use switchboard_http2::hpack::{Decoded, Decoder, Encoder, Error};
use switchboard_http2::{Field, Headers};

type Pairs = &'static [(&'static str, &'static str)];

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    assert_eq!(digits.len() % 2, 0);
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn list(pairs: Pairs) -> Headers {
    let mut headers = Headers::new();
    pairs.iter().for_each(|(name, value)| headers.push(name.as_bytes(), value.as_bytes()));
    headers
}

fn decode(decoder: &mut Decoder, hex: &str) -> Headers {
    let mut headers = Headers::new();
    assert_eq!(decoder.decode(&octets(hex), usize::MAX, &mut headers), Ok(Decoded { over_limit: false }));
    headers
}

/// Asserts the entries of the table, newest first, and its size.
fn assert_table(decoder: &mut Decoder, entries: Pairs, size: usize) {
    let mut headers = Headers::new();
    let mut block: Vec<u8> = (0..entries.len() as u8).map(|age| 0x80 | (62 + age)).collect();
    assert_eq!(decoder.decode(&block, usize::MAX, &mut headers), Ok(Decoded { over_limit: false }));
    assert_eq!(headers, list(entries));
    assert_eq!(headers.list_size(), size);
    block.push(0x80 | (62 + entries.len() as u8));
    assert_eq!(
        decoder.decode(&block, usize::MAX, &mut headers),
        Err(Error::InvalidIndex),
        "one entry too many"
    );
}

/// Decodes the blocks in order, and asserts their fields and the table after each.
fn assert_blocks(mut decoder: Decoder, blocks: &[(&str, Pairs, Pairs, usize)]) {
    for (hex, fields, table, size) in blocks {
        assert_eq!(decode(&mut decoder, hex), list(fields));
        assert_table(&mut decoder, table, *size);
    }
}

#[test]
fn c_2_1_literal_with_indexing() {
    let fields: Pairs = &[("custom-key", "custom-header")];
    let hex = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    assert_blocks(Decoder::new(4096), &[(hex, fields, fields, 55)]);
}

#[test]
fn c_2_2_literal_without_indexing() {
    let hex = "040c 2f73 616d 706c 652f 7061 7468";
    assert_blocks(Decoder::new(4096), &[(hex, &[(":path", "/sample/path")], &[], 0)]);
}

#[test]
fn c_2_3_literal_never_indexed() {
    let mut decoder = Decoder::new(4096);
    let headers = decode(&mut decoder, "1008 7061 7373 776f 7264 0673 6563 7265 74");
    let field = Field::sensitive(b"password", b"secret");
    assert_eq!(headers.iter().collect::<Vec<_>>(), [field]);
    assert_table(&mut decoder, &[], 0);
}

#[test]
fn c_2_4_indexed() {
    assert_blocks(Decoder::new(4096), &[("82", &[(":method", "GET")], &[], 0)]);
}

const REQUESTS: [Pairs; 3] = [
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")],
    &[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "www.example.com"),
        ("cache-control", "no-cache"),
    ],
    &[
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/index.html"),
        (":authority", "www.example.com"),
        ("custom-key", "custom-value"),
    ],
];

const REQUEST_TABLES: [Pairs; 3] = [
    &[(":authority", "www.example.com")],
    &[("cache-control", "no-cache"), (":authority", "www.example.com")],
    &[("custom-key", "custom-value"), ("cache-control", "no-cache"), (":authority", "www.example.com")],
];

const REQUEST_SIZES: [usize; 3] = [57, 110, 164];

const HUFFMAN_REQUESTS: [&str; 3] = [
    "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
    "8286 84be 5886 a8eb 1064 9cbf",
    "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
];

fn assert_requests(blocks: [&str; 3]) {
    let blocks: Vec<_> =
        (0..3).map(|at| (blocks[at], REQUESTS[at], REQUEST_TABLES[at], REQUEST_SIZES[at])).collect();
    assert_blocks(Decoder::new(4096), &blocks);
}

#[test]
fn c_3_requests_without_huffman() {
    assert_requests([
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ]);
}

#[test]
fn c_4_requests_with_huffman() {
    assert_requests(HUFFMAN_REQUESTS);
}

#[test]
fn c_4_requests_are_encoded_to_the_same_octets() {
    let mut encoder = Encoder::new(4096);
    for (fields, hex) in REQUESTS.into_iter().zip(HUFFMAN_REQUESTS) {
        let mut block = Vec::new();
        encoder.begin(&mut block);
        list(fields).iter().for_each(|field| encoder.encode(field, &mut block));
        assert_eq!(block, octets(hex));
    }
}

const COOKIE: &str = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";

const RESPONSES: [Pairs; 3] = [
    &[
        (":status", "302"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("location", "https://www.example.com"),
    ],
    &[
        (":status", "307"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("location", "https://www.example.com"),
    ],
    &[
        (":status", "200"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
        ("location", "https://www.example.com"),
        ("content-encoding", "gzip"),
        ("set-cookie", COOKIE),
    ],
];

/// The second response evicts the status of the first, the third all but its own new fields.
const RESPONSE_TABLES: [Pairs; 3] = [
    &[
        ("location", "https://www.example.com"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("cache-control", "private"),
        (":status", "302"),
    ],
    &[
        (":status", "307"),
        ("location", "https://www.example.com"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("cache-control", "private"),
    ],
    &[("set-cookie", COOKIE), ("content-encoding", "gzip"), ("date", "Mon, 21 Oct 2013 20:13:22 GMT")],
];

const RESPONSE_SIZES: [usize; 3] = [222, 222, 215];

fn assert_responses(blocks: [&str; 3]) {
    let blocks: Vec<_> =
        (0..3).map(|at| (blocks[at], RESPONSES[at], RESPONSE_TABLES[at], RESPONSE_SIZES[at])).collect();
    assert_blocks(Decoder::new(256), &blocks);
}

#[test]
fn c_5_responses_without_huffman_and_with_evictions() {
    assert_responses([
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 \
         3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 \
         7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 \
         6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
    ]);
}

#[test]
fn c_6_responses_with_huffman_and_with_evictions() {
    assert_responses([
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad \
         1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 \
         e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ]);
}
