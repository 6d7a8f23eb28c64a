//! Step 5a: finds the routing ID in the first message, in place, while it arrives.
//!
//! [`Peek`] reads the bytes of a gRPC stream in any split and follows the protobuf wire format of the first
//! message just far enough to capture two top-level string fields: the ID and the affinity key. Nothing is
//! decoded and nothing is held but these two values. The last occurrence of a field wins, as protobuf says, so
//! the scan goes on to the end of the message. A message longer than [`Limits::decide_bytes`] is routed by what
//! was seen until then; the rest is still watched while it streams by, because a different ID further back would
//! make the backend act on another name than the one the call was routed (and authorized) by.
//!
//! A compressed message is inflated for the scan only, a few KiB at a time, and to its end as well. What inflates to far
//! more than was sent is refused, so that a small message cannot keep the thread busy; and so is anything that two
//! decoders might read differently, such as a second gzip member, which some servers append and others ignore.

mod glance;
mod scanner;

pub(crate) use glance::glance;

use flate2::write::{GzDecoder, ZlibDecoder};
use scanner::Scanner;
use std::io::{self, Write};

/// A compressed message may inflate to this many times [`Limits::decide_bytes`] whatever its size, which takes half a
/// millisecond, ...
const INFLATE_FREE: u64 = 8;
/// ... and beyond that to this many times the bytes that were sent: text reaches 20, a bomb 1,000.
const INFLATE_RATIO: u64 = 64;

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
    #[error("the first message inflates to more than {INFLATE_RATIO} times its size")]
    Bomb,
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

/// The first message, as it is scanned.
#[derive(Debug)]
enum Body {
    Plain(Scanner),
    Gzip(Box<GzDecoder<Scanner>>),
    Deflate(Box<ZlibDecoder<Scanner>>),
}

/// How far a call is with the search for its ID.
#[derive(Debug, Default)]
pub(crate) enum Search {
    /// Nothing is looked for, or it is all seen.
    #[default]
    Over,
    /// Nothing came yet.
    Due(Limits, Encoding),
    /// The message is being scanned.
    Under(Box<Peek>),
}

/// The scanner of one call.
#[derive(Debug)]
pub(crate) struct Peek {
    limits: Limits,
    encoding: Encoding,
    /// The 5-byte message prefix, and how many bytes of it came.
    prefix: [u8; 5],
    prefix_len: usize,
    /// Bytes of the message that came, and that are still to come.
    came: u64,
    left: u64,
    body: Body,
    decided: bool,
    done: bool,
}

impl Peek {
    pub(crate) fn new(limits: Limits, encoding: Encoding) -> Self {
        Peek {
            limits,
            encoding,
            prefix: [0; 5],
            prefix_len: 0,
            came: 0,
            left: 0,
            body: Body::Plain(Scanner::new(limits)),
            decided: false,
            done: false,
        }
    }

    fn scanner(&self) -> &Scanner {
        match &self.body {
            Body::Plain(scanner) => scanner,
            Body::Gzip(inflate) => inflate.get_ref(),
            Body::Deflate(inflate) => inflate.get_ref(),
        }
    }

    fn scanner_mut(&mut self) -> &mut Scanner {
        match &mut self.body {
            Body::Plain(scanner) => scanner,
            Body::Gzip(inflate) => inflate.get_mut(),
            Body::Deflate(inflate) => inflate.get_mut(),
        }
    }

    /// The ID captured so far; empty if the field did not occur.
    pub(crate) fn id(&self) -> &[u8] {
        &self.scanner().id
    }

    /// Whether the ID was longer than any valid one (it is cut then).
    pub(crate) fn id_too_long(&self) -> bool {
        self.scanner().id_too_long
    }

    /// The affinity key captured so far; empty if there is none.
    pub(crate) fn affinity(&self) -> &[u8] {
        &self.scanner().affinity
    }

    /// Whether the values may be read.
    pub(crate) fn is_decided(&self) -> bool {
        self.decided
    }

    /// Whether the whole first message went by.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Reads the next bytes of the stream. After `Decided` it may be called on, to watch the rest of the message:
    /// an ID that differs from the decided one is then [`PeekError::Ambiguous`].
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<Progress, PeekError> {
        while !bytes.is_empty() && !self.done {
            if self.prefix_len < self.prefix.len() {
                self.prefix[self.prefix_len] = bytes[0];
                self.prefix_len += 1;
                bytes = &bytes[1..];
                if self.prefix_len == self.prefix.len() {
                    self.start_message()?;
                }
                continue;
            }
            let take = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            let (now, later) = bytes.split_at(take);
            bytes = later;
            self.left -= take as u64;
            self.scan(now)?;
            if self.left == 0 {
                self.end_message()?;
            }
        }
        let enough = self.scanner().seen >= self.limits.decide_bytes as u64;
        if !self.decided && (self.done || enough) {
            self.decided = true;
            self.scanner_mut().route();
        }
        Ok(if self.decided { Progress::Decided } else { Progress::NeedMore })
    }

    fn start_message(&mut self) -> Result<(), PeekError> {
        let length = u32::from_be_bytes([self.prefix[1], self.prefix[2], self.prefix[3], self.prefix[4]]);
        self.left = u64::from(length);
        self.done = length == 0;
        let scanner = || Scanner::new(self.limits);
        self.body = match (self.prefix[0], self.encoding) {
            (0, _) => return Ok(()),
            (1, Encoding::Gzip) => Body::Gzip(Box::new(GzDecoder::new(scanner()))),
            (1, Encoding::Deflate) => Body::Deflate(Box::new(ZlibDecoder::new(scanner()))),
            (1, _) => return Err(PeekError::Encoding),
            _ => return Err(PeekError::BadFlag),
        };
        Ok(())
    }

    /// Scans the next bytes of the message, in pieces, so that what they inflate to is measured against them.
    fn scan(&mut self, bytes: &[u8]) -> Result<(), PeekError> {
        const PIECE: usize = 4 * 1024;
        if let Body::Plain(scanner) = &mut self.body {
            return scanner.scan(bytes);
        }
        for piece in bytes.chunks(PIECE) {
            self.came += piece.len() as u64;
            let free = INFLATE_FREE.saturating_mul(self.limits.decide_bytes as u64);
            self.scanner_mut().seen_max = free.saturating_add(INFLATE_RATIO.saturating_mul(self.came));
            let inflated = match &mut self.body {
                Body::Plain(_) => Ok(()),
                Body::Gzip(inflate) => inflate.write_all(piece),
                Body::Deflate(inflate) => inflate.write_all(piece),
            };
            inflated.map_err(told)?;
        }
        Ok(())
    }

    fn end_message(&mut self) -> Result<(), PeekError> {
        match &mut self.body {
            Body::Plain(_) => {}
            Body::Gzip(inflate) => inflate.try_finish().map_err(told)?,
            Body::Deflate(inflate) => inflate.try_finish().map_err(told)?,
        }
        self.done = true;
        self.scanner().check_end()
    }
}

/// What the scanner said, or else what is wrong with the compression.
fn told(error: io::Error) -> PeekError {
    error.downcast().unwrap_or(PeekError::Encoding)
}

#[cfg(test)]
mod tests;
