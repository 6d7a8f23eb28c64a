//! IDs that were called lately and what they stand for, so that a call by one of them parses and allocates nothing.

use super::{Kind, Target};
use foldhash::HashMap;

/// IDs that are remembered of each kind, some 3 MiB. Beyond that it begins anew: who calls more than that many different
/// IDs pays for reading them, half a microsecond each.
const MAX: usize = 16_384;

/// What IDs stand for, by the kind that the method gives to an ID without one.
#[derive(Debug, Default)]
pub(crate) struct KnownIds {
    by_kind: [HashMap<Box<[u8]>, Target>; 4],
}

impl KnownIds {
    /// What the ID stands for, if it was called lately.
    pub(crate) fn get(&self, kind: Option<Kind>, id: &[u8]) -> Option<&Target> {
        self.by_kind[index(kind)].get(id)
    }

    /// Remembers an ID that is well-formed.
    pub(crate) fn insert(&mut self, kind: Option<Kind>, id: &[u8], target: Target) {
        let known = &mut self.by_kind[index(kind)];
        if known.len() >= MAX {
            known.clear();
        }
        known.insert(id.into(), target);
    }
}

fn index(kind: Option<Kind>) -> usize {
    match kind {
        None => 0,
        Some(Kind::Agent) => 1,
        Some(Kind::Tool) => 2,
        Some(Kind::Worker) => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_remembered_by_kind_and_never_more_than_the_bound() {
        let mut known = KnownIds::default();
        known.insert(Some(Kind::Agent), b"echo", Target::Local);
        assert_eq!(known.get(Some(Kind::Agent), b"echo"), Some(&Target::Local));
        assert_eq!((known.get(Some(Kind::Tool), b"echo"), known.get(None, b"echo")), (None, None));
        for number in 0..MAX {
            known.insert(Some(Kind::Agent), number.to_string().as_bytes(), Target::Local);
        }
        assert!(known.by_kind[1].len() <= MAX && known.get(Some(Kind::Agent), b"echo").is_none());
    }
}
