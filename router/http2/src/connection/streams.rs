//! The stream table (RFC 9113 section 5.1) and the memory of what was closed lately.
//!
//! A stream is in the table from its HEADERS until both sides are closed or it is reset. What is not in the table is idle
//! (identifier not used yet) or closed; frames of closed streams are judged by how they were closed:
//!
//! | closed by | late HEADERS or DATA |
//! |---|---|
//! | END_STREAM of both sides | connection error STREAM_CLOSED |
//! | our RST_STREAM | ignored: the peer may not have seen it yet |
//! | the peer's RST_STREAM | stream error STREAM_CLOSED |
//! | a higher identifier (never used) | connection error PROTOCOL_ERROR |
//! | forgotten | ignored |

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use slab::Slab;

use super::event::StreamId;
use super::flow::{RecvWindow, SendWindow};
use super::pending::Pending;

/// Resets that are remembered. At a thousand cancelled calls per second this is a second of late frames.
const RECENT_MAX: usize = 1024;

/// Table capacity that an idle connection keeps, in streams.
const TABLE_KEEP: usize = 256;

/// What the peer may still send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recv {
    /// The response's header section (client role).
    Headers,
    /// DATA and trailers.
    Body,
    /// Nothing: END_STREAM was received.
    Closed,
}

/// What we may still send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Send {
    /// The response's header section (server role).
    Headers,
    /// DATA and trailers.
    Body,
    /// Nothing more is accepted from the caller, but pending bytes are not written yet.
    Ending,
    /// END_STREAM was written.
    Closed,
}

/// One open stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    pub(super) recv: Recv,
    pub(super) send: Send,
    /// True while the stream stands in the queue of streams that can send.
    pub(super) queued: bool,
    /// True if responses have no content whatever they announce: HEAD.
    pub(super) no_content: bool,
    /// Interim (1xx) responses that came.
    pub(super) interim: u8,
    pub(super) send_window: SendWindow,
    pub(super) recv_window: RecvWindow,
    pub(super) key: usize,
    /// Bytes of DATA that are still to come by `content-length`; `u64::MAX` if it was not given.
    pub(super) content_left: u64,
    pub(super) pending: Option<Box<Pending>>,
}

impl Stream {
    /// Returns how many bytes the peer has been sent and has not given window back for, as far as its stream windows tell.
    pub(super) fn outstanding(&self, peer_initial: u32) -> usize {
        usize::try_from(i64::from(peer_initial) - self.send_window.size()).unwrap_or(0)
    }

    /// Returns how many DATA bytes are pending.
    pub(super) fn pending_len(&self) -> usize {
        self.pending.as_ref().map_or(0, |p| p.len())
    }

    /// Accounts received content; false if there is more than, or at the end less than, `content-length` said.
    #[inline]
    pub(super) fn account_content(&mut self, len: usize, end: bool) -> bool {
        if self.content_left == u64::MAX {
            return true;
        }
        match self.content_left.checked_sub(len as u64) {
            Some(left) => {
                self.content_left = left;
                !end || left == 0
            }
            None => false,
        }
    }
}

/// How a stream that is not in the table came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// END_STREAM in both directions.
    EndStream,
    /// We sent RST_STREAM.
    ByUs,
    /// The peer sent RST_STREAM.
    ByPeer,
    /// A higher identifier was used first.
    Skipped,
    /// Too long ago to know.
    Forgotten,
}

/// The streams of a connection.
#[derive(Debug, Default)]
pub(super) struct Streams {
    slab: Slab<Stream>,
    ids: HashMap<StreamId, usize, BuildHasherDefault<IdHasher>>,
    /// The latest resets, oldest first; the top bit says that we sent it.
    recent: VecDeque<u32>,
    /// The highest identifier that was dropped from `recent`.
    forgotten: StreamId,
    /// The latest identifiers that were skipped, exclusive at both ends.
    skipped: (StreamId, StreamId),
}

const BY_US: u32 = 1 << 31;

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    #[inline]
    pub(super) fn find(&self, id: StreamId) -> Option<usize> {
        self.ids.get(&id).copied()
    }

    #[inline]
    pub(super) fn get(&self, id: StreamId) -> Option<&Stream> {
        self.find(id).map(|index| &self.slab[index])
    }

    pub(super) fn insert(&mut self, stream: Stream) -> usize {
        let id = stream.id;
        let index = self.slab.insert(stream);
        self.ids.insert(id, index);
        index
    }

    /// Takes a stream out of the table; `by` says how it ended.
    pub(super) fn remove(&mut self, index: usize, by: Closed) -> Stream {
        let stream = self.slab.remove(index);
        self.ids.remove(&stream.id);
        self.remember(stream.id, by);
        if self.slab.is_empty() && self.slab.capacity() > TABLE_KEEP {
            self.slab = Slab::new();
            self.ids = HashMap::default();
        }
        stream
    }

    /// Remembers the end of a stream that never was in the table, or of one that leaves it.
    pub(super) fn remember(&mut self, id: StreamId, by: Closed) {
        let entry = match by {
            Closed::ByUs => id | BY_US,
            Closed::ByPeer => id,
            Closed::EndStream | Closed::Skipped | Closed::Forgotten => return,
        };
        if self.recent.len() == RECENT_MAX
            && let Some(oldest) = self.recent.pop_front()
        {
            self.forgotten = self.forgotten.max(oldest & !BY_US);
        }
        self.recent.push_back(entry);
    }

    /// Notes that the peer went from stream `from` to `to`.
    pub(super) fn note_skipped(&mut self, from: StreamId, to: StreamId) {
        self.skipped = (from, to);
    }

    /// Says how a stream that is neither in the table nor idle was closed.
    pub(super) fn closed(&self, id: StreamId) -> Closed {
        if let Some(entry) = self.recent.iter().rev().find(|entry| **entry & !BY_US == id) {
            return if entry & BY_US != 0 { Closed::ByUs } else { Closed::ByPeer };
        }
        if self.skipped.0 < id && id < self.skipped.1 {
            return Closed::Skipped;
        }
        if id <= self.forgotten { Closed::Forgotten } else { Closed::EndStream }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.slab.iter().map(|(_, stream)| stream)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Stream)> {
        self.slab.iter_mut()
    }
}

impl std::ops::Index<usize> for Streams {
    type Output = Stream;

    #[inline]
    fn index(&self, index: usize) -> &Stream {
        &self.slab[index]
    }
}

impl std::ops::IndexMut<usize> for Streams {
    #[inline]
    fn index_mut(&mut self, index: usize) -> &mut Stream {
        &mut self.slab[index]
    }
}

/// Hashes one `u32` by multiplication; the high half is folded in, because identifiers that differ in high bits only
/// would otherwise share a bucket. A peer that looks for collisions is bounded by the number of streams.
#[derive(Debug, Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    #[inline]
    fn write_u32(&mut self, id: u32) {
        let product = u64::from(id.rotate_right(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ product >> 32;
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte) ^ self.0 as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_of_a_stream_stays_small() {
        assert!(size_of::<Stream>() <= 64, "{}", size_of::<Stream>());
    }

    #[test]
    fn resets_are_remembered_within_bounds_and_then_forgotten() {
        let mut streams = Streams::default();
        for n in 0..5000_u32 {
            streams.remember(n * 2 + 1, if n % 2 == 0 { Closed::ByUs } else { Closed::ByPeer });
        }
        assert_eq!(streams.recent.len(), RECENT_MAX);
        assert_eq!(streams.closed(9999), Closed::ByPeer);
        assert_eq!(streams.closed(9997), Closed::ByUs);
        assert_eq!(streams.closed(1), Closed::Forgotten);
        assert_eq!(streams.closed(10_001), Closed::EndStream);
    }
}
