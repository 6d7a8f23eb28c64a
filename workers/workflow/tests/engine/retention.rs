//! What ended goes by itself when it is old enough.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use crate::support::*;
use switchboard_testkit::eventually;
use workflow_machine::{Spec, Work};
use workflow_store::{Filter, MemoryStore, WorkflowId as StoreId};
use workflow_worker::engine::{CONFIG, RETENTION_HOURS, Settings};

fn noop() -> Spec {
    workflow(vec![task("a", &[], Work::Noop(Default::default()))])
}

fn keeps(retention_ms: u64) -> Settings {
    Settings { retention_ms, ..Settings::default() }
}

#[test]
fn what_ended_goes_when_it_is_old_and_what_runs_stays() {
    test(async {
        let mut engine = Scripted::with(Arc::new(MemoryStore::default()), keeps(1)).await;
        let running = engine.submit(workflow(vec![call("a", &[])])).await;
        let attempt = engine.attempt().await;
        // More than one commit's worth.
        for _ in 0..150 {
            engine.submit(noop()).await;
        }
        let rest = async || match engine.store.list(&Filter::default(), None, 1_000).unwrap().summaries {
            rest if rest.len() == 1 => Ok(rest[0].id.to_string()),
            rest => Err(rest.len()),
        };
        assert_eq!(eventually(PATIENCE, rest).await.unwrap(), running.as_str());
        assert_eq!(engine.engine.shared().purged.load(Relaxed), 150);
        engine.complete(&attempt, "1").await.unwrap();
        let id = StoreId::new(running.as_str()).unwrap();
        let gone = async || match engine.store.events(&id, 0, 1).unwrap().items.len() {
            0 => Ok(()),
            left => Err(left),
        };
        eventually(PATIENCE, gone).await.unwrap();
    });
}

#[test]
fn zero_keeps_what_ended_for_ever_and_what_an_operator_set_survives_a_restart() {
    test(async {
        let engine = Scripted::with(Arc::new(MemoryStore::default()), keeps(0)).await;
        engine.engine.keep_setting(RETENTION_HOURS, Some("0".into())).await.unwrap();
        let id = engine.submit(noop()).await;
        // Its default would delete everything at the first look; so would one that reads the setting too late.
        let engine = Scripted::with(engine.stop().await, keeps(1)).await;
        assert_eq!(engine.engine.shared().retention_ms.load(Relaxed), 0);
        engine.engine.set_retention(2);
        assert_eq!(engine.engine.shared().retention_ms.load(Relaxed), 7_200_000);
        engine.engine.keep_setting(RETENTION_HOURS, Some("a week".into())).await.unwrap();
        let engine = Scripted::with(engine.stop().await, keeps(1)).await;
        assert_eq!(
            engine.engine.shared().retention_ms.load(Relaxed),
            0,
            "{CONFIG} that nobody can read deletes nothing"
        );
        engine.engine.read(&id, |_| ()).await.unwrap();
    });
}
