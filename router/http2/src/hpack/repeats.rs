//! Learns which names have values that do not repeat: what is inserted in vain evicts what would have been of use, and costs
//! both ends more than a literal. The names that are known for it stand in `known_names`; others (`x-b3-spanid`, IDs of a
//! tenant's own) are seen here.

/// Names are told apart by length and last octets, as far as that goes: a mistake costs some octets.
const SLOTS: usize = 64;

/// Values inserted in a row without one that came again, after which no more are: as many methods or tenants may begin at once.
const IN_VAIN_MAX: u8 = 16;

/// Values after which one is inserted again, in case they repeat by now.
const PAUSE: u8 = 128;

/// What is known of the names of one direction of a connection.
#[derive(Debug)]
pub(super) struct Repeats {
    /// Values since the last that repeated.
    in_vain: [u8; SLOTS],
}

impl Default for Repeats {
    fn default() -> Self {
        Repeats { in_vain: [0; SLOTS] }
    }
}

impl Repeats {
    /// A value of this name was in the table.
    #[inline]
    pub(super) fn hit(&mut self, name: &[u8]) {
        self.in_vain[slot(name)] = 0;
    }

    /// A value of this name was not: whether to insert it.
    pub(super) fn is_worth_it(&mut self, name: &[u8]) -> bool {
        let in_vain = &mut self.in_vain[slot(name)];
        *in_vain += 1;
        if *in_vain >= IN_VAIN_MAX + PAUSE {
            *in_vain = IN_VAIN_MAX;
        }
        *in_vain <= IN_VAIN_MAX
    }
}

#[inline]
fn slot(name: &[u8]) -> usize {
    let last = name.last().copied().unwrap_or_default();
    (name.len() * 7 + usize::from(last)) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_repeats_is_inserted_now_and_then_only() {
        let mut repeats = Repeats::default();
        let inserted = (0..1_000).filter(|_| repeats.is_worth_it(b"x-trace")).count();
        assert!((16..30).contains(&inserted), "{inserted}");
        assert!(repeats.is_worth_it(b"x-tenant"), "another name");
        repeats.hit(b"x-trace");
        assert!(repeats.is_worth_it(b"x-trace"));
    }
}
