//! Large workflows and large results.

use crate::support::*;
use bytes::Bytes;
use std::sync::Arc;
use workflow_machine::{Status, Work, Workflow};
use workflow_store::{EmbeddedSettings, EmbeddedStore};
use workflow_worker::attempt::Report;

#[test]
fn ten_thousand_tasks_and_a_result_of_a_mebibyte_survive_a_restart() {
    test(async {
        let folder = tempfile::tempdir().unwrap();
        let open = || Arc::new(EmbeddedStore::open(folder.path(), &EmbeddedSettings::default()).unwrap());
        let mut engine = Scripted::on(open()).await;
        let mut tasks = vec![call("big", &[])];
        tasks.extend((0..9_998).map(|n| task(&format!("t{n}"), &["big"], Work::Noop(Default::default()))));
        tasks.push(call("last", &["t0", "t9997"]));
        let id = engine.submit(workflow(tasks)).await;
        let big = engine.attempt().await;
        let result = Bytes::from(format!("\"{}\"", "x".repeat(1 << 20)));
        engine.reports.report(name(&big), Report::Completed { result: result.clone() }).await.unwrap();
        engine.attempt().await;
        let store = engine.stop().await;
        drop(store);

        let mut engine = Scripted::on(open()).await;
        let last = engine.attempt().await;
        assert_eq!(last.run.task, "last");
        engine.complete(&last, "1").await.unwrap();
        let (status, kept) = engine
            .engine
            .read(&id, |workflow: &Workflow| {
                (workflow.status(), workflow.task("big").unwrap().result.clone())
            })
            .await
            .unwrap();
        assert_eq!((status, kept), (Status::Completed, result));
    });
}
