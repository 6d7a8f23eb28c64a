//! Tasks that wait: for a time, for a child workflow. They need no slot.

use workflow_machine::{
    Action, Child, Input, Outcome, Parent, RetryPolicy, Sleep, Spec, Status, TaskDetail, TaskError, TaskSpec,
    TimerKey, Work, WorkflowDetail, codes,
};

use crate::driver::{Driver, START, call, finished, spec, task};

#[test]
fn a_sleep_ends_at_its_time() {
    let sleep = Work::Sleep(Sleep { duration_ms: 5_000, until_ms: 0 });
    let mut driver = Driver::submit(spec([task("s", &[], sleep), call("a", &["s"])]));
    let key = TimerKey::Task { task: "s".to_owned(), epoch: 1 };
    let timer = Action::SetTimer { key: key.clone(), at: START + 5_000 };
    assert_eq!(driver.actions, std::slice::from_ref(&timer));
    assert_eq!(driver.detail("s"), TaskDetail::Waiting);
    assert_eq!(driver.workflow.detail(), WorkflowDetail::Running);
    assert_eq!(driver.crash(), [timer]);
    driver.now += 4_999;
    assert!(driver.try_step(Input::Timer { key: key.clone() }).is_err());
    driver.now += 1;
    driver.step(Input::Timer { key: key.clone() });
    assert_eq!(driver.announced(), ["a"]);
    assert!(driver.try_step(Input::Timer { key }).is_err(), "a timer fires once");
}

#[test]
fn a_time_that_has_passed_is_not_waited_for() {
    let past = Work::Sleep(Sleep { duration_ms: 9, until_ms: START - 1 });
    let none = Work::Sleep(Sleep::default());
    let driver = Driver::submit(spec([task("past", &[], past), task("none", &[], none)]));
    assert_eq!(driver.status(), Status::Completed);
}

fn parent(retry: Option<RetryPolicy>) -> Driver {
    let child = Spec {
        input: r#"{"for":"{{tasks.a.result}}"}"#.into(),
        metadata: [("of".to_owned(), "{{workflow.id}}".to_owned())].into(),
        ..spec([call("inner", &[])])
    };
    let work = Work::Child(Child { spec: Some(Box::new(child)) });
    let child = TaskSpec { retry: retry.map(Box::new), timeout_ms: 60_000, ..task("child", &["a"], work) };
    let own = Spec {
        owner: "me".to_owned(),
        owner_roles: vec!["cook".to_owned()],
        lane: "slow".to_owned(),
        ..spec([call("a", &[]), child])
    };
    let mut driver = Driver::submit(own);
    driver.run("a", "7");
    driver
}

fn ended(epoch: u64, status: Status) -> Input {
    let error = (status == Status::Failed).then(|| TaskError::permanent("BROKEN", "inside"));
    let outcome = Outcome { status, result: "42".into(), error };
    Input::ChildFinished { task: "child".to_owned(), epoch, outcome }
}

#[test]
fn a_child_gets_what_the_parent_knows_and_gives_its_result() {
    let mut driver = parent(None);
    let started = driver.actions.iter().find_map(|action| match action {
        Action::StartChild { id, spec, task, epoch } => {
            Some((id.clone(), spec.clone(), task.clone(), *epoch))
        }
        _ => None,
    });
    let (id, spec, task, epoch) = started.unwrap();
    assert_eq!((id.as_str(), task.as_str(), epoch), ("wf~child~1", "child", 1));
    assert_eq!(&spec.input[..], br#"{"for":7}"#);
    assert_eq!(spec.metadata["of"], "wf");
    assert_eq!(
        (spec.owner.as_str(), &spec.owner_roles[..], spec.lane.as_str()),
        ("me", &["cook".to_owned()][..], "slow")
    );
    let parent = Parent { workflow: "wf".to_owned(), task: "child".to_owned(), epoch: 1 };
    assert_eq!(spec.parent.as_deref(), Some(&parent));
    assert_eq!(driver.workflow.task("child").unwrap().child, Some(&id));
    let again = driver.crash();
    assert!(again.contains(&Action::StartChild { task, epoch, id, spec }));
    assert_eq!(finished(&driver.step(ended(1, Status::Completed))), Some(Status::Completed));
    assert_eq!(driver.result("child"), "42");
}

#[test]
fn a_child_that_fails_is_another_child_next_time() {
    let policy = RetryPolicy { max_attempts: 2, ..RetryPolicy::default() };
    let mut driver = parent(Some(policy));
    driver.step(ended(1, Status::Failed));
    assert_eq!(driver.detail("child"), TaskDetail::Retrying);
    let actions = driver.fire("child");
    let names =
        |action: &Action| matches!(action, Action::StartChild { id, .. } if id.as_str() == "wf~child~2");
    assert!(actions.iter().any(names));
    assert!(driver.try_step(ended(1, Status::Completed)).is_err(), "the first child no longer counts");
    driver.step(ended(2, Status::Cancelled));
    let error = driver.workflow.error().unwrap();
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        (codes::CHILD_FAILED, "the child workflow is CANCELLED")
    );
}

#[test]
fn children_are_cancelled_with_their_parents() {
    for force in [false, true] {
        let mut driver = parent(None);
        let actions = driver.step(Input::Cancel { force, reason: String::new() });
        let cancelled = Action::CancelChild { task: "child".to_owned(), id: "wf~child~1".into(), force };
        assert!(actions.contains(&cancelled));
        if !force {
            assert_eq!(driver.status(), Status::Running);
            driver.step(ended(1, Status::Cancelled));
        }
        assert_eq!(driver.status(), Status::Cancelled);
    }
}

#[test]
fn a_child_that_takes_too_long_is_cancelled() {
    let mut driver = parent(None);
    let actions = driver.fire("child");
    assert!(actions.iter().any(|action| matches!(action, Action::CancelChild { .. })));
    assert_eq!(driver.detail("child"), TaskDetail::TimedOut);
}

#[test]
fn nobody_answers_for_a_sleep() {
    let sleep = Work::Sleep(Sleep { duration_ms: 5_000, until_ms: 0 });
    let mut driver = Driver::submit(spec([task("s", &[], sleep)]));
    for input in [
        Input::Completed { task: "s".to_owned(), epoch: 1, result: "1".into() },
        Input::Failed { task: "s".to_owned(), epoch: 1, error: TaskError::default() },
        Input::LeaseExpired { task: "s".to_owned(), epoch: 1 },
    ] {
        assert!(driver.try_step(input).is_err());
    }
}
