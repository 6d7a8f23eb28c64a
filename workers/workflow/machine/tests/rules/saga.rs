//! Sagas: completed tasks are undone when the workflow does not complete.

use workflow_machine::{
    Action, Call, Compensate, CompensationPolicy, ForEach, Input, Noop, Refusal, Request, SagaState, Spec,
    Status, TaskDetail, TaskSpec, Work, WorkflowDetail,
};

use crate::driver::{Driver, call, finished, permanent, ready, spec, transient};

fn undone(task: TaskSpec) -> TaskSpec {
    let undo = Call { target: "undo".to_owned(), input: r#"{"was":"{{result}}"}"#.into(), ..Call::default() };
    let compensate = Compensate { work: Some(Work::Call(undo)), ..Compensate::default() };
    TaskSpec { compensate: Some(Box::new(compensate)), ..task }
}

/// Two tasks that completed, and a third that failed.
fn failed(policy: CompensationPolicy) -> Driver {
    let tasks = [undone(call("hotel", &[])), undone(call("flight", &["hotel"])), call("pay", &["flight"])];
    let mut driver = Driver::submit(Spec { compensation: policy.into(), ..spec(tasks) });
    assert_eq!(driver.workflow.saga_state(), SagaState::Created);
    driver.run("hotel", "\"h1\"");
    driver.run("flight", "\"f1\"");
    assert_eq!(driver.workflow.saga_state(), SagaState::Running);
    driver.dispatch("pay");
    driver.fail("pay", permanent());
    driver
}

#[test]
fn automatically_the_last_one_is_undone_first() {
    let mut driver = failed(CompensationPolicy::Auto);
    assert_eq!(driver.workflow.detail(), WorkflowDetail::Compensating);
    assert_eq!(driver.workflow.saga_state(), SagaState::Compensating);
    assert_eq!(driver.announced(), ["flight"]);
    assert!(driver.try_step(Input::Dispatch { task: "hotel".to_owned() }).is_err());
    let run = driver.dispatch("flight");
    assert!(run.compensation);
    assert_eq!((run.attempt, run.epoch, run.idempotency_key.as_str()), (1, 2, "wf/flight/compensate"));
    let Request::Call(call) = &run.request else { panic!("not a call") };
    assert_eq!((call.target.as_str(), &call.input[..]), ("undo", &br#"{"was":"f1"}"#[..]));
    assert!(driver.crash().contains(&Action::Run(Box::new(run))));
    assert_eq!(ready(&driver.complete("flight", "")), ["hotel"]);
    assert_eq!(driver.detail("flight"), TaskDetail::Compensated);
    assert_eq!(driver.result("flight"), "\"f1\"");
    assert_eq!(finished(&driver.run("hotel", "")), Some(Status::Failed));
    assert_eq!(driver.workflow.saga_state(), SagaState::Compensated);
    assert_eq!(driver.workflow.failed_task(), Some("pay"));
}

#[test]
fn a_compensation_is_tried_again_three_times_and_then_by_request() {
    let mut driver = failed(CompensationPolicy::Auto);
    for attempt in 1..=3 {
        assert_eq!(driver.dispatch("flight").attempt, attempt);
        driver.fail("flight", transient());
        if attempt < 3 {
            assert_eq!(ready(&driver.fire("flight")), ["flight"]);
        }
    }
    assert_eq!(driver.status(), Status::Failed);
    assert_eq!(driver.workflow.saga_state(), SagaState::CompensationFailed);
    assert_eq!(driver.detail("flight"), TaskDetail::CompensationFailed);
    assert_eq!(driver.detail("hotel"), TaskDetail::Completed);
    driver.step(Input::Compensate { reason: "it is back".to_owned() });
    assert_eq!(driver.workflow.saga_state(), SagaState::Recovering);
    driver.run("flight", "");
    driver.run("hotel", "");
    assert_eq!(driver.workflow.saga_state(), SagaState::Compensated);
    assert_eq!(driver.status(), Status::Failed);
}

#[test]
fn manually_somebody_has_to_ask() {
    let mut driver = failed(CompensationPolicy::Manual);
    assert_eq!(driver.workflow.detail(), WorkflowDetail::PendingCompensation);
    assert_eq!(driver.status(), Status::Running);
    assert_eq!(driver.workflow.saga_state(), SagaState::PendingCompensation);
    assert_eq!(driver.crash(), []);
    driver.step(Input::Compensate { reason: "yes".to_owned() });
    assert_eq!(driver.announced(), ["flight"]);
    assert!(driver.step(Input::Compensate { reason: "yes!".to_owned() }).is_empty());
}

#[test]
fn what_waits_for_somebody_may_be_cancelled_or_retried_instead() {
    let mut driver = failed(CompensationPolicy::Manual);
    let actions = driver.step(Input::Cancel { force: false, reason: String::new() });
    assert_eq!(finished(&actions), Some(Status::Cancelled));
    assert_eq!(driver.workflow.saga_state(), SagaState::PendingCompensation);
    let mut driver = failed(CompensationPolicy::Manual);
    assert_eq!(ready(&driver.step(Input::Retry { from: None, reason: String::new() })), ["pay"]);
    assert_eq!(finished(&driver.run("pay", "")), Some(Status::Completed));
}

#[test]
fn skipped_it_happens_only_by_request_after_the_end() {
    let mut driver = failed(CompensationPolicy::Skip);
    assert_eq!(driver.status(), Status::Failed);
    assert_eq!(driver.workflow.saga_state(), SagaState::PendingCompensation);
    driver.step(Input::Compensate { reason: String::new() });
    assert_eq!(driver.workflow.saga_state(), SagaState::Compensating);
}

#[test]
fn a_saga_that_is_cancelled_gracefully_is_undone_and_a_forced_one_is_not() {
    for force in [false, true] {
        let mut driver = Driver::submit(spec([undone(call("a", &[])), call("b", &["a"])]));
        driver.run("a", "1");
        let actions = driver.step(Input::Cancel { force, reason: String::new() });
        if force {
            assert_eq!(finished(&actions), Some(Status::Cancelled));
            assert_eq!(driver.workflow.saga_state(), SagaState::PendingCompensation);
        } else {
            assert_eq!(driver.announced(), ["a"]);
            assert_eq!(finished(&driver.run("a", "")), Some(Status::Cancelled));
            assert_eq!(driver.workflow.saga_state(), SagaState::Compensated);
        }
    }
}

#[test]
fn a_forced_cancel_ends_a_compensation_under_way() {
    let mut driver = failed(CompensationPolicy::Auto);
    driver.dispatch("flight");
    assert!(
        driver
            .step(Input::Cancel { force: false, reason: String::new() })
            .iter()
            .all(|a| finished(std::slice::from_ref(a)).is_none())
    );
    let actions = driver.step(Input::Cancel { force: true, reason: String::new() });
    assert!(actions.contains(&Action::Stop { task: "flight".to_owned(), epoch: 2, grace_ms: 0 }));
    assert_eq!(finished(&actions), Some(Status::Cancelled));
    assert_eq!(driver.detail("flight"), TaskDetail::Completed);
}

#[test]
fn items_are_undone_one_by_one() {
    let for_each = Some(Box::new(ForEach { items: "[\"x\",\"y\"]".to_owned(), max_parallel: 0 }));
    let tasks = [TaskSpec { for_each, ..undone(call("a", &[])) }, call("b", &["a"])];
    let mut driver = Driver::submit(spec(tasks));
    driver.run("a[1]", "1");
    driver.run("a[0]", "0");
    driver.dispatch("b");
    driver.fail("b", permanent());
    let Request::Call(call) = driver.dispatch("a[0]").request else { panic!("not a call") };
    assert_eq!(&call.input[..], br#"{"was":0}"#);
    assert_eq!(ready(&driver.complete("a[0]", "")), ["a[1]"]);
    driver.run("a[1]", "");
    assert_eq!(driver.status(), Status::Failed);
}

#[test]
fn nothing_to_undo_is_refused() {
    let mut driver = Driver::submit(spec([undone(call("a", &[]))]));
    let nothing = |driver: &mut Driver| driver.try_step(Input::Compensate { reason: String::new() });
    assert_eq!(nothing(&mut driver), Err(Refusal::NothingToCompensate { status: Status::Pending }));
    driver.run("a", "");
    assert_eq!(nothing(&mut driver), Err(Refusal::NothingToCompensate { status: Status::Completed }));
}

#[test]
fn a_compensation_that_does_nothing_needs_no_slot() {
    let compensate = Compensate { work: Some(Work::Noop(Noop {})), ..Compensate::default() };
    let a = TaskSpec { compensate: Some(Box::new(compensate)), ..call("a", &[]) };
    let mut driver = Driver::submit(spec([a, call("b", &["a"])]));
    driver.run("a", "");
    driver.dispatch("b");
    assert_eq!(finished(&driver.fail("b", permanent())), Some(Status::Failed));
    assert_eq!(driver.detail("a"), TaskDetail::Compensated);
}
