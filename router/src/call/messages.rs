//! The lengths of a stream's messages, read off gRPC's prefixes while the bytes pass.
//!
//! A DATA frame within a message costs a comparison and a subtraction. Nothing is held but a prefix that is not complete.

/// Bytes of a prefix: a flag, and the length in four bytes.
const PREFIX: usize = 5;

/// One direction of a call.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    /// Bytes of the present message that are still to come.
    left: u32,
    prefix: [u8; PREFIX],
    /// Bytes of the prefix that are there.
    known: u8,
    longest: u32,
    /// The first byte of a prefix was none: what passes is no gRPC, and none of our business.
    foreign: bool,
}

impl Messages {
    /// Follows the next bytes of the stream.
    #[inline]
    pub(crate) fn follow(&mut self, data: &[u8]) {
        match u32::try_from(data.len()) {
            Ok(length) if length <= self.left => self.left -= length,
            _ => self.follow_prefixes(data),
        }
    }

    /// The length in bytes of the longest message that has begun.
    pub(crate) fn longest(&self) -> u32 {
        self.longest
    }

    fn follow_prefixes(&mut self, mut data: &[u8]) {
        while !self.foreign {
            let within = data.len().min(self.left as usize);
            // Not more than `left`, which is 32 bits wide.
            self.left -= within as u32;
            data = &data[within..];
            let known = usize::from(self.known);
            let more = data.len().min(PREFIX - known);
            self.prefix[known..known + more].copy_from_slice(&data[..more]);
            data = &data[more..];
            self.known += more as u8;
            if usize::from(self.known) < PREFIX {
                return;
            }
            let [flag, length @ ..] = self.prefix;
            self.known = 0;
            self.left = u32::from_be_bytes(length);
            self.foreign = flag > 1;
            if !self.foreign {
                self.longest = self.longest.max(self.left);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    fn message(length: u32) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(length.to_be_bytes());
        bytes.resize(PREFIX + length as usize, 0xff);
        bytes
    }

    #[test]
    fn the_longest_is_found_however_the_bytes_are_split() {
        let mut rng = StdRng::seed_from_u64(3);
        for _ in 0..300 {
            let lengths: Vec<u32> =
                (0..rng.random_range(1..8)).map(|_| [0, 1, 4, 5, 300][rng.random_range(0..5)]).collect();
            let bytes: Vec<u8> = lengths.iter().flat_map(|&length| message(length)).collect();
            let mut messages = Messages::default();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rng.random_range(0..=rest.len().min(12)));
                messages.follow(piece);
                rest = after;
            }
            assert_eq!(messages.longest(), *lengths.iter().max().unwrap(), "{lengths:?}");
            assert_eq!((messages.left, messages.known), (0, 0));
        }
    }

    #[test]
    fn a_length_is_known_with_its_prefix_and_the_first_bytes_decide_what_is_grpc() {
        let mut messages = Messages::default();
        messages.follow(&[1, 0xff, 0xff, 0xff]);
        assert_eq!(messages.longest(), 0);
        messages.follow(&[0xff]);
        assert_eq!(messages.longest(), u32::MAX);
        let mut html = Messages::default();
        html.follow(b"<html>not found</html>");
        html.follow(&message(7));
        assert_eq!(html.longest(), 0);
    }
}
