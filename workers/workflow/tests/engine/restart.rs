//! What was going on when the process ended goes on.

use crate::support::*;
use std::sync::atomic::Ordering::Relaxed;
use workflow_machine::{Input, Sleep, Spec, Status, TaskError, Work, Workflow};
use workflow_worker::engine::{EngineError, LaneSettings};

#[test]
fn an_attempt_in_flight_is_made_again_under_the_same_epoch_and_counts_once() {
    test(async {
        let mut engine = Scripted::start().await;
        let spec = Spec {
            owner: "ben".to_owned(),
            owner_roles: vec!["planner".to_owned()],
            ..workflow(vec![call("a", &[]), call("b", &["a"])])
        };
        let id = engine.submit(spec).await;
        let before = engine.attempt().await;
        let mut engine = Scripted::on(engine.stop().await).await;
        assert_eq!(engine.engine.shared().live.load(Relaxed), 1, "the gauge is right from the start");
        let after = engine.attempt().await;
        assert_eq!(name(&after), name(&before));
        assert_eq!((after.owner.as_str(), &after.owner_roles[..]), ("ben", &["planner".to_owned()][..]));
        assert_eq!(after.run.idempotency_key, before.run.idempotency_key);
        engine.complete(&before, "1").await.unwrap();
        let twice = engine.complete(&after, "2").await;
        assert!(twice.is_err(), "one result per attempt");
        let b = engine.attempt().await;
        engine.complete(&b, "3").await.unwrap();
        assert_eq!(engine.status(&id).await, Status::Completed);
        let first =
            engine.engine.read(&id, |workflow| workflow.task("a").unwrap().result.clone()).await.unwrap();
        assert_eq!(&first[..], b"1");
    });
}

#[test]
fn tasks_that_waited_and_timers_that_ran_go_on() {
    test(async {
        let engine = Scripted::start().await;
        engine.engine.set_lane("one", LaneSettings { workers: 1, ..LaneSettings::DEFAULT }).await.unwrap();
        let mut tasks = vec![call("a", &[]), call("b", &[])];
        tasks.iter_mut().for_each(|task| task.lane = "one".to_owned());
        tasks.push(task("sleep", &[], Work::Sleep(Sleep { duration_ms: 50, until_ms: 0 })));
        tasks.push(call("late", &["sleep"]));
        let id = engine.submit(workflow(tasks)).await;
        let mut engine = Scripted::on(engine.stop().await).await;
        let mut begun = vec![];
        for _ in 0..2 {
            begun.push(engine.attempt().await);
        }
        let mut names: Vec<_> = begun.iter().map(|attempt| attempt.run.task.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["a", "late"], "the lane still has one worker, and the sleep ended");
        let a = begun.iter().find(|attempt| attempt.run.task == "a").unwrap();
        engine.complete(a, "1").await.unwrap();
        assert_eq!(engine.attempt().await.run.task, "b");
        assert_eq!(engine.status(&id).await, Status::Running);
    });
}

#[test]
fn a_pause_lasts_through_a_restart() {
    test(async {
        let engine = Scripted::start().await;
        engine.engine.set_paused(true).await.unwrap();
        let mut engine = Scripted::on(engine.stop().await).await;
        let refused = engine.engine.submit(Vec::new(), false, None).await;
        assert!(matches!(refused, Err(EngineError::Paused)), "{refused:?}");
        engine.engine.set_paused(false).await.unwrap();
        engine.submit(workflow(vec![call("a", &[])])).await;
        engine.attempt().await;
    });
}

#[test]
fn a_paused_engine_lets_run_what_runs_and_starts_nothing() {
    test(async {
        let mut engine = Scripted::start().await;
        engine.submit(workflow(vec![call("a", &[]), call("b", &["a"])])).await;
        let a = engine.attempt().await;
        engine.engine.set_paused(true).await.unwrap();
        engine.complete(&a, "1").await.unwrap();
        assert!(engine.nothing_asked());
        engine.engine.set_paused(false).await.unwrap();
        assert_eq!(engine.attempt().await.run.task, "b");
    });
}

#[test]
fn a_failed_workflow_is_retried_from_the_failed_task_after_a_restart() {
    test(async {
        let mut engine = Scripted::start().await;
        let id = engine.submit(workflow(vec![call("a", &[]), call("b", &["a"])])).await;
        let a = engine.attempt().await;
        engine.complete(&a, "1").await.unwrap();
        let b = engine.attempt().await;
        engine.fail(&b, TaskError::permanent("BROKEN", "no")).await.unwrap();
        assert_eq!(engine.status(&id).await, Status::Failed);
        let mut engine = Scripted::on(engine.stop().await).await;
        assert!(engine.nothing_asked(), "an end is final");
        let retry = Input::Retry { from: None, reason: "again".to_owned() };
        let taken = engine.engine.tell(&id, retry).await.unwrap();
        assert!(taken.changed);
        let again = engine.attempt().await;
        assert_eq!(again.run.task, "b");
        assert!(again.run.epoch > b.run.epoch);
        engine.complete(&again, "2").await.unwrap();
        assert_eq!(engine.status(&id).await, Status::Completed);
        let attempts = engine.engine.read(&id, Workflow::run).await.unwrap();
        assert_eq!(attempts, 2);
    });
}

#[test]
fn ten_restarts_in_the_middle_of_many_workflows_lose_and_repeat_nothing() {
    test(async {
        let mut engine = Scripted::start().await;
        let mut ids = Vec::new();
        for round in 0..10 {
            for _ in 0..5 {
                ids.push(engine.submit(workflow(vec![call("a", &[]), call("b", &["a"])])).await);
            }
            // Some of what is asked is done, the rest is asked again after the restart.
            for n in 0..6 {
                let attempt = engine.attempt().await;
                if (n + round) % 2 == 0 {
                    engine.complete(&attempt, "1").await.unwrap();
                }
            }
            engine = Scripted::on(engine.stop().await).await;
        }
        while !engine.store.live().unwrap().is_empty() {
            let attempt = engine.attempt().await;
            // One that was done while its successor was on its way.
            let _ = engine.complete(&attempt, "1").await;
        }
        for id in ids {
            assert_eq!(engine.status(&id).await, Status::Completed);
        }
    });
}
