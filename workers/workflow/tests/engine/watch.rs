//! Watchers see every event once, in order, from wherever they begin.

use crate::support::*;
use workflow_machine::{Event, EventKind, WorkflowId};
use workflow_worker::engine::{Engine, Gap};

fn is_end(event: &Event) -> bool {
    matches!(event.kind, Some(EventKind::WorkflowCompleted(_)))
}

/// Numbers up to the end of the workflow.
async fn numbers(engine: &Engine, id: &WorkflowId, after: u64) -> Vec<u64> {
    let mut watch = engine.watch(id, after).await.unwrap();
    let mut seen = Vec::new();
    loop {
        let event = watch.next().await.unwrap();
        seen.push(event.seq);
        if is_end(&event) {
            return seen;
        }
    }
}

#[test]
fn live_watchers_and_late_ones_see_the_same_without_gap_or_duplicate() {
    test(async {
        let mut engine = Scripted::start().await;
        let tasks: Vec<_> = (0..300).map(|n| call(&format!("t{n}"), &[])).collect();
        let id = engine.submit(workflow(tasks)).await;
        let mut watchers = tokio::task::JoinSet::new();
        for after in [0, 0, 1, 5] {
            let (engine, id) = (engine.engine.clone(), id.clone());
            watchers.spawn(async move { (after, numbers(&engine, &id, after).await) });
        }
        for n in 0..300 {
            let attempt = engine.attempt().await;
            engine.complete(&attempt, "1").await.unwrap();
            if n % 50 == 0 {
                let (engine, id) = (engine.engine.clone(), id.clone());
                watchers.spawn(async move { (0, numbers(&engine, &id, 0).await) });
            }
        }
        let all = numbers(&engine.engine, &id, 0).await;
        assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>());
        while let Some(seen) = watchers.join_next().await {
            let (after, seen) = seen.unwrap();
            assert_eq!(seen, all[after as usize..]);
        }
        assert_eq!(engine.engine.watched(), 0, "who is gone is forgotten");
    });
}

#[test]
fn a_watcher_resumes_where_it_was_after_a_restart() {
    test(async {
        let mut engine = Scripted::start().await;
        let id = engine.submit(workflow(vec![call("a", &[]), call("b", &["a"])])).await;
        let attempt = engine.attempt().await;
        let mut watch = engine.engine.watch(&id, 0).await.unwrap();
        let mut seen = vec![watch.next().await.unwrap().seq, watch.next().await.unwrap().seq];
        drop(watch);
        engine.complete(&attempt, "1").await.unwrap();
        let mut engine = Scripted::on(engine.stop().await).await;
        let attempt = engine.attempt().await;
        engine.complete(&attempt, "1").await.unwrap();
        seen.extend(numbers(&engine.engine, &id, 2).await);
        assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>());
    });
}

#[test]
fn a_sequence_ahead_and_an_unknown_workflow_are_told_apart() {
    test(async {
        let engine = Scripted::start().await;
        let id = engine.submit(workflow(vec![call("a", &[])])).await;
        let ahead = engine.engine.watch(&id, 100).await.err().unwrap();
        assert!(matches!(ahead, Gap::Future { after: 100, head: 3 }), "{ahead:?}");
        let unknown = engine.engine.watch(&WorkflowId::from("nobody"), 0).await.err().unwrap();
        assert!(matches!(unknown, Gap::NotFound), "{unknown:?}");
    });
}
