//! Another run of a workflow that failed or was cancelled.

use workflow_machine::{
    Action, Compensate, EventKind, ForEach, Input, Refusal, Spec, Status, TaskDetail, TaskSpec, TimerKey,
};

use crate::driver::{Driver, call, finished, permanent, ready, spec};

fn retry(from: Option<&str>) -> Input {
    Input::Retry { from: from.map(str::to_owned), reason: "fixed".to_owned() }
}

#[test]
fn what_completed_stays_and_the_rest_begins_again() {
    let mut driver = Driver::submit(Spec {
        timeout_ms: 60_000,
        ..spec([call("a", &[]), call("b", &["a"]), call("c", &["b"])])
    });
    driver.run("a", "1");
    driver.dispatch("b");
    driver.fail("b", permanent());
    let end = driver.workflow.last_seq();
    assert_eq!(driver.workflow.run(), 1);
    driver.now += 3_600_000;
    let actions = driver.step(retry(None));
    // The end is not changed: what follows is an event of its own.
    let reopened = &driver.history[end as usize];
    assert!(matches!(&reopened.kind, Some(EventKind::Reopened(reopened)) if reopened.reset == [1, 2]));
    assert_eq!(reopened.seq, end + 1);
    let deadline = driver.now + 60_000;
    assert!(actions.contains(&Action::SetTimer { key: TimerKey::Workflow, at: deadline }));
    assert_eq!(ready(&actions), ["b"]);
    assert_eq!((driver.status(), driver.workflow.run()), (Status::Running, 2));
    assert_eq!((driver.workflow.error(), driver.workflow.finished_at()), (None, None));
    let late = Input::Completed { task: "b".to_owned(), epoch: 1, result: "late".into() };
    assert!(matches!(driver.try_step(late), Err(Refusal::Stale { .. })));
    let run = driver.dispatch("b");
    assert_eq!((run.epoch, run.attempt, run.idempotency_key.as_str()), (2, 1, "wf/b"));
    driver.complete("b", "2");
    assert_eq!(finished(&driver.run("c", "3")), Some(Status::Completed));
    assert_eq!(driver.result("a"), "1");
}

#[test]
fn from_a_task_that_completed_it_and_what_depends_on_it_run_again() {
    let mut driver = Driver::submit(spec([
        call("a", &[]),
        call("b", &["a"]),
        call("other", &[]),
        call("c", &["b", "other"]),
    ]));
    for task in ["a", "b", "other"] {
        driver.run(task, "1");
    }
    driver.dispatch("c");
    driver.fail("c", permanent());
    assert_eq!(ready(&driver.step(retry(Some("a")))), ["a"]);
    assert_eq!(driver.detail("b"), TaskDetail::Pending);
    assert_eq!(driver.detail("other"), TaskDetail::Completed);
    assert_eq!(driver.try_step(retry(None)), Err(Refusal::NotRetryable { status: Status::Running }));
}

#[test]
fn a_cancelled_workflow_can_be_retried_and_a_completed_one_not() {
    let mut driver = Driver::submit(spec([call("a", &[])]));
    driver.step(Input::Cancel { force: false, reason: String::new() });
    assert_eq!(ready(&driver.step(retry(None))), ["a"]);
    assert_eq!(driver.status(), Status::Pending);
    driver.run("a", "");
    assert_eq!(driver.try_step(retry(None)), Err(Refusal::NotRetryable { status: Status::Completed }));
}

#[test]
fn a_task_that_is_not_there_changes_nothing() {
    let mut driver = Driver::submit(spec([call("a", &[])]));
    driver.step(Input::Cancel { force: true, reason: String::new() });
    assert_eq!(driver.try_step(retry(Some("b"))), Err(Refusal::UnknownTask { task: "b".to_owned() }));
}

#[test]
fn items_that_completed_stay() {
    let for_each = Some(Box::new(ForEach { items: "[1,2,3,4]".to_owned(), max_parallel: 2 }));
    let mut driver = Driver::submit(spec([TaskSpec { for_each, ..call("a", &[]) }]));
    driver.run("a[0]", "\"first\"");
    driver.dispatch("a[1]");
    driver.fail("a[1]", permanent());
    assert_eq!(driver.status(), Status::Failed);
    assert_eq!(ready(&driver.step(retry(None))), ["a[1]", "a[2]"]);
    for item in ["a[1]", "a[2]", "a[3]"] {
        driver.run(item, "\"second\"");
    }
    assert_eq!(driver.result("a"), r#"["first","second","second","second"]"#);
    assert_eq!(driver.status(), Status::Completed);
}

#[test]
fn what_was_undone_is_done_again() {
    let a = TaskSpec { compensate: Some(Box::new(Compensate::default())), ..call("a", &[]) };
    let mut driver = Driver::submit(spec([
        call("before", &[]),
        TaskSpec { dependencies: vec!["before".to_owned()], ..a },
        call("b", &["a"]),
    ]));
    driver.run("before", "");
    driver.run("a", "");
    driver.dispatch("b");
    driver.fail("b", permanent());
    assert_eq!(driver.detail("a"), TaskDetail::Compensated);
    assert_eq!(ready(&driver.step(retry(None))), ["a"]);
    assert_eq!(driver.detail("before"), TaskDetail::Completed);
    // It was done and undone: whoever does it must not take it for the same again.
    assert_eq!(driver.dispatch("a").idempotency_key, "wf/a#2");
}
