//! What is committed is there, as one piece, until it is purged; also after the store was opened again.

#![expect(clippy::unwrap_used, reason = "tests")]

mod subject;

use bytes::Bytes;
use subject::{ended, event, id, on_each, workflow};
use workflow_store::{
    Commit, Count, Cursor, DEFAULT_LOG_BYTES, Filter, Rejection, Remembered, Status, Store, StoreError, Write,
};

fn events(store: &dyn Store, name: &str, after: u64, limit: usize) -> Vec<(u64, Bytes)> {
    let events = store.events(&id(name), after, limit).unwrap();
    events.items.into_iter().map(|item| (item.seq, item.data)).collect()
}

#[test]
fn a_workflow_and_its_history_are_kept() {
    on_each(|mut subject| {
        let mut summary = workflow("a", 10);
        subject.commit(vec![
            Write::Create(summary.clone()),
            event("a", 1, "submitted"),
            event("a", 2, "started"),
        ]);
        subject.reopen();
        assert_eq!(subject.store.summary(&id("a")).unwrap(), Some(summary.clone()));
        assert_eq!(subject.store.live().unwrap(), [summary.clone()]);

        summary = ended(summary, Status::Completed, 20);
        subject.commit(vec![event("a", 3, "ended"), Write::Update(summary.clone())]);
        subject.reopen();
        assert_eq!(subject.store.summary(&id("a")).unwrap(), Some(summary));
        assert_eq!(subject.store.live().unwrap(), []);
        assert_eq!(events(&*subject.store, "a", 0, 2), [(1, "submitted".into()), (2, "started".into())]);
        assert_eq!(events(&*subject.store, "a", 2, 9), [(3, "ended".into())]);
        assert_eq!(events(&*subject.store, "a", 3, 9), []);
        assert_eq!(subject.store.events(&id("a"), 0, 0).unwrap().oldest, 1);
        assert_eq!(subject.store.events(&id("b"), 0, 9).unwrap().oldest, 0);
    });
}

#[test]
fn an_ended_workflow_can_be_brought_back() {
    on_each(|mut subject| {
        let alive = workflow("a", 10);
        subject.commit(vec![Write::Create(alive.clone())]);
        subject.commit(vec![Write::Update(ended(alive.clone(), Status::Failed, 20))]);
        subject.commit(vec![Write::Update(alive.clone())]);
        subject.reopen();
        assert_eq!(subject.store.live().unwrap(), [alive]);
        assert_eq!(subject.store.count(&Filter::status(Status::Failed)).unwrap(), Count::Exact(0));
        assert_eq!(subject.store.list(&Filter::status(Status::Failed), None, 9).unwrap().summaries, []);
        assert_eq!(subject.store.list(&Filter::default(), None, 9).unwrap().summaries.len(), 1);
    });
}

#[test]
fn a_group_with_a_commit_that_does_not_apply_leaves_no_trace() {
    on_each(|subject| {
        subject.commit(vec![Write::Create(workflow("a", 1))]);
        let create = |name| Commit::new(vec![Write::Create(workflow(name, 2)), event(name, 1, "x")]);
        let cases = [
            (create("a"), Rejection::Exists(id("a"))),
            (create("b"), Rejection::Exists(id("b"))),
            (Commit::new(vec![Write::Update(workflow("c", 3))]), Rejection::Missing(id("c"))),
            (Commit::new(vec![event("c", 1, "x")]), Rejection::Missing(id("c"))),
        ];
        for (commit, expected) in cases {
            let error = subject.store.commit(&[create("b"), Commit::default(), commit]).unwrap_err();
            assert!(!error.is_fatal());
            let StoreError::Rejected { commit: 2, reason } = error else { panic!("{error}") };
            assert_eq!(reason, expected);
            assert_eq!(subject.store.summary(&id("b")).unwrap(), None);
            assert_eq!(events(&*subject.store, "b", 0, 9), []);
        }
    });
}

#[test]
fn a_group_sees_what_its_earlier_commits_did() {
    on_each(|subject| {
        let summary = workflow("a", 1);
        let commits = [
            Commit::new(vec![Write::Create(summary.clone()), event("a", 1, "old")]),
            Commit::new(vec![Write::Update(ended(summary.clone(), Status::Failed, 2))]),
            Commit::new(vec![Write::Purge(id("a"))]),
            Commit::new(vec![Write::Create(summary.clone()), event("a", 1, "new")]),
        ];
        subject.store.commit(&commits).unwrap();
        assert_eq!(subject.store.live().unwrap(), [summary]);
        assert_eq!(events(&*subject.store, "a", 0, 9), [(1, "new".into())]);
        assert_eq!(subject.store.count(&Filter::default()).unwrap(), Count::Exact(1));
    });
}

#[test]
fn a_purge_takes_everything_of_its_workflow_and_nothing_else() {
    on_each(|mut subject| {
        // "a" and "a!" differ in what follows the ID in a key.
        for name in ["a", "a!", "b"] {
            subject.commit(vec![
                Write::Create(ended(workflow(name, 1), Status::Completed, 2)),
                event(name, 1, "x"),
                Write::Log { id: id(name), seq: 1, data: "line".into() },
                Write::Blob { id: id(name), name: "result".to_owned(), data: "blob".into() },
            ]);
        }
        subject.commit(vec![Write::Purge(id("a")), Write::Purge(id("never"))]);
        subject.reopen();
        let store = &subject.store;
        assert_eq!(store.summary(&id("a")).unwrap(), None);
        assert_eq!(store.events(&id("a"), 0, 9).unwrap().items, []);
        assert_eq!(store.logs(&id("a"), 0, 9).unwrap().items, []);
        assert_eq!(store.blob(&id("a"), "result", 0, 9).unwrap(), None);
        for name in ["a!", "b"] {
            assert!(store.summary(&id(name)).unwrap().is_some());
            assert_eq!(store.events(&id(name), 0, 9).unwrap().items.len(), 1);
            assert_eq!(store.logs(&id(name), 0, 9).unwrap().items.len(), 1);
            assert!(store.blob(&id(name), "result", 0, 9).unwrap().is_some());
        }
        assert_eq!(store.count(&Filter::default()).unwrap(), Count::Exact(2));
    });
}

#[test]
fn what_ended_early_is_found_for_a_purge_oldest_first() {
    on_each(|subject| {
        // Created at 1..=5; the third took long, the last is alive.
        for (created, finished) in [(1, 10), (2, 11), (3, 90), (4, 12)] {
            let summary = ended(workflow(&format!("w{created}"), created), Status::Completed, finished);
            subject.commit(vec![Write::Create(summary)]);
        }
        subject.commit(vec![Write::Create(workflow("w5", 5))]);
        let page = subject.store.ended(50, None, 2).unwrap();
        assert_eq!(
            page.summaries.iter().map(|summary| summary.id.as_str()).collect::<Vec<_>>(),
            ["w1", "w2"]
        );
        let next = page.next.unwrap();
        assert_eq!(next, Cursor { created_ms: 2, id: id("w2") });
        let page = subject.store.ended(50, Some(&next), 2).unwrap();
        assert_eq!(page.summaries.iter().map(|summary| summary.id.as_str()).collect::<Vec<_>>(), ["w4"]);
        assert_eq!(page.next, None);
        assert_eq!(subject.store.ended(2, Some(&next), 2).unwrap().summaries, []);
    });
}

#[test]
fn an_answer_is_remembered_until_it_expires() {
    on_each(|mut subject| {
        let remember = |scope: &'static str, key: &str, hash: u8, expires_ms| Write::Idempotent {
            scope: scope.into(),
            key: key.to_owned(),
            remembered: Remembered { hash: [hash; 32], response: "w1".into(), expires_ms },
        };
        // Scope and key are two things: "a" + "bc" is not "ab" + "c".
        subject.commit(vec![remember("a", "bc", 1, 100), remember("ab", "c", 2, 200)]);
        subject.reopen();
        let found = |scope: &str, key: &str, now_ms| {
            let found = subject.store.idempotent(scope.as_bytes(), key, now_ms).unwrap();
            found.map(|remembered| remembered.hash[0])
        };
        assert_eq!(found("a", "bc", 99), Some(1));
        assert_eq!(found("a", "bc", 100), None);
        assert_eq!(found("ab", "c", 100), Some(2));
        assert_eq!(found("abc", "", 0), None);

        // Written anew, it lives on, also if the same commit sweeps.
        subject.commit(vec![remember("a", "bc", 3, 300), Write::Expire { now_ms: 150, limit: 9 }]);
        assert_eq!(found("a", "bc", 150), Some(3));
        assert_eq!(found("ab", "c", 150), Some(2));

        subject.commit((0..5).map(|n| remember("bulk", &n.to_string(), 9, 160)).collect());
        subject.commit(vec![Write::Expire { now_ms: 250, limit: 4 }]);
        let left = (0..5).filter(|n| found("bulk", &n.to_string(), 0).is_some()).count();
        assert_eq!(left, 1);
        subject.commit(vec![Write::Expire { now_ms: 250, limit: 4 }]);
        assert_eq!(found("bulk", "4", 0), None);
        assert_eq!(found("ab", "c", 0), None);
        assert_eq!(found("a", "bc", 0), Some(3));
    });
}

#[test]
fn the_oldest_log_lines_give_way() {
    on_each(|mut subject| {
        subject.commit(vec![Write::Create(workflow("a", 1))]);
        let line = Bytes::from(vec![b'x'; 10_000]);
        let lines = 3 * DEFAULT_LOG_BYTES / line.len();
        for seq in 1..=lines as u64 {
            subject.commit(vec![Write::Log { id: id("a"), seq, data: line.clone() }]);
            if seq == 150 {
                subject.reopen();
            }
        }
        let logs = subject.store.logs(&id("a"), 0, usize::MAX).unwrap();
        assert_eq!(logs.newest, lines as u64);
        assert_eq!(logs.items[0].seq, logs.oldest);
        assert!(logs.items.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq));
        let bytes = logs.items.len() * line.len();
        assert!(bytes <= DEFAULT_LOG_BYTES && bytes > DEFAULT_LOG_BYTES * 3 / 4, "{bytes} bytes are kept");

        // One line that is too long for all the rest is kept all the same, with some that came just before at most.
        let long = Bytes::from(vec![b'y'; 2 * DEFAULT_LOG_BYTES]);
        subject.commit(vec![Write::Log { id: id("a"), seq: 1_000, data: long }]);
        let logs = subject.store.logs(&id("a"), 0, usize::MAX).unwrap();
        assert_eq!(logs.newest, 1_000);
        assert_eq!(logs.items.last().unwrap().seq, 1_000);
        assert!(logs.items.len() < 9);
    });
}

#[test]
fn a_blob_is_read_piece_by_piece() {
    on_each(|mut subject| {
        subject.commit(vec![Write::Create(workflow("a", 1))]);
        let blob = |bytes: usize| Bytes::from((0..bytes).map(|at| (at % 251) as u8).collect::<Vec<_>>());
        for size in [1_500_000, 262_144, 700_001, 0] {
            let data = blob(size);
            subject.commit(vec![Write::Blob { id: id("a"), name: "t".to_owned(), data: data.clone() }]);
            subject.reopen();
            let read = |offset, limit| subject.store.blob(&id("a"), "t", offset, limit).unwrap().unwrap();
            assert_eq!(read(0, usize::MAX).data, data);
            assert_eq!(read(0, usize::MAX).total, size as u64);
            assert_eq!(read(size as u64, 10).data, "");
            assert_eq!(read(u64::MAX, 10).data, "");
            for (offset, limit) in [(0, 10), (262_140, 10), (262_144, 1), (500_000, 600_000)] {
                let expected = data.slice(offset.min(size)..(offset + limit).min(size));
                assert_eq!(read(offset as u64, limit).data, expected, "{offset} {limit} of {size}");
            }
        }
        assert_eq!(subject.store.blob(&id("a"), "other", 0, 1).unwrap(), None);
    });
}

#[test]
fn schedules_fire_once_per_time_and_keep_their_latest_marks() {
    on_each(|mut subject| {
        let schedule = |id: &str, data: Option<&'static str>| Write::Schedule {
            id: id.to_owned(),
            data: data.map(Bytes::from),
        };
        let fired = |at_ms| Write::Fired {
            schedule: "daily".to_owned(),
            at_ms,
            data: Bytes::from(format!("run at {at_ms}")),
        };
        subject.commit(vec![schedule("daily", Some("0 6 * * *")), schedule("aside", Some("x")), fired(1)]);
        subject.reopen();
        let error = subject.try_commit(vec![fired(1)]).unwrap_err();
        let StoreError::Rejected { reason: Rejection::Fired { at_ms: 1, .. }, .. } = error else {
            panic!("{error}")
        };
        assert!(subject.try_commit(vec![fired(2), fired(2)]).is_err());

        (2..100).for_each(|at_ms| subject.commit(vec![fired(at_ms)]));
        let marks = subject.store.fired("daily", 1_000).unwrap();
        assert_eq!(
            marks.iter().map(|mark| mark.at_ms).collect::<Vec<_>>(),
            (36..100).rev().collect::<Vec<_>>()
        );
        assert_eq!(marks[0].data, "run at 99");
        assert_eq!(subject.store.fired("daily", 2).unwrap().len(), 2);
        assert_eq!(
            subject.store.schedules().unwrap(),
            [("aside".to_owned(), "x".into()), ("daily".to_owned(), "0 6 * * *".into())]
        );

        subject.commit(vec![schedule("daily", None)]);
        subject.reopen();
        assert_eq!(subject.store.schedules().unwrap().len(), 1);
        assert_eq!(subject.store.fired("daily", 9).unwrap(), []);
    });
}

#[test]
fn settings_are_kept_until_they_end() {
    on_each(|mut subject| {
        let set = |name: &str, value: Option<&'static str>| Write::Setting {
            name: name.to_owned(),
            value: value.map(Bytes::from),
        };
        subject.commit(vec![set("paused", Some("yes")), set("lane.bulk", Some("3")), set("gone", Some("x"))]);
        subject.commit(vec![set("gone", None), set("paused", Some("no"))]);
        subject.reopen();
        assert_eq!(
            subject.store.settings().unwrap(),
            [("lane.bulk".to_owned(), "3".into()), ("paused".to_owned(), "no".into())]
        );
    });
}
