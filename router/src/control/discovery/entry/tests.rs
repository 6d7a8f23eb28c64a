//! What the meta of instances makes of their service.

use super::*;
use switchboard_registry::{Instance, Status};

fn entry() -> Entry {
    Entry::new("agent-x".into(), Arc::default())
}

fn known(id: &str, status: Status, meta: &[(&str, &str)]) -> Known {
    let port = 1_000 + id.bytes().map(u16::from).sum::<u16>();
    let instance = Instance {
        id: id.to_owned(),
        service: "agent-x".to_owned(),
        node: "n".to_owned(),
        address: "127.0.0.1".to_owned(),
        port,
        status,
        tags: Vec::new(),
        meta: meta.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        weight: 1,
        modify_index: 1,
        create_index: 1,
    };
    Known { instance, addr: Ok(([127, 0, 0, 1], port).into()) }
}

fn update(entry: &mut Entry, instances: Vec<Known>) -> Change {
    entry.update(instances.into(), u64::MAX, 1)
}

#[test]
fn the_first_healthy_instance_speaks_for_its_service() {
    let mut entry = entry();
    let instances = |first| {
        vec![
            known("a", first, &[("max_calls", "1")]),
            known("b", Status::Passing, &[("timeout", "5s"), ("max_calls", "2")]),
        ]
    };
    update(&mut entry, instances(Status::Critical));
    let limits = entry.service.limits.clone().unwrap();
    assert_eq!((limits.max_calls, limits.timeout), (Some(2), Some(Duration::from_secs(5))));
    update(&mut entry, instances(Status::Passing));
    assert_eq!(entry.service.limits.as_ref().unwrap().max_calls, Some(1));
    // Nobody is left to ask: what was said stays, for the calls that are under way.
    update(&mut entry, vec![]);
    assert_eq!(entry.service.limits.as_ref().unwrap().max_calls, Some(1));
    update(&mut entry, vec![known("c", Status::Passing, &[])]);
    assert_eq!(entry.service.limits, None);
}

#[test]
fn a_change_of_the_meta_alone_is_a_change() {
    let mut entry = entry();
    let with = |meta| vec![known("a", Status::Passing, meta)];
    assert_eq!(update(&mut entry, with(&[("max_queue", "5")])), Change::Some);
    let endpoint = entry.service.endpoints[0].clone();
    assert_eq!(update(&mut entry, with(&[("max_queue", "5")])), Change::None);
    for meta in [&[("max_queue", "6")][..], &[("balance", "round_robin")], &[("idempotent", "true")], &[]] {
        assert_eq!(update(&mut entry, with(meta)), Change::Some, "{meta:?}");
        assert!(Arc::ptr_eq(&endpoint, &entry.service.endpoints[0]));
    }
}

#[test]
fn broken_values_are_named_once_while_they_are_broken() {
    let mut entry = entry();
    entry.instances = vec![
        known("a", Status::Passing, &[("timeout", "soon"), ("weight", "-1"), ("max_calls", "3")]),
        known("b", Status::Critical, &[("timeout", "later"), ("balance", "p3c"), ("idempotent", "yes")]),
    ]
    .into();
    assert_eq!(entry.newly_broken(), ["balance", "idempotent", "timeout", "weight"]);
    assert_eq!(entry.newly_broken(), [""; 0]);
    let fine =
        [("timeout", "1s"), ("balance", "affinity:x-user"), ("max_concurrency", "4"), ("weight", " 7 ")];
    entry.instances = vec![known("a", Status::Passing, &fine)].into();
    assert_eq!(entry.newly_broken(), [""; 0]);
    entry.instances = vec![known("a", Status::Passing, &[("timeout", "1")])].into();
    assert_eq!(entry.newly_broken(), ["timeout"]);
}

#[test]
fn an_instance_that_left_counts_while_it_has_streams() {
    let mut entry = entry();
    update(&mut entry, vec![known("a", Status::Passing, &[])]);
    let load = entry.service.endpoints[0].load.clone();
    assert!(!entry.has_streams());
    load.opened();
    update(&mut entry, vec![]);
    assert!(entry.has_streams());
    load.closed();
    assert!(!entry.has_streams());
}
