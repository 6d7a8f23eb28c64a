//! A result counts once, and only for the attempt that counts.

use crate::support::*;
use workflow_machine::{RetryPolicy, Status, TaskError};
use workflow_worker::attempt::{Report, Untaken};

#[test]
fn a_result_of_an_attempt_that_was_lost_is_not_taken() {
    test(async {
        let mut engine = Scripted::start().await;
        let id = engine.submit(workflow(vec![function("f")])).await;
        let first = engine.attempt().await;
        engine.reports.report(name(&first), Report::Lost).await.unwrap();
        let second = engine.attempt().await;
        assert!(second.run.epoch > first.run.epoch);
        let late = engine.complete(&first, "1").await;
        assert!(matches!(late, Err(Untaken::Stale(_))), "{late:?}");
        assert_eq!(engine.status(&id).await, Status::Running);
        engine.complete(&second, "2").await.unwrap();
        assert!(engine.complete(&second, "3").await.is_err());
        let result =
            engine.engine.read(&id, |workflow| workflow.task("f").unwrap().result.clone()).await.unwrap();
        assert_eq!(&result[..], b"2");
    });
}

#[test]
fn a_retryable_failure_is_tried_again_and_others_end_the_workflow() {
    test(async {
        let mut engine = Scripted::start().await;
        let mut flaky = call("a", &[]);
        let policy = RetryPolicy { max_attempts: 2, initial_ms: 1, max_ms: 1, ..RetryPolicy::default() };
        flaky.retry = Some(Box::new(policy));
        let id = engine.submit(workflow(vec![flaky])).await;
        let first = engine.attempt().await;
        engine.fail(&first, TaskError::retryable("UNAVAILABLE", "down")).await.unwrap();
        let second = engine.attempt().await;
        assert_eq!((second.run.attempt, second.run.epoch > first.run.epoch), (2, true));
        engine.fail(&second, TaskError::retryable("UNAVAILABLE", "still down")).await.unwrap();
        let error = engine.engine.read(&id, |workflow| workflow.error().cloned()).await.unwrap().unwrap();
        assert_eq!((error.code.as_str(), error.message.as_str()), ("UNAVAILABLE", "still down"));
        assert!(engine.nothing_asked());
    });
}
