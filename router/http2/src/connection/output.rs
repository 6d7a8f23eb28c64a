//! The bytes that wait for the socket: one buffer with a start mark, compacted as it drains.

use super::event::StreamId;
use crate::frame::{self, HEADER_LEN, flag};

/// Capacity that an empty output keeps: two frames of the default size. More goes back to the allocator, so that ten
/// thousand idle connections do not hold what each needed once.
const KEEP: usize = 32 << 10;

/// DATA payload of one frame at most, whatever the peer accepts: streams take turns frame by frame.
pub(super) const DATA_FRAME_MAX: usize = 16 << 10;

/// The output buffer of a connection.
#[derive(Debug, Default)]
pub(super) struct Output {
    buf: Vec<u8>,
    start: usize,
    /// DATA never joins a frame.
    apart: bool,
    /// The latest DATA frame.
    latest: DataFrame,
    /// About how many of the bytes are answers that the peer alone caused (acknowledgements, refusals).
    control: usize,
}

/// A DATA frame in the buffer.
#[derive(Clone, Copy, Debug, Default)]
struct DataFrame {
    /// 0 if there is none, or END_STREAM is set.
    stream: StreamId,
    start: usize,
    end: usize,
}

impl Output {
    /// Makes an empty one. `join`: DATA may join the frame before it.
    pub(super) fn new(join: bool) -> Self {
        Self { apart: !join, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.buf.len() - self.start
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.buf[self.start..]
    }

    /// Returns the buffer for appending, moved to the front if at least half of it is used up (so each byte moves once).
    #[inline]
    pub(super) fn tail(&mut self) -> &mut Vec<u8> {
        if self.start > 4096 && self.start * 2 >= self.buf.len() {
            self.buf.copy_within(self.start.., 0);
            self.buf.truncate(self.buf.len() - self.start);
            self.start = 0;
            self.latest = DataFrame::default();
        }
        &mut self.buf
    }

    /// Appends DATA of at most [`DATA_FRAME_MAX`] bytes. If the last frame is of the same stream, and the socket has taken
    /// nothing of it, it grows instead: peers pay per frame, and some count small ones as an attack.
    #[inline]
    pub(super) fn data(&mut self, stream: StreamId, data: &[u8], end_stream: bool) {
        let out = self.tail();
        let end = out.len();
        let latest = self.latest;
        let len = latest.end - latest.start + data.len();
        let grows = latest.stream == stream
            && !self.apart
            && latest.end == end
            && latest.start >= self.start
            && len <= HEADER_LEN + DATA_FRAME_MAX;
        let start = if grows { latest.start } else { end };
        if grows {
            self.buf.extend_from_slice(data);
            let length = ((len - HEADER_LEN) as u32).to_be_bytes();
            self.buf[start..start + 3].copy_from_slice(&length[1..]);
            self.buf[start + 4] = if end_stream { flag::END_STREAM } else { 0 };
        } else {
            frame::write_data(&mut self.buf, stream, data, end_stream);
        }
        let stream = if end_stream { 0 } else { stream };
        self.latest = DataFrame { stream, start, end: self.buf.len() };
    }

    pub(super) fn consume(&mut self, n: usize) {
        let len = self.len();
        let n = n.min(len);
        if n == len {
            self.control = 0;
            self.start = 0;
            self.latest = DataFrame::default();
            self.buf.clear();
            if self.buf.capacity() > KEEP {
                self.buf = Vec::new();
            }
        } else {
            // Where the answers lie is not recorded: each part of the output is taken to hold its share of them.
            self.control -= self.control * n / len;
            self.start += n;
        }
    }

    /// Accounts `bytes` of answers; false if more than `max` wait already, that is if the peer asks and does not read.
    pub(super) fn account_control(&mut self, bytes: usize, max: usize) -> bool {
        self.control += bytes;
        self.control <= max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stay_in_order_over_compaction() {
        let mut output = Output::default();
        let (mut next, mut expect) = (0_u8, 0_u8);
        for round in 0..2000_usize {
            for _ in 0..(round * 37) % 211 {
                output.tail().push(next);
                next = next.wrapping_add(1);
            }
            let n = output.len() / 2;
            for byte in &output.bytes()[..n] {
                assert_eq!(*byte, expect);
                expect = expect.wrapping_add(1);
            }
            output.consume(n);
        }
        assert!(output.buf.len() < 16 << 10, "consumed bytes are not kept");
    }

    #[test]
    fn data_of_one_stream_shares_a_frame_until_the_socket_takes_some() {
        let mut output = Output::default();
        output.data(1, b"ab", false);
        output.data(1, b"cd", false);
        output.data(3, b"x", false);
        output.data(3, b"", true);
        output.data(3, b"never by a caller", false);
        let mut expected = Vec::new();
        frame::write_data(&mut expected, 1, b"abcd", false);
        frame::write_data(&mut expected, 3, b"x", true);
        frame::write_data(&mut expected, 3, b"never by a caller", false);
        assert_eq!(output.bytes(), expected);

        output.consume(expected.len() - 1);
        output.data(3, b"z", false);
        let mut rest = b"r".to_vec();
        frame::write_data(&mut rest, 3, b"z", false);
        assert_eq!(output.bytes(), rest);
        output.data(3, &[0; DATA_FRAME_MAX], false);
        frame::write_data(&mut rest, 3, &[0; DATA_FRAME_MAX], false);
        assert_eq!(output.bytes(), rest);
    }

    #[test]
    fn empty_output_gives_its_memory_back() {
        let mut output = Output::default();
        output.tail().resize(1 << 20, 0);
        output.consume(1 << 20);
        assert!(output.buf.capacity() <= KEEP);
    }

    #[test]
    fn control_share_shrinks_as_the_output_drains() {
        let mut output = Output::default();
        output.tail().resize(1000, 0);
        assert!(output.account_control(100, 100));
        assert!(!output.account_control(1, 100));
        output.consume(500);
        assert!(output.account_control(49, 100));
        output.consume(500);
        assert!(output.account_control(100, 100));
    }
}
