//! Tasks that talk much: their lines are bounded, and nobody else waits for them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::support::*;
use workflow_machine::Status;
use workflow_store::{DEFAULT_LOG_BYTES, EmbeddedSettings, EmbeddedStore, WorkflowId as StoreId};
use workflow_worker::attempt::Report;

/// Tasks that talk, each with ten times the 100 KB/s that nobody else is to feel.
const TALKERS: usize = 4;
const LINE: usize = 1 << 10;
const PAUSE: Duration = Duration::from_millis(1);

#[test]
fn tasks_that_log_a_megabyte_a_second_hold_up_nobody() {
    test(async {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(EmbeddedStore::open(folder.path(), &EmbeddedSettings::default()).unwrap());
        let mut engine = Scripted::on(store).await;
        let (quiet, said) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (mut talkers, mut attempts) = (Vec::new(), Vec::new());
        for _ in 0..TALKERS {
            engine.submit(workflow(vec![call("talks", &[])])).await;
            let attempt = engine.attempt().await;
            let (reports, id) = (engine.reports.clone(), name(&attempt));
            let (quiet, said) = (quiet.clone(), said.clone());
            attempts.push(attempt);
            talkers.push(tokio::spawn(async move {
                while !quiet.load(Relaxed) {
                    let message = "x".repeat(LINE);
                    let line = Report::Log { at: 1, level: 2, message, fields: Vec::new() };
                    said.fetch_add(u64::from(reports.offer(id.clone(), line)), Relaxed);
                    tokio::time::sleep(PAUSE).await;
                }
            }));
        }
        let (began, mut others) = (Instant::now(), 0);
        // Until each has said more than is kept of it.
        while said.load(Relaxed) < (TALKERS * (DEFAULT_LOG_BYTES / LINE + 100)) as u64 {
            let id = engine.submit(workflow(vec![call("a", &[]), call("b", &["a"])])).await;
            for _ in 0..2 {
                let attempt = engine.attempt().await;
                engine.complete(&attempt, "1").await.unwrap();
            }
            assert_eq!(engine.status(&id).await, Status::Completed);
            others += 1;
        }
        println!("{others} workflows in {:?} beside {} lines", began.elapsed(), said.load(Relaxed));
        assert!(others >= 20, "{others} workflows beside {} lines", said.load(Relaxed));
        quiet.store(true, Relaxed);
        for talker in talkers {
            talker.await.unwrap();
        }
        for attempt in &attempts {
            // It has kept what it was told before.
            engine.complete(attempt, "1").await.unwrap();
            let id = StoreId::new(attempt.workflow.as_str()).unwrap();
            let kept = engine.store.logs(&id, 0, usize::MAX).unwrap();
            let bytes: usize = kept.items.iter().map(|line| line.data.len()).sum();
            assert!(bytes <= DEFAULT_LOG_BYTES && kept.items.len() > DEFAULT_LOG_BYTES / LINE / 2, "{bytes}");
            assert!(kept.items.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1), "none is left out");
        }
    });
}
