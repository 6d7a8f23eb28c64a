//! New identifiers: UUIDs of version 7 (RFC 9562 section 5.7), so that workflows sort by when they came.

use rand::{RngExt, rngs::StdRng};
use workflow_machine::{Millis, WorkflowId};

/// Makes identifiers that ascend, as long as one maker makes them.
#[derive(Debug)]
pub(super) struct Ids {
    random: StdRng,
    at: Millis,
    /// Counts within one millisecond (`rand_a`, method 1 of section 6.2); its overflow borrows from the next.
    count: u16,
}

const COUNTS: u16 = 1 << 12;

impl Ids {
    pub(super) fn new(random: StdRng) -> Self {
        Self { random, at: 0, count: 0 }
    }

    pub(super) fn next(&mut self, now: Millis) -> WorkflowId {
        if now > self.at {
            (self.at, self.count) = (now, self.random.random_range(0..COUNTS / 2));
        } else {
            self.count += 1;
            if self.count == COUNTS {
                (self.at, self.count) = (self.at + 1, 0);
            }
        }
        let high = self.at >> 16;
        let low = self.at & 0xffff;
        let variant = 0x8000 | self.random.random_range(0..0x4000_u16);
        let rest = self.random.random_range(0..1_u64 << 48);
        WorkflowId::from(format!("{high:08x}-{low:04x}-7{:03x}-{variant:04x}-{rest:012x}", self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn ids_ascend_and_have_the_form_of_version_7() {
        let mut ids = Ids::new(StdRng::seed_from_u64(1));
        let mut last = String::new();
        for n in 0..20_000_u64 {
            let id = ids.next(1_700_000_000_000 + n / 6_000).to_string();
            assert!(id > last, "{id} after {last}");
            let parts: Vec<_> = id.split('-').map(str::len).collect();
            assert_eq!(parts, [8, 4, 4, 4, 12]);
            assert!(id.as_bytes()[14] == b'7' && b"89ab".contains(&id.as_bytes()[19]), "{id}");
            last = id;
        }
    }
}
