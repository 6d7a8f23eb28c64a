//! Which tasks may start, and when.

use workflow_machine::{
    Action, Input, Noop, Refusal, Spec, Status, TaskDetail, Work, Workflow, WorkflowDetail,
};

use crate::driver::{Driver, START, call, finished, ready, spec, task};

#[test]
fn tasks_start_when_all_that_they_depend_on_are_over() {
    let mut driver = Driver::submit(spec([
        call("a", &[]),
        call("b", &["a"]),
        call("c", &["a"]),
        call("d", &["b", "c", "b"]),
    ]));
    assert_eq!(driver.status(), Status::Pending);
    assert_eq!(driver.announced(), ["a"]);
    driver.run("a", "1");
    assert_eq!(driver.status(), Status::Running);
    assert_eq!(driver.announced(), ["b", "c"]);
    driver.run("c", "2");
    assert!(driver.announced().is_empty());
    assert_eq!(driver.detail("d"), TaskDetail::Pending);
    let refusal = driver.try_step(Input::Dispatch { task: "d".to_owned() }).unwrap_err();
    assert_eq!(refusal, Refusal::NotReady { task: "d".to_owned(), detail: TaskDetail::Pending });
    driver.run("b", "3");
    assert_eq!(driver.announced(), ["d"]);
    let actions = driver.run("d", "4");
    assert_eq!(finished(&actions), Some(Status::Completed));
    let outcome = driver.workflow.outcome().unwrap();
    assert_eq!((outcome.status, &outcome.result[..]), (Status::Completed, &b"4"[..]));
    assert_eq!(driver.workflow.outstanding(), []);
}

#[test]
fn tasks_without_work_complete_at_once_however_many_there_are() {
    let chain = (0..10_000_u32).map(|number| {
        let before = number.checked_sub(1).map(|before| before.to_string());
        task(&number.to_string(), &before.as_deref().into_iter().collect::<Vec<_>>(), Work::Noop(Noop {}))
    });
    let (workflow, step) = Workflow::submit("wf".into(), spec(chain), START).unwrap();
    assert_eq!(workflow.status(), Status::Completed);
    assert_eq!(step.actions, [Action::Finished { status: Status::Completed }]);
    assert_eq!(step.events.len(), 2 + 2 * 10_000 + 1);
    assert!(step.events.iter().zip(1..).all(|(event, seq)| event.seq == seq));
    assert_eq!(Workflow::replay(&step.events).unwrap(), workflow);
}

#[test]
fn lanes_and_priorities_come_from_the_task_or_the_workflow() {
    let mut own = call("own", &[]);
    own.lane = "fast".to_owned();
    own.priority = Some(0);
    let workflow = Spec { lane: "slow".to_owned(), priority: 7, ..spec([own, call("inherits", &[])]) };
    let announced = |spec: Spec| -> Vec<(String, String, i32)> {
        let actions = Driver::submit(spec).actions;
        let of = |action| match action {
            Action::Ready { task, lane, priority, .. } => Some((task, lane, priority)),
            _ => None,
        };
        actions.into_iter().filter_map(of).collect()
    };
    let of = |task: &str, lane: &str, priority| (task.to_owned(), lane.to_owned(), priority);
    assert_eq!(announced(workflow), [of("own", "fast", 0), of("inherits", "slow", 7)]);
    assert_eq!(announced(spec([call("a", &[])])), [of("a", "default", 0)]);
}

#[test]
fn the_result_is_that_of_the_tasks_on_which_none_depends() {
    let mut driver = Driver::submit(spec([call("a", &[]), call("b", &["a"]), call("c", &["a"])]));
    for (task, result) in [("a", "1"), ("b", "{\"x\":2}"), ("c", "not json")] {
        driver.run(task, result);
    }
    let result = driver.workflow.outcome().unwrap().result;
    assert_eq!(&result[..], br#"{"b":{"x":2},"c":"not json"}"#);
}

#[test]
fn a_pause_holds_new_starts_and_nothing_else() {
    let mut driver = Driver::submit(spec([call("a", &[]), call("b", &["a"]), task("n", &["a"], None)]));
    driver.dispatch("a");
    driver.step(Input::Pause { reason: "lunch".to_owned() });
    assert!(driver.step(Input::Pause { reason: "again".to_owned() }).is_empty());
    assert_eq!(driver.workflow.detail(), WorkflowDetail::Paused);
    driver.complete("a", "1");
    assert_eq!(driver.detail("a"), TaskDetail::Completed);
    assert!(driver.announced().is_empty());
    assert_eq!(driver.detail("n"), TaskDetail::Scheduled);
    assert_eq!(driver.crash(), []);
    let refusal = driver.try_step(Input::Dispatch { task: "b".to_owned() }).unwrap_err();
    assert_eq!(refusal, Refusal::Paused);
    let actions = driver.step(Input::Resume);
    assert_eq!(ready(&actions), ["b"]);
    assert_eq!(driver.detail("n"), TaskDetail::Completed);
    assert_eq!(driver.run("b", "2").last(), Some(&Action::Finished { status: Status::Completed }));
}
