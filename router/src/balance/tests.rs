//! Picks, many of them, and what share each instance gets.

use super::{load::LATENCY_LEARNT, *};
use crate::directory::Usage;

#[derive(Clone, Copy, Default)]
struct Spec {
    open: u32,
    capacity: u32,
    weight: u32,
    latency_ms: u64,
}

fn open(open: u32) -> Spec {
    Spec { open, ..Spec::default() }
}

fn service(specs: &[Spec]) -> Service {
    let endpoints: Vec<_> = specs
        .iter()
        .enumerate()
        .map(|(i, spec)| {
            let load = Arc::new(Load::default());
            (0..spec.open).for_each(|_| load.opened());
            if spec.latency_ms > 0 {
                (0..LATENCY_LEARNT).for_each(|_| load.responded(spec.latency_ms * 1_000, 1));
            }
            Arc::new(Endpoint {
                instance: format!("i{i}").into(),
                service: "agent-x".into(),
                addr: ([127, 0, 0, 1], 1000 + u16::try_from(i).unwrap()).into(),
                version: Some(if i % 2 == 0 { "v1" } else { "v2" }.into()),
                capacity: spec.capacity,
                weight: spec.weight.max(1),
                load,
            })
        })
        .collect();
    Service {
        name: "agent-x".into(),
        uniform: endpoints.iter().all(|e| e.weight == endpoints[0].weight),
        known: endpoints.len(),
        endpoints,
        last_seen: None,
        fresh_until_ms: u64::MAX,
        strategy: Strategy::P2c,
        idempotent: false,
        limits: None,
        hedge: None,
        usage: Arc::new(Usage::default()),
    }
}

fn opens(counts: &[u32]) -> Service {
    service(&counts.iter().map(|&n| open(n)).collect::<Vec<_>>())
}

fn shares(service: &Service, wanted: Wanted<'_>, now_ms: u64) -> Vec<usize> {
    let mut rng = Rng::new(42);
    let mut counts = vec![0; service.endpoints.len()];
    for _ in 0..3_000 {
        if let Picked::Endpoint { endpoint, .. } = pick(service, wanted, now_ms, &mut rng) {
            counts[usize::from(endpoint.addr.port()) - 1000] += 1;
        }
    }
    counts
}

fn eject(load: &Load, now_ms: u64) {
    for _ in 0..5 {
        load.ended(Verdict::Bad, false, now_ms, 10_000, || true);
    }
}

#[test]
fn equal_instances_share_evenly() {
    for share in shares(&opens(&[0, 0, 0]), Wanted::default(), 1) {
        assert!((850..1150).contains(&share), "{share}");
    }
    let two = shares(&opens(&[3, 3]), Wanted::default(), 1);
    assert!(two.iter().all(|n| (1_350..1_650).contains(n)), "{two:?}");
}

#[test]
fn the_one_with_most_open_streams_is_never_picked_of_two_choices() {
    let counts = shares(&opens(&[0, 10, 1]), Wanted::default(), 1);
    assert_eq!(counts[1], 0);
    assert!(counts[0] > counts[2]);
}

#[test]
fn capacity_counts_and_a_full_instance_gets_nothing() {
    let capacities = [(10, 20), (10, 60)].map(|(open, capacity)| Spec { open, capacity, ..Spec::default() });
    assert_eq!(shares(&service(&capacities), Wanted::default(), 1), [0, 3_000]);
    let full = service(&[(5, 5), (7, 8)].map(|(open, capacity)| Spec { open, capacity, ..Spec::default() }));
    assert_eq!(shares(&full, Wanted::default(), 1), [0, 3_000]);
    full.endpoints[1].load.opened();
    assert!(matches!(pick(&full, Wanted::default(), 1, &mut Rng::new(1)), Picked::Full));
}

#[test]
fn weights_split_exactly() {
    let split = service(&[Spec { weight: 9, ..Spec::default() }, Spec { weight: 1, ..Spec::default() }]);
    let counts = shares(&split, Wanted::default(), 1);
    assert!((240..360).contains(&counts[1]), "{counts:?}");
}

#[test]
fn an_instance_ten_times_slower_gets_less_than_half_its_share() {
    let slow = service(&[20, 20, 20, 200].map(|latency_ms| Spec { latency_ms, ..Spec::default() }));
    let counts = shares(&slow, Wanted::default(), 2);
    assert!(counts[3] < 3_000 / 8, "{counts:?}");
    // Differences of the scheduler's size change nothing.
    let noise = service(&[1, 2, 3, 4].map(|latency_ms| Spec { latency_ms, ..Spec::default() }));
    for share in shares(&noise, Wanted::default(), 2) {
        assert!((600..900).contains(&share), "{share}");
    }
}

/// Calls one after the other over two instances; `ms(instance, n)` is what the nth call at an instance takes. Returns how
/// many each got.
fn one_by_one(calls: usize, ms: impl Fn(usize, usize) -> u64) -> [usize; 2] {
    let set = opens(&[0, 0]);
    let (mut rng, mut now_ms, mut counts) = (Rng::new(5), 1, [0, 0]);
    for _ in 0..calls {
        let Picked::Endpoint { endpoint, .. } = pick(&set, Wanted::default(), now_ms, &mut rng) else {
            panic!("nothing is picked");
        };
        let at = usize::from(endpoint.addr.port()) - 1000;
        let took_ms = ms(at, counts[at]);
        counts[at] += 1;
        now_ms += took_ms;
        endpoint.load.responded(took_ms * 1_000, now_ms);
    }
    counts
}

#[test]
fn one_slow_call_does_not_starve_an_instance() {
    for slow_one in [0, 1, 2, 3, 50] {
        let [spiky, other] = one_by_one(400, |at, n| if at == 0 && n == slow_one { 500 } else { 5 });
        assert!(spiky > 150, "{spiky} against {other}, the slow call was its number {slow_one}");
    }
}

#[test]
fn an_instance_that_is_slow_is_soon_called_less_and_now_and_then_again() {
    // Some 20 s.
    let [slow, fast] = one_by_one(4_000, |at, _| if at == 0 { 50 } else { 5 });
    assert!((4..40).contains(&slow), "{slow} against {fast}");
    // Slow for its first ten calls: it comes back.
    let [warmed, other] = one_by_one(20_000, |at, n| if at == 0 && n < 10 { 200 } else { 5 });
    assert!(warmed > 3_000, "{warmed} against {other}");
}

#[test]
fn a_new_instance_starts_with_a_small_share_that_grows() {
    let mut grown = opens(&[0, 0, 0]);
    let new = Endpoint {
        load: Arc::new(Load::joining(100_000)),
        instance: "new".into(),
        addr: ([127, 0, 0, 1], 1003).into(),
        service: "agent-x".into(),
        version: None,
        capacity: 0,
        weight: 1,
    };
    grown.endpoints.push(Arc::new(new));
    let at = |now_ms| shares(&grown, Wanted::default(), now_ms)[3];
    assert!(at(100_000) < 3_000 / 16, "{}", at(100_000));
    assert!((150..600).contains(&at(105_000)), "{}", at(105_000));
    assert!((650..850).contains(&at(110_000)), "{}", at(110_000));
}

#[test]
fn an_instance_that_refused_is_passed_over_until_its_back_off_ends_unless_all_did() {
    let set = opens(&[0, 5, 5]);
    set.endpoints[0].load.connect_failed(1_000);
    assert_eq!(shares(&set, Wanted::default(), 1_050)[0], 0);
    assert!(shares(&set, Wanted::default(), 1_100)[0] > 0);
    for endpoint in &set.endpoints {
        endpoint.load.connect_failed(2_000);
    }
    assert_eq!(shares(&set, Wanted::default(), 2_050).iter().sum::<usize>(), 3_000);
}

#[test]
fn an_ejected_instance_gets_nothing_then_one_probe() {
    let set = opens(&[0, 0]);
    eject(&set.endpoints[0].load, 1_000);
    assert_eq!(shares(&set, Wanted::default(), 1_001), [0, 3_000]);
    let mut rng = Rng::new(3);
    let probes = (0..100)
        .filter(|_| {
            matches!(pick(&set, Wanted::default(), 11_000, &mut rng), Picked::Endpoint { probe: true, .. })
        })
        .count();
    assert_eq!(probes, 1);
    eject(&set.endpoints[1].load, 11_000);
    assert_eq!(
        shares(&set, Wanted::default(), 11_001).iter().sum::<usize>(),
        3_000,
        "all ejected: all are used"
    );
}

#[test]
fn strategies_are_the_services_choice() {
    let mut set = opens(&[4, 0, 2]);
    set.strategy = Strategy::RoundRobin;
    assert_eq!(shares(&set, Wanted::default(), 1), [1_000; 3]);
    set.strategy = Strategy::LeastRequest;
    assert_eq!(shares(&set, Wanted::default(), 1), [0, 3_000, 0]);
    let even = {
        let mut even = opens(&[0; 3]);
        even.strategy = Strategy::LeastRequest;
        even
    };
    assert!(shares(&even, Wanted::default(), 1).iter().all(|&n| n > 500));
}

#[test]
fn version_and_exception_narrow_the_choice() {
    let set = opens(&[0, 0, 0, 0]);
    let counts = shares(&set, Wanted { version: Some("v2"), ..Wanted::default() }, 1);
    assert_eq!((counts[0], counts[2]), (0, 0));
    let except = Wanted { version: Some("v2"), except: Some(&set.endpoints[1].load), ..Wanted::default() };
    assert_eq!(shares(&set, except, 1), [0, 0, 0, 3_000]);
    let none = Wanted { version: Some("v3"), ..Wanted::default() };
    assert_eq!(shares(&set, none, 1), [0; 4]);
    assert_eq!(shares(&opens(&[7]), Wanted::default(), 1), [3_000]);
    assert!(matches!(pick(&opens(&[]), Wanted::default(), 1, &mut Rng::new(1)), Picked::Nothing));
}

#[test]
fn affinity_survives_the_loss_of_other_instances() {
    let owner = |set: &Service, key: &str| {
        let wanted = Wanted { affinity: key.as_bytes(), ..Wanted::default() };
        match pick(set, wanted, 1, &mut Rng::new(9)) {
            Picked::Endpoint { endpoint, .. } => endpoint.instance.clone(),
            other => panic!("{other:?}"),
        }
    };
    for i in 0..200 {
        let key = format!("task-{i}");
        let before = owner(&opens(&[0; 5]), &key);
        for gone in 0..5 {
            let mut fewer = opens(&[0; 5]);
            let lost = fewer.endpoints.remove(gone);
            if lost.instance != before {
                assert_eq!(owner(&fewer, &key), before);
            }
        }
    }
}

#[test]
fn a_full_owner_is_waited_for_or_passed_over_by_what_the_key_means() {
    let set = service(&[Spec { capacity: 1, ..Spec::default() }; 3]);
    let pick_as = |key_pull| {
        let wanted = Wanted { affinity: b"key", key_pull, ..Wanted::default() };
        match pick(&set, wanted, 1, &mut Rng::new(9)) {
            Picked::Endpoint { endpoint, .. } => ("goes", endpoint.instance.to_string()),
            Picked::OwnerFull(endpoint) => ("waits", endpoint.instance.to_string()),
            Picked::Full => ("waits", "any".to_owned()),
            Picked::Nothing => ("fails", String::new()),
        }
    };
    let load_of = |instance: &str| &set.endpoints.iter().find(|e| *e.instance == *instance).unwrap().load;
    let (_, owner) = pick_as(KeyPull::Binds);
    load_of(&owner).opened();
    assert_eq!(pick_as(KeyPull::Binds), ("waits", owner.clone()));
    assert_eq!(pick_as(KeyPull::Asks), ("goes", owner.clone()));
    let (goes, second) = pick_as(KeyPull::Prefers);
    assert!(goes == "goes" && second != owner);
    load_of(&second).opened();
    let (_, third) = pick_as(KeyPull::Prefers);
    assert!(third != second && third != owner);
    load_of(&third).opened();
    assert_eq!(pick_as(KeyPull::Prefers), ("waits", "any".to_owned()));
    // In the order of the key, not at random: the second is the second again.
    load_of(&second).closed();
    assert_eq!(pick_as(KeyPull::Prefers), ("goes", second));
    // An ejected owner is no owner.
    eject(load_of(&owner), 1);
    assert_ne!(pick_as(KeyPull::Binds).1, owner);
}

#[test]
fn weights_split_exactly_within_a_version() {
    // v1 and v2 in turn.
    let split = service(&[1, 8, 1, 2].map(|weight| Spec { weight, ..Spec::default() }));
    let counts = shares(&split, Wanted { version: Some("v2"), ..Wanted::default() }, 1);
    assert_eq!((counts[0], counts[2]), (0, 0));
    assert!((500..700).contains(&counts[3]), "{counts:?}");
}
