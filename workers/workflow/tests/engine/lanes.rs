//! Lanes bound what runs at once, priorities say what goes first.

use crate::support::*;
use workflow_worker::{
    engine::{EngineError, LaneSettings},
    spec::Submission,
};

#[test]
fn a_lane_runs_as_many_as_it_has_workers_and_the_urgent_first() {
    test(async {
        let mut engine = Scripted::start().await;
        engine.engine.set_lane("narrow", LaneSettings { workers: 1, ..LaneSettings::DEFAULT }).await.unwrap();
        let tasks = [("a", 0), ("b", 1), ("c", 9)].map(|(id, priority)| {
            let mut task = call(id, &[]);
            (task.lane, task.priority) = ("narrow".to_owned(), Some(priority));
            task
        });
        engine.submit(workflow(tasks.to_vec())).await;
        for expected in ["c", "b", "a"] {
            let attempt = engine.attempt().await;
            assert_eq!(attempt.run.task, expected);
            assert!(engine.nothing_asked());
            engine.complete(&attempt, "1").await.unwrap();
        }
    });
}

#[test]
fn slots_come_back_however_an_attempt_ends() {
    test(async {
        use workflow_machine::{Input, TaskError};
        use workflow_worker::attempt::Report;
        let mut engine = Scripted::start().await;
        let lane = LaneSettings { workers: 1, ..LaneSettings::DEFAULT };
        engine.engine.set_lane("narrow", lane).await.unwrap();
        let spec = || {
            let mut task = call("a", &[]);
            task.lane = "narrow".to_owned();
            workflow(vec![task])
        };
        for _ in 0..4 {
            engine.submit(spec()).await;
        }
        let first = engine.attempt().await;
        engine.fail(&first, TaskError::permanent("X", "")).await.unwrap();
        let second = engine.attempt().await;
        engine
            .engine
            .tell(&second.workflow, Input::Cancel { force: true, reason: String::new() })
            .await
            .unwrap();
        assert!(matches!(engine.asked().await, Asked::Stop(..)));
        let third = engine.attempt().await;
        engine.reports.report(name(&third), Report::Lost).await.unwrap();
        // It waits again, behind the fourth.
        let fourth = engine.attempt().await;
        engine.complete(&fourth, "1").await.unwrap();
        let third = engine.attempt().await;
        engine.complete(&third, "1").await.unwrap();
        let lane =
            engine.engine.lanes().await.unwrap().into_iter().find(|lane| lane.name == "narrow").unwrap();
        assert_eq!((lane.running, lane.waiting), (0, 0));
    });
}

#[test]
fn a_lane_that_is_full_refuses_workflows_and_says_how_full() {
    test(async {
        let engine = Scripted::start().await;
        let lane = LaneSettings { workers: 1, capacity: 2, ..LaneSettings::DEFAULT };
        engine.engine.set_lane("default", lane).await.unwrap();
        for _ in 0..3 {
            engine.submit(workflow(vec![call("a", &[])])).await;
        }
        let one = Submission { id: None, spec: workflow(vec![call("a", &[])]) };
        let refused = engine.engine.submit(vec![one], false, None).await;
        assert!(matches!(refused, Err(EngineError::Overloaded { current: 2, max: 2, .. })), "{refused:?}");
    });
}

#[test]
fn work_for_external_workers_does_not_hold_the_slots_of_calls() {
    test(async {
        let mut engine = Scripted::start().await;
        let lane = LaneSettings { workers: 1, ..LaneSettings::DEFAULT };
        engine.engine.set_lane("default", lane).await.unwrap();
        engine.submit(workflow(vec![function("f"), call("a", &[])])).await;
        let mut names = vec![engine.attempt().await.run.task, engine.attempt().await.run.task];
        names.sort_unstable();
        assert_eq!(names, ["a", "f"]);
    });
}
