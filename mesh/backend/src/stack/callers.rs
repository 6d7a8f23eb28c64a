//! Who was believed, so that a digest or a signature is looked at once and not with every call.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use switchboard_policy::{Grants, Principal};
use switchboard_transport::PeerIdentity;

const SHARDS: usize = 16;
/// Some kilobytes each; more principals than one backend serves at once.
const MAX_PER_SHARD: usize = 256;

/// A caller, and what it may do.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) principal: Option<Arc<Principal>>,
    pub(super) grants: Grants,
    /// From this second on its credentials must be looked at again.
    pub(super) valid_until_unix_s: u64,
}

/// What a caller offered, word for word.
#[derive(Hash)]
pub(super) enum Offered<'a> {
    /// The router's word: name and roles.
    Router(&'a [u8], Option<&'a [u8]>),
    /// Certificate and `authorization`.
    Own(Option<&'a PeerIdentity>, Option<&'a [u8]>),
}

/// 128 bits under keys that nobody knows: no token is kept, and nobody can find another one that passes for it.
type Key = (u64, u64);

/// What one state of the files believes. Bounded; forgotten with that state.
#[derive(Debug, Default)]
pub(super) struct Callers {
    hashers: (RandomState, RandomState),
    known: [Mutex<HashMap<Key, Arc<Known>>>; SHARDS],
}

impl Callers {
    pub(super) fn key(&self, offered: &Offered<'_>) -> Key {
        (self.hashers.0.hash_one(offered), self.hashers.1.hash_one(offered))
    }

    pub(super) fn find(&self, key: Key, now_unix_s: u64) -> Option<Arc<Known>> {
        let shard = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        shard.get(&key).filter(|known| now_unix_s < known.valid_until_unix_s).cloned()
    }

    pub(super) fn keep(&self, key: Key, known: Arc<Known>) {
        let mut shard = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= MAX_PER_SHARD {
            // All of them are found again at the price of one look each.
            shard.clear();
        }
        shard.insert(key, known);
    }

    fn shard(&self, key: Key) -> &Mutex<HashMap<Key, Arc<Known>>> {
        &self.known[usize::try_from(key.0 % SHARDS as u64).unwrap_or(0)]
    }
}
