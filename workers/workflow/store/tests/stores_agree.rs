//! The store on disk and the one in memory answer alike, whatever is committed, and however often the first is opened again.
//!
//! The store in memory filters one workflow after the other, so it is what the indices of the other are measured by.

#![expect(clippy::unwrap_used, reason = "tests")]

mod subject;

use std::collections::HashMap;

use bytes::Bytes;
use proptest::{collection::vec, option, prelude::*, sample::select};
use subject::{Subject, id};
use workflow_store::{
    Commit, Filter, Parent, Remembered, Status, Statuses, Store, StoreError, Summary, TaskCounts, WorkflowId,
    Write,
};

/// Few, so that commits meet.
const IDS: [&str; 8] = ["a", "a!", "aa", "b", "c", "0199-1", "0199-2", "z"];
const NAMES: [&str; 5] = ["", "order", "order-1", "orders", "other"];
const OWNERS: [&str; 3] = ["", "alice", "alice2"];
const ATTRIBUTES: [(&str, &str); 4] = [("k", "v"), ("k", "vv"), ("kv", ""), ("l", "1")];

fn status() -> impl Strategy<Value = Status> {
    select(&Status::ALL)
}

fn attributes() -> impl Strategy<Value = Vec<(String, String)>> {
    proptest::sample::subsequence(&ATTRIBUTES[..], 0..=2).prop_map(|some| {
        let mut some: Vec<_> =
            some.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        some.dedup_by(|a, b| a.0 == b.0);
        some
    })
}

fn summary() -> impl Strategy<Value = Summary> {
    let text = (select(&IDS), select(&NAMES), select(&OWNERS));
    let parent = option::of(select(&IDS));
    let state = (status(), 0..3u8, 0..20u64, any::<bool>());
    (text, parent, state, attributes()).prop_map(
        |((of, name, owner), parent, (status, detail, finished, saga), attributes)| {
            // What never changes of a workflow follows from its ID.
            let created_ms = of.bytes().map(u64::from).sum::<u64>() % 5;
            Summary {
                name: name.to_owned(),
                status,
                detail,
                updated_ms: finished,
                started_ms: finished / 2,
                finished_ms: if status.is_terminal() { finished } else { 0 },
                last_seq: finished,
                priority: -1,
                owner: owner.to_owned(),
                parent: parent.map(|parent| Parent { workflow: id(parent), task: "t".to_owned() }),
                attributes,
                tasks: TaskCounts { total: 3, running: 1, completed: 1, failed: 1 },
                saga,
                error: "gone".to_owned(),
                ..Summary::new(id(of), "", created_ms)
            }
        },
    )
}

fn write() -> impl Strategy<Value = Write> {
    let data = || vec(any::<u8>(), 0..5).prop_map(Bytes::from);
    let some_id = || select(&IDS).prop_map(id);
    let remembered = (0..30u64, data()).prop_map(|(expires_ms, response)| Remembered {
        hash: [3; 32],
        response,
        expires_ms,
    });
    prop_oneof![
        4 => summary().prop_map(Write::Create),
        4 => summary().prop_map(Write::Update),
        3 => (some_id(), 1..6u64, data()).prop_map(|(id, seq, data)| Write::Event { id, seq, data }),
        2 => (select(&["s", "st"]), select(&["k", "tk"]), remembered).prop_map(|(scope, key, remembered)| {
            Write::Idempotent { scope: Bytes::from(scope), key: key.to_owned(), remembered }
        }),
        1 => (0..30u64, 0..3usize).prop_map(|(now_ms, limit)| Write::Expire { now_ms, limit }),
        2 => (some_id(), 1..6u64, data()).prop_map(|(id, seq, data)| Write::Log { id, seq, data }),
        1 => (some_id(), select(&["t", "tt"]), data())
            .prop_map(|(id, name, data)| Write::Blob { id, name: name.to_owned(), data }),
        1 => (select(&["x", "y"]), option::of(data())).prop_map(|(id, data)| Write::Schedule { id: id.to_owned(), data }),
        1 => (select(&["x", "y"]), 0..9u64, data())
            .prop_map(|(schedule, at_ms, data)| Write::Fired { schedule: schedule.to_owned(), at_ms, data }),
        1 => (select(&["x", "y"]), option::of(data())).prop_map(|(name, value)| Write::Setting { name: name.to_owned(), value }),
        2 => some_id().prop_map(Write::Purge),
    ]
}

fn filter() -> impl Strategy<Value = Filter> {
    let times = (option::of(0..5u64), option::of(0..7u64), option::of(0..20u64));
    let rest = (
        option::weighted(0.2, 0..3u8),
        option::weighted(0.2, any::<bool>()),
        option::weighted(0.3, select(&OWNERS)),
    );
    let names = (
        select(&["", "", "o", "order", "order-"]),
        option::weighted(0.2, select(&IDS)),
        vec(select(&IDS), 0..3),
    );
    let ids = any::<bool>();
    (vec(status(), 0..3), times, rest, names, ids, attributes()).prop_map(
        |(
            statuses,
            (from, before, finished),
            (detail, saga, owner),
            (prefix, parent, some),
            by_id,
            attributes,
        )| Filter {
            statuses: statuses.into_iter().collect::<Statuses>(),
            detail,
            name_prefix: prefix.to_owned(),
            created_from_ms: from,
            created_before_ms: before,
            finished_before_ms: finished,
            attributes: if by_id { Vec::new() } else { attributes },
            parent: parent.map(id),
            ids: if by_id { some.into_iter().map(id).collect() } else { Vec::new() },
            owner: owner.map(str::to_owned),
            saga,
        },
    )
}

/// Every page of a list.
fn pages(store: &dyn Store, filter: &Filter, limit: usize) -> Vec<Summary> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(filter, after.as_ref(), limit).unwrap();
        assert!(page.summaries.len() <= limit);
        found.extend(page.summaries);
        match page.next {
            Some(next) => after = Some(next),
            None => return found,
        }
    }
}

fn reason(outcome: Result<(), StoreError>) -> Option<(usize, workflow_store::Rejection)> {
    match outcome {
        Ok(()) => None,
        Err(StoreError::Rejected { commit, reason }) => Some((commit, reason)),
        Err(other) => panic!("{other}"),
    }
}

fn agree(memory: &dyn Store, disk: &dyn Store, filters: &[Filter]) {
    let sorted = |mut live: Vec<Summary>| {
        live.sort_by(|a, b| a.id.cmp(&b.id));
        live
    };
    assert_eq!(sorted(memory.live().unwrap()), sorted(disk.live().unwrap()));
    for name in IDS {
        let of = id(name);
        assert_eq!(memory.summary(&of).unwrap(), disk.summary(&of).unwrap());
        for after in [0, 2, 5] {
            assert_eq!(memory.events(&of, after, 3).unwrap(), disk.events(&of, after, 3).unwrap());
            assert_eq!(memory.logs(&of, after, 3).unwrap(), disk.logs(&of, after, 3).unwrap());
        }
        for blob in ["t", "tt"] {
            assert_eq!(memory.blob(&of, blob, 1, 3).unwrap(), disk.blob(&of, blob, 1, 3).unwrap());
        }
    }
    for (scope, key) in [("s", "k"), ("s", "tk"), ("st", "k"), ("st", "tk")] {
        for now_ms in [0, 15] {
            let scope = scope.as_bytes();
            assert_eq!(
                memory.idempotent(scope, key, now_ms).unwrap(),
                disk.idempotent(scope, key, now_ms).unwrap()
            );
        }
    }
    assert_eq!(memory.schedules().unwrap(), disk.schedules().unwrap());
    assert_eq!(memory.settings().unwrap(), disk.settings().unwrap());
    for schedule in ["x", "y"] {
        assert_eq!(memory.fired(schedule, 5).unwrap(), disk.fired(schedule, 5).unwrap());
    }
    assert_eq!(memory.ended(12, None, 2).unwrap(), disk.ended(12, None, 2).unwrap());
    let by_status = Status::ALL.map(Filter::status);
    let owned = OWNERS.map(|owner| Filter { owner: Some(owner.to_owned()), ..Filter::default() });
    let owned_by_status =
        by_status.clone().map(|filter| Filter { owner: Some("alice".to_owned()), ..filter });
    let more = by_status.iter().chain(&owned).chain(&owned_by_status);
    for filter in filters.iter().chain(more).chain([&Filter::default()]) {
        let expected = pages(memory, filter, 100);
        for limit in [1, 2, 100] {
            assert_eq!(pages(disk, filter, limit), expected, "{filter:?}");
        }
        assert_eq!(
            memory.count(filter).unwrap(),
            workflow_store::Count::Exact(expected.len() as u64),
            "{filter:?}"
        );
        assert_eq!(
            disk.count(filter).unwrap(),
            workflow_store::Count::Exact(expected.len() as u64),
            "{filter:?}"
        );
    }
}

/// The writes with events numbered as they have to be: from 1, without gaps.
fn in_turn(mut writes: Vec<Write>, last: &mut HashMap<WorkflowId, u64>) -> Vec<Write> {
    for write in &mut writes {
        match write {
            Write::Event { id, seq, .. } => {
                let last = last.entry(id.clone()).or_default();
                *last += 1;
                *seq = *last;
            }
            Write::Purge(id) => drop(last.remove(id)),
            _ => {}
        }
    }
    writes
}

/// Each case opens a store several times, which takes the time; `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if asked { config } else { ProptestConfig { cases: 20, ..config } }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn on_every_question(
        groups in vec((vec(vec(write(), 0..4), 1..4), prop::bool::weighted(0.1)), 1..30),
        filters in vec(filter(), 12),
    ) {
        let (memory, mut disk) = (Subject::in_memory(), Subject::on_disk());
        let mut last = HashMap::new();
        for (group, reopen) in groups {
            let mut numbered = last.clone();
            let commits: Vec<_> =
                group.into_iter().map(|writes| Commit::new(in_turn(writes, &mut numbered))).collect();
            let (one, other) = (memory.store.commit(&commits), disk.store.commit(&commits));
            let refused = reason(one);
            assert_eq!(refused, reason(other), "{commits:?}");
            if refused.is_none() {
                last = numbered;
            }
            if reopen {
                disk.reopen();
            }
        }
        agree(&*memory.store, &*disk.store, &filters);
        disk.reopen();
        agree(&*memory.store, &*disk.store, &filters);
    }
}
