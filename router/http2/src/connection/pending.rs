//! What a stream has to send and may not yet: a queue of blocks, so that memory follows what waits.
//!
//! One growing buffer would hold up to twice what it was asked to, move every byte each time it grows, and give nothing
//! back until it is empty. A hundred stalled readers at 1 MiB each would feel that.

use std::collections::VecDeque;

use crate::Headers;

/// Bytes of a block: one DATA frame.
const BLOCK: usize = 16 << 10;

/// Memory of the first block of a stream that has little to wait.
const SMALLEST: usize = 256;

/// What waits for windows or for room in the output.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// None is empty.
    blocks: VecDeque<Vec<u8>>,
    /// Where the first block begins.
    start: usize,
    len: usize,
    /// The trailers that follow the data; empty if there are none.
    pub(super) trailers: Headers,
}

impl Pending {
    /// Returns how many bytes of data wait.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns the next bytes, at most a block of them; empty if none wait.
    #[inline]
    pub(super) fn next(&self) -> &[u8] {
        self.blocks.front().map_or(&[], |block| &block[self.start..])
    }

    pub(super) fn push(&mut self, mut data: &[u8]) {
        self.len += data.len();
        if let Some(last) = self.blocks.back_mut() {
            let n = data.len().min(BLOCK - last.len());
            last.extend_from_slice(&data[..n]);
            data = &data[n..];
        }
        while !data.is_empty() {
            let n = data.len().min(BLOCK);
            // Powers of two, so that growing by doubling ends at a whole block.
            let mut block = Vec::with_capacity(n.next_power_of_two().max(SMALLEST));
            block.extend_from_slice(&data[..n]);
            self.blocks.push_back(block);
            data = &data[n..];
        }
    }

    /// Drops the first `n` of [`Pending::next`]'s bytes.
    pub(super) fn consume(&mut self, n: usize) {
        self.start += n;
        self.len -= n;
        if self.blocks.front().is_some_and(|block| self.start == block.len()) {
            self.start = 0;
            self.blocks.pop_front();
        }
    }

    /// Drops all data.
    pub(super) fn clear(&mut self) {
        self.blocks.clear();
        self.start = 0;
        self.len = 0;
    }

    /// Empties it for its next stream.
    pub(super) fn recycle(&mut self) {
        self.clear();
        self.trailers.clear();
        self.trailers.shrink(1024);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in_whatever_the_pieces() {
        let mut pending = Pending::default();
        let (mut next, mut expect) = (0_usize, 0_usize);
        for round in 0..3000_usize {
            let piece: Vec<u8> = (next..next + round * 37 % 40_001 / 4).map(|n| n as u8).collect();
            next += piece.len();
            pending.push(&piece);
            let n = pending.next().len().min(round * 53 % 20_000);
            assert!(pending.next().iter().enumerate().all(|(at, byte)| *byte == (expect + at) as u8));
            pending.consume(n);
            expect += n;
            assert_eq!(pending.len(), next - expect);
        }
        while pending.len() > 0 {
            assert!(pending.next().iter().enumerate().all(|(at, byte)| *byte == (expect + at) as u8));
            let n = pending.next().len();
            assert!(n > 0);
            pending.consume(n);
            expect += n;
        }
        assert_eq!(expect, next);
        assert!(pending.next().is_empty());
    }

    #[test]
    fn memory_follows_what_waits() {
        let mut pending = Pending::default();
        for _ in 0..10_000 {
            pending.push(&[7; 100]);
        }
        let held = |pending: &Pending| pending.blocks.iter().map(Vec::capacity).sum::<usize>();
        assert!(held(&pending) <= 1_000_000 + BLOCK, "{}", held(&pending));
        while pending.len() > 1_000 {
            let n = pending.next().len().min(999);
            pending.consume(n);
        }
        assert!(held(&pending) <= 2 * BLOCK, "{}", held(&pending));
    }
}
