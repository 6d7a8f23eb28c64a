//! A connection between the plane and one scripted peer: two pipes, the plane's socket, the peer's HTTP/2.

use super::plan::{Dice, NEVER};
use crate::plane::ConnKey;
use std::collections::VecDeque;
use switchboard_http2::{self as http2, StreamId};

/// Bytes on their way in one direction.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    bytes: VecDeque<u8>,
    pub(super) capacity: usize,
    /// When the next piece arrives.
    ready_us: u64,
    /// Nothing comes behind these bytes.
    pub(super) ended: bool,
}

impl Pipe {
    /// Takes some of the bytes, at least one where there is room. Returns how many.
    pub(super) fn write(&mut self, bytes: &[u8], at_us: u64, dice: &mut Dice) -> usize {
        let room = self.capacity.saturating_sub(self.bytes.len()).min(bytes.len());
        if room == 0 || self.ended {
            return 0;
        }
        let taken = if dice.chance(600) { room } else { 1 + dice.below(room) };
        if self.bytes.is_empty() {
            self.ready_us = at_us;
        }
        self.bytes.extend(&bytes[..taken]);
        taken
    }

    /// Lets a piece of random size arrive; empty: that was the end.
    pub(super) fn read(&mut self, next_us: u64, dice: &mut Dice) -> Vec<u8> {
        let most = self.bytes.len();
        let size = if most > 1 && dice.chance(400) { 1 + dice.below(most.min(100)) } else { most };
        self.ready_us = next_us;
        self.bytes.drain(..size).collect()
    }

    /// When there is something to read, the end included.
    pub(super) fn readable_us(&self) -> u64 {
        if self.bytes.is_empty() && !self.ended { NEVER } else { self.ready_us }
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= self.capacity
    }

    /// The sender sends what it must not.
    pub(super) fn spoil(&mut self, garbage: &[u8]) {
        self.bytes.extend(garbage);
    }

    /// What is on its way is lost.
    pub(super) fn cut(&mut self) {
        self.bytes.clear();
        self.ended = true;
    }
}

/// Whose the far end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Client(usize),
    Instance(usize),
}

/// How a connect ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Accept,
    Refuse,
}

#[derive(Debug)]
pub(super) struct Link {
    /// The plane's key, as long as the plane holds its end.
    pub(super) key: Option<ConnKey>,
    pub(super) who: Who,
    pub(super) to_plane: Pipe,
    pub(super) to_peer: Pipe,
    // The plane's socket, as in `worker.rs`.
    pub(super) connecting: Option<(u64, Answer)>,
    pub(super) blocked: bool,
    pub(super) paused: bool,
    pub(super) partial: Vec<u8>,
    // The peer.
    pub(super) http2: http2::Connection,
    pub(super) unread: Vec<u8>,
    /// The peer writes nothing before, and reads nothing before.
    pub(super) mute_until_us: u64,
    pub(super) stall_until_us: u64,
    /// Credit that the peer's application gives back later.
    pub(super) releases: Vec<(u64, StreamId, u32)>,
    /// The peer has left.
    pub(super) gone: bool,
    /// The peer does nothing any more, and nobody says so.
    pub(super) frozen: bool,
    /// The simulation broke it.
    pub(super) cut: bool,
    /// It ended in garbage, which may have completed a frame of DATA that was under way.
    pub(super) spoiled: bool,
}

impl Link {
    pub(super) fn new(key: ConnKey, who: Who, http2: http2::Connection, socket: usize) -> Self {
        let pipe = || Pipe { capacity: socket, ..Pipe::default() };
        Link {
            key: Some(key),
            who,
            to_plane: pipe(),
            to_peer: pipe(),
            connecting: None,
            blocked: false,
            paused: false,
            partial: Vec::new(),
            http2,
            unread: Vec::new(),
            mute_until_us: 0,
            stall_until_us: 0,
            releases: Vec::new(),
            gone: false,
            frozen: false,
            cut: false,
            spoiled: false,
        }
    }

    /// Whether the peer may begin new streams or take calls on it.
    pub(super) fn is_usable(&self) -> bool {
        !self.gone
            && !self.frozen
            && self.key.is_some()
            && !self.http2.is_going_away()
            && !self.http2.is_finished()
    }
}
