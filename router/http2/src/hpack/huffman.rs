//! The Huffman code of RFC 7541 appendix B.
//!
//! The code is canonical: symbols of one length have consecutive codes, in the order of their values. So the lengths are
//! all that is written down here, and the compiler derives the codes and the decoding tables from them. Decoding looks 12
//! bits up at a time, which yields two symbols for nearly all text; the rare longer codes are found by comparison.

use super::Error;

/// Code lengths in bits by symbol; the last one is EOS.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, // 0x00
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, // 0x10
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, // 0x20
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, // 0x30: digits
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, // 0x40: upper case
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, // 0x50
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, // 0x60: lower case
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, // 0x70
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, // 0x80
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, // 0x90
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, // 0xa0
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, // 0xb0
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, // 0xc0
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, // 0xd0
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, // 0xe0
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, // 0xf0
    30,
];

const EOS: u16 = 256;
const MIN_BITS: usize = 5;
const MAX_BITS: usize = 30;

/// The code sorted by length, which is also the order of the codes.
struct Canonical {
    /// Symbols in the order of their codes.
    symbols: [u16; 257],
    /// By length: how many shorter codes there are.
    rank: [u16; MAX_BITS + 1],
    /// By length: the first code, aligned to the top of 32 bits.
    first: [u32; MAX_BITS + 1],
    /// By length: the end of the codes, aligned likewise (64 bits, as the last end is 2^32).
    end: [u64; MAX_BITS + 1],
}

static CANONICAL: Canonical = canonical();

const fn canonical() -> Canonical {
    let mut table = Canonical {
        symbols: [0; 257],
        rank: [0; MAX_BITS + 1],
        first: [0; MAX_BITS + 1],
        end: [0; MAX_BITS + 1],
    };
    let mut sorted = 0;
    let mut code = 0_u64;
    let mut length = MIN_BITS;
    while length <= MAX_BITS {
        table.rank[length] = sorted as u16;
        table.first[length] = code as u32;
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                table.symbols[sorted] = symbol as u16;
                sorted += 1;
                code += 1 << (32 - length);
            }
            symbol += 1;
        }
        table.end[length] = code;
        length += 1;
    }
    table
}

/// Finds the code that the top of `window` begins with. Returns the symbol and its length. Every window begins with one.
const fn find(table: &Canonical, window: u32) -> (u16, usize) {
    let mut length = MIN_BITS;
    while table.end[length] <= window as u64 {
        length += 1;
    }
    let offset = (window - table.first[length]) >> (32 - length);
    (table.symbols[table.rank[length] as usize + offset as usize], length)
}

/// How many bits one look-up consumes at most: two of the 6 bit codes that digits and lower case letters have.
const FAST_BITS: usize = 12;

/// What the next 12 bits begin with.
#[derive(Clone, Copy)]
struct Fast {
    symbols: [u8; 2],
    /// 1 or 2; 0 if the code is longer than 12 bits.
    count: u8,
    /// Length of the codes of all these symbols.
    bits: u8,
}

static FAST: [Fast; 1 << FAST_BITS] = fast();

const fn fast() -> [Fast; 1 << FAST_BITS] {
    let canonical = canonical();
    let mut table = [Fast { symbols: [0; 2], count: 0, bits: 0 }; 1 << FAST_BITS];
    let mut window = 0;
    while window < table.len() {
        let aligned = (window as u32) << (32 - FAST_BITS);
        let (first, first_bits) = find(&canonical, aligned);
        if first_bits <= FAST_BITS {
            let (second, second_bits) = find(&canonical, aligned << first_bits);
            let both = first_bits + second_bits;
            table[window] = if both <= FAST_BITS {
                Fast { symbols: [first as u8, second as u8], count: 2, bits: both as u8 }
            } else {
                Fast { symbols: [first as u8, 0], count: 1, bits: first_bits as u8 }
            };
        }
        window += 1;
    }
    table
}

/// A reader of bits: `window` holds the next ones at its top, `valid` of them real.
struct Bits<'a> {
    window: u64,
    valid: usize,
    rest: &'a [u8],
}

impl Bits<'_> {
    /// Loads until at least 56 bits are valid or the input is at its end.
    #[inline]
    fn refill(&mut self) {
        if let Some(chunk) = self.rest.first_chunk::<8>() {
            // The bits of an octet that fits only in part are loaded as well, and once more, the same, next time.
            self.window |= u64::from_be_bytes(*chunk) >> self.valid;
            let octets = (63 - self.valid) / 8;
            self.rest = &self.rest[octets..];
            self.valid += octets * 8;
        } else {
            while self.valid < 56
                && let Some((&octet, rest)) = self.rest.split_first()
            {
                self.window |= u64::from(octet) << (56 - self.valid);
                self.valid += 8;
                self.rest = rest;
            }
        }
    }

    #[inline]
    fn skip(&mut self, bits: usize) {
        self.window <<= bits;
        self.valid -= bits;
    }

    /// The top 32 bits, ones after the end of the input: the padding that the encoder should have used.
    fn padded(&self) -> u32 {
        ((self.window | (u64::MAX >> self.valid)) >> 32) as u32
    }
}

/// Decodes the string `input` and appends it to `out`: at most 8/5 of its length.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let start = out.len();
    // One octet of slack: a look-up always stores two symbols.
    out.resize(start + input.len() * 8 / MIN_BITS + 1, 0);
    let result = decode_to(input, &mut out[start..]);
    out.truncate(start + result.unwrap_or(0));
    result.map(|_| ())
}

fn decode_to(input: &[u8], out: &mut [u8]) -> Result<usize, Error> {
    let mut bits = Bits { window: 0, valid: 0, rest: input };
    let mut len = 0;
    loop {
        if bits.valid < MAX_BITS {
            bits.refill();
        }
        if bits.valid >= FAST_BITS {
            let fast = FAST[(bits.window >> (64 - FAST_BITS)) as usize];
            if fast.count > 0 {
                out[len..len + 2].copy_from_slice(&fast.symbols);
                len += usize::from(fast.count);
                bits.skip(usize::from(fast.bits));
                continue;
            }
        }
        let (symbol, length) = find(&CANONICAL, bits.padded());
        if length > bits.valid {
            // The input ends here. What is left has to be the beginning of EOS, and less than an octet of it.
            return if bits.valid < 8 && bits.padded() == u32::MAX {
                Ok(len)
            } else {
                Err(Error::InvalidHuffman)
            };
        }
        if symbol == EOS {
            return Err(Error::InvalidHuffman);
        }
        out[len] = symbol as u8;
        len += 1;
        bits.skip(length);
    }
}

/// Codes by symbol, aligned to the bottom. EOS is never sent.
static CODES: [u32; 256] = codes();

const fn codes() -> [u32; 256] {
    let canonical = canonical();
    let mut codes = [0; 256];
    let mut sorted = 0;
    while sorted < canonical.symbols.len() {
        let symbol = canonical.symbols[sorted];
        if symbol != EOS {
            let length = LENGTHS[symbol as usize] as usize;
            let aligned = canonical.first[length] >> (32 - length);
            codes[symbol as usize] = aligned + (sorted - canonical.rank[length] as usize) as u32;
        }
        sorted += 1;
    }
    codes
}

/// Returns how many octets `encode` appends for `input`.
pub(super) fn encoded_len(input: &[u8]) -> usize {
    let bits: usize = input.iter().map(|&octet| usize::from(LENGTHS[usize::from(octet)])).sum();
    bits.div_ceil(8)
}

/// Appends `input` Huffman-coded and padded with the beginning of EOS.
pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) {
    let mut window = 0_u64;
    let mut valid = 0;
    for &octet in input {
        let length = u32::from(LENGTHS[usize::from(octet)]);
        window = (window << length) | u64::from(CODES[usize::from(octet)]);
        valid += length;
        if valid >= 32 {
            valid -= 32;
            out.extend_from_slice(&((window >> valid) as u32).to_be_bytes());
        }
    }
    // Fewer than 32 bits are left: align them to the top of 32, ones below.
    let last = ((window << (32 - valid)) as u32) | ((1_u64 << (32 - valid)) - 1) as u32;
    out.extend_from_slice(&last.to_be_bytes()[..valid.div_ceil(8) as usize]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(text, &mut out);
        out
    }

    fn decoded(octets: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = b"kept".to_vec();
        let result = decode(octets, &mut out);
        assert_eq!(&out[..4], b"kept");
        result.map(|()| out.split_off(4))
    }

    /// A string of bits, as text, into octets.
    fn octets(bits: &str) -> Vec<u8> {
        let digits: Vec<u8> = bits.bytes().filter(|octet| *octet != b' ').map(|octet| octet - b'0').collect();
        assert_eq!(digits.len() % 8, 0);
        digits.chunks(8).map(|chunk| chunk.iter().fold(0, |octet, bit| octet << 1 | bit)).collect()
    }

    #[test]
    fn derived_codes_agree_with_appendix_b() {
        // One code per length class and the borders of the table, as printed in the RFC.
        for (symbol, code, length) in [
            (0, 0x1ff8, 13),
            (1, 0x7fffd8, 23),
            (10, 0x3ffffffc, 30),
            (22, 0x3ffffffe, 30),
            (b' ', 0x14, 6),
            (b'!', 0x3f8, 10),
            (b'#', 0xffa, 12),
            (b'$', 0x1ff9, 13),
            (b'\'', 0x7fa, 11),
            (b'0', 0, 5),
            (b'9', 0x1f, 6),
            (b'<', 0x7ffc, 15),
            (b'A', 0x21, 6),
            (b'X', 0xfc, 8),
            (b'\\', 0x7fff0, 19),
            (b'^', 0x3ffc, 14),
            (b'a', 3, 5),
            (b'z', 0x7b, 7),
            (b'~', 0x1ffd, 13),
            (127, 0xffffffc, 28),
            (128, 0xfffe6, 20),
            (153, 0x1fffdc, 21),
            (176, 0x1fffe0, 21),
            (199, 0x1ffffec, 25),
            (203, 0x7ffffde, 27),
            (249, 0xffffffe, 28),
            (255, 0x3ffffee, 26),
        ] {
            assert_eq!(
                (CODES[usize::from(symbol)], LENGTHS[usize::from(symbol)]),
                (code, length),
                "{symbol}"
            );
        }
        assert_eq!(CANONICAL.symbols[256], EOS);
        assert_eq!(CANONICAL.end[MAX_BITS], 1 << 32, "the code is complete");
    }

    #[test]
    fn every_symbol_round_trips_alone_and_next_to_every_other() {
        for first in 0..=255_u8 {
            for second in 0..=255_u8 {
                let text = [first, second];
                assert_eq!(decoded(&encoded(&text[..1])), Ok(vec![first]));
                assert_eq!(decoded(&encoded(&text)), Ok(text.to_vec()));
            }
        }
    }

    #[test]
    fn encoded_len_is_what_encode_appends() {
        let text: Vec<u8> = (0..=255).collect();
        for end in 0..=text.len() {
            assert_eq!(encoded(&text[..end]).len(), encoded_len(&text[..end]));
        }
    }

    #[test]
    fn the_empty_string_is_empty() {
        assert_eq!((encoded(b""), decoded(b"")), (vec![], Ok(vec![])));
    }

    #[test]
    fn padding_has_to_be_ones() {
        assert_eq!(decoded(&octets("00011 111")), Ok(b"a".to_vec()));
        for padding in ["000", "001", "010", "011", "100", "101", "110"] {
            assert_eq!(
                decoded(&octets(&format!("00011 {padding}"))),
                Err(Error::InvalidHuffman),
                "{padding}"
            );
        }
    }

    #[test]
    fn seven_bits_of_padding_pass_and_eight_do_not() {
        assert_eq!(decoded(&octets("00000 00000 00000 00000 00000 1111111")), Ok(b"00000".to_vec()));
        assert_eq!(decoded(&[0xff]), Err(Error::InvalidHuffman));
        assert_eq!(decoded(&octets("00011 111 11111111")), Err(Error::InvalidHuffman));
        assert_eq!(
            decoded(&octets("00000 00000 00000 00000 00000 1111111 11111111")),
            Err(Error::InvalidHuffman)
        );
    }

    #[test]
    fn eos_in_the_string_is_refused() {
        let eos = "1".repeat(30);
        assert_eq!(decoded(&octets(&format!("{eos}11"))), Err(Error::InvalidHuffman));
        assert_eq!(decoded(&octets(&format!("00011 {eos} 00011"))), Err(Error::InvalidHuffman));
        assert_eq!(decoded(&[0xff; 64]), Err(Error::InvalidHuffman));
    }

    #[test]
    fn a_code_cut_off_by_the_end_is_refused() {
        for symbol in (0..=255_u8).filter(|symbol| LENGTHS[usize::from(*symbol)] > 8) {
            let octets = encoded(&[symbol]);
            for end in 1..octets.len() {
                assert_eq!(decoded(&octets[..end]), Err(Error::InvalidHuffman), "{end} octets of {symbol}");
            }
        }
    }
}
