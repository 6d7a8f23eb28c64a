//! "Did you mean": the registered IDs that are nearest to one that nobody registered.
//!
//! A catalogue may hold 100,000 names, and anybody can call names that do not exist. So the control plane searches, never
//! a worker thread, once per name and `negative_ttl`; nothing is allocated per name, and a distance is computed only
//! where lengths and letters leave it open.

use std::sync::Arc;
use switchboard_registry::ids::{ClientId, Kind};

/// How many names are given.
const MOST: usize = 3;
/// Longest ID, a DNS label.
const MAX_BYTES: usize = 63;

/// The client IDs in `catalog` (Consul names) nearest to that of `service`, best first: as many as are near enough, at
/// most three.
pub fn nearest(service: &str, catalog: &[Arc<str>]) -> Vec<String> {
    search(service, catalog).0
}

/// With the number of distances that were computed.
fn search(service: &str, catalog: &[Arc<str>]) -> (Vec<String>, usize) {
    let Some(wanted) = ClientId::from_service(service).map(|id| id.to_string()) else {
        return (Vec::new(), 0);
    };
    let wanted = wanted.as_bytes();
    let Some(letters) = letters(wanted) else { return (Vec::new(), 0) };
    let (mut best, mut compared): (Vec<(usize, &str)>, usize) = (Vec::with_capacity(MOST + 1), 0);
    let mut buffer = [0; MAX_BYTES];
    for name in catalog {
        let Some(id) = client_id(name, &mut buffer) else { continue };
        let near = 2.max(wanted.len().min(id.len()) / 3);
        // Once there are three, only a better one is of interest.
        let most = match best.get(MOST - 1) {
            Some((0, _)) => break,
            Some((worst, _)) => near.min(worst - 1),
            None => near,
        };
        if !may_be_within(wanted, letters, id, most) {
            continue;
        }
        compared += 1;
        if let Some(distance) = distance_within(wanted, id, most) {
            let at = best.partition_point(|(better, _)| *better <= distance);
            best.insert(at, (distance, name));
            best.truncate(MOST);
        }
    }
    let ids = best.into_iter().filter_map(|(_, name)| ClientId::from_service(name));
    (ids.map(|id| id.to_string()).collect(), compared)
}

/// Writes `echo-agent` for `agent-echo`; `None` for what is no service of the mesh.
fn client_id<'a>(service: &str, buffer: &'a mut [u8; MAX_BYTES]) -> Option<&'a [u8]> {
    if service.len() > MAX_BYTES {
        return None;
    }
    let (kind, name) = Kind::ALL.into_iter().find_map(|kind| {
        let name = service.strip_prefix(kind.as_str())?.strip_prefix('-')?;
        Some((kind.as_str(), name))
    })?;
    if name.is_empty() || name.starts_with('-') || name.ends_with('-') {
        return None;
    }
    buffer[..name.len()].copy_from_slice(name.as_bytes());
    buffer[name.len()] = b'-';
    buffer[name.len() + 1..service.len()].copy_from_slice(kind.as_bytes());
    Some(&buffer[..service.len()])
}

/// The set of letters, as bits; `None` if a byte is none that an ID may have. Some letters share a bit with a digit.
fn letters(id: &[u8]) -> Option<u64> {
    id.iter().try_fold(0, |set, byte| match byte {
        b'a'..=b'z' | b'0'..=b'9' | b'-' => Some(set | 1 << (byte & 63)),
        _ => None,
    })
}

/// False if the distance is certainly above `most`: each edit changes the length by at most one, and gives or takes at
/// most one letter.
fn may_be_within(a: &[u8], letters_of_a: u64, b: &[u8], most: usize) -> bool {
    if a.len().abs_diff(b.len()) > most {
        return false;
    }
    let Some(letters_of_b) = letters(b) else { return false };
    let foreign = |x: u64, y: u64| (x & !y).count_ones() as usize <= most;
    foreign(letters_of_a, letters_of_b) && foreign(letters_of_b, letters_of_a)
}

/// Edits from `a` to `b` (insertions, deletions, substitutions, swaps of neighbours; optimal string alignment), if they
/// are no more than `most`. Both have at most [`MAX_BYTES`] bytes.
fn distance_within(mut a: &[u8], mut b: &[u8], most: usize) -> Option<usize> {
    while let ([first, rest_of_a @ ..], [other, rest_of_b @ ..]) = (a, b)
        && first == other
    {
        (a, b) = (rest_of_a, rest_of_b);
    }
    while let ([rest_of_a @ .., last], [rest_of_b @ .., other]) = (a, b)
        && last == other
    {
        (a, b) = (rest_of_a, rest_of_b);
    }
    // Three rows of the table; outside of a band of `most` around the diagonal everything is too far.
    let far = most + 1;
    let mut rows = [[far; MAX_BYTES + 1]; 3];
    for (j, cell) in rows[0].iter_mut().enumerate().take(b.len() + 1) {
        *cell = j.min(far);
    }
    for i in 1..=a.len() {
        let [before, above, row] = [(i + 1) % 3, (i + 2) % 3, i % 3];
        rows[row] = [far; MAX_BYTES + 1];
        rows[row][0] = i.min(far);
        let mut least = rows[row][0];
        for j in i.saturating_sub(most).max(1)..=(i + most).min(b.len()) {
            let substituted = rows[above][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut cell = substituted.min(rows[above][j] + 1).min(rows[row][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                cell = cell.min(rows[before][j - 2] + 1);
            }
            rows[row][j] = cell.min(far);
            least = least.min(cell);
        }
        // A swap reaches over one row, so that the one above counts as well.
        if least > most && rows[above].iter().take(b.len() + 1).all(|cell| *cell > most) {
            return None;
        }
    }
    Some(rows[a.len() % 3][b.len()]).filter(|distance| *distance <= most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn catalog(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    #[test]
    fn nearest_names_are_near_few_and_sorted() {
        let names =
            catalog(&["agent-echo", "agent-echo2", "agent-echos", "agent-ocho", "consul", "tool-weather"]);
        assert_eq!(nearest("agent-ehco", &names), ["echo-agent", "echo2-agent", "echos-agent"]);
        assert_eq!(nearest("tool-wether", &names), ["weather-tool"]);
        assert_eq!(nearest("worker-itinerary", &names), [""; 0]);
        assert_eq!(nearest("demo.Echo", &names), [""; 0]);
        assert_eq!(nearest("agent-echo", &catalog(&["agent-", "agent-ECHO", "agent-\u{e9}cho"])), [""; 0]);
    }

    #[test]
    fn of_100_000_names_few_are_compared() {
        let words =
            ["mail", "news", "search", "order", "stock", "fleet", "audit", "prices", "travel", "vision"];
        let spread: Vec<Arc<str>> = (0..100_000)
            .map(|n: usize| {
                let word = |at: usize| words[n / at % 10];
                format!("agent-{}-{}-{}-{:03}", word(1), word(10), word(100), n / 1_000).into()
            })
            .collect();
        let (found, compared) = search("agent-mail-nesw-order-042", &spread);
        assert_eq!(found[0], "mail-news-order-042-agent");
        assert!(compared < 10_000, "{compared} compared");
        // The worst catalogue: all names are alike. A distance of one is all that a third one can still be improved to.
        let alike: Vec<Arc<str>> = (0..100_000).map(|n| format!("agent-unit-{n:06}").into()).collect();
        let (found, compared) = search("agent-unit-05000x", &alike);
        assert_eq!((found.len(), found[0].as_str()), (3, "unit-050000-agent"));
        assert!(compared < 60_000, "{compared} compared");
    }

    proptest! {
        #[test]
        fn distances_are_those_of_the_whole_table(a in "[a-c0-]{0,12}", b in "[a-c0-]{0,12}", most in 0_usize..8) {
            let whole = strsim::osa_distance(&a, &b);
            let wanted = Some(whole).filter(|distance| *distance <= most);
            prop_assert_eq!(distance_within(a.as_bytes(), b.as_bytes(), most), wanted);
            if whole <= most {
                prop_assert!(may_be_within(a.as_bytes(), letters(a.as_bytes()).unwrap(), b.as_bytes(), most));
            }
        }
    }
}
