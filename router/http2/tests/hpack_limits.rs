//! The limit of a list's size, and what a hostile block can cost.

use switchboard_http2::hpack::{Decoded, Decoder, Error};
use switchboard_http2::{Field, Headers};

fn decode(decoder: &mut Decoder, block: &[u8], max_list: usize) -> (Headers, Result<Decoded, Error>) {
    let mut headers = Headers::new();
    let result = decoder.decode(block, max_list, &mut headers);
    (headers, result)
}

const FITS: Result<Decoded, Error> = Ok(Decoded { over_limit: false });
const OVER: Result<Decoded, Error> = Ok(Decoded { over_limit: true });

/// `:method: GET` is 7 + 3 + 32 octets.
const METHOD: usize = 42;

#[test]
fn the_limit_is_inclusive() {
    let mut decoder = Decoder::new(4096);
    let (headers, result) = decode(&mut decoder, &[0x82, 0x82], 2 * METHOD);
    assert_eq!((headers.len(), headers.list_size(), result), (2, 2 * METHOD, FITS));
    let (headers, result) = decode(&mut decoder, &[0x82, 0x82], 2 * METHOD - 1);
    assert_eq!((headers.len(), result), (1, OVER));
}

#[test]
fn literals_count_like_indices() {
    let literal = [0x00, 1, b'a', 1, b'b'];
    let mut decoder = Decoder::new(4096);
    assert_eq!(decode(&mut decoder, &literal, 34).1, FITS);
    let (headers, result) = decode(&mut decoder, &literal, 33);
    assert_eq!((headers.is_empty(), result), (true, OVER));
}

#[test]
fn nothing_is_kept_after_the_first_field_that_is_dropped() {
    let block = [0x82, 0x00, 1, b'a', 3, b'b', b'b', b'b', 0x00, 1, b'a', 1, b'b', 0x82];
    let (headers, result) = decode(&mut Decoder::new(4096), &block, METHOD + 35);
    assert_eq!((headers.iter().collect::<Vec<_>>(), result), (vec![Field::new(b":method", b"GET")], OVER));
}

#[test]
fn dropped_fields_are_in_the_table_all_the_same() {
    let mut decoder = Decoder::new(4096);
    let block = [0x40, 1, b'a', 1, b'b', 0x40 | 62, 1, b'c', 0x00, 1, b'x', 0];
    let (headers, result) = decode(&mut decoder, &block, 0);
    assert_eq!((headers.is_empty(), result), (true, OVER));
    let (headers, result) = decode(&mut decoder, &[0xbe, 0xbf], 1000);
    assert_eq!(result, FITS);
    assert_eq!(headers.iter().collect::<Vec<_>>(), [Field::new(b"a", b"c"), Field::new(b"a", b"b")]);
}

#[test]
fn indices_are_checked_even_where_their_fields_are_dropped() {
    assert_eq!(decode(&mut Decoder::new(4096), &[0x82, 0xbe], 0).1, Err(Error::InvalidIndex));
    assert_eq!(decode(&mut Decoder::new(4096), &[0x82, 0x0f, 62 - 15, 0], 0).1, Err(Error::InvalidIndex));
}

#[test]
fn a_bomb_of_references_to_a_large_entry_stays_within_the_limit() {
    const MAX_LIST: usize = 65_536;
    let mut decoder = Decoder::new(4096);
    let insert = [vec![0x40, 1, b'a', 0x7f, 0xa1, 0x1e], vec![b'v'; 4000]].concat();
    assert_eq!(decode(&mut decoder, &insert, MAX_LIST).1, FITS);
    // 200 octets that stand for 800 KB.
    let (headers, result) = decode(&mut decoder, &[0xbe; 200], MAX_LIST);
    assert_eq!(result, OVER);
    assert_eq!((headers.len(), headers.list_size()), (MAX_LIST / 4033, MAX_LIST / 4033 * 4033));
    // 60 KiB that stand for 240 MB: nobody means that, and the connection need not go on.
    let (headers, result) = decode(&mut decoder, &vec![0xbe; 60 * 1024], MAX_LIST);
    assert_eq!((headers.is_empty(), result), (true, Err(Error::ListFarTooLarge)));
}

#[test]
fn a_bomb_of_literals_with_a_large_indexed_name_stays_within_the_limit() {
    const MAX_LIST: usize = 65_536;
    let mut decoder = Decoder::new(4096);
    let insert = [vec![0x40, 0x7f, 0xa1, 0x1e], vec![b'n'; 4000], vec![0]].concat();
    assert_eq!(decode(&mut decoder, &insert, MAX_LIST).1, FITS);
    let (headers, result) = decode(&mut decoder, &[0x0f, 62 - 15, 0].repeat(20_000), MAX_LIST);
    assert_eq!(result, OVER);
    assert_eq!(headers.list_size(), MAX_LIST / 4032 * 4032);
}
