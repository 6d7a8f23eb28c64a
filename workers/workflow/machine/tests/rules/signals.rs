//! Signals: for tasks that wait for a name, and for attempts that run.

use workflow_machine::{
    Action, Input, Refusal, SignalKind, Status, TaskDetail, TaskSpec, WaitSignal, Work, codes,
    limits::{MAX_KEPT_SIGNAL_BYTES, MAX_KEPT_SIGNALS, STOP_GRACE_MS},
};

use crate::driver::{Driver, START, call, finished, spec, task, transient};

fn wait(id: &str, dependencies: &[&str], name: &str) -> TaskSpec {
    task(id, dependencies, Work::WaitSignal(WaitSignal { name: name.to_owned() }))
}

fn signal(name: &str, payload: &'static str) -> Input {
    Input::Signal { name: name.to_owned(), payload: payload.into() }
}

#[test]
fn a_signal_ends_the_wait_and_is_its_result() {
    let mut driver = Driver::submit(spec([wait("w", &[], "go")]));
    assert_eq!(driver.detail("w"), TaskDetail::Waiting);
    driver.step(signal("other", "0"));
    assert_eq!(driver.detail("w"), TaskDetail::Waiting);
    assert_eq!(finished(&driver.step(signal("go", "{\"by\":\"me\"}"))), Some(Status::Completed));
    assert_eq!(driver.result("w"), "{\"by\":\"me\"}");
}

#[test]
fn signals_that_came_first_are_kept_in_order_and_taken_once() {
    let mut driver = Driver::submit(spec([
        call("a", &[]),
        wait("w", &["a"], "go"),
        wait("x", &["w"], "go"),
        wait("y", &["x"], "go"),
    ]));
    driver.step(signal("go", "1"));
    driver.step(signal("go", "2"));
    driver.crash();
    driver.run("a", "");
    assert_eq!((driver.result("w"), driver.result("x")), ("1".to_owned(), "2".to_owned()));
    assert_eq!(driver.detail("y"), TaskDetail::Waiting);
}

#[test]
fn one_signal_wakes_one_task() {
    let mut driver = Driver::submit(spec([wait("w", &[], "go"), wait("x", &[], "go")]));
    driver.step(signal("go", "1"));
    assert_eq!((driver.detail("w"), driver.detail("x")), (TaskDetail::Completed, TaskDetail::Waiting));
}

#[test]
fn what_is_kept_is_bounded() {
    let mut driver = Driver::submit(spec([call("a", &[])]));
    for _ in 0..MAX_KEPT_SIGNALS {
        driver.workflow.step(signal("go", "1"), START).unwrap();
    }
    let refusal = driver.workflow.step(signal("go", "1"), START).unwrap_err();
    assert_eq!(refusal, Refusal::TooManySignals { kept: MAX_KEPT_SIGNALS, bytes: 3 * MAX_KEPT_SIGNALS });
    let mut driver = Driver::submit(spec([call("a", &[])]));
    let large = Input::Signal { name: "go".to_owned(), payload: vec![b'1'; MAX_KEPT_SIGNAL_BYTES].into() };
    assert!(matches!(driver.try_step(large), Err(Refusal::TooManySignals { .. })));
}

#[test]
fn a_wait_times_out() {
    let mut driver = Driver::submit(spec([TaskSpec { timeout_ms: 1_000, ..wait("w", &[], "go") }]));
    assert_eq!(finished(&driver.fire("w")), Some(Status::Failed));
    assert_eq!(driver.detail("w"), TaskDetail::TimedOut);
}

fn to(task: &str, kind: SignalKind, graceful: bool) -> Input {
    Input::SignalTask { task: task.to_owned(), kind, payload: "{}".into(), graceful, timeout_ms: 0 }
}

#[test]
fn steer_and_collect_reach_the_running_attempt() {
    let mut driver = Driver::submit(spec([call("a", &[])]));
    let early = driver.try_step(to("a", SignalKind::Steer, true)).unwrap_err();
    assert_eq!(early, Refusal::NotRunning { task: "a".to_owned(), detail: TaskDetail::Scheduled });
    driver.dispatch("a");
    for (kind, events) in [(SignalKind::Steer, 1), (SignalKind::Collect, 0)] {
        let before = driver.history.len();
        let actions = driver.step(to("a", kind, false));
        let sent = Action::Signal { task: "a".to_owned(), epoch: 1, kind, payload: "{}".into() };
        assert_eq!(actions, [sent]);
        assert_eq!(driver.history.len(), before + events);
    }
}

#[test]
fn an_interrupted_attempt_may_still_complete() {
    let mut driver = Driver::submit(spec([call("a", &[]), call("b", &[])]));
    driver.dispatch("a");
    driver.dispatch("b");
    let actions = driver.step(to("a", SignalKind::Interrupt, true));
    assert!(actions.contains(&Action::Stop { task: "a".to_owned(), epoch: 1, grace_ms: STOP_GRACE_MS }));
    driver.complete("a", "partial");
    assert_eq!(driver.detail("a"), TaskDetail::Completed);
    driver.step(to("b", SignalKind::Interrupt, true));
    assert_eq!(finished(&driver.fail("b", transient())), Some(Status::Failed));
    assert_eq!(driver.workflow.error().unwrap().code, codes::INTERRUPTED);
}

#[test]
fn an_interrupt_ends_what_does_not_stop_and_what_only_waits() {
    let mut driver = Driver::submit(spec([call("a", &[])]));
    driver.dispatch("a");
    driver.step(to("a", SignalKind::Interrupt, true));
    driver.crash();
    driver.fire("a");
    assert_eq!(driver.now, START + STOP_GRACE_MS);
    assert_eq!(driver.workflow.error().unwrap().code, codes::INTERRUPTED);

    let mut driver = Driver::submit(spec([call("a", &[])]));
    driver.dispatch("a");
    let actions = driver.step(to("a", SignalKind::Interrupt, false));
    assert!(actions.contains(&Action::Stop { task: "a".to_owned(), epoch: 1, grace_ms: 0 }));
    assert_eq!(driver.status(), Status::Failed);

    let mut driver = Driver::submit(spec([wait("w", &[], "go")]));
    driver.step(to("w", SignalKind::Interrupt, true));
    assert_eq!(driver.workflow.error().unwrap().code, codes::INTERRUPTED);
}
