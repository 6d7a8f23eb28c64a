//! The usual case: the first message came whole, in one piece, and is not compressed. It is read where it lies.

use super::{
    Limits,
    scanner::{AFFINITY_MAX, ID_MAX},
};

/// The values of a message; empty where a field did not occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Glance<'m> {
    pub(crate) id: &'m [u8],
    pub(crate) affinity: &'m [u8],
}

/// Reads the first message of a stream that begins with `bytes`. `None` says nothing of it but that [`super::Peek`] has to
/// look: it did not come whole, is compressed, too long, ill-formed, or holds something as rare as a group.
pub(crate) fn glance(limits: Limits, bytes: &[u8]) -> Option<Glance<'_>> {
    let (prefix, rest) = bytes.split_first_chunk::<5>()?;
    let [flag, length @ ..] = *prefix;
    let length = u32::from_be_bytes(length) as usize;
    if flag != 0 || length > limits.decide_bytes {
        return None;
    }
    let mut message = rest.get(..length)?;
    let mut found = Glance { id: &[], affinity: &[] };
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        let field = tag >> 3;
        if field == 0 || field > 0x1fff_ffff {
            return None;
        }
        let length = match tag & 7 {
            0 => {
                varint(&mut message)?;
                continue;
            }
            1 => 8,
            2 => varint(&mut message)?,
            5 => 4,
            _ => return None,
        };
        let (value, after) = message.split_at_checked(usize::try_from(length).ok()?)?;
        message = after;
        if tag & 7 != 2 {
            continue;
        }
        if field == u64::from(limits.id_field) {
            found.id = value;
        } else if field == u64::from(limits.affinity_field) {
            found.affinity = value;
        }
    }
    (found.id.len() <= ID_MAX && found.affinity.len() <= AFFINITY_MAX).then_some(found)
}

/// Takes a varint off the front; one of more than nine bytes is left to the scanner.
#[inline]
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (at, &byte) in bytes.iter().enumerate().take(9) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            *bytes = &bytes[at + 1..];
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peek::{Encoding, Peek, Progress};
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    const LIMITS: Limits = Limits { id_field: 2, affinity_field: 1, decide_bytes: 4_096 };

    fn message(body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend(body);
        bytes
    }

    /// Whatever it says, the scanner says as well.
    fn agrees(bytes: &[u8]) -> bool {
        let Some(found) = glance(LIMITS, bytes) else { return false };
        let mut peek = Peek::new(LIMITS, Encoding::Identity);
        assert_eq!(peek.push(bytes), Ok(Progress::Decided), "{bytes:?}");
        assert_eq!((found.id, found.affinity), (peek.id(), peek.affinity()), "{bytes:?}");
        assert!(peek.is_done() && !peek.id_too_long());
        true
    }

    #[test]
    fn a_whole_message_is_read_where_it_lies() {
        let bytes = message(b"\x0a\x03key\x18\x96\x01\x12\x04echo\x1a\x00\x25abcd\x29abcdefgh");
        let found = glance(LIMITS, &bytes).unwrap();
        assert_eq!((found.id, found.affinity), (&b"echo"[..], &b"key"[..]));
        assert!(agrees(&bytes) && agrees(&message(b"")) && agrees(&message(b"\x12\x01a\x12\x01b")));
    }

    #[test]
    fn everything_else_is_left_to_the_scanner() {
        let mut compressed = message(b"\x12\x04echo");
        compressed[0] = 1;
        let whole = message(b"\x12\x04echo");
        for bytes in [&b""[..], &b"\0\0\0"[..], &whole[..whole.len() - 1], &compressed] {
            assert_eq!(glance(LIMITS, bytes), None, "{bytes:?}");
        }
        for body in [&b"\x12\x05echo"[..], b"\x0b\x0c", b"\x00", b"\x80", b"\x16"] {
            assert_eq!(glance(LIMITS, &message(body)), None, "{body:?}");
        }
        let long = [&b"\x12\x81\x02"[..], &[b'a'; 257]].concat();
        assert_eq!(glance(LIMITS, &message(&long)), None);
        assert_eq!(glance(LIMITS, &message(&[0x18; 5_000])), None);
    }

    #[test]
    fn it_never_differs_from_the_scanner() {
        let mut rng = StdRng::seed_from_u64(11);
        let (mut read, pieces) =
            (0, [&b"\x12\x04echo"[..], b"\x0a\x02ab", b"\x18\x05", b"\x1d1234", b"\x12\x00"]);
        for _ in 0..20_000 {
            let mut body = Vec::new();
            for _ in 0..rng.random_range(0..6) {
                body.extend_from_slice(pieces[rng.random_range(0..pieces.len())]);
            }
            for _ in 0..rng.random_range(0..3) {
                if !body.is_empty() {
                    let at = rng.random_range(0..body.len());
                    body[at] = rng.random();
                }
            }
            read += u32::from(agrees(&message(&body)));
        }
        assert!(read > 5_000, "{read}");
    }
}
