//! Changes of the table's size (RFC 7541 sections 4.2, 4.3 and 6.3), on both ends and between them.

use switchboard_http2::hpack::{Decoded, Decoder, Encoder, Error};
use switchboard_http2::{Field, Headers};

const OK: Result<Decoded, Error> = Ok(Decoded { over_limit: false });

/// Literal with indexing: `a: b`, 34 octets of table.
const INSERT: [u8; 5] = [0x40, 1, b'a', 1, b'b'];

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Decoded, Error> {
    decoder.decode(block, usize::MAX, &mut Headers::new())
}

/// A size update.
fn update(size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    if size < 31 {
        out.push(0x20 | size as u8);
    } else {
        out.push(0x3f);
        let mut rest = size - 31;
        while rest > 127 {
            out.push(0x80 | (rest & 127) as u8);
            rest >>= 7;
        }
        out.push(rest as u8);
    }
    out
}

fn begin(encoder: &mut Encoder) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.begin(&mut out);
    out
}

fn encode(encoder: &mut Encoder, name: &str, value: &str) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.encode(Field::new(name.as_bytes(), value.as_bytes()), &mut out);
    out
}

#[test]
fn decoder_takes_updates_up_to_the_limit_and_refuses_larger_ones() {
    let mut decoder = Decoder::new(4096);
    for size in [0, 30, 31, 4096] {
        assert_eq!(decode(&mut decoder, &update(size)), OK, "{size}");
    }
    assert_eq!(decode(&mut decoder, &update(4097)), Err(Error::SizeUpdateTooLarge));
}

#[test]
fn decoder_takes_an_update_only_before_the_first_field() {
    let mut decoder = Decoder::new(4096);
    assert_eq!(decode(&mut decoder, &[update(0), update(100), vec![0x82]].concat()), OK);
    assert_eq!(decode(&mut decoder, &[vec![0x82], update(100)].concat()), Err(Error::MisplacedSizeUpdate));
}

#[test]
fn decoder_evicts_when_the_table_shrinks() {
    let mut decoder = Decoder::new(4096);
    assert_eq!(decode(&mut decoder, &[INSERT, INSERT].concat()), OK);
    assert_eq!(decode(&mut decoder, &[update(67), vec![0xbe]].concat()), OK);
    assert_eq!(decode(&mut decoder, &[0xbf]), Err(Error::InvalidIndex));
    assert_eq!(
        decode(&mut decoder, &[update(0), update(4096), vec![0xbe]].concat()),
        Err(Error::InvalidIndex)
    );
}

#[test]
fn decoder_empties_the_table_for_an_entry_that_is_too_large() {
    let mut decoder = Decoder::new(4096);
    assert_eq!(decode(&mut decoder, &[update(40), INSERT.to_vec(), vec![0xbe]].concat()), OK);
    let large = [vec![0x40, 1, b'a', 8], vec![b'v'; 8]].concat();
    assert_eq!(decode(&mut decoder, &large), OK, "not an error (RFC 7541 section 4.4)");
    assert_eq!(decode(&mut decoder, &[0xbe]), Err(Error::InvalidIndex));
}

#[test]
fn decoder_may_evict_the_entry_whose_name_is_being_reused() {
    let mut decoder = Decoder::new(4096);
    assert_eq!(decode(&mut decoder, &[update(40), INSERT.to_vec()].concat()), OK);
    let mut headers = Headers::new();
    assert_eq!(decoder.decode(&[0x40 | 62, 2, b'c', b'd', 0xbe], usize::MAX, &mut headers), OK);
    assert_eq!(headers.iter().collect::<Vec<_>>(), [Field::new(b"a", b"cd"); 2]);
}

#[test]
fn decoder_demands_an_update_after_its_limit_fell_below_the_table() {
    let mut decoder = Decoder::new(4096);
    assert_eq!(decode(&mut decoder, &INSERT), OK);
    decoder.set_max_table_size(100);
    assert_eq!(decode(&mut decoder, &[0xbe]), Err(Error::MissingSizeUpdate));

    let mut decoder = Decoder::new(4096);
    decoder.set_max_table_size(100);
    assert_eq!(decode(&mut decoder, &update(101)), Err(Error::SizeUpdateTooLarge));

    let mut decoder = Decoder::new(4096);
    decoder.set_max_table_size(100);
    assert_eq!(decode(&mut decoder, &[]), OK, "a block without fields owes nothing");
    assert_eq!(decode(&mut decoder, &[update(100), vec![0x82]].concat()), OK);
    assert_eq!(decode(&mut decoder, &[0x82]), OK, "once is enough");
}

#[test]
fn decoder_demands_the_smallest_of_several_limits() {
    let mut decoder = Decoder::new(4096);
    decoder.set_max_table_size(0);
    decoder.set_max_table_size(4096);
    assert_eq!(decode(&mut decoder, &[update(4096), vec![0x82]].concat()), Err(Error::MissingSizeUpdate));
    assert_eq!(decode(&mut decoder, &[update(0), update(4096), vec![0x82]].concat()), OK);
}

#[test]
fn decoder_demands_nothing_when_the_table_is_small_enough_already_or_the_limit_grows() {
    let mut decoder = Decoder::new(4096);
    assert_eq!(decode(&mut decoder, &update(100)), OK);
    decoder.set_max_table_size(200);
    assert_eq!(decode(&mut decoder, &[0x82]), OK);
    decoder.set_max_table_size(8192);
    assert_eq!(decode(&mut decoder, &[0x82]), OK);
    assert_eq!(decode(&mut decoder, &update(8192)), OK);
}

#[test]
fn encoder_announces_nothing_while_the_default_stands() {
    let mut encoder = Encoder::new(4096);
    assert_eq!(begin(&mut encoder), []);
    encoder.set_peer_max_table_size(4096);
    assert_eq!(begin(&mut encoder), []);
    encoder.set_peer_max_table_size(65_536);
    assert_eq!(begin(&mut encoder), [], "its own cap is lower");
}

#[test]
fn encoder_announces_its_own_cap_once() {
    let mut encoder = Encoder::new(1000);
    assert_eq!(begin(&mut encoder), update(1000));
    assert_eq!(begin(&mut encoder), []);
}

#[test]
fn encoder_grows_only_after_the_peer_has_allowed_it() {
    let mut encoder = Encoder::new(65_536);
    assert_eq!(begin(&mut encoder), []);
    encoder.set_peer_max_table_size(16_384);
    assert_eq!(begin(&mut encoder), update(16_384));
}

#[test]
fn encoder_announces_the_smallest_size_and_then_the_last_one() {
    let mut encoder = Encoder::new(4096);
    encoder.set_peer_max_table_size(500);
    encoder.set_peer_max_table_size(0);
    encoder.set_peer_max_table_size(2000);
    assert_eq!(begin(&mut encoder), [update(0), update(2000)].concat());
    assert_eq!(begin(&mut encoder), []);
    encoder.set_peer_max_table_size(0);
    encoder.set_peer_max_table_size(2000);
    assert_eq!(begin(&mut encoder), [update(0), update(2000)].concat(), "even if it is what it was");
}

#[test]
fn encoder_forgets_what_a_smaller_table_evicts() {
    let mut encoder = Encoder::new(4096);
    begin(&mut encoder);
    for value in ["one", "two", "three"] {
        encode(&mut encoder, "x-tenant", value);
    }
    assert_eq!(encode(&mut encoder, "x-tenant", "three"), [0x80 | 62]);
    assert_eq!(encode(&mut encoder, "x-tenant", "one"), [0x80 | 64]);
    // Two of three stay (43 + 45), and are too large a part of the table for new ones to be inserted.
    encoder.set_peer_max_table_size(100);
    assert_eq!(begin(&mut encoder), update(100));
    assert_eq!(encode(&mut encoder, "x-tenant", "three"), [0x80 | 62]);
    assert_eq!(encode(&mut encoder, "x-tenant", "two"), [0x80 | 63]);
    assert_eq!(
        encode(&mut encoder, "x-tenant", "one")[..2],
        [0x0f, 62 - 15],
        "a literal with an indexed name"
    );
}

#[test]
fn encoder_without_a_table_sends_literals_only() {
    let mut encoder = Encoder::new(0);
    assert_eq!(begin(&mut encoder), update(0));
    for _ in 0..3 {
        assert_eq!(encode(&mut encoder, "x", "y")[0], 0x00);
        assert_eq!(encode(&mut encoder, ":path", "/x")[0], 0x04);
        assert_eq!(encode(&mut encoder, ":method", "POST"), [0x83]);
    }
}
