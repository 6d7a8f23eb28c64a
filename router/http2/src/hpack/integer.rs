//! The integers of RFC 7541 section 5.1: a prefix in the low bits of an octet, then groups of seven bits.
//!
//! Everything that HPACK counts here (indices, lengths, table sizes) fits 32 bits, so larger values are refused, and so
//! is padding beyond the five continuation octets that 32 bits can need.

use super::Error;

/// Five groups of seven bits carry 32 bits and more; the sum cannot overflow 64 bits.
const MAX_CONTINUATION: u32 = 5;

/// Reads an integer with a prefix of `prefix_bits` (1 to 8) from `input`, whose first octet holds the prefix. Returns the
/// value and the rest of the input.
#[inline]
pub(super) fn decode(input: &[u8], prefix_bits: u32) -> Result<(usize, &[u8]), Error> {
    let (&first, rest) = input.split_first().ok_or(Error::Truncated)?;
    let mask = u8::MAX >> (8 - prefix_bits);
    let prefix = first & mask;
    if prefix < mask { Ok((usize::from(prefix), rest)) } else { decode_long(u64::from(mask), rest) }
}

fn decode_long(prefix: u64, input: &[u8]) -> Result<(usize, &[u8]), Error> {
    let mut value = prefix;
    let mut rest = input;
    for group in 0..MAX_CONTINUATION {
        let (&octet, tail) = rest.split_first().ok_or(Error::Truncated)?;
        rest = tail;
        value += u64::from(octet & 0x7f) << (7 * group);
        if octet & 0x80 == 0 {
            let value = u32::try_from(value).map_err(|_| Error::IntegerOverflow)?;
            return Ok((usize::try_from(value).map_err(|_| Error::IntegerOverflow)?, rest));
        }
    }
    Err(Error::IntegerOverflow)
}

/// Appends `value` with a prefix of `prefix_bits` (1 to 8). `pattern` holds the bits of the first octet above the prefix.
#[inline]
pub(super) fn encode(value: usize, prefix_bits: u32, pattern: u8, out: &mut Vec<u8>) {
    let mask = u8::MAX >> (8 - prefix_bits);
    match u8::try_from(value) {
        Ok(small) if small < mask => out.push(pattern | small),
        _ => encode_long(value - usize::from(mask), pattern | mask, out),
    }
}

fn encode_long(mut value: usize, first: u8, out: &mut Vec<u8>) {
    out.push(first);
    while value >= 0x80 {
        out.push(0x80 | (value & 0x7f) as u8);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(value: usize, prefix_bits: u32) -> Vec<u8> {
        let mut out = Vec::new();
        encode(value, prefix_bits, 0, &mut out);
        out
    }

    #[test]
    fn rfc_7541_c_1_examples_in_both_directions() {
        // C.1.1: 10 with a 5 bit prefix; C.1.2: 1337 with a 5 bit prefix; C.1.3: 42 at an octet boundary.
        for (value, prefix_bits, octets) in
            [(10, 5, &[0x0a][..]), (1337, 5, &[0x1f, 0x9a, 0x0a][..]), (42, 8, &[0x2a][..])]
        {
            assert_eq!(encoded(value, prefix_bits), octets);
            assert_eq!(decode(octets, prefix_bits), Ok((value, &[][..])));
        }
    }

    #[test]
    fn bits_above_the_prefix_are_kept_when_written_and_ignored_when_read() {
        let mut out = Vec::new();
        encode(10, 5, 0b1110_0000, &mut out);
        encode(31, 5, 0b1010_0000, &mut out);
        assert_eq!(out, [0b1110_1010, 0b1011_1111, 0]);
        let (first, rest) = decode(&out, 5).unwrap();
        assert_eq!((first, decode(rest, 5)), (10, Ok((31, &[][..]))));
    }

    #[test]
    fn every_prefix_round_trips_at_its_boundaries() {
        for prefix_bits in 1..=8 {
            let mask = (1_usize << prefix_bits) - 1;
            let values = [
                0,
                1,
                mask - 1,
                mask,
                mask + 1,
                mask + 127,
                mask + 128,
                mask + 16_383,
                mask + 16_384,
                1 << 31,
            ];
            for value in values.into_iter().chain([u32::MAX as usize]) {
                assert_eq!(
                    decode(&encoded(value, prefix_bits), prefix_bits),
                    Ok((value, &[][..])),
                    "{value}/{prefix_bits}"
                );
            }
        }
    }

    #[test]
    fn every_truncation_is_told() {
        let octets = encoded(u32::MAX as usize, 5);
        for end in 0..octets.len() {
            assert_eq!(decode(&octets[..end], 5), Err(Error::Truncated), "{end} octets");
        }
    }

    #[test]
    fn more_than_32_bits_are_refused() {
        assert_eq!(decode(&[0x1f, 0xff, 0xff, 0xff, 0xff, 0x0f], 5), Err(Error::IntegerOverflow));
        assert_eq!(decode(&[0x1f, 0x80, 0x80, 0x80, 0x80, 0x10], 5), Err(Error::IntegerOverflow));
        assert_eq!(decode(&[0x1f, 0xff, 0xff, 0xff, 0xff, 0x7f], 5), Err(Error::IntegerOverflow));
    }

    #[test]
    fn endless_zero_padding_is_refused() {
        assert_eq!(decode(&[0x1f, 0x80, 0x80, 0x80, 0x80, 0x00], 5), Ok((31, &[][..])));
        assert_eq!(decode(&[0x1f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00], 5), Err(Error::IntegerOverflow));
    }
}
