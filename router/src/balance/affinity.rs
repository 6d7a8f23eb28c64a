//! Affinity without state: rendezvous hashing (Thaler and Ravishankar, 1998) of a key over the instances.
//!
//! Every router computes the same owner from the same directory, also after a restart, and the loss of an
//! instance moves only the keys that it owned.

use crate::directory::Endpoint;
use std::sync::Arc;

/// The instance that owns `key` among those that pass the filter; `None` if none does.
pub fn owner<'e>(
    key: &[u8],
    endpoints: &'e [Arc<Endpoint>],
    filter: impl Fn(&Endpoint) -> bool,
) -> Option<&'e Arc<Endpoint>> {
    endpoints
        .iter()
        .filter(|endpoint| filter(endpoint))
        .max_by_key(|endpoint| (score(key, &endpoint.instance), &endpoint.instance))
}

/// FNV-1a over key and instance, then a finalizer (splitmix64), because FNV alone leaves the high bits of
/// similar instance names alike.
fn score(key: &[u8], instance: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for &byte in key.iter().chain(&[0xff]).chain(instance.as_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Load;

    #[test]
    fn keys_spread_evenly_over_similar_instance_names() {
        let endpoints: Vec<_> = (0..4)
            .map(|i| {
                Arc::new(Endpoint {
                    instance: format!("worker-itinerary-host-{i}").into(),
                    service: "worker-itinerary".into(),
                    addr: ([127, 0, 0, 1], 1).into(),
                    version: None,
                    capacity: 0,
                    weight: 1,
                    load: Arc::new(Load::default()),
                })
            })
            .collect();
        let mut counts = std::collections::BTreeMap::new();
        for i in 0..8_000 {
            let key = format!("task-{i}");
            let owner = owner(key.as_bytes(), &endpoints, |_| true).unwrap();
            *counts.entry(owner.instance.clone()).or_insert(0) += 1;
        }
        assert!(counts.values().all(|n| (1_800..2_200).contains(n)), "{counts:?}");
        assert!(owner(b"k", &endpoints, |_| false).is_none());
    }
}
