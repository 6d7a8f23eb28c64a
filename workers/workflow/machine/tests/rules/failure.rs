//! What the failure of a task, or of time, does to the others.

use workflow_machine::{
    Action, FailurePolicy, Input, RetryPolicy, Sleep, Spec, Status, TaskDetail, TaskSpec, TimerKey, Work,
    WorkflowDetail, codes, limits::STOP_GRACE_MS,
};

use crate::driver::{Driver, START, call, finished, permanent, spec, task, transient};

fn with(policy: FailurePolicy, tasks: impl IntoIterator<Item = TaskSpec>) -> Driver {
    Driver::submit(Spec { failure_policy: policy.into(), ..spec(tasks) })
}

#[test]
fn drain_lets_attempts_in_flight_end_and_skips_the_rest() {
    let retry = Some(Box::new(RetryPolicy { max_attempts: 9, ..RetryPolicy::default() }));
    let mut driver = with(
        FailurePolicy::FailFastDrain,
        [
            call("a", &[]),
            call("b", &[]),
            TaskSpec { retry, ..call("c", &[]) },
            call("d", &["b"]),
            call("waits", &[]),
            task("sleeps", &[], Work::Sleep(Sleep { duration_ms: 9_999, until_ms: 0 })),
        ],
    );
    for task in ["a", "b", "c"] {
        driver.dispatch(task);
    }
    let actions = driver.fail("a", permanent());
    assert_eq!(finished(&actions), None);
    assert!(!actions.iter().any(|action| matches!(action, Action::Stop { .. })));
    assert_eq!(driver.workflow.detail(), WorkflowDetail::Failing);
    assert_eq!(driver.detail("d"), TaskDetail::Skipped);
    assert_eq!(driver.detail("waits"), TaskDetail::Skipped);
    assert_eq!(driver.detail("sleeps"), TaskDetail::Cancelled);
    driver.complete("b", "1");
    assert_eq!(driver.detail("b"), TaskDetail::Completed);
    // It could be tried again, but not any more.
    assert_eq!(finished(&driver.fail("c", transient())), Some(Status::Failed));
    assert_eq!(driver.workflow.failed_task(), Some("a"));
    assert_eq!(driver.workflow.error(), Some(&permanent()));
}

#[test]
fn cancel_stops_attempts_in_flight_within_a_grace() {
    let mut driver =
        with(FailurePolicy::FailFastCancel, [call("a", &[]), call("b", &[]), call("c", &[]), call("d", &[])]);
    for task in ["a", "b", "c", "d"] {
        driver.dispatch(task);
    }
    let actions = driver.fail("a", permanent());
    let stop = |task: &str, grace_ms| Action::Stop { task: task.to_owned(), epoch: 1, grace_ms };
    assert!(actions.contains(&stop("b", STOP_GRACE_MS)));
    assert!(actions.contains(&Action::SetTimer { key: TimerKey::Grace, at: START + STOP_GRACE_MS }));
    driver.fail("b", transient());
    assert_eq!(driver.detail("b"), TaskDetail::Cancelled);
    driver.complete("c", "just in time");
    assert_eq!(driver.detail("c"), TaskDetail::Completed);
    driver.now += STOP_GRACE_MS;
    let actions = driver.step(Input::Timer { key: TimerKey::Grace });
    assert!(actions.contains(&stop("d", 0)));
    assert_eq!(finished(&actions), Some(Status::Failed));
    assert_eq!(driver.detail("d"), TaskDetail::Cancelled);
}

#[test]
fn continue_skips_only_what_depends_on_the_failure() {
    let mut driver = with(
        FailurePolicy::Continue,
        [call("a", &[]), call("b", &[]), call("c", &["a"]), call("d", &["c", "b"]), call("e", &["b"])],
    );
    driver.dispatch("a");
    driver.fail("a", permanent());
    assert_eq!(driver.detail("c"), TaskDetail::Skipped);
    assert_eq!(driver.detail("d"), TaskDetail::Skipped);
    driver.run("b", "1");
    assert_eq!(driver.announced(), ["e"]);
    assert_eq!(finished(&driver.run("e", "2")), Some(Status::Failed));
    assert_eq!(driver.workflow.failed_task(), Some("a"));
}

#[test]
fn a_failure_in_a_workflow_of_ten_thousand_tasks_is_one_step() {
    let tasks = std::iter::once(call("root", &[])).chain((0..9_999).map(|n| call(&n.to_string(), &["root"])));
    let mut driver = with(FailurePolicy::Continue, tasks);
    driver.dispatch("root");
    assert_eq!(finished(&driver.fail("root", permanent())), Some(Status::Failed));
}

#[test]
fn a_workflow_that_takes_too_long_fails() {
    let mut driver = Driver::submit(Spec { timeout_ms: 60_000, ..spec([call("a", &[]), call("b", &["a"])]) });
    let timer = Action::SetTimer { key: TimerKey::Workflow, at: START + 60_000 };
    assert!(driver.actions.contains(&timer));
    assert!(driver.crash().contains(&timer));
    driver.dispatch("a");
    let timer = || Input::Timer { key: TimerKey::Workflow };
    assert!(driver.try_step(timer()).is_err());
    driver.now += 60_000;
    let actions = driver.step(timer());
    assert!(actions.iter().any(|action| matches!(action, Action::Stop { .. })));
    assert!(driver.try_step(timer()).is_err());
    driver.fail("a", transient());
    assert_eq!(driver.workflow.detail(), WorkflowDetail::TimedOut);
    assert_eq!(driver.status(), Status::Failed);
    assert_eq!(driver.workflow.error().unwrap().code, codes::TIMED_OUT);
    assert_eq!(driver.workflow.failed_task(), None);
}
