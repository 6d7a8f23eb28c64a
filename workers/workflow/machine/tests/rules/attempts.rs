//! Attempts: results, failures, retries, timeouts, lost workers.

use workflow_machine::{
    Action, Input, Refusal, Request, RetryPolicy, Status, TaskDetail, TaskError, TaskSpec, TimerKey,
    WorkflowDetail, codes, limits,
};

use crate::driver::{Driver, START, call, finished, permanent, ready, spec, transient};

fn retried(id: &str, attempts: u32) -> TaskSpec {
    let policy = RetryPolicy {
        max_attempts: attempts,
        initial_ms: 1_000,
        non_retryable: vec!["INVALID".to_owned()],
        ..RetryPolicy::default()
    };
    TaskSpec { retry: Some(Box::new(policy)), ..call(id, &[]) }
}

#[test]
fn a_run_says_who_asks_what_and_until_when() {
    let mut driver = Driver::submit(spec([TaskSpec { timeout_ms: 5_000, ..call("a", &[]) }]));
    let run = driver.dispatch("a");
    assert_eq!((run.task.as_str(), run.epoch, run.attempt), ("a", 1, 1));
    assert_eq!(run.deadline, Some(START + 5_000));
    assert_eq!(run.idempotency_key, "wf/a");
    assert_eq!((run.lane.as_str(), run.priority), ("default", 0));
    let Request::Call(call) = run.request else { panic!("not a call") };
    assert_eq!(call.target, "worker");
    let key = TimerKey::Task { task: "a".to_owned(), epoch: 1 };
    assert!(driver.actions.contains(&Action::SetTimer { key: key.clone(), at: START + 5_000 }));
    assert!(driver.complete("a", "").contains(&Action::ClearTimer { key }));
}

#[test]
fn a_failed_attempt_is_made_again_after_its_wait_until_none_is_left() {
    let mut driver = Driver::submit(spec([retried("a", 3)]));
    for (attempt, wait) in [(1, 1_000), (2, 2_000)] {
        let run = driver.dispatch("a");
        assert_eq!((run.attempt, run.epoch), (attempt, u64::from(attempt)));
        assert_eq!(run.idempotency_key, "wf/a");
        driver.fail("a", transient());
        assert_eq!(driver.detail("a"), TaskDetail::Retrying);
        assert_eq!(driver.workflow.task("a").unwrap().until, Some(driver.now + wait));
        let early =
            driver.try_step(Input::Timer { key: TimerKey::Task { task: "a".to_owned(), epoch: run.epoch } });
        assert_eq!(early, Err(Refusal::TimerNotAwaited { due: Some(driver.now + wait) }));
        assert_eq!(ready(&driver.fire("a")), ["a"]);
    }
    driver.dispatch("a");
    assert_eq!(finished(&driver.fail("a", transient())), Some(Status::Failed));
    assert_eq!(driver.detail("a"), TaskDetail::Failed);
    assert_eq!(driver.workflow.error(), Some(&transient()));
    assert_eq!(driver.workflow.failed_task(), Some("a"));
}

#[test]
fn errors_for_good_are_not_tried_again() {
    for error in [permanent(), TaskError::retryable("INVALID", "named by the policy")] {
        let mut driver = Driver::submit(spec([retried("a", 3)]));
        driver.dispatch("a");
        driver.fail("a", error);
        assert_eq!(driver.status(), Status::Failed);
    }
}

#[test]
fn the_other_side_may_ask_for_a_longer_wait() {
    let mut driver = Driver::submit(spec([retried("a", 2)]));
    driver.dispatch("a");
    driver.fail("a", TaskError { retry_after_ms: 60_000, ..transient() });
    assert_eq!(driver.workflow.task("a").unwrap().until, Some(START + 60_000));
}

#[test]
fn results_of_attempts_that_no_longer_count_are_stale() {
    let mut driver = Driver::submit(spec([retried("a", 3)]));
    driver.dispatch("a");
    driver.fail("a", transient());
    driver.fire("a");
    driver.dispatch("a");
    let late = Input::Completed { task: "a".to_owned(), epoch: 1, result: "late".into() };
    let stale = Refusal::Stale { task: "a".to_owned(), epoch: 1, current: 2, detail: TaskDetail::Running };
    assert_eq!(driver.try_step(late), Err(stale));
    driver.complete("a", "in time");
    assert_eq!(driver.result("a"), "in time");
    let again = Input::Completed { task: "a".to_owned(), epoch: 2, result: "again".into() };
    assert_eq!(driver.try_step(again), Err(Refusal::AlreadyTerminal { status: Status::Completed }));
}

#[test]
fn an_attempt_that_takes_too_long_is_stopped_and_made_again() {
    let mut driver = Driver::submit(spec([TaskSpec { timeout_ms: 5_000, ..retried("a", 2) }]));
    driver.dispatch("a");
    let actions = driver.fire("a");
    assert!(actions.contains(&Action::Stop { task: "a".to_owned(), epoch: 1, grace_ms: 0 }));
    assert_eq!(driver.detail("a"), TaskDetail::Retrying);
    driver.fire("a");
    driver.dispatch("a");
    driver.fire("a");
    assert_eq!(driver.detail("a"), TaskDetail::TimedOut);
    assert_eq!(driver.workflow.detail(), WorkflowDetail::Failed);
}

#[test]
fn a_lost_attempt_is_made_again_without_counting_until_it_looks_like_poison() {
    let mut driver = Driver::submit(spec([call("a", &[])]));
    for lost in 0..u64::from(limits::MAX_LOST_ATTEMPTS) {
        let run = driver.dispatch("a");
        assert_eq!((run.attempt, run.epoch), (1, lost + 1));
        let actions = driver.step(Input::LeaseExpired { task: "a".to_owned(), epoch: run.epoch });
        assert_eq!(ready(&actions), ["a"]);
        let late = Input::Completed { task: "a".to_owned(), epoch: run.epoch, result: "late".into() };
        assert!(matches!(driver.try_step(late), Err(Refusal::Stale { .. })));
    }
    let run = driver.dispatch("a");
    driver.step(Input::LeaseExpired { task: "a".to_owned(), epoch: run.epoch });
    assert_eq!(driver.workflow.task("a").unwrap().error.unwrap().code, codes::LEASE_EXPIRED);
    assert_eq!(driver.status(), Status::Failed);
}

#[test]
fn progress_is_news_or_nothing() {
    let mut driver = Driver::submit(spec([call("a", &[])]));
    driver.dispatch("a");
    let progress = |percent, message: &str| Input::Progress {
        task: "a".to_owned(),
        epoch: 1,
        percent,
        message: message.to_owned(),
    };
    driver.step(progress(40, "halfway"));
    let view = driver.workflow.task("a").unwrap();
    assert_eq!((view.percent, view.message), (40, "halfway"));
    let before = driver.history.len();
    driver.step(progress(40, "halfway"));
    assert_eq!(driver.history.len(), before);
    driver.step(progress(400, "done"));
    assert_eq!(driver.workflow.task("a").unwrap().percent, 100);
    driver.complete("a", "");
    assert!(driver.try_step(progress(50, "late")).is_err());
}

#[test]
fn an_attempt_that_had_started_is_outstanding_after_a_crash() {
    let mut driver = Driver::submit(spec([TaskSpec { timeout_ms: 9, ..call("a", &[]) }, call("b", &[])]));
    let run = driver.dispatch("a");
    let outstanding = driver.crash();
    assert!(outstanding.contains(&Action::Run(Box::new(run))));
    let key = TimerKey::Task { task: "a".to_owned(), epoch: 1 };
    assert!(outstanding.contains(&Action::SetTimer { key, at: START + 9 }));
    assert_eq!(ready(&outstanding), ["b"]);
    driver.complete("a", "1");
    driver.run("b", "2");
    assert_eq!(driver.status(), Status::Completed);
}

#[test]
fn time_that_goes_back_stands_still() {
    let mut driver = Driver::submit(spec([call("a", &[])]));
    driver.now = START - 60_000;
    driver.run("a", "1");
    assert!(driver.history.iter().all(|event| event.at == START));
}
