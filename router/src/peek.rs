//! Step 5a: finds the routing ID in the first message, in place, while it arrives.
//!
//! [`Peek`] reads the bytes of a gRPC stream in any split and follows the protobuf wire format of the first
//! message just far enough to capture two top-level string fields: the ID and the affinity key. Nothing is
//! decoded and nothing is held but these two values. The last occurrence of a field wins, as protobuf says, so
//! the scan goes on to the end of the message. A message longer than [`Limits::decide_bytes`] is routed by what
//! was seen until then; the rest is still watched while it streams by, because a different ID further back would
//! make the backend act on another name than the one the call was routed (and authorized) by.
//!
//! A compressed message is collected up to the same bound and inflated for the scan only.

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use std::io::Read;

/// Longest ID that is captured; anything longer is ill-formed anyway (63 + '@' + version).
const ID_MAX: usize = 256;
/// Longest affinity key that is captured; longer ones hash by this prefix.
const AFFINITY_MAX: usize = 1024;

/// What to look for and how far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    /// Field number of the ID; 0 = none.
    pub(crate) id_field: u32,
    /// Field number of the affinity key; 0 = none.
    pub(crate) affinity_field: u32,
    /// Message bytes after which the scan must have decided.
    pub(crate) decide_bytes: usize,
}

/// Why a first message cannot be routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PeekError {
    #[error("the first message is not valid protobuf")]
    Malformed,
    #[error("the compression flag of the first message is neither 0 nor 1")]
    BadFlag,
    #[error("the first message is compressed in a way that the router cannot read for its ID")]
    Encoding,
    #[error("the first message names different IDs")]
    Ambiguous,
}

/// How far the scan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Not decided yet.
    NeedMore,
    /// The values may be read; the message may still be streaming by.
    Decided,
}

/// The compression of the request's messages (`grpc-encoding`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Encoding {
    #[default]
    Identity,
    Gzip,
    Deflate,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Bytes of the 5-byte message prefix seen so far.
    Prefix(u8),
    /// In a field's tag.
    Tag,
    /// In a varint value.
    Varint,
    /// In the length of a length-delimited field.
    Length,
    /// That many bytes are of no interest.
    Skip(u64),
    /// That many bytes belong to the ID (`true`) or to the affinity key.
    Capture(u64, bool),
    /// Collecting a compressed message.
    Compressed,
    /// The first message is over.
    Done,
}

/// The scanner of one call.
#[derive(Debug)]
pub(crate) struct Peek {
    limits: Limits,
    encoding: Encoding,
    state: State,
    prefix: [u8; 5],
    /// Bytes of the message that are still to come.
    left: u64,
    seen: usize,
    /// The varint being read, its shift, and the tag it belongs to.
    varint: u64,
    shift: u32,
    tag: u64,
    /// Open groups (deprecated wire types 3 and 4), which are skipped.
    depth: u32,
    id: Vec<u8>,
    id_too_long: bool,
    affinity: Vec<u8>,
    compressed: Vec<u8>,
    /// The ID that the call was routed by, once it is.
    routed: Option<Vec<u8>>,
}

impl Peek {
    pub(crate) fn new(limits: Limits, encoding: Encoding) -> Self {
        Peek {
            limits,
            encoding,
            state: State::Prefix(0),
            prefix: [0; 5],
            left: 0,
            seen: 0,
            varint: 0,
            shift: 0,
            tag: 0,
            depth: 0,
            id: Vec::new(),
            id_too_long: false,
            affinity: Vec::new(),
            compressed: Vec::new(),
            routed: None,
        }
    }

    /// The ID captured so far; empty if the field did not occur.
    pub(crate) fn id(&self) -> &[u8] {
        &self.id
    }

    /// Whether the ID was longer than any valid one (it is cut then).
    pub(crate) fn id_too_long(&self) -> bool {
        self.id_too_long
    }

    /// The affinity key captured so far; empty if there is none.
    pub(crate) fn affinity(&self) -> &[u8] {
        &self.affinity
    }

    /// Whether the values may be read.
    pub(crate) fn is_decided(&self) -> bool {
        self.routed.is_some()
    }

    /// Whether the whole first message went by.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Reads the next bytes of the stream. After `Decided` it may be called on, to watch the rest of the message:
    /// an ID that differs from the decided one is then [`PeekError::Ambiguous`].
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<Progress, PeekError> {
        while !bytes.is_empty() {
            match self.state {
                State::Done => break,
                State::Prefix(n) => {
                    self.prefix[n as usize] = bytes[0];
                    bytes = &bytes[1..];
                    self.state = State::Prefix(n + 1);
                    if n == 4 {
                        self.start_message()?;
                    }
                }
                State::Compressed => {
                    let take = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                    let room = self.limits.decide_bytes.saturating_sub(self.compressed.len());
                    self.compressed.extend_from_slice(&bytes[..take.min(room)]);
                    bytes = &bytes[take..];
                    self.left -= take as u64;
                    if self.left == 0 || self.compressed.len() >= self.limits.decide_bytes {
                        self.inflate()?;
                        self.state = State::Done;
                    }
                }
                _ => {
                    let take = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                    let used = self.scan(&bytes[..take])?;
                    bytes = &bytes[used..];
                    self.left -= used as u64;
                    self.seen = self.seen.saturating_add(used);
                    if self.left == 0 {
                        self.end_message()?;
                    }
                }
            }
        }
        if self.routed.is_none() && (self.state == State::Done || self.seen >= self.limits.decide_bytes) {
            self.routed = Some(self.id.clone());
        }
        Ok(if self.routed.is_some() { Progress::Decided } else { Progress::NeedMore })
    }

    fn start_message(&mut self) -> Result<(), PeekError> {
        let length = u32::from_be_bytes([self.prefix[1], self.prefix[2], self.prefix[3], self.prefix[4]]);
        self.left = u64::from(length);
        self.state = match self.prefix[0] {
            0 => State::Tag,
            1 if self.encoding == Encoding::Other || self.encoding == Encoding::Identity => {
                return Err(PeekError::Encoding);
            }
            1 => State::Compressed,
            _ => return Err(PeekError::BadFlag),
        };
        if length == 0 {
            self.state = State::Done;
        }
        Ok(())
    }

    fn end_message(&mut self) -> Result<(), PeekError> {
        if self.state != State::Tag || self.shift != 0 || self.depth != 0 {
            return Err(PeekError::Malformed);
        }
        self.state = State::Done;
        Ok(())
    }

    /// Follows the wire format over `bytes`, all of which belong to the message; returns how many it took.
    fn scan(&mut self, bytes: &[u8]) -> Result<usize, PeekError> {
        let mut at = 0;
        while at < bytes.len() {
            match self.state {
                State::Skip(n) => {
                    let take = (bytes.len() - at).min(usize::try_from(n).unwrap_or(usize::MAX));
                    at += take;
                    self.state = after(n - take as u64, State::Skip);
                }
                State::Capture(n, is_id) => {
                    let take = (bytes.len() - at).min(usize::try_from(n).unwrap_or(usize::MAX));
                    let (value, max) =
                        if is_id { (&mut self.id, ID_MAX) } else { (&mut self.affinity, AFFINITY_MAX) };
                    let room = max.saturating_sub(value.len()).min(take);
                    value.extend_from_slice(&bytes[at..at + room]);
                    self.id_too_long |= is_id && room < take;
                    at += take;
                    self.state = after(n - take as u64, |n| State::Capture(n, is_id));
                    if is_id && self.state == State::Tag {
                        self.check_id()?;
                    }
                }
                _ => {
                    let byte = bytes[at];
                    at += 1;
                    // Ten bytes at the most, and the tenth may carry one bit only.
                    if self.shift == 63 && byte > 1 {
                        return Err(PeekError::Malformed);
                    }
                    self.varint |= u64::from(byte & 0x7f) << self.shift;
                    if byte & 0x80 != 0 {
                        self.shift += 7;
                        continue;
                    }
                    let value = std::mem::take(&mut self.varint);
                    self.shift = 0;
                    self.varint_done(value)?;
                }
            }
        }
        Ok(at)
    }

    fn varint_done(&mut self, value: u64) -> Result<(), PeekError> {
        self.state = match self.state {
            State::Tag => {
                let field = value >> 3;
                if field == 0 || field > 0x1fff_ffff {
                    return Err(PeekError::Malformed);
                }
                self.tag = value;
                match value & 7 {
                    0 => State::Varint,
                    1 => State::Skip(8),
                    2 => State::Length,
                    3 => {
                        self.depth += 1;
                        State::Tag
                    }
                    4 if self.depth > 0 => {
                        self.depth -= 1;
                        State::Tag
                    }
                    5 => State::Skip(4),
                    _ => return Err(PeekError::Malformed),
                }
            }
            State::Length => self.field(value)?,
            _ => State::Tag,
        };
        Ok(())
    }

    /// A length-delimited field of `length` bytes begins.
    fn field(&mut self, length: u64) -> Result<State, PeekError> {
        let field = self.tag >> 3;
        let is_id = field == u64::from(self.limits.id_field);
        if self.depth > 0 || !(is_id || field == u64::from(self.limits.affinity_field)) {
            return Ok(after(length, State::Skip));
        }
        if is_id {
            self.id.clear();
            self.id_too_long = false;
            if length == 0 {
                self.check_id()?;
            }
        } else {
            self.affinity.clear();
        }
        Ok(after(length, |n| State::Capture(n, is_id)))
    }

    /// After the decision, an ID must be the decided one.
    fn check_id(&self) -> Result<(), PeekError> {
        match &self.routed {
            Some(routed) if *routed != self.id => Err(PeekError::Ambiguous),
            _ => Ok(()),
        }
    }

    /// Scans what inflates from the collected bytes, up to the same bound.
    fn inflate(&mut self) -> Result<(), PeekError> {
        let compressed = std::mem::take(&mut self.compressed);
        let whole = self.left == 0;
        let mut plain = Vec::new();
        let bound = self.limits.decide_bytes as u64;
        let read = match self.encoding {
            Encoding::Gzip => MultiGzDecoder::new(compressed.as_slice()).take(bound).read_to_end(&mut plain),
            _ => ZlibDecoder::new(compressed.as_slice()).take(bound).read_to_end(&mut plain),
        };
        // A cut input ends in an error; what came out before it counts.
        if whole && read.is_err() {
            return Err(PeekError::Encoding);
        }
        let complete = whole && plain.len() < self.limits.decide_bytes;
        self.state = State::Tag;
        self.scan(&plain)?;
        if complete { self.end_message() } else { Ok(()) }
    }
}

/// The state after `n` bytes are left of a field: the next tag if none are.
fn after(n: u64, state: impl FnOnce(u64) -> State) -> State {
    if n == 0 { State::Tag } else { state(n) }
}

#[cfg(test)]
mod tests;
