//! Step 7: picks one instance of a service.
//!
//! Two choices at random, the one with fewer open streams wins (P2C); streams count until they end, on all
//! worker threads. Instances whose last connect failed are passed over while their back-off runs, unless all
//! are in that state. Calls with an affinity key go to the instance that [`affinity`] names instead.

pub mod affinity;

use crate::directory::{Endpoint, Load};
use std::sync::Arc;

/// What one pick has to respect.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted<'a> {
    /// Only instances of this meta `version`.
    pub(crate) version: Option<&'a str>,
    /// Not this instance: an earlier attempt failed there.
    pub(crate) except: Option<&'a Arc<Load>>,
    /// Calls with the same key go to the same instance.
    pub(crate) affinity: &'a [u8],
}

/// Picks an instance; `None` if none is left that may be picked.
pub(crate) fn pick<'e>(
    endpoints: &'e [Arc<Endpoint>],
    wanted: Wanted<'_>,
    now_ms: u64,
    rng: &mut Rng,
) -> Option<&'e Arc<Endpoint>> {
    let allowed = |endpoint: &Endpoint| {
        wanted.version.is_none_or(|version| endpoint.version.as_deref() == Some(version))
            && wanted.except.is_none_or(|load| !Arc::ptr_eq(load, &endpoint.load))
    };
    let up = |endpoint: &Endpoint| allowed(endpoint) && !endpoint.load.is_down(now_ms);
    if !wanted.affinity.is_empty() {
        return affinity::owner(wanted.affinity, endpoints, up)
            .or_else(|| affinity::owner(wanted.affinity, endpoints, allowed));
    }
    // The usual case costs two random numbers and four loads; only a hit on a bad instance costs a scan.
    if let [_, _, ..] = endpoints {
        let first = rng.below(endpoints.len());
        let second = (first + 1 + rng.below(endpoints.len() - 1)) % endpoints.len();
        let (a, b) = (&endpoints[first], &endpoints[second]);
        if up(a) && up(b) {
            return Some(if b.load.open() < a.load.open() { b } else { a });
        }
    }
    two_choices(endpoints, up, rng).or_else(|| two_choices(endpoints, allowed, rng))
}

/// P2C over those that pass the filter, in one scan and without a list: keeps a uniform sample of two.
fn two_choices<'e>(
    endpoints: &'e [Arc<Endpoint>],
    filter: impl Fn(&Endpoint) -> bool,
    rng: &mut Rng,
) -> Option<&'e Arc<Endpoint>> {
    let mut sample: [Option<&Arc<Endpoint>>; 2] = [None, None];
    for (seen, endpoint) in endpoints.iter().filter(|e| filter(e)).enumerate() {
        match seen {
            0 | 1 => sample[seen] = Some(endpoint),
            _ => {
                let slot = rng.below(seen + 1);
                if slot < 2 {
                    sample[slot] = Some(endpoint);
                }
            }
        }
    }
    match sample {
        [Some(a), Some(b)] if b.load.open() < a.load.open() => Some(b),
        [Some(a), Some(b)] if b.load.open() == a.load.open() && rng.below(2) == 1 => Some(b),
        [first, _] => first,
    }
}

/// A small random number generator (xorshift64*, Vigna 2016): picks need speed and evenness, not secrecy.
#[derive(Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Rng(seed | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `n`; 0 if `n` is 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        let wide = u128::from(self.next()) * n as u128;
        usize::try_from(wide >> 64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(loads: &[u32]) -> Vec<Arc<Endpoint>> {
        loads
            .iter()
            .enumerate()
            .map(|(i, &open)| {
                let load = Arc::new(Load::default());
                (0..open).for_each(|_| load.opened());
                Arc::new(Endpoint {
                    instance: format!("i{i}").into(),
                    service: "agent-x".into(),
                    addr: ([127, 0, 0, 1], 1000 + u16::try_from(i).unwrap()).into(),
                    version: Some(if i % 2 == 0 { "v1" } else { "v2" }.into()),
                    load,
                })
            })
            .collect()
    }

    fn shares(endpoints: &[Arc<Endpoint>], wanted: Wanted<'_>, now_ms: u64) -> Vec<usize> {
        let mut rng = Rng::new(42);
        let mut counts = vec![0; endpoints.len()];
        for _ in 0..3_000 {
            if let Some(picked) = pick(endpoints, wanted, now_ms, &mut rng) {
                counts[usize::from(picked.addr.port()) - 1000] += 1;
            }
        }
        counts
    }

    #[test]
    fn equal_instances_share_evenly() {
        for share in shares(&endpoints(&[0, 0, 0]), Wanted::default(), 1) {
            assert!((850..1150).contains(&share), "{share}");
        }
        let two = shares(&endpoints(&[3, 3]), Wanted::default(), 1);
        assert!(two.iter().all(|n| (1_350..1_650).contains(n)), "{two:?}");
    }

    #[test]
    fn the_one_with_most_open_streams_is_never_picked_of_two_choices() {
        let counts = shares(&endpoints(&[0, 10, 1]), Wanted::default(), 1);
        assert_eq!(counts[1], 0);
        assert!(counts[0] > counts[2]);
    }

    #[test]
    fn an_instance_that_refused_is_passed_over_until_its_back_off_ends_unless_all_did() {
        let set = endpoints(&[0, 5, 5]);
        set[0].load.connect_failed(1_000);
        assert_eq!(shares(&set, Wanted::default(), 1_050)[0], 0);
        assert!(shares(&set, Wanted::default(), 1_100)[0] > 0);
        set[1].load.connect_failed(2_000);
        set[2].load.connect_failed(2_000);
        set[0].load.connect_failed(2_000);
        assert_eq!(shares(&set, Wanted::default(), 2_050).iter().sum::<usize>(), 3_000);
    }

    #[test]
    fn version_and_exception_narrow_the_choice() {
        let set = endpoints(&[0, 0, 0, 0]);
        let counts = shares(&set, Wanted { version: Some("v2"), ..Wanted::default() }, 1);
        assert_eq!((counts[0], counts[2]), (0, 0));
        let except = Wanted { version: Some("v2"), except: Some(&set[1].load), ..Wanted::default() };
        assert_eq!(shares(&set, except, 1), [0, 0, 0, 3_000]);
        let none = Wanted { version: Some("v3"), ..Wanted::default() };
        assert_eq!(shares(&set, none, 1), [0; 4]);
        let single = endpoints(&[7]);
        assert_eq!(shares(&single, Wanted::default(), 1), [3_000]);
        assert!(pick(&[], Wanted::default(), 1, &mut Rng::new(1)).is_none());
    }

    #[test]
    fn affinity_survives_the_loss_of_other_instances() {
        let set = endpoints(&[0; 5]);
        let owner = |set: &[Arc<Endpoint>], key: &str| {
            let wanted = Wanted { affinity: key.as_bytes(), ..Wanted::default() };
            pick(set, wanted, 1, &mut Rng::new(9)).unwrap().instance.clone()
        };
        for i in 0..200 {
            let key = format!("task-{i}");
            let before = owner(&set, &key);
            for gone in 0..5 {
                let mut fewer = set.clone();
                let lost = fewer.remove(gone);
                if lost.instance != before {
                    assert_eq!(owner(&fewer, &key), before);
                }
            }
        }
    }
}
