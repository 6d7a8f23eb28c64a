//! How events lie on the disk: those of a workflow that were committed together lie in a run, under the number of the first.
//! A submission or a step is one key so, and not one per event; a key costs more than the few bytes of most events.

use bytes::{Buf, Bytes, BytesMut};

use crate::Item;

/// Where a run ends: who reads one event reads the run that it lies in.
const MAX_BYTES: usize = 32 << 10;

/// Events that follow one another.
pub(super) struct Run {
    pub(super) first: u64,
    next: u64,
    data: BytesMut,
}

impl Run {
    /// A run of one event.
    pub(super) fn of(seq: u64, event: &[u8]) -> Self {
        let mut run = Self { first: seq, next: seq, data: BytesMut::with_capacity(event.len() + 4) };
        run.push(event);
        run
    }

    /// Whether this event is the next, and the run is not too long yet.
    pub(super) fn takes(&self, seq: u64) -> bool {
        seq == self.next && self.data.len() < MAX_BYTES
    }

    /// Adds the next event.
    pub(super) fn push(&mut self, event: &[u8]) {
        // The buffer grows; there is no other error.
        let _ = prost::encode_length_delimiter(event.len(), &mut self.data);
        self.data.extend_from_slice(event);
        self.next += 1;
    }

    /// The run as it is written.
    pub(super) fn write(self) -> Bytes {
        self.data.freeze()
    }
}

/// Reads what [`Run::write`] wrote; `None` if that is not what it is.
pub(super) fn read(first: u64, mut run: Bytes) -> Option<Vec<Item>> {
    let mut events = Vec::new();
    while run.has_remaining() {
        let length = prost::decode_length_delimiter(&mut run).ok()?;
        if length > run.len() {
            return None;
        }
        events.push(Item { seq: first + events.len() as u64, data: run.split_to(length) });
    }
    Some(events)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{MAX_BYTES, Run, read};

    #[test]
    fn a_run_is_read_as_it_was_written() {
        let mut run = Run::of(7, b"seven");
        assert!(run.takes(8) && !run.takes(7) && !run.takes(9));
        run.push(b"");
        run.push(&[9; 300]);
        let items = read(run.first, run.write()).unwrap();
        let shown: Vec<_> = items.iter().map(|item| (item.seq, item.data.len())).collect();
        assert_eq!(shown, [(7, 5), (8, 0), (9, 300)]);
    }

    #[test]
    fn a_run_has_an_end() {
        assert!(!Run::of(1, &[0; MAX_BYTES]).takes(2));
    }

    #[test]
    fn what_is_no_run_is_not_read() {
        let mut run = Run::of(1, b"whole");
        run.push(b"cut");
        let run = run.write();
        assert!(read(1, run.slice(..run.len() - 1)).is_none());
        assert!(read(1, Bytes::from_static(&[0xff; 12])).is_none());
    }
}
