//! Cancellation is final.

use workflow_machine::{
    Action, Input, Refusal, Sleep, Spec, Status, TaskDetail, TimerKey, Work, WorkflowDetail,
    limits::STOP_GRACE_MS,
};

use crate::driver::{Driver, START, call, finished, permanent, spec, task, transient};

fn cancel(force: bool) -> Input {
    Input::Cancel { force, reason: "enough".to_owned() }
}

#[test]
fn before_anything_started_it_is_at_once() {
    let mut driver = Driver::submit(spec([call("a", &[]), call("b", &["a"])]));
    assert_eq!(finished(&driver.step(cancel(false))), Some(Status::Cancelled));
    assert_eq!(driver.detail("b"), TaskDetail::Cancelled);
    assert_eq!(driver.workflow.cancel_reason(), Some("enough"));
    // Asking again is no mistake, and does nothing.
    assert!(driver.step(cancel(true)).is_empty());
    let late = driver.try_step(Input::Dispatch { task: "a".to_owned() });
    assert_eq!(late, Err(Refusal::AlreadyTerminal { status: Status::Cancelled }));
}

#[test]
fn gracefully_attempts_may_stop_by_themselves() {
    let sleep = Work::Sleep(Sleep { duration_ms: 1_000, until_ms: 0 });
    let mut driver =
        Driver::submit(spec([call("a", &[]), call("b", &[]), call("c", &["a"]), task("s", &[], sleep)]));
    driver.dispatch("a");
    driver.dispatch("b");
    let actions = driver.step(cancel(false));
    let grace = Action::SetTimer { key: TimerKey::Grace, at: START + STOP_GRACE_MS };
    assert!(actions.contains(&grace));
    assert!(actions.contains(&Action::Stop { task: "a".to_owned(), epoch: 1, grace_ms: STOP_GRACE_MS }));
    assert_eq!(driver.workflow.detail(), WorkflowDetail::Cancelling);
    assert_eq!(driver.detail("c"), TaskDetail::Cancelled);
    assert_eq!(driver.detail("s"), TaskDetail::Cancelled);
    assert!(driver.step(cancel(false)).is_empty());
    // A crash forgets neither the grace nor whom to stop, and starts nothing.
    let outstanding = driver.crash();
    assert!(outstanding.contains(&grace));
    assert!(outstanding.contains(&Action::Stop { task: "b".to_owned(), epoch: 1, grace_ms: STOP_GRACE_MS }));
    assert!(!outstanding.iter().any(|action| matches!(action, Action::Run(_) | Action::Ready { .. })));
    driver.complete("a", "done anyway");
    assert_eq!(driver.detail("a"), TaskDetail::Completed);
    assert_eq!(finished(&driver.fail("b", transient())), Some(Status::Cancelled));
    assert_eq!(driver.detail("b"), TaskDetail::Cancelled);
}

#[test]
fn an_attempt_that_does_not_stop_is_given_up() {
    let mut driver = Driver::submit(spec([call("a", &[])]));
    driver.dispatch("a");
    driver.step(cancel(false));
    driver.now += STOP_GRACE_MS - 1;
    let early = driver.try_step(Input::Timer { key: TimerKey::Grace });
    assert_eq!(early, Err(Refusal::TimerNotAwaited { due: Some(START + STOP_GRACE_MS) }));
    driver.now += 1;
    let actions = driver.step(Input::Timer { key: TimerKey::Grace });
    assert!(actions.contains(&Action::Stop { task: "a".to_owned(), epoch: 1, grace_ms: 0 }));
    assert_eq!(finished(&actions), Some(Status::Cancelled));
}

#[test]
fn forced_it_waits_for_nobody() {
    let mut driver = Driver::submit(spec([call("a", &[])]));
    driver.dispatch("a");
    driver.step(cancel(false));
    let actions = driver.step(cancel(true));
    assert!(actions.contains(&Action::Stop { task: "a".to_owned(), epoch: 1, grace_ms: 0 }));
    assert_eq!(finished(&actions), Some(Status::Cancelled));
    let late = Input::Completed { task: "a".to_owned(), epoch: 1, result: "late".into() };
    assert_eq!(driver.try_step(late), Err(Refusal::AlreadyTerminal { status: Status::Cancelled }));
}

#[test]
fn what_has_ended_otherwise_is_not_cancelled() {
    let mut driver = Driver::submit(spec([call("a", &[])]));
    driver.run("a", "");
    let refusal = driver.try_step(cancel(true)).unwrap_err();
    assert_eq!(refusal, Refusal::AlreadyTerminal { status: Status::Completed });
}

#[test]
fn a_failure_under_way_becomes_a_cancellation() {
    let mut driver = Driver::submit(spec([call("a", &[]), call("b", &[])]));
    driver.dispatch("a");
    driver.dispatch("b");
    driver.fail("a", permanent());
    let actions = driver.step(cancel(false));
    assert!(actions.iter().any(|action| matches!(action, Action::Stop { task, .. } if task == "b")));
    assert_eq!(finished(&driver.complete("b", "")), Some(Status::Cancelled));
}

#[test]
fn a_paused_workflow_can_be_cancelled() {
    let mut driver = Driver::submit(Spec { timeout_ms: 5, ..spec([call("a", &[])]) });
    driver.step(Input::Pause { reason: String::new() });
    assert_eq!(driver.status(), Status::Pending);
    let actions = driver.step(cancel(false));
    assert!(actions.contains(&Action::ClearTimer { key: TimerKey::Workflow }));
    assert_eq!(finished(&actions), Some(Status::Cancelled));
}
