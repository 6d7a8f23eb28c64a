//! The hash by which the encoder finds names and fields.
//!
//! It is computed at run time and, for the names that are known beforehand, by the compiler. It need not resist crafted
//! collisions: the tables behind it hold no more entries than fit the peer's dynamic table, hits are compared octet by
//! octet, and a chain is never longer than that.

/// 2^64 divided by the golden ratio, made odd.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Hashes `bytes`, starting from `seed`: 0, or the hash of what stands before.
#[inline]
pub(crate) const fn hash(bytes: &[u8], seed: u64) -> u64 {
    let mut state = seed ^ bytes.len() as u64 ^ MULTIPLIER;
    let mut rest = bytes;
    while let Some((chunk, tail)) = rest.split_first_chunk::<8>() {
        state = fold(state ^ u64::from_le_bytes(*chunk));
        rest = tail;
    }
    let mut last = 0_u64;
    if let Some((chunk, tail)) = rest.split_first_chunk::<4>() {
        last = u32::from_le_bytes(*chunk) as u64;
        rest = tail;
    }
    while let Some((&octet, tail)) = rest.split_first() {
        last = (last << 8) | octet as u64;
        rest = tail;
    }
    fold(state ^ last)
}

/// Both halves of the product, so that every bit of the input reaches the low bits that select a slot.
#[inline]
const fn fold(value: u64) -> u64 {
    let product = value as u128 * MULTIPLIER as u128;
    (product as u64) ^ (product >> 64) as u64
}
