//! What a peer sends, made beforehand: the bytes of so many messages at a time, in which only the streams change.

use switchboard_http2::{Headers, frame, hpack::Encoder};

/// A part of a message.
pub(super) enum Part {
    Headers(Headers, End),
    Data(Vec<u8>, End),
}

/// Whether it ends the stream.
pub(super) type End = bool;

/// Messages that are sent together.
pub(super) struct Lot {
    pub(super) bytes: Vec<u8>,
    /// Where frames begin, and which of the messages they belong to.
    frames: Vec<(usize, usize)>,
}

impl Lot {
    /// Says on which streams the messages are.
    pub(super) fn address(&mut self, stream: impl Fn(usize) -> u32) {
        for &(at, message) in &self.frames {
            self.bytes[at + 5..at + 9].copy_from_slice(&stream(message).to_be_bytes());
        }
    }
}

/// Lots that a peer sends one after the other: those of `first` once, which fill the header table, then those of `steady`
/// for ever.
pub(super) struct Feed {
    first: Vec<Lot>,
    steady: Vec<Lot>,
}

impl Feed {
    /// `message` makes the message of a number. Of each lot, first parts go first, then second parts and so on.
    pub(super) fn new(lots: usize, per_lot: usize, message: impl Fn(usize) -> Vec<Part>) -> Self {
        let mut encoder = Encoder::new(4096);
        let mut cycle = || -> Vec<Lot> {
            if lots > 1 {
                // Every cycle begins with an empty table, or what stays in it would depend on what went before.
                encoder.set_peer_max_table_size(0);
                encoder.set_peer_max_table_size(4096);
            }
            let numbers = |lot: usize| (lot * per_lot..(lot + 1) * per_lot).map(&message).collect();
            (0..lots).map(|lot| encode(numbers(lot), &mut encoder)).collect()
        };
        let (first, steady, again) = (cycle(), cycle(), cycle());
        let same = steady.iter().zip(&again).all(|(one, other)| one.bytes == other.bytes);
        assert!(same, "the header table is not the same after {lots} lots");
        Feed { first, steady }
    }

    /// How many lots there are before they come again.
    pub(super) fn len(&self) -> usize {
        self.steady.len()
    }

    /// The lot that a peer sends after so many others.
    pub(super) fn lot(&mut self, number: usize) -> &mut Lot {
        let lots = if number < self.first.len() { &mut self.first } else { &mut self.steady };
        let index = number % lots.len();
        &mut lots[index]
    }
}

fn encode(messages: Vec<Vec<Part>>, encoder: &mut Encoder) -> Lot {
    let mut lot = Lot { bytes: Vec::new(), frames: Vec::new() };
    let mut messages: Vec<_> = messages.into_iter().map(Vec::into_iter).collect();
    let mut ended = 0;
    while ended < messages.len() {
        ended = 0;
        for (number, parts) in messages.iter_mut().enumerate() {
            let Some(part) = parts.next() else {
                ended += 1;
                continue;
            };
            lot.frames.push((lot.bytes.len(), number));
            match part {
                Part::Headers(headers, end) => {
                    let mut block = Vec::new();
                    encoder.begin(&mut block);
                    headers.iter().for_each(|field| encoder.encode(field, &mut block));
                    frame::write_headers(&mut lot.bytes, 0, &block, end, true);
                }
                Part::Data(data, end) => frame::write_data(&mut lot.bytes, 0, &data, end),
            }
        }
    }
    lot
}
