//! The same request sent again gets the same answer.

use crate::support::*;
use std::{collections::HashSet, sync::Arc};
use switchboard_testkit::eventually;
use workflow_machine::WorkflowId;
use workflow_store::MemoryStore;
use workflow_worker::{
    engine::{EngineError, Key, Settings},
    spec::Submission,
};

fn key(name: &str, hash: u8) -> Option<Key> {
    Some(Key { scope: "me/submit".into(), key: name.to_owned(), hash: [hash; 32] })
}

fn one() -> Vec<Submission> {
    vec![Submission { id: None, spec: workflow(vec![call("a", &[])]) }]
}

#[test]
fn sixty_four_duplicates_at_once_make_one_workflow() {
    test(async {
        let engine = Scripted::start().await;
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let engine = engine.engine.clone();
            calls.spawn(async move { engine.submit(one(), false, key("k", 1)).await });
        }
        let (mut ids, mut first) = (HashSet::new(), 0);
        while let Some(taken) = calls.join_next().await {
            let taken = taken.unwrap().unwrap().remove(0).unwrap();
            first += usize::from(!taken.replayed);
            ids.insert(taken.id);
        }
        assert_eq!((ids.len(), first), (1, 1));
        assert_eq!(engine.store.live().unwrap().len(), 1);
    });
}

#[test]
fn a_key_counts_after_a_restart_and_for_its_request_only() {
    test(async {
        let engine = Scripted::start().await;
        let first = engine.engine.submit(one(), false, key("k", 1)).await.unwrap().remove(0).unwrap();
        let engine = Scripted::on(engine.stop().await).await;
        let again = engine.engine.submit(one(), false, key("k", 1)).await.unwrap().remove(0).unwrap();
        assert_eq!((&again.id, again.replayed), (&first.id, true));
        let other = engine.engine.submit(one(), false, key("k", 2)).await;
        assert!(matches!(other, Err(EngineError::KeyReused)), "{other:?}");
        let another = engine.engine.submit(one(), false, key("l", 2)).await.unwrap().remove(0).unwrap();
        assert!(!another.replayed && another.id != first.id);
    });
}

#[test]
fn an_id_is_taken_once_also_after_its_workflow_has_ended() {
    test(async {
        let mut engine = Scripted::start().await;
        let named =
            || Submission { id: Some(WorkflowId::from("mine")), spec: workflow(vec![call("a", &[])]) };
        let taken = engine.engine.submit(vec![named(), named()], false, None).await.unwrap();
        assert!(taken[0].is_ok());
        assert!(matches!(&taken[1], Err(EngineError::Exists(id)) if id.as_str() == "mine"), "{taken:?}");
        let attempt = engine.attempt().await;
        engine.complete(&attempt, "1").await.unwrap();
        let again = engine.engine.submit(vec![named()], false, None).await.unwrap();
        assert!(matches!(&again[0], Err(EngineError::Exists(_))), "{again:?}");
    });
}

#[test]
fn of_an_atomic_batch_all_are_taken_or_none() {
    test(async {
        let mut engine = Scripted::start().await;
        let named =
            |id: &str| Submission { id: Some(WorkflowId::from(id)), spec: workflow(vec![call("a", &[])]) };
        engine.engine.submit(vec![named("old")], true, None).await.unwrap();
        engine.attempt().await;
        let refused =
            engine.engine.submit(vec![named("new"), named("old"), named("newer")], true, None).await;
        assert!(matches!(&refused, Err(EngineError::Exists(id)) if id.as_str() == "old"), "{refused:?}");
        assert!(engine.nothing_asked(), "nothing of it began");
        assert_eq!(engine.store.live().unwrap().len(), 1);
        let not_found = engine.engine.read(&WorkflowId::from("new"), |_| ()).await;
        assert!(matches!(not_found, Err(EngineError::NotFound)));
        let taken = engine.engine.submit(vec![named("new"), named("newer")], true, None).await.unwrap();
        assert!(taken.iter().all(Result::is_ok));
    });
}

#[test]
fn keys_that_expired_are_forgotten_whether_new_ones_come_or_not() {
    test(async {
        let settings = Settings { key_ttl_ms: 0, ..Settings::default() };
        let engine = Scripted::with(Arc::new(MemoryStore::default()), settings).await;
        for n in 0..600 {
            engine.engine.submit(one(), false, key(&format!("k{n}"), 1)).await.unwrap();
        }
        let kept = |n: usize| {
            let found = engine.store.idempotent(b"me/submit", &format!("k{n}"), 0).unwrap();
            found.is_some()
        };
        assert!((0..400).all(|n| !kept(n)), "they are gone");
        let rest = async || (400..600).find(|n| kept(*n)).map_or(Ok(()), Err);
        eventually(PATIENCE, rest).await.unwrap();
    });
}
