//! Blocks that RFC 7541 forbids: each is an error of its own kind and leaves no fields behind.

use switchboard_http2::Headers;
use switchboard_http2::hpack::{Decoded, Decoder, Error};

fn decode_with(decoder: &mut Decoder, block: &[u8]) -> Result<Decoded, Error> {
    let mut headers = Headers::new();
    headers.push(b"left", b"over");
    let result = decoder.decode(block, usize::MAX, &mut headers);
    assert!(result.is_ok() || headers.is_empty(), "fields after an error: {headers:?}");
    result
}

fn decode(block: &[u8]) -> Result<Decoded, Error> {
    decode_with(&mut Decoder::new(4096), block)
}

#[test]
fn the_empty_block_is_an_empty_list() {
    let mut headers = Headers::new();
    headers.push(b"left", b"over");
    assert_eq!(Decoder::new(4096).decode(&[], usize::MAX, &mut headers), Ok(Decoded::default()));
    assert!(headers.is_empty());
}

#[test]
fn index_zero_is_refused() {
    assert_eq!(decode(&[0x80]), Err(Error::InvalidIndex));
}

#[test]
fn an_index_beyond_both_tables_is_refused() {
    assert_eq!(decode(&[0x80 | 61]), Ok(Decoded::default()));
    assert_eq!(decode(&[0x80 | 62]), Err(Error::InvalidIndex));
    assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x0e]), Err(Error::InvalidIndex));
}

#[test]
fn a_name_index_beyond_both_tables_is_refused_in_every_literal() {
    // Indexed, without indexing, never indexed: 62 does not fit the prefix of the last two.
    for block in [&[0x40 | 62, 1, b'v'][..], &[0x0f, 62 - 15, 1, b'v'], &[0x1f, 62 - 15, 1, b'v']] {
        assert_eq!(decode(block), Err(Error::InvalidIndex), "{block:x?}");
    }
}

#[test]
fn every_truncation_of_a_block_is_told() {
    // A name as string, a value of 130 octets, an index of more than one octet.
    let mut block = vec![0x40, 2, b'x', b'y', 0x7f, 3];
    block.extend([b'v'; 130]);
    block.extend([0x0f, 0x00, 0x81, 0x1f]);
    assert_eq!(decode(&block), Ok(Decoded::default()));
    let boundaries = [0, 136, 140];
    for end in 0..=block.len() {
        let expected = if boundaries.contains(&end) { Ok(Decoded::default()) } else { Err(Error::Truncated) };
        assert_eq!(decode(&block[..end]), expected, "{end} octets");
    }
}

#[test]
fn a_string_longer_than_the_block_is_refused_without_reserving_for_it() {
    assert_eq!(decode(&[0x00, 0x7f, 0x80, 0xff, 0xff, 0xff, 0x0f, b'x']), Err(Error::Truncated));
    assert_eq!(decode(&[0x00, 0xff, 0x80, 0xff, 0xff, 0xff, 0x0f, b'x']), Err(Error::Truncated));
}

#[test]
fn oversized_integers_are_refused_in_every_place() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for first in [0xff, 0x7f, 0x3f, 0x0f, 0x1f] {
        let block: Vec<u8> = [first].into_iter().chain(huge).collect();
        assert_eq!(decode(&block), Err(Error::IntegerOverflow), "{first:x}");
    }
    let length: Vec<u8> = [0x00, 0x7f].into_iter().chain(huge).collect();
    assert_eq!(decode(&length), Err(Error::IntegerOverflow));
}

#[test]
fn bad_huffman_padding_is_refused_in_names_and_values() {
    assert_eq!(decode(&[0x00, 0x81, 0b0001_1111, 0x81, 0b0001_1111]), Ok(Decoded::default()));
    assert_eq!(decode(&[0x00, 0x81, 0b0001_1110, 0x81, 0b0001_1111]), Err(Error::InvalidHuffman));
    assert_eq!(decode(&[0x00, 0x81, 0b0001_1111, 0x82, 0b0001_1111, 0xff]), Err(Error::InvalidHuffman));
}

#[test]
fn huffman_eos_is_refused() {
    assert_eq!(decode(&[0x00, 0x84, 0xff, 0xff, 0xff, 0xff, 0x00]), Err(Error::InvalidHuffman));
}

#[test]
fn a_bad_string_is_an_error_even_where_its_field_would_be_dropped() {
    let mut headers = Headers::new();
    let result = Decoder::new(4096).decode(&[0x00, 1, b'n', 0x81, 0x00], 0, &mut headers);
    assert_eq!(result, Err(Error::InvalidHuffman));
}
