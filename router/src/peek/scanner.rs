//! Follows the protobuf wire format and captures two top-level fields.

use super::{Limits, PeekError};
use std::io::{self, Write};

/// Longest ID that is captured; anything longer is ill-formed anyway (63 + '@' + version).
pub(super) const ID_MAX: usize = 256;
/// Longest affinity key that is captured; longer ones hash by this prefix.
pub(super) const AFFINITY_MAX: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
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
}

/// The bytes of one message, in any split.
#[derive(Debug)]
pub(super) struct Scanner {
    limits: Limits,
    state: State,
    /// Bytes scanned, and the most that may be.
    pub(super) seen: u64,
    pub(super) seen_max: u64,
    /// The varint being read, its shift, and the tag it belongs to.
    varint: u64,
    shift: u32,
    tag: u64,
    /// Open groups (deprecated wire types 3 and 4), which are skipped.
    depth: u32,
    pub(super) id: Vec<u8>,
    pub(super) id_too_long: bool,
    pub(super) affinity: Vec<u8>,
    /// The ID that the call was routed by, once it is.
    routed: Option<Vec<u8>>,
}

impl Scanner {
    pub(super) fn new(limits: Limits) -> Self {
        Scanner {
            limits,
            state: State::Tag,
            seen: 0,
            seen_max: u64::MAX,
            varint: 0,
            shift: 0,
            tag: 0,
            depth: 0,
            id: Vec::new(),
            id_too_long: false,
            affinity: Vec::new(),
            routed: None,
        }
    }

    /// The call is routed by the ID as it is now: another one is refused from here on.
    pub(super) fn route(&mut self) {
        self.routed = Some(self.id.clone());
    }

    /// Whether the message may end here.
    pub(super) fn check_end(&self) -> Result<(), PeekError> {
        match self.state == State::Tag && self.shift == 0 && self.depth == 0 {
            true => Ok(()),
            false => Err(PeekError::Malformed),
        }
    }

    /// Follows the wire format over the message's next bytes.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<(), PeekError> {
        self.seen += bytes.len() as u64;
        if self.seen > self.seen_max {
            return Err(PeekError::Bomb);
        }
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
        Ok(())
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
}

/// For the decoders, which write what they inflate.
impl Write for Scanner {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.scan(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The state after `n` bytes are left of a field: the next tag if none are.
fn after(n: u64, state: impl FnOnce(u64) -> State) -> State {
    if n == 0 { State::Tag } else { state(n) }
}
